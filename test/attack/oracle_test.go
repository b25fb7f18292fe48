package attack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// oracle judges what reached the agent. It shares nothing with the sidecar.
type oracle struct {
	keys     *ring
	carriers bool // the policy is carriers.yaml, else main.yaml
}

// script is what a conforming server reads in the bytes of a connection.
type script struct {
	requests []request // whole ones
	part     *request  // one whose head is whole and whose body is not
	bad      bool      // what follows is no request
	end      int       // where what follows begins
}

// readScript reads on in sent.
func readScript(sent []byte) script {
	var s script
	for s.end < len(sent) {
		r, n, err := reader{}.next(sent[s.end:])
		if err != nil {
			s.bad = !errors.Is(err, errShort)
			if r.head {
				s.part = &r
			}
			return s
		}
		s.requests = append(s.requests, r)
		s.end += n
	}
	return s
}

// judge returns what is wrong with the requests that reached the agent because
// of the bytes sent from peer; nil when nothing is.
func (o oracle) judge(peer string, sent []byte, arrived []request) []string {
	s := readScript(sent)
	candidates := s.requests
	if s.part != nil {
		candidates = append(slices.Clip(candidates), *s.part)
	}
	var wrong []string
	next := 0
	for i := range arrived {
		got := &arrived[i]
		best := []string{"no request of these bytes"}
		for at := next; at < len(candidates); at++ {
			faults := o.faults(peer, &candidates[at], got)
			if len(faults) == 0 {
				best, next = nil, at+1
				break
			}
			if candidates[at].target == got.target {
				best = faults
			}
		}
		for _, fault := range best {
			wrong = append(wrong, fmt.Sprintf("%s %.200q: %s", got.method, got.target, fault))
		}
	}
	return wrong
}

// faults compares what the agent got with what was sent.
func (o oracle) faults(peer string, sent, got *request) []string {
	var all []string
	note := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	note(got.method == sent.method, "the method was %q", sent.method)
	note(got.target == sent.target, "the target was %.200q", sent.target)
	note(bytes.HasPrefix(sent.body, got.body) && (!got.whole || len(sent.body) == len(got.body)), "the body was %.200q, not %.200q", sent.body, got.body)
	who, credential := o.credential(sent)
	public := true
	for _, p := range readings(sent.target) {
		open := o.exempt(sent, p)
		public = public && open
		switch {
		case open:
		case credential == wrongCredential:
			note(false, "its credential is wrong")
		default:
			note(o.allows(sent, p, who), "the policy does not allow %.100q", p)
		}
	}
	if public || credential != rightCredential {
		who = identity{}
	}
	return append(all, o.headers(peer, sent, got, who)...)
}

// steering are the headers, folded, that no client may set for an agent.
var steering = map[string]bool{
	"x-user-id": true, "x-org": true, "x-original-url": true, "x-original-uri": true, "x-rewrite-url": true, "x-forwarded-uri": true, "x-envoy-original-path": true,
	"x-http-method-override": true, "x-http-method": true, "x-method-override": true, "forwarded": true, "x-real-ip": true,
	"trailer": true, "te": true, "keep-alive": true, "proxy-connection": true, "proxy-authorization": true, "http2-settings": true,
}

// headers says what is wrong with the headers that the agent got.
func (o oracle) headers(peer string, sent, got *request, who identity) []string {
	var all []string
	own := o.own(peer, sent, who)
	for _, f := range got.fields {
		folded := strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(f.name))
		if value, ok := own[folded]; ok {
			if !value(f) {
				all = append(all, fmt.Sprintf("header %s: %.200q is not the sidecar's", f.name, f.value))
			}
			continue
		}
		switch {
		case strings.HasPrefix(folded, "x-auth-"), strings.HasPrefix(folded, "x-gatepost-"), strings.HasPrefix(folded, "x-forwarded-"), steering[folded]:
			all = append(all, fmt.Sprintf("header %s: %.200q is not for clients to set", f.name, f.value))
		case folded == "authorization" && who.provider == "":
			all = append(all, "Authorization, which was not verified")
		case o.carriers && credentials[folded]:
			if !o.carries(sent, f) {
				all = append(all, fmt.Sprintf("header %s still carries a credential: %.200q", f.name, f.value))
			}
		case !has(sent, f):
			all = append(all, fmt.Sprintf("header %s: %.200q was not sent", f.name, f.value))
		}
	}
	for name, value := range o.identity(who) {
		if value != nil && len(got.values(name)) != 1 {
			all = append(all, fmt.Sprintf("%d headers %s", len(got.values(name)), name))
		}
	}
	return all
}

