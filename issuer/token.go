package issuer

import (
	"strings"
	"time"

	"gatepost.dev/gatepost/grant"
)

// tokenAnswer is RFC 6749 section 5.1, with the member of RFC 8693 section 2.2.1.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	IssuedType   string `json:"issued_token_type,omitempty"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// asking is one request for a token, as far as it was understood.
type asking struct {
	grant   grant.Grant
	body    form
	client  *grant.Client
	request grant.Request
}

// targets are for whom a token is asked (RFC 8707 section 2, RFC 8693 section 2.1).
func (f form) targets() []string {
	return append(append([]string(nil), f["resource"]...), f["audience"]...)
}

// answerToken answers /token (RFC 6749 section 3.2).
func (i *Issuer) answerToken(x *exchange) {
	body, err := x.readForm()
	if err != nil {
		x.refuseForm(err)
		return
	}
	if !i.begin(x) {
		return
	}
	defer i.end()
	asked, refused := i.understand(x, body)
	if refused != nil {
		i.refuseTicket(x, refused)
		return
	}
	if asked.client != nil {
		if _, wait := x.in.limits.perClient.Take([]byte(asked.client.ID), x.start); wait > 0 {
			i.count(x, limitClient)
			x.refuse(resultLimited, tooMany.after(wait))
			return
		}
	}
	if !x.in.Signer.CanSign() { // before a password is hashed or a refresh token used
		x.refuse(resultUnavailable, unavailable)
		return
	}
	switch asked.grant {
	case grant.GrantClientCredentials:
		i.grantClient(x, asked)
	case grant.GrantPassword:
		i.grantPassword(x, asked)
	case grant.GrantTokenExchange:
		i.grantExchange(x, asked)
	case grant.GrantRefreshToken:
		i.grantRefresh(x, asked)
	default: // GrantSession has endpoints of its own
		i.refuseTicket(x, &grant.Refusal{Code: grant.UnsupportedGrantType, Description: describeNoGrant})
	}
}

// describeNoGrant is said of what nobody gets here.
const describeNoGrant = "The issuer does not have this grant"

// understand finds out which grant is asked for, and by which client.
func (i *Issuer) understand(x *exchange, body form) (asking, *grant.Refusal) {
	name := body.get("grant_type")
	if name == "" {
		return asking{}, &grant.Refusal{Code: grant.InvalidRequest, Description: "The parameter grant_type is missing"}
	}
	kind, known := grant.ByType(name)
	if known {
		x.grant = labelOf(kind)
	}
	if !known || !x.in.Plan.Offers(kind) {
		return asking{}, &grant.Refusal{Code: grant.UnsupportedGrantType, Description: describeNoGrant}
	}
	client, refused := i.client(x, body)
	if refused != nil {
		return asking{}, refused
	}
	return asking{
		grant: kind, body: body, client: client,
		request: grant.Request{Grant: kind, Scope: body.get("scope"), Targets: body.targets()},
	}, nil
}

// grantClient is RFC 6749 section 4.4.
func (i *Issuer) grantClient(x *exchange, asked asking) {
	if asked.client == nil {
		i.refuseTicket(x, &grant.Refusal{Code: grant.InvalidClient, Description: describeNoClient})
		return
	}
	text, ticket, ok := i.issue(x, asked.request, grant.Principal{Client: asked.client})
	if ok {
		i.give(x, answerOf(text, ticket))
	}
}

// answerOf is the answer with a token.
func answerOf(text string, ticket grant.Ticket) tokenAnswer {
	return tokenAnswer{
		AccessToken: text, TokenType: "bearer", ExpiresIn: int64(ticket.Lifetime / time.Second),
		Scope: strings.Join(ticket.Scopes, " "),
	}
}
