package sidecar

import (
	"context"
	"net/http"
	"time"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/crossorigin"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// Inquiry is a request that is judged without being sent.
type Inquiry struct {
	// Method and Target are the request line's, byte for byte (RFC 9112 section 3).
	Method, Target string
	// Header are the request's headers by canonical name.
	Header http.Header
}

// Finding is what a sidecar would make of a request.
type Finding struct {
	policy.Decision

	// Verdict is the label decision of gatepost_requests_total: allow, deny,
	// audit_deny or exempt.
	Verdict string
	// Status and Detail are the sidecar's own answer; zero where the request goes
	// on to the agent.
	Status int
	Detail string
	// Token is what verifying the token found; its Reason is empty where no token
	// was looked at.
	Token token.Outcome
	// Client is the client id of the API key, also of an expired one; empty: there
	// is none, or a key nobody has.
	Client string
}

// Judge says what a sidecar would make of a request under a snapshot, by the
// code that guards. What is known only of a connection is left out: the framing
// and the size of the head, and how often a client was refused before. It is for
// explaining, never for letting somebody in.
func Judge(ctx context.Context, snapshot *bundle.Snapshot, i Inquiry, now time.Time) (Finding, error) {
	in, err := newSite(snapshot, nil)
	if err != nil {
		return Finding{}, err
	}
	r := &http.Request{Method: i.Method, RequestURI: i.Target, Header: i.Header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	found := in.judge(ctx, query{
		RequestLine: policy.RequestLine{Method: i.Method, Target: i.Target}, header: i.Header, webSocket: isWebSocket(r),
	}, now)
	finding := Finding{Decision: found.Decision, Token: found.outcome, Client: found.key.Owner, Verdict: decisionDeny}
	switch {
	case crossorigin.IsPreflight(i.Method, i.Header):
		return Finding{Decision: policy.Decision{Reason: policy.Exempt}, Verdict: decisionExempt, Status: http.StatusNoContent}, nil
	case found.Reason == policy.OK:
		finding.Verdict = decisionAllow
	case found.Reason == policy.Exempt:
		finding.Verdict = decisionExempt
	case in.audit && isAudited(found.Reason):
		finding.Verdict = decisionAudit
	default:
		a := in.answerTo(&found)
		finding.Status, finding.Detail = a.status, a.detail
	}
	return finding, nil
}
