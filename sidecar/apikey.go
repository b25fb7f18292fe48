package sidecar

import (
	"net/http"
	"time"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/policy"
)

// keyGuard is how a site takes API keys; nil: it takes none.
type keyGuard struct {
	set      *apikey.Set
	headers  []string            // canonical names of the headers that may carry a key
	keep     bool                // a header whose key was verified in this request goes on to the agent
	personas map[string]*persona // by client id
	counted  map[string]bool     // client ids with a series of their own
	refusal  answer              // to a key that is wrong or expired
	missing  string              // the challenge of an answer to no credential
}

// maxCountedClients bounds the clients with a series of their own.
const maxCountedClients = 256

// newKeyGuard prepares what follows from the policy's apiKeyAuth and its clients.
func newKeyGuard(s *site, spec *policy.Spec) *keyGuard {
	auth := spec.APIKeyAuth
	if auth == nil {
		return nil
	}
	k := &keyGuard{
		set: s.APIKeys, keep: auth.Sanitize != nil && !*auth.Sanitize,
		personas: map[string]*persona{}, counted: map[string]bool{},
		refusal: answer{status: http.StatusUnauthorized, detail: "Invalid API key", challenge: "APIKey"},
		missing: "APIKey",
	}
	if spec.Responses.APIKeyFailureStatus == http.StatusForbidden {
		k.refusal = answer{status: http.StatusForbidden, detail: "Forbidden"}
	}
	if spec.JWT != nil {
		k.missing = "Bearer, APIKey"
	}
	for _, from := range auth.ExtractFrom {
		k.headers = append(k.headers, http.CanonicalHeaderKey(from.Header))
	}
	header := http.CanonicalHeaderKey(auth.ForwardClientIDHeader)
	for _, client := range k.set.Clients() {
		k.personas[client.ID] = s.newClientPersona(client, header)
		if len(k.counted) < maxCountedClients {
			k.counted[client.ID] = true
		}
	}
	s.headers.reserve(k, header)
	return k
}

// reserve keeps clients from saying who they are, and the headers that carry
// keys from the agent: all spellings of them, or all but the one that is looked
// at and taken away again unless it was verified.
func (p *headerPlan) reserve(k *keyGuard, clientHeader string) {
	p.removed[fold(clientHeader)] = true
	for _, name := range k.headers {
		if k.keep {
			p.only[fold(name)] = name
		} else {
			p.removed[fold(name)] = true
		}
	}
}

// newClientPersona is what the agent is told of a client, and what the log is.
func (s *site) newClientPersona(client *apikey.Client, header string) *persona {
	subject, _ := client.Claims["sub"].(string)
	made := &persona{subject: hashSubject(s.logKey, subject)}
	made.headers = append(made.headers, field{header, []string{client.ID}})
	for i := range s.outputs {
		if text := s.outputs[i].ofClient(client.Claims); text != "" {
			made.headers = append(made.headers, field{s.outputs[i].header, []string{escape(text)}})
		}
	}
	return made
}

// ofClient is the value of o for a client: from its claims alone. No provider
// vouches for it, and its subject is there only where a claim says so.
func (o *output) ofClient(claims map[string]any) string {
	switch o.kind {
	case asProvider, asExpiry:
		return ""
	case asSubject:
		subject, _ := claims["sub"].(string)
		return subject
	default:
		return o.claim(claims)
	}
}

// presented is what a request has in the headers that may carry a key.
type presented struct {
	header string // canonical
	text   string // of the key, and good for recognising it alone
	twice  bool   // there is more than one
}

// find looks for the key of a request; ok says that there is one. A header that
// is there and empty is a key that is wrong.
func (k *keyGuard) find(h policy.Header) (found presented, ok bool) {
	if k == nil {
		return found, false
	}
	for _, name := range k.headers {
		values := h.Values(name)
		if len(values) == 0 {
			continue
		}
		found.twice = ok || len(values) > 1
		found.header, found.text, ok = name, values[0], true
		if found.twice {
			break
		}
	}
	return found, ok
}

// judgeKey judges a request that has an API key. Beside a token it is one
// credential too many, whatever either of them is.
func (s *site) judgeKey(route policy.Route, q *query, key presented, tokenFound bool, now time.Time) judgement {
	if key.twice || tokenFound {
		return q.unlessHeld(policy.Decision{Reason: policy.AmbiguousCredentials})
	}
	found := judgement{key: s.keys.lookup(key.text, now)}
	found.Reason = found.key.Reason
	client := found.key.Client
	switch {
	case client == nil && q.held:
		return denied(policy.RateLimited)
	case client == nil:
		if !isKeyRefusal(found.Reason) { // nobody is known, whatever is said
			found.Reason = policy.APIKeyInvalid
		}
		return found
	}
	found.keyIn, found.persona, found.until = key.header, s.keys.personas[client.ID], found.key.Expires
	found.Decision = s.Policy.Decide(route, q.header, policy.Who{Client: client.ID, Claims: client.Claims})
	return found
}

func isKeyRefusal(reason policy.Reason) bool {
	return reason == policy.APIKeyInvalid || reason == policy.APIKeyExpired
}

// lookup recognises a key before anybody is asked about it.
func (k *keyGuard) lookup(text string, now time.Time) apikey.Outcome {
	key, err := apikey.Parse(text)
	if err != nil {
		return apikey.Outcome{Reason: policy.APIKeyInvalid}
	}
	return k.set.Lookup(key, now)
}

// forward decides on the headers that may carry a key: under sanitize none goes
// on, otherwise the one that was verified in this very request does.
func (k *keyGuard) forward(out, in http.Header, x *exchange) {
	if k == nil {
		return
	}
	for _, name := range k.headers {
		values, ok := in[name]
		if ok && k.keep && x.decision == decisionAllow && x.keyIn == name {
			out[name] = values
			continue
		}
		delete(out, name)
	}
}

// answerTo is how the site answers a refusal. A client with an API key is not
// told of missing scopes: nothing it could do would get it more.
func (s *site) answerTo(found *judgement) answer {
	a := answerTo(found.Reason, found.Scopes)
	switch k := s.keys; {
	case k == nil:
	case isKeyRefusal(found.Reason):
		return k.refusal
	case found.Reason == policy.MissingCredential:
		a.challenge = k.missing
	case found.Reason == policy.InsufficientScope && found.key.Client != nil:
		return answers[policy.RuleDenied]
	}
	return a
}

// countKey counts what looking up a key found. A key that nobody has is
// unknown's, and clients beyond those that are counted are other's.
func (s *Sidecar) countKey(k *keyGuard, o *apikey.Outcome) {
	client := o.Owner
	switch {
	case client == "":
		client = "unknown"
	case !k.counted[client]:
		client = "other"
	}
	s.metrics.apiKeys.WithLabelValues(client, string(o.Reason)).Inc()
}

// countedClients are the clients with a series of their own.
func (s *site) countedClients() map[string]bool {
	if s.keys == nil {
		return nil
	}
	return s.keys.counted
}
