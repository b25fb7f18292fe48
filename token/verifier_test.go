package token_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// TestProviderChoice is decision 12 and T8: which provider a token is judged by,
// and which of several reasons it gets.
func TestProviderChoice(t *testing.T) {
	a, b, c := generate(t, "HS256", "a"), generate(t, "HS256", "b"), generate(t, "HS256", "c")
	ec := generate(t, "ES256", "e")
	issuer := func(names ...string) func(*token.Provider) {
		return func(p *token.Provider) { p.Issuers = names }
	}
	v := verifier(t,
		provider(t, "a", issuer("https://a.example"), a),
		provider(t, "b", issuer("https://b.example", "https://shared.example"), b),
		provider(t, "ec", issuer("https://shared.example"), ec),
		provider(t, "any", nil, c),
		provider(t, "aud", func(p *token.Provider) { p.Audiences = []string{"x"} }, a),
	)
	iss := func(name string) map[string]any { return map[string]any{"iss": name} }
	noKID := map[string]any{"kid": nil}
	for name, tc := range map[string]struct {
		key      token.Key
		header   map[string]any
		change   map[string]any
		want     policy.Reason
		provider string
	}{
		"a's key for a's issuer":                           {a, nil, iss("https://a.example"), policy.OK, "a"},
		"a's key for b's issuer names no key of b":         {a, nil, iss("https://b.example"), policy.UnknownKey, "b"},
		"a's key for b's issuer without kid":               {a, noKID, iss("https://b.example"), policy.SignatureInvalid, "b"},
		"c's key for a's issuer is not tried elsewhere":    {c, noKID, iss("https://a.example"), policy.SignatureInvalid, "a"},
		"an issuer of two providers, by the first":         {b, nil, iss("https://shared.example"), policy.OK, "b"},
		"an issuer of two providers, by the second":        {ec, nil, iss("https://shared.example"), policy.OK, "ec"},
		"no issuer goes to providers without":              {c, nil, nil, policy.OK, "any"},
		"an unknown issuer goes to providers without":      {c, noKID, iss("https://c.example"), policy.OK, "any"},
		"the second provider without issuers, by audience": {a, nil, map[string]any{"aud": "x"}, policy.OK, "aud"},
		"the furthest stage is told: audience, not kid":    {a, nil, map[string]any{"aud": "y"}, policy.AudienceMismatch, "aud"},
		"the furthest stage is told: expired":              {a, nil, map[string]any{"aud": "x", "exp": at(-30)}, policy.Expired, "aud"},
		"equal stages are told of the first":               {b, noKID, nil, policy.SignatureInvalid, "any"},
		"a key id that nobody without issuers has":         {b, nil, nil, policy.UnknownKey, "any"},
	} {
		t.Run(name, func(t *testing.T) {
			got := verify(t, v, mint(t, tc.key, tc.header, claims(tc.change)))
			wantReason(t, got, tc.want)
			wantEqual(t, "provider", got.Provider, tc.provider)
		})
	}
	t.Run("with every provider naming issuers, a token without iss has none", func(t *testing.T) {
		v := verifier(t, provider(t, "a", issuer("https://a.example"), a))
		got := verify(t, v, mint(t, a, nil, claims(nil)))
		wantReason(t, got, policy.IssuerMismatch)
		wantEqual(t, "provider", got.Provider, "")
	})
}

// TestSeveralLiveKeys: tokens without kid, and how many signatures they may cost.
func TestSeveralLiveKeys(t *testing.T) {
	keys := make([]token.Key, 10)
	for i := range keys {
		keys[i] = generate(t, "HS256", "")
	}
	eight := verifier(t, provider(t, "eight", nil, keys[:8]...))
	ten := verifier(t, provider(t, "ten", nil, keys...))
	split := verifier(t, provider(t, "six", nil, keys[:6]...), provider(t, "four", nil, keys[6:]...))
	for name, tc := range map[string]struct {
		v    *token.Verifier
		key  int
		want policy.Reason
	}{
		"the first of eight":                        {eight, 0, policy.OK},
		"the last of eight":                         {eight, 7, policy.OK},
		"the eighth of ten":                         {ten, 7, policy.OK},
		"the ninth of ten is not tried":             {ten, 8, policy.SignatureInvalid},
		"the eighth over two providers":             {split, 7, policy.OK},
		"the ninth over two providers is not tried": {split, 8, policy.SignatureInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			wantReason(t, verify(t, tc.v, mint(t, keys[tc.key], nil, claims(nil))), tc.want)
		})
	}
	t.Run("a token with kid is not tried with keys that have none", func(t *testing.T) {
		wantReason(t, verify(t, eight, mint(t, keys[0], map[string]any{"kid": "x"}, claims(nil))), policy.UnknownKey)
	})
}

