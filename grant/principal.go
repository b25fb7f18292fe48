package grant

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"

	"gatepost.dev/gatepost/policy"
)

// Principal is who asks for a token, verified by the issuer. Exactly one of
// Provider, Introspected, Client, User, ServiceAccount and Anonymous says who it
// is, except that a Client may come with each of the others but Anonymous: it
// authenticated itself beside them. The zero Principal is nobody.
// +kubebuilder:object:generate=false
type Principal struct {
	// Provider is the session provider that vouches for Claims.
	Provider string
	// Introspected says that Claims are the answer of spec.session.introspection.
	Introspected bool
	// Client is the OAuth client that proved its secret.
	Client *Client
	// User is the name of a user whose password was right.
	User string
	// ServiceAccount is the subject of a service account of the issuer's own
	// namespace, as Plan.ServiceAccount returns it.
	ServiceAccount string
	// Anonymous tells a visitor from all others: unique and unguessable, made by the
	// caller. Never set it because a credential was wrong.
	Anonymous string
	// Claims are what the session says, their values of the types string, bool,
	// json.Number, nil, []any and map[string]any.
	Claims map[string]any
	// NotAfter is when the session expires; the zero time: not known.
	NotAfter time.Time
}

// Client is an OAuth client that has proved its secret.
// +kubebuilder:object:generate=false
type Client struct {
	// ID is the client_id.
	ID string
	// Scopes are what it may ask for.
	Scopes []string
	// Claims are the further claims of its APIKey.
	Claims map[string]string
}

// source is what says who a principal is.
type source int

const (
	nobody source = iota
	fromProvider
	fromIntrospection
	fromUser
	fromServiceAccount
	fromNowhere // a visitor
	fromClient
)

// source is the one that says who it is; nobody when none or several do.
func (w *Principal) source() source {
	found, n := nobody, 0
	for s, set := range map[source]bool{
		fromProvider: w.Provider != "", fromIntrospection: w.Introspected, fromUser: w.User != "",
		fromServiceAccount: w.ServiceAccount != "", fromNowhere: w.Anonymous != "",
	} {
		if set {
			found = s
			n++
		}
	}
	switch {
	case n > 1 || w.Client != nil && w.Client.ID == "" || w.Client != nil && found == fromNowhere:
		return nobody
	case n == 0 && w.Client != nil:
		return fromClient
	}
	return found
}

// asker is an admitted principal: who the token is for, what it may ask for and
// where its claims come from.
type asker struct {
	source  source
	subject string
	client  string // the client_id, if a client is known
	via     string // what a token of RFC 9068 names instead of a client
	from    string // the claim ClaimSource
	scopes  []string
	claims  map[string]any
	copied  map[string]string // claims of the APIKey of a client
	code    Code              // of a refusal because of who it is
}

// mayUse reports whether a principal may use a grant at all.
func mayUse(g Grant, s source) bool {
	switch g {
	case GrantSession:
		return s == fromProvider || s == fromIntrospection || s == fromNowhere
	case GrantClientCredentials:
		return s == fromClient
	case GrantPassword, GrantRefreshToken:
		return s == fromUser
	case GrantTokenExchange:
		return s == fromProvider || s == fromServiceAccount
	}
	return false
}

// refused is the code of a refusal because of who asks: that of a session is
// nothing OAuth knows, and RFC 8693 section 2.2.2 has its own.
func refused(g Grant) Code {
	if g == GrantTokenExchange {
		return InvalidRequest
	}
	return InvalidGrant
}

// admit says who asks, if that one may use the grant.
func (p *Plan) admit(r Request, who Principal) (asker, *Refusal) {
	from, code := who.source(), refused(r.Grant)
	switch {
	case from == fromClient && r.Grant != GrantClientCredentials:
		return asker{}, &Refusal{UnauthorizedClient, "the client may not use this grant by itself"}
	case from == nobody && r.Grant == GrantClientCredentials:
		return asker{}, &Refusal{InvalidClient, "the client did not prove who it is"}
	case !mayUse(r.Grant, from):
		return asker{}, &Refusal{code, "the grant is not for this kind of credential"}
	case !p.mayRefresh(r):
		return asker{}, &Refusal{InvalidGrant, "the refresh token is not accepted any more"}
	}
	a := asker{source: from, code: code, claims: who.Claims}
	if who.Client != nil {
		a.client = who.Client.ID
	}
	problem := p.fill(&a, r.Grant, who)
	if problem == "" {
		problem = a.subjectProblem()
	}
	if problem != "" {
		return asker{}, &Refusal{code, problem}
	}
	return a, nil
}

// subjectProblem says why there can be no token for the subject.
func (a *asker) subjectProblem() string {
	switch given := a.source == fromNowhere || a.source == fromServiceAccount; {
	case a.subject == "" || len(a.subject) > maxSubject:
		return "the session does not say whose it is"
	case strings.ContainsFunc(a.subject, unicode.IsControl):
		return "the session's subject has control characters"
	case !given && isOurs(a.subject):
		return "the session is of a subject that only the issuer gives"
	}
	return ""
}

