package grant

import (
	"slices"
	"strings"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/policy/bounds"
)

// The claims that say what a token may be used for: words (RFC 8693 section 4.2,
// RFC 9068 section 2.2.3), and the same as a list, which is what AgentOS reads.
const (
	claimScope  = "scope"
	claimScopes = "scopes"
)

// ClaimSource is the claim that says where the subject of a token comes from, by a
// name that no other issuer uses (RFC 7519 section 4.2): session:PROVIDER,
// introspection, anonymous, client, password or service_account. Two systems may
// have one id for two people; rules tell them apart by it.
const ClaimSource = "gatepost.dev/source"

// scopesOf are what a verified session may ask for.
func (s *Session) scopesOf(claims map[string]any) []string {
	if s.ScopesFrom == "" {
		return s.Scopes
	}
	value, _ := policy.Lookup(claims, s.ScopesFrom)
	own := scopeTokens(value)
	if len(s.Scopes) == 0 {
		return own
	}
	return common(s.Scopes, own)
}

// scopeTokens reads the scopes of a claim that is a text of words or a list of
// texts, each once. What is no scope-token is left out; a list with anything but
// texts in it has none.
func scopeTokens(value any) []string {
	var words []string
	switch scopes := value.(type) {
	case string:
		words = strings.Fields(scopes)
	case []any:
		for _, element := range scopes {
			word, ok := element.(string)
			if !ok {
				return nil
			}
			words = append(words, word)
		}
	}
	var out []string
	for _, word := range words {
		if len(word) <= bounds.Scope.Most && bounds.Scope.Pattern.MatchString(word) && !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}

// common are those of the first list that are in the second too, in its order.
func common(list, other []string) []string {
	var out []string
	for _, entry := range list {
		if slices.Contains(other, entry) {
			out = append(out, entry)
		}
	}
	return out
}

// narrow is what is granted of the allowed scopes: those that are asked for, or
// all of them. To ask for one that is not allowed is refused and not cut down, so
// that nobody goes on with less than was meant.
func narrow(allowed []string, scope string) ([]string, *Refusal) {
	if scope == "" { // sent without a value is as good as not sent (RFC 6749 section 3.2)
		return slices.Clone(allowed), nil
	}
	asked := strings.Split(scope, " ")
	for _, word := range asked {
		if len(word) > bounds.Scope.Most || !bounds.Scope.Pattern.MatchString(word) {
			return nil, &Refusal{InvalidScope, "scope is not a list of scopes with single blanks between them"}
		}
		if !slices.Contains(allowed, word) {
			return nil, &Refusal{InvalidScope, "a scope that was asked for is not allowed"}
		}
	}
	return common(allowed, asked), nil
}

// target is for whom the token is: those that are asked for, or all.
func target(allowed, asked []string) ([]string, *Refusal) {
	asked = slices.DeleteFunc(slices.Clone(asked), func(name string) bool { return name == "" })
	for _, name := range asked {
		if !slices.Contains(allowed, name) {
			return nil, &Refusal{InvalidTarget, "the resource or audience that was asked for is none of this issuer"}
		}
	}
	if len(asked) > 0 {
		allowed = common(allowed, asked)
	}
	if len(allowed) == 0 {
		return nil, &Refusal{InvalidTarget, "the audiences of the first token are none of this issuer any more"}
	}
	return slices.Clone(allowed), nil
}

// claims are the further claims of a token. Those of spec.claims win over those
// of an APIKey; what the issuer says itself wins over both.
func (p *Plan) claims(a asker, granted []string) map[string]any {
	out := map[string]any{ClaimSource: a.from}
	for name, text := range a.copied {
		if !isOwn(name) {
			out[name] = text
		}
	}
	for i := range p.spec.Claims {
		claim := &p.spec.Claims[i]
		if claim.Value != nil {
			out[claim.Name] = *claim.Value
		} else if value := a.lookup(claim.From); value != nil {
			out[claim.Name] = value
		}
	}
	if len(granted) > 0 {
		out[claimScope], out[claimScopes] = strings.Join(granted, " "), granted
	}
	switch {
	case a.client != "":
		out["client_id"] = a.client
	case p.spec.TokenType == TypeATJWT: // RFC 9068 section 2.2 requires one
		out["client_id"] = a.via
	}
	return out
}

// lookup finds a claim of the session, or of the client's APIKey; nil when there
// is none.
func (a *asker) lookup(from string) any {
	if text, ok := a.copied[from]; ok {
		return text
	}
	value, _ := policy.Lookup(a.claims, from)
	return value
}