// TestDearKeys: keys of more than 4096 bits count as four of the eight signatures
// that a token without kid may cost, and are tried last, so that they take nothing
// from the others; one that a token names is always tried.
func TestDearKeys(t *testing.T) {
	for name, tc := range map[string]struct {
		bits, before int
		kid          string
		want         policy.Reason
	}{
		"seven of 4096 bits before it":          {4096, 7, "", policy.OK},
		"eight of 4096 bits before it":          {4096, 8, "", policy.SignatureInvalid},
		"one of 8192 bits before it":            {8192, 1, "", policy.OK},
		"a hundred of 8192 bits before it":      {8192, 99, "", policy.OK},
		"a hundred before it, but it is named":  {8192, 99, "good", policy.OK},
		"two of 4097 bits before it":            {4097, 2, "", policy.OK},
		"six small ones and a large one before": {0, 7, "", policy.OK},
	} {
		t.Run(name, func(t *testing.T) {
			good := generate(t, "RS256", "good")
			var entries []any
			for i := range tc.before {
				bits := tc.bits
				if bits == 0 {
					bits = 2048
				}
				if tc.bits == 0 && i == tc.before-1 {
					bits = 8192
				}
				entry := weakRSA(t, bits)
				entry["kid"] = fmt.Sprint("k", i)
				entries = append(entries, entry)
			}
			entries = append(entries, public(t, good).JWK)
			document, err := json.Marshal(map[string]any{"keys": entries})
			must(t, err)
			set, errs := token.ParseJWKS(document)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			made := provider(t, "id", nil, good)
			made.Keys = set
			header := map[string]any{"kid": nil}
			if tc.kid != "" {
				header["kid"] = tc.kid
			}
			wantReason(t, verify(t, verifier(t, made), mint(t, good, header, claims(nil))), tc.want)
		})
	}
}

// TestWhatForgedTokensCost: how many of the eight signatures are left when none
// of the keys verified the token.
func TestWhatForgedTokensCost(t *testing.T) {
	good := generate(t, "RS256", "good")
	text := mint(t, good, map[string]any{"kid": nil}, claims(nil))
	for name, tc := range map[string]struct {
		bits []int
		left int
	}{
		"two small ones":                        {[]int{2048, 4096}, 6},
		"eight small ones":                      {[]int{2048, 2048, 2048, 2048, 2048, 2048, 2048, 2048}, 0},
		"one large one":                         {[]int{4097}, 4},
		"three large ones, the third is not":    {[]int{8192, 8192, 8192}, 0},
		"a small one after two large ones":      {[]int{8192, 8192, 2048}, 3},
		"five small ones leave no large trials": {[]int{8192, 2048, 2048, 2048, 2048, 2048}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var entries []any
			for i, bits := range tc.bits {
				entry := weakRSA(t, bits)
				entry["kid"] = fmt.Sprint("k", i)
				entries = append(entries, entry)
			}
			document, err := json.Marshal(map[string]any{"keys": entries})
			must(t, err)
			set, errs := token.ParseJWKS(document)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			wantEqual(t, "ids in the order of the set", set.KIDs()[0], "k0")
			wantEqual(t, "signatures left", token.TrialsLeft(set, text), tc.left)
		})
	}
}

// TestOneSecretSeveralAlgorithms: a secret without a pinned algorithm serves those
// of the provider it is long enough for.
func TestOneSecretSeveralAlgorithms(t *testing.T) {
	secret := token.Key{K: []byte(strings.Repeat("0123456789abcdef", 3))}
	v := verifier(t, provider(t, "s", func(p *token.Provider) {
		p.Algorithms = []policy.Algorithm{"HS256", "HS384", "HS512"}
	}, secret))
	for alg, want := range map[string]policy.Reason{
		"HS256": policy.OK, "HS384": policy.OK, "HS512": policy.AlgNotAllowed,
	} {
		t.Run(alg+" with 48 bytes", func(t *testing.T) {
			key := token.Key{Alg: alg, K: secret.K, AllowShort: true}
			wantReason(t, verify(t, v, mint(t, key, nil, claims(nil))), want)
		})
	}
}

