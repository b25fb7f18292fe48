package token_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// TestExtract is A1: exactly one credential, in exactly one form.
func TestExtract(t *testing.T) {
	const ok = policy.Reason("")
	for name, tc := range map[string]struct {
		values []string
		prefix string
		limit  int
		want   policy.Reason
	}{
		"one bearer token":                        {[]string{"Bearer a.b.c"}, "Bearer ", 0, ok},
		"the scheme in lower case":                {[]string{"bearer a.b.c"}, "Bearer ", 0, ok},
		"the scheme in capitals":                  {[]string{"BEARER a.b.c"}, "Bearer ", 0, ok},
		"no header":                               {nil, "Bearer ", 0, policy.MissingCredential},
		"an empty header":                         {[]string{""}, "Bearer ", 0, policy.MissingCredential},
		"the scheme alone":                        {[]string{"Bearer"}, "Bearer ", 0, policy.MissingCredential},
		"the scheme and a blank":                  {[]string{"Bearer "}, "Bearer ", 0, policy.MissingCredential},
		"another scheme":                          {[]string{"Basic dTpw"}, "Bearer ", 0, policy.MissingCredential},
		"another scheme with a list":              {[]string{`Digest username="u", realm="r"`}, "Bearer ", 0, policy.MissingCredential},
		"no scheme":                               {[]string{"a.b.c"}, "Bearer ", 0, policy.MissingCredential},
		"a scheme that only begins so":            {[]string{"Bearerx a.b.c"}, "Bearer ", 0, policy.MissingCredential},
		"a tab after the scheme":                  {[]string{"Bearer\ta.b.c"}, "Bearer ", 0, policy.MissingCredential},
		"the scheme with a Kelvin sign's look":    {[]string{"Bea\u0280er a.b.c"}, "Bearer ", 0, policy.MissingCredential},
		"two headers":                             {[]string{"Bearer a.b.c", "Bearer d.e.f"}, "Bearer ", 0, policy.AmbiguousCredentials},
		"the same header twice":                   {[]string{"Bearer a.b.c", "Bearer a.b.c"}, "Bearer ", 0, policy.AmbiguousCredentials},
		"a header and an empty one":               {[]string{"Bearer a.b.c", ""}, "Bearer ", 0, policy.AmbiguousCredentials},
		"two tokens in a list":                    {[]string{"Bearer a.b.c, Bearer d.e.f"}, "Bearer ", 0, policy.AmbiguousCredentials},
		"two tokens in a list without blank":      {[]string{"Bearer a.b.c,d.e.f"}, "Bearer ", 0, policy.AmbiguousCredentials},
		"another scheme before ours in a list":    {[]string{"Basic dTpw, Bearer a.b.c"}, "Bearer ", 0, policy.AmbiguousCredentials},
		"another scheme after ours in a list":     {[]string{"Bearer a.b.c, Basic dTpw"}, "Bearer ", 0, policy.AmbiguousCredentials},
		"a trailing comma":                        {[]string{"Bearer a.b.c,"}, "Bearer ", 0, policy.AmbiguousCredentials},
		"two blanks":                              {[]string{"Bearer  a.b.c"}, "Bearer ", 0, policy.MalformedToken},
		"a trailing blank":                        {[]string{"Bearer a.b.c "}, "Bearer ", 0, policy.MalformedToken},
		"a second word":                           {[]string{"Bearer a.b.c d"}, "Bearer ", 0, policy.MalformedToken},
		"quotes":                                  {[]string{`Bearer "a.b.c"`}, "Bearer ", 0, policy.MalformedToken},
		"NUL":                                     {[]string{"Bearer a.b.c\x00"}, "Bearer ", 0, policy.MalformedToken},
		"letters beyond ASCII":                    {[]string{"Bearer a.b.ç"}, "Bearer ", 0, policy.MalformedToken},
		"as long as allowed":                      {[]string{"Bearer " + strings.Repeat("a", 512)}, "Bearer ", 512, ok},
		"a byte too long":                         {[]string{"Bearer " + strings.Repeat("a", 513)}, "Bearer ", 512, policy.TokenTooLarge},
		"as long as the default":                  {[]string{"Bearer " + strings.Repeat("a", 16384)}, "Bearer ", 0, ok},
		"a byte longer than the default":          {[]string{"Bearer " + strings.Repeat("a", 16385)}, "Bearer ", 0, policy.TokenTooLarge},
		"another header without prefix":           {[]string{"a.b.c"}, "", 0, ok},
		"another header without prefix, with one": {[]string{"Bearer a.b.c"}, "", 0, policy.MalformedToken},
		"another header without prefix, empty":    {[]string{""}, "", 0, policy.MissingCredential},
		"another header without prefix, a list":   {[]string{"a.b.c,d.e.f"}, "", 0, policy.AmbiguousCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := token.Extract(tc.values, tc.prefix, tc.limit); got != tc.want {
				t.Errorf("reason = %q, want %q", got, tc.want)
			}
		})
	}
}

// TestSecretsDoNotPrint: key material and tokens in logs and errors.
func TestSecretsDoNotPrint(t *testing.T) {
	const material = "top-secret-material-of-32-bytes!"
	raw, _ := token.Extract([]string{"Bearer " + material}, "Bearer ", 0)
	secret := token.Secret(material)
	key := token.Key{KID: "1-a", Alg: "HS256", K: secret, JWK: []byte(material)}
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("values", "raw", raw, "secret", secret, "key", key)
	log = slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("values", "raw", raw, "secret", secret, "key", key)
	encoder := json.NewEncoder(&out)
	_ = encoder.Encode(map[string]any{"raw": raw, "secret": secret, "key": key, "keys": []token.Key{key}})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{raw, secret, key, &raw, &key, []token.Key{key}, struct{ S token.Secret }{secret}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	if _, err := token.Mint(token.Key{Alg: "HS512", K: secret}, nil, nil); err == nil {
		t.Error("Mint signed with a short secret")
	} else {
		out.WriteString(err.Error())
	}
	for _, form := range []string{material, fmt.Sprintf("%x", material), fmt.Sprintf("%d", []byte(material))} {
		if strings.Contains(strings.ToLower(out.String()), form) {
			t.Errorf("key material was printed:\n%s", out.String())
		}
	}
	if !strings.Contains(out.String(), "1-a") {
		t.Error("the key's id was not printed")
	}
}
