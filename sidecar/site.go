package sidecar

import (
	"fmt"
	"hash/maphash"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/clientaddr"
	"gatepost.dev/gatepost/policy"
)

// site is a snapshot and everything that follows from it. It is immutable and
// swapped as a whole.
type site struct {
	*bundle.Snapshot

	audit     bool     // refusals of credentials and rules are counted, not carried out
	sources   []source // where a token may be
	maxToken  int      // bytes
	cors      cors
	headers   headerPlan
	outputs   []output // verified values for the agent
	forward   string   // policy.Forward*
	localhost bool     // the agent is told that its host is localhost
	trusted   clientaddr.Proxies
	limits    limits
	streams   streamEnd
	throttle  *throttle // nil: nobody is held back
	rules     map[string]bool
	providers map[string]bool
	signing   []keyName // the keys of SigningKeys
	logKey    []byte    // keys the hashes of subjects in the log
	recall    *recall
	keys      *keyGuard // nil: no API keys are taken

	protocols        bool            // a handshake's token may be among the protocols it offers
	handshakeHeaders bool            // a handshake's token may be where that of other requests is
	deferred         map[string]bool // paths whose handshakes the agent judges itself
}

// limits bound what all clients together may use up.
type limits struct {
	headerBytes int
	requests    int64
	connections int64
}

// newSite derives everything from a snapshot. The log key is used where the
// snapshot brings none that all pods of the policy share.
func newSite(snapshot *bundle.Snapshot, logKey []byte) (*site, error) {
	spec := snapshot.Policy.Spec()
	s := &site{
		Snapshot: snapshot,
		forward:  policy.ForwardOriginal,
		maxToken: int(value(spec.Limits.MaxTokenBytes)),
		cors:     newCORS(spec.CORS),
		limits: limits{
			headerBytes: int(value(spec.Limits.MaxHeaderBytes)),
			requests:    int64(value(spec.Limits.MaxConcurrentRequests)),
			connections: int64(value(spec.Limits.MaxConnections)),
		},
		streams:   newStreamEnd(spec),
		throttle:  newThrottle(spec.Limits.Rejections, maphash.MakeSeed()),
		localhost: spec.Upstream.Host == policy.HostLocalhost,
		rules:     map[string]bool{},
		logKey:    logKey,
		recall:    newRecall(),
		providers: map[string]bool{},
		audit:     spec.Mode == policy.ModeAudit,
		sources:   newSources(spec),
		deferred:  map[string]bool{},

		protocols:        hasSource(spec.WebSocket, policy.TokenSourceSubprotocol),
		handshakeHeaders: hasSource(spec.WebSocket, policy.TokenSourceHeader),
	}
	for _, path := range spec.WebSocket.DeferToApp {
		s.deferred[path] = true
	}
	if len(snapshot.AckKey) > 0 {
		s.logKey = snapshot.AckKey
	}
	var custom []policy.ClaimToHeader
	if jwt := spec.JWT; jwt != nil {
		s.forward, custom = jwt.Forward, jwt.ClaimToHeaders
		for _, p := range jwt.Providers {
			s.providers[p.Name] = true
			s.signing = append(s.signing, s.ofSigningKey(p)...)
		}
	}
	if spec.Authorization != nil {
		for _, r := range spec.Authorization.Rules {
			s.rules[r.Name] = true
		}
	}
	s.outputs = newOutputs(custom)
	s.headers = newHeaderPlan(s.outputs, s.sources, snapshot.Policy.JudgedHeaders())
	s.keys = newKeyGuard(s, &spec)
	var err error
	if s.trusted, err = clientaddr.Parse(spec.TrustedProxies); err != nil {
		return nil, fmt.Errorf("policy %s: spec.trustedProxies: %w", snapshot.Name, err)
	}
	return s, nil
}

// ofSigningKey are the provider's keys if they are those of a SigningKey.
func (s *site) ofSigningKey(p policy.Provider) []keyName {
	if p.SigningKeyRef == nil {
		return nil
	}
	var keys []keyName
	for _, kid := range s.KIDs[p.SigningKeyRef.Name] {
		keys = append(keys, keyName{p.Name, kid})
	}
	return keys
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// mode is the policy's: policy.ModeEnforce or ModeAudit.
func (s *site) mode() string { return string(s.Policy.Spec().Mode) }