// TestZeroValuesDeny: nothing is let through by what nobody set.
func TestZeroValuesDeny(t *testing.T) {
	key := generate(t, "HS256", "k")
	text := mint(t, key, nil, claims(nil))
	unset := provider(t, "s", func(p *token.Provider) { p.Keys = nil }, key)
	empty := provider(t, "s", func(p *token.Provider) { p.Keys = &token.KeySet{} }, key)
	var none *token.KeySet
	null := provider(t, "s", func(p *token.Provider) { p.Keys = none }, key)
	for name, tc := range map[string]struct {
		v    *token.Verifier
		want policy.Reason
	}{
		"no verifier":             {nil, policy.KeysUnavailable},
		"a zero verifier":         {&token.Verifier{}, policy.IssuerMismatch},
		"no providers":            {verifier(t), policy.IssuerMismatch},
		"a provider without keys": {verifier(t, unset), policy.KeysUnavailable},
		"an empty set":            {verifier(t, empty), policy.KeysUnavailable},
		"a nil set":               {verifier(t, null), policy.KeysUnavailable},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, verify(t, tc.v, text), tc.want) })
	}
	t.Run("the zero token", func(t *testing.T) {
		v := verifier(t, provider(t, "s", nil, key))
		wantReason(t, v.Verify(t.Context(), token.Raw{}, noon), policy.MalformedToken)
	})
	t.Run("the zero time", func(t *testing.T) {
		v := verifier(t, provider(t, "s", nil, key))
		raw, _ := token.Extract([]string{text}, "", 0)
		wantReason(t, v.Verify(t.Context(), raw, time.Time{}), policy.NotYetValid)
	})
	t.Run("the zero Verified is nobody", func(t *testing.T) {
		for _, v := range []*token.Verified{nil, {}} {
			if v.Valid() || v.Subject() != "" || v.Claims() != nil || v.Provider() != "" || v.KID() != "" || !v.Expires().IsZero() {
				t.Errorf("%#v is somebody", v)
			}
		}
	})
}

// TestUnavailableOutranksRefusal: while one candidate has no keys, another's
// refusal proves nothing, but another's signature does.
func TestUnavailableOutranksRefusal(t *testing.T) {
	key, foreign := generate(t, "HS256", ""), generate(t, "HS256", "")
	unset := provider(t, "unset", func(p *token.Provider) { p.Keys = nil }, foreign)
	v := verifier(t, provider(t, "own", nil, key), unset)
	for name, tc := range map[string]struct {
		key    token.Key
		change map[string]any
		want   policy.Reason
	}{
		"accepted by the one that has keys": {key, nil, policy.OK},
		"expired by the one that has keys":  {key, map[string]any{"exp": at(-60)}, policy.Expired},
		"perhaps the other's":               {foreign, nil, policy.KeysUnavailable},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, verify(t, v, mint(t, tc.key, nil, claims(tc.change))), tc.want) })
	}
	t.Run("an algorithm of neither is refused for good", func(t *testing.T) {
		wantReason(t, verify(t, v, mint(t, generate(t, "ES256", ""), nil, claims(nil))), policy.AlgNotAllowed)
	})
}

// TestNewVerifierRefuses: what is wrong is named with its provider and field.
func TestNewVerifierRefuses(t *testing.T) {
	secret, ec := generate(t, "HS256", "s"), generate(t, "ES256", "e")
	for name, tc := range map[string]struct {
		change func(*token.Provider)
		want   string
	}{
		"no name":                {func(p *token.Provider) { p.Name = "" }, "name must be set"},
		"no algorithms":          {func(p *token.Provider) { p.Algorithms = nil }, "algorithms must name"},
		"none":                   {func(p *token.Provider) { p.Algorithms = []policy.Algorithm{"none"} }, `"none" is not supported`},
		"ES256K":                 {func(p *token.Provider) { p.Algorithms = []policy.Algorithm{"ES256K"} }, `"ES256K" is not supported`},
		"hs256":                  {func(p *token.Provider) { p.Algorithms = []policy.Algorithm{"hs256"} }, `"hs256" is not supported`},
		"secrets beside public":  {func(p *token.Provider) { p.Algorithms = []policy.Algorithm{"HS256", "RS256"} }, "HS* alone"},
		"public keys for HS256":  {func(p *token.Provider) { p.Keys = keySet(t, ec) }, "do not fit"},
		"a secret for ES256":     {func(p *token.Provider) { p.Algorithms = []policy.Algorithm{"ES256"} }, "do not fit"},
		"a leeway over a minute": {func(p *token.Provider) { p.ClockSkew = &policy.Duration{Duration: 61 * time.Second} }, "clockSkew"},
		"a negative leeway":      {func(p *token.Provider) { p.ClockSkew = &policy.Duration{Duration: -1} }, "clockSkew"},
		"a negative lifetime":    {func(p *token.Provider) { p.MaxTokenLifetime = -1 }, "maxTokenLifetime"},
		"a date without time":    {func(p *token.Provider) { day := "2026-01-01"; p.RevokedBefore = &day }, "revokedBefore"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := token.NewVerifier([]token.Provider{provider(t, "own", tc.change, secret)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("a name twice", func(t *testing.T) {
		own := provider(t, "own", nil, secret)
		if _, err := token.NewVerifier([]token.Provider{own, own}); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("the twin is accepted and tells what it has", func(t *testing.T) {
		v := verifier(t, provider(t, "own", nil, secret))
		wantEqual(t, "state", v.State(noon), []token.ProviderState{{Name: "own", Keys: 1, KIDs: []string{"s"}}})
	})
}