func has(r *request, f field) bool {
	for _, sent := range r.fields {
		if strings.EqualFold(sent.name, f.name) && sent.value == f.value {
			return true
		}
	}
	return false
}

// credentials are the headers, folded, that may bring one under carriers.yaml.
var credentials = map[string]bool{"cookie": true, "sec-websocket-protocol": true, "x-token": true, "x-api-key": true}

// carries judges the headers that may bring credentials: a key never reaches the
// agent, a cookie or a protocol only without the token that was beside it.
func (o oracle) carries(sent *request, f field) bool {
	switch f.name {
	case "Cookie":
		return len(cookies(&request{fields: []field{f}})) == 0
	case "Sec-Websocket-Protocol":
		return !o.handshake(sent) || len(protocolTokens(&request{fields: []field{f}})) == 0
	case "X-Token":
		tokens, _ := o.tokens(sent)
		return len(tokens) == 1 && tokens[0] == f.value
	}
	return false
}

// own are the headers that the sidecar sets, and whether it is they.
func (o oracle) own(peer string, sent *request, who identity) map[string]func(field) bool {
	is := func(name, value string) func(field) bool {
		return func(f field) bool { return f.name == name && f.value == value }
	}
	host := strings.Join(sent.values("Host"), "")
	made := map[string]func(field) bool{
		"x-forwarded-for": is("X-Forwarded-For", peer), "x-forwarded-proto": is("X-Forwarded-Proto", "http"),
		"x-forwarded-host": is("X-Forwarded-Host", host), "host": is("Host", host),
		"content-length": func(f field) bool { return f.name == "Content-Length" }, "transfer-encoding": is("Transfer-Encoding", "chunked"),
		"connection": is("Connection", "Upgrade"), "upgrade": func(f field) bool { return f.name == "Upgrade" && strings.EqualFold(f.value, "websocket") },
		"te": is("Te", "trailers"),
	}
	for name, claim := range o.identity(who) {
		if claim != nil {
			made[strings.ToLower(name)] = func(f field) bool { return f.name == name && says(f.value, claim, name) }
		}
	}
	return made
}

// identity is what a token says, by the header that tells it; nothing for nobody.
func (o oracle) identity(who identity) map[string]any {
	if who.claims == nil {
		return nil
	}
	first := func(names ...string) any {
		for _, name := range names {
			if who.claims[name] != nil {
				return who.claims[name]
			}
		}
		return nil
	}
	made := map[string]any{
		"X-Auth-Subject": first("sub"), "X-Auth-Email": first("email"), "X-Auth-Name": first("name"),
		"X-Auth-Roles": first("roles", "role"), "X-Auth-Scopes": first("scopes", "scope"), "X-Auth-Tenant": first("tenant_id"),
		"X-Auth-Provider": who.provider, "X-Auth-Expires": first("exp"), "X-Org": first("org"), "X-Auth-Client": who.client,
	}
	for name, value := range made {
		if value == "" {
			made[name] = nil // an empty text has no header
		}
	}
	return made
}

// says reports whether a header tells a claim.
func says(header string, claim any, name string) bool {
	text, err := url.PathUnescape(header)
	if err != nil {
		return false
	}
	if name == "X-Auth-Expires" { // a fraction is cut off
		whole, _, _ := strings.Cut(fmt.Sprint(claim), ".")
		return text == whole
	}
	list := name == "X-Auth-Roles" || name == "X-Auth-Scopes"
	if word, ok := claim.(string); ok {
		if !list {
			return text == word
		}
		claim = texts(strings.Fields(word))
	} else if _, ok := claim.([]any); list && !ok {
		claim = []any{claim}
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var told any
	return decoder.Decode(&told) == nil && reflect.DeepEqual(told, claim)
}

func texts(words []string) []any {
	all := make([]any, len(words))
	for i := range words {
		all[i] = words[i]
	}
	return all
}
