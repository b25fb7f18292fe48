package issuer

import (
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// grantExchange is RFC 8693: a token of a session or of a service account for one
// of ours.
func (i *Issuer) grantExchange(x *exchange, asked asking) {
	issued, refused := exchangeTypes(asked.body)
	if refused != nil {
		i.refuseTicket(x, refused)
		return
	}
	raw, reason := token.Extract([]string{asked.body.get("subject_token")}, "", maxForm)
	if reason != "" {
		i.refuseSubject(x, reason)
		return
	}
	who, ok := i.subject(x, raw)
	if !ok {
		return
	}
	who.Client = asked.client
	text, ticket, ok := i.issue(x, asked.request, who)
	if !ok {
		return
	}
	answer := answerOf(text, ticket)
	answer.IssuedType = issued
	i.give(x, answer)
}

// exchangeTypes checks which kind of token is offered and which is wanted.
func exchangeTypes(body form) (issued string, refused *grant.Refusal) {
	no := func(description string) (string, *grant.Refusal) {
		return "", &grant.Refusal{Code: grant.InvalidRequest, Description: description}
	}
	offered := body.get("subject_token_type")
	issued, wanted := grant.IssuedType(body.get("requested_token_type"))
	switch {
	case body.get("subject_token") == "" || offered == "":
		return no("The parameters subject_token and subject_token_type are required")
	case !grant.TakesSubjectType(offered):
		return no("The subject_token_type must be that of a JWT, an access token or an ID token")
	case body.get("actor_token") != "" || body.get("actor_token_type") != "":
		return no("Delegation by an actor_token is not supported")
	case !wanted:
		return no("The requested_token_type must be that of an access token or a JWT")
	}
	return issued, nil
}

// subject finds out who the subject token stands for, or answers why nobody is
// known: a service account of the cluster, or a session.
func (i *Issuer) subject(x *exchange, raw token.Raw) (grant.Principal, bool) {
	reason := policy.IssuerMismatch
	if x.in.ServiceAccounts != nil {
		outcome := x.in.ServiceAccounts.Verify(x.r.Context(), raw, x.start)
		x.provider, reason = outcome.Provider, outcome.Reason
		if outcome.Verified.Valid() && x.outlived(outcome.Verified.Expires()) {
			reason = policy.Expired
		} else if outcome.Verified.Valid() {
			return i.serviceAccount(x, outcome.Verified)
		}
	}
	if reason != policy.IssuerMismatch || x.in.Sessions == nil {
		i.refuseSubject(x, reason)
		return grant.Principal{}, false
	}
	outcome := x.in.Sessions.Verify(x.r.Context(), raw, x.start)
	x.provider = outcome.Provider
	if !outcome.Verified.Valid() {
		i.refuseSubject(x, outcome.Reason)
		return grant.Principal{}, false
	}
	if x.outlived(outcome.Verified.Expires()) {
		i.refuseSubject(x, policy.Expired)
		return grant.Principal{}, false
	}
	i.uses.note(outcome.KID, x.start)
	return principalOf(outcome.Verified), true
}

// serviceAccount is who a verified token of the cluster stands for.
func (i *Issuer) serviceAccount(x *exchange, v *token.Verified) (grant.Principal, bool) {
	name, err := x.in.Plan.ServiceAccount(x.in.Namespace, v.Subject(), audiencesIn(v.Claims()))
	if err != nil {
		i.refuseTicket(x, err)
		return grant.Principal{}, false
	}
	return grant.Principal{ServiceAccount: name, Claims: v.Claims(), NotAfter: v.Expires()}, true
}

// audiencesIn is the claim aud, a text or a list of texts.
func audiencesIn(claims map[string]any) []string {
	switch aud := claims["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		var all []string
		for _, one := range aud {
			if text, ok := one.(string); ok {
				all = append(all, text)
			}
		}
		return all
	}
	return nil
}

// refuseSubject answers a subject token that was refused. RFC 8693 section 2.2.2
// wants invalid_request; invalid_grant would be said of refresh tokens.
func (i *Issuer) refuseSubject(x *exchange, reason policy.Reason) {
	x.why = string(reason)
	if reason == policy.KeysUnavailable {
		x.refuse(resultUnavailable, unavailable)
		return
	}
	description := "The subject token is not valid"
	if reason == policy.Expired {
		description = "The subject token has expired"
	}
	x.refuse(string(grant.InvalidRequest), refusal(grant.InvalidRequest, description))
}