// visitor begins the subject of everybody who comes without a session.
const visitor = "anonymous:"

// isOurs reports the subjects that nobody else may name: who could, would be taken
// for a service account or a visitor.
func isOurs(subject string) bool {
	return strings.HasPrefix(subject, serviceAccount) || strings.HasPrefix(subject, visitor)
}

// mayRefresh reports whether a request is for a first token, or for one after a
// token that came with a refresh token.
func (p *Plan) mayRefresh(r Request) bool {
	if r.Grant != GrantRefreshToken {
		return r.Earlier == nil
	}
	return r.Earlier != nil && p.IssuesRefreshTokens(r.Earlier.Grant)
}

// maxSubject is the longest sub, in bytes.
const maxSubject = 1024

// fill gives an asker its subject and scopes; the text says why it cannot.
func (p *Plan) fill(a *asker, g Grant, who Principal) string {
	switch a.source {
	case fromProvider:
		if g == GrantTokenExchange && !p.spec.TokenExchange.Sessions {
			return "the session is not accepted here"
		}
		return p.spec.Session.fill(a, who, p.spec.Issuer)
	case fromIntrospection, fromNowhere:
		return p.spec.Session.fill(a, who, p.spec.Issuer)
	case fromServiceAccount:
		account := p.spec.TokenExchange.find(who.ServiceAccount[strings.LastIndexByte(who.ServiceAccount, ':')+1:])
		if account == nil {
			return "the service account is not accepted here"
		}
		a.subject, a.via, a.scopes, a.from = who.ServiceAccount, account.Name, account.Scopes, "service_account"
	case fromUser:
		a.subject, a.via, a.scopes, a.claims, a.from = who.User, "password", p.spec.Password.Scopes, nil, "password"
	case fromClient:
		a.subject, a.scopes, a.claims, a.copied, a.from = who.Client.ID, who.Client.Scopes, nil, who.Client.Claims, "client"
	case nobody:
	}
	return ""
}

// fill gives an asker with a session, or without one, its subject and scopes; the
// text says why it cannot.
func (s *Session) fill(a *asker, who Principal, issuer string) string {
	switch {
	case a.source == fromProvider && who.Claims["iss"] == issuer:
		return "a token of this issuer is no session"
	case a.source == fromProvider && slices.Contains(s.names(), who.Provider):
		a.subject, a.via, a.scopes = textOf(who.Claims["sub"]), who.Provider, s.scopesOf(who.Claims)
		a.from = "session:" + who.Provider
	case a.source == fromIntrospection && s.Introspection != nil:
		id, _ := policy.Lookup(who.Claims, s.Introspection.Subject)
		a.subject, a.via, a.scopes = textOf(id), "introspection", s.scopesOf(who.Claims)
		a.from = "introspection"
	case a.source == fromNowhere && s.Anonymous != nil:
		a.subject, a.via, a.scopes, a.claims, a.from = visitor+who.Anonymous, "anonymous", s.Anonymous.Scopes, nil, "anonymous"
	case a.source == fromNowhere:
		return "only a session gets a token"
	default:
		return "the session is not accepted here"
	}
	return ""
}

func (s *Session) names() []string {
	names := make([]string, len(s.Providers))
	for i := range s.Providers {
		names[i] = s.Providers[i].Name
	}
	return names
}

func (x *TokenExchange) find(name string) *ServiceAccount {
	for i := range x.ServiceAccounts {
		if x.ServiceAccounts[i].Name == name {
			return &x.ServiceAccounts[i]
		}
	}
	return nil
}

// textOf reads who a session is about: a text, or an integer as its decimal text,
// as some back ends number their users. Empty for anything else.
func textOf(value any) string {
	switch id := value.(type) {
	case string:
		return id
	case json.Number:
		if text := id.String(); text != "-0" && !strings.ContainsAny(text, ".eE") {
			return text
		}
	}
	return ""
}

// serviceAccount begins the subject of every service account's token.
const serviceAccount = "system:serviceaccount:"

// ServiceAccount is what Principal.ServiceAccount says of a verified token of the
// cluster, if it may be exchanged: that of a service account that the spec names,
// of the issuer's own namespace, projected for the audience that the spec says and
// not for the API server beside it.
// The error is of type *Refusal.
func (p *Plan) ServiceAccount(namespace, subject string, audiences []string) (string, error) {
	name, ours := strings.CutPrefix(subject, serviceAccount+namespace+":")
	if !p.Offers(GrantTokenExchange) || namespace == "" || !ours {
		return "", &Refusal{InvalidRequest, "the service account is not accepted here"}
	}
	account := p.spec.TokenExchange.find(name)
	if account == nil {
		return "", &Refusal{InvalidRequest, "the service account is not accepted here"}
	}
	if !slices.Contains(audiences, account.Audience) {
		return "", &Refusal{InvalidRequest, "the service account's token is for another audience"}
	}
	if slices.ContainsFunc(audiences, isAPIServer) {
		return "", &Refusal{InvalidRequest, "the service account's token is for the API server too"}
	}
	return subject, nil
}
