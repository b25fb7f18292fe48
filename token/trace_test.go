package token_test

import (
	"slices"
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// checkExplained holds what explains a decision against the decision: Flaw names
// one just for malformed tokens, and the reason is one that a provider gave.
func checkExplained(t *testing.T, v *token.Verifier, text string, reason policy.Reason) {
	t.Helper()
	raw, refused := token.Extract([]string{"Bearer " + text}, "Bearer ", 0)
	if refused != "" {
		return
	}
	flaw, trace := token.Flaw(raw), v.Trace(t.Context(), raw, noon)
	if (flaw != nil) != (reason == policy.MalformedToken) {
		t.Errorf("%q is %s, and its flaw is %v", text, reason, flaw)
	}
	given := slices.ContainsFunc(trace, func(o token.Outcome) bool { return o.Reason == reason })
	nobody := len(trace) == 0 && (reason == policy.MalformedToken || reason == policy.IssuerMismatch)
	if given == nobody {
		t.Errorf("%q is %s, and the providers said %v", text, reason, trace)
	}
}

func TestFlawsAreNamed(t *testing.T) {
	t.Parallel()
	key := generate(t, "HS256", "")
	head, body := raw64(`{"alg":"HS256"}`), raw64(payload(t))
	good := signedParts(t, key, head, body)
	for name, tc := range map[string]struct{ token, want string }{
		"an encrypted token":    {head + ".a.b.c.d", "encrypted token (JWE)"},
		"an opaque token":       {"agno_pat_0123456789", "an opaque token"},
		"four parts":            {good + ".", "it has 4 parts"},
		"padding":               {good + "=", "the signature has padding"},
		"another alphabet":      {head + ".a+b/." + "AA", "the payload is in base64:"},
		"a header cut short":    {"e.e30.AA", "the header is not base64url"},
		"no payload":            {head + "..AA", "the payload is empty"},
		"no JSON":               {raw64("hello") + "." + body + ".AA", "the header is no JSON object"},
		"a doubled name":        {head + "." + raw64(`{"exp":1,"exp":2}`) + ".AA", "a name occurs twice"},
		"names in other case":   {head + "." + raw64(`{"EXP":1}`) + ".AA", "the payload has exp in other letters"},
		"a critical extension":  {raw64(`{"alg":"HS256","crit":["b64"]}`) + "." + body + ".AA", "the header has crit or b64"},
		"a kid that is no text": {raw64(`{"alg":"HS256","kid":1}`) + "." + body + ".AA", "a kid that is no text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, reason := token.Extract([]string{tc.token}, "", 0)
			if reason != "" {
				t.Fatal(reason)
			}
			if err := token.Flaw(raw); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// Every provider that may vouch for the issuer is in the trace, up to the one
// that does.
func TestTraceNamesEachProviderThatWasAsked(t *testing.T) {
	t.Parallel()
	first, second, third := generate(t, "HS256", ""), generate(t, "HS256", ""), generate(t, "HS256", "")
	v := verifier(t, provider(t, "first", nil, first), provider(t, "second", nil, second), provider(t, "third", nil, third))
	text := signed(t, second, `{"alg":"HS256"}`, payload(t))
	raw, _ := token.Extract([]string{text}, "", 0)
	var got []string
	for _, o := range v.Trace(t.Context(), raw, noon) {
		got = append(got, o.Provider+" "+string(o.Reason))
	}
	if want := []string{"first signature_invalid", "second ok"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if (*token.Verifier)(nil).Trace(t.Context(), raw, noon) != nil {
		t.Error("a nil Verifier has asked somebody")
	}
}
