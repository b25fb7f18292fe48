package issuer

import (
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/cookie"
	"gatepost.dev/gatepost/internal/issuing"
	"gatepost.dev/gatepost/internal/throttle"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// answerSession answers /api/get-token and /api/refresh-token: a token for the
// session that comes with the request.
func (i *Issuer) answerSession(x *exchange) {
	x.grant = labelSession
	if !x.in.Plan.Offers(grant.GrantSession) {
		x.refuse(string(grant.UnauthorizedClient), notFound)
		return
	}
	if !x.in.Signer.CanSign() {
		x.refuse(resultUnavailable, unavailable)
		return
	}
	request := grant.Request{Grant: grant.GrantSession}
	asked, err := x.sessionForm()
	if err != nil {
		x.refuseForm(err)
		return
	}
	request.Scope, request.Targets = asked.get("scope"), asked.targets()
	if !i.begin(x) {
		return
	}
	defer i.end()
	who, ok := i.session(x)
	if !ok {
		return
	}
	text, _, ok := i.issue(x, request, who)
	if !ok {
		return
	}
	i.give(x, struct {
		Token string `json:"token"`
	}{text})
}

// sessionForm reads what a page may ask for beside its session, in a form alone.
// Pages send all kinds of bodies and queries there; who asks in one of those for less
// than all is told so, or would get all.
func (x *exchange) sessionForm() (form, error) {
	switch query, err := url.ParseQuery(x.r.URL.RawQuery); {
	case err != nil || narrows(query):
		return nil, errFormQuery
	case isForm(x.r):
		return x.readForm()
	case x.r.ContentLength == 0:
		return nil, nil
	}
	body, err := x.readBody()
	if err != nil {
		return nil, err
	}
	if fields, _ := url.ParseQuery(string(body)); narrows(fields) || names(string(body)) {
		return nil, errFormType
	}
	return nil, nil
}

// narrowing are the parameters by which somebody asks for less than all.
var narrowing = []string{"scope", "resource", "audience"}

func narrows(asked url.Values) bool { return slices.ContainsFunc(narrowing, asked.Has) }

// names reports whether a narrowing parameter is named in a body that is no form: as
// a string of JSON, or as a part of multipart/form-data, in quotes or without.
func names(body string) bool {
	return slices.ContainsFunc(narrowing, func(name string) bool {
		return strings.Contains(body, `"`+name+`"`) || strings.Contains(body, "name="+name)
	})
}

// session finds who asks, or answers why nobody is known.
func (i *Issuer) session(x *exchange) (grant.Principal, bool) {
	found := x.in.credential(x.r)
	switch {
	case found.reason == policy.MissingCredential:
		return i.visitor(x)
	case found.reason != "":
		x.refuse(string(found.reason), sessionAnswer(found.reason))
		return grant.Principal{}, false
	case found.inCookie && !x.in.cors.Lists(x.header()):
		x.refuse(string(policy.OriginDenied), originDenied)
		return grant.Principal{}, false
	case found.place == nil:
		return i.introspect(x, found.asked)
	}
	return i.verify(x, found)
}

// credential is what a request has for a session.
type credential struct {
	reason   policy.Reason  // why there is none that can be judged; empty: there is
	place    *issuing.Place // where the token was; nil: it is a session that is introspected
	raw      token.Raw      // the token
	asked    string         // the cookie of such a session
	inCookie bool           // browsers add it by themselves
}

// credential finds the one credential of a request among the places that may hold
// one. Several are an error: nobody could say which was meant.
func (s *site) credential(r *http.Request) credential {
	found := credential{reason: policy.MissingCredential}
	for k := range s.Places {
		place := &s.Places[k]
		raw, reason := extract(place, r.Header)
		switch {
		case reason == policy.MissingCredential:
		case found.reason != policy.MissingCredential:
			return credential{reason: policy.AmbiguousCredentials}
		default:
			found = credential{reason: reason, place: place, raw: raw, inCookie: place.Cookie != ""}
		}
	}
	if s.asker == nil {
		return found
	}
	values := cookie.Values(r.Header["Cookie"], s.asker.about.ForwardCookie)
	switch {
	case len(values) == 0:
		return found
	case len(values) > 1, found.reason != policy.MissingCredential:
		return credential{reason: policy.AmbiguousCredentials}
	}
	return credential{asked: values[0], inCookie: true}
}

// extract takes a token out of one place.
func extract(place *issuing.Place, h http.Header) (token.Raw, policy.Reason) {
	if place.Cookie != "" {
		return token.Extract(cookie.Values(h["Cookie"], place.Cookie), "", 0)
	}
	return token.Extract(h[http.CanonicalHeaderKey(place.Header)], place.ValuePrefix, 0)
}

// verify judges a session token.
func (i *Issuer) verify(x *exchange, found credential) (grant.Principal, bool) {
	outcome := found.place.Verifier.Verify(x.r.Context(), found.raw, x.start)
	x.provider = outcome.Provider
	if !outcome.Verified.Valid() {
		reason := outcome.Reason
		if reason == policy.OK { // nobody is verified, whatever is said
			reason = policy.SignatureInvalid
		}
		x.why = outcome.Claim
		x.refuse(string(reason), sessionAnswer(reason))
		return grant.Principal{}, false
	}
	if x.outlived(outcome.Verified.Expires()) {
		x.refuse(string(policy.Expired), sessionAnswer(policy.Expired))
		return grant.Principal{}, false
	}
	i.uses.note(outcome.KID, x.start)
	return principalOf(outcome.Verified), true
}

// outlived reports whether the time of a credential is over. Verifiers forgive clocks
// that differ; a token that is made after the end would add to it.
func (x *exchange) outlived(notAfter time.Time) bool {
	return !notAfter.IsZero() && !notAfter.After(x.start)
}

// principalOf is who a verified session token stands for.
func principalOf(v *token.Verified) grant.Principal {
	return grant.Principal{Provider: v.Provider(), Claims: v.Claims(), NotAfter: v.Expires()}
}

// visitor lets somebody without a session have a token where the issuer says so,
// not too many for one address. A credential that was wrong never comes here.
func (i *Issuer) visitor(x *exchange) (grant.Principal, bool) {
	if session := x.in.spec.Session; session == nil || session.Anonymous == nil {
		x.refuse(string(policy.MissingCredential), sessionAnswer(policy.MissingCredential))
		return grant.Principal{}, false
	}
	source := throttle.Source(x.address())
	if _, wait := x.in.limits.anonymous.Take(source[:], x.start); wait > 0 {
		i.count(x, limitAnonymous)
		x.refuse(resultLimited, tooMany.after(wait))
		return grant.Principal{}, false
	}
	id, err := i.randomID()
	if err != nil {
		i.fail(x, err)
		return grant.Principal{}, false
	}
	return grant.Principal{Anonymous: id}, true
}

// randomID is 130 random bits as small letters and digits.
func (i *Issuer) randomID() (string, error) {
	var raw [17]byte
	if _, err := io.ReadFull(i.config.Random, raw[:]); err != nil {
		return "", fmt.Errorf("reading random bytes: %w", err)
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw[:]))[:26], nil
}

// refuseForm answers a request whose body is not read.
func (x *exchange) refuseForm(err error) {
	if errors.Is(err, errFormLarge) {
		x.refuse(resultTooLarge, tooLarge)
		return
	}
	for _, known := range []error{errFormType, errFormQuery, errFormSyntax, errFormTwice, errFormRead} {
		if errors.Is(err, known) {
			x.refuse(string(grant.InvalidRequest), refusal(grant.InvalidRequest, known.Error()))
			return
		}
	}
	x.refuse(string(grant.InvalidRequest), refusal(grant.InvalidRequest, errFormSyntax.Error()))
}

// give answers with a token.
func (i *Issuer) give(x *exchange, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		i.fail(x, fmt.Errorf("writing the answer: %w", err))
		return
	}
	x.result = resultOK
	x.write(http.StatusOK, text)
}

// fail answers a request that could not be served for a reason of our own.
func (i *Issuer) fail(x *exchange, err error) {
	i.log.ErrorContext(x.r.Context(), "token was not issued", "decision_id", x.id, "error", err.Error())
	x.refuse(resultUnavailable, unavailable)
}
