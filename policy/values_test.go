package policy_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/policy"
)

func TestDurationIsWrittenInItsShortestForm(t *testing.T) {
	for text, want := range map[string]string{
		"90s": "1m30s", "10m": "10m", "60m": "1h", "720h": "720h", "1h30m": "1h30m", "1h0m5s": "1h0m5s", "0s": "0s",
		"0ms": "0s", "250ms": "250ms", "0.5ms": "0.5ms", "1.5s": "1.5s", "0.000001ms": "0.000001ms", "1m0.5s": "1m0.5s",
	} {
		t.Run(text, func(t *testing.T) {
			var d policy.Duration
			if err := json.Unmarshal([]byte(`"`+text+`"`), &d); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(d)
			if err != nil || string(got) != `"`+want+`"` {
				t.Errorf("Marshal = %s, %v; want %q", got, err, want)
			}
		})
	}
}

func TestDurationRefuses(t *testing.T) {
	for sentence, text := range map[string]string{
		"a number":                  `90`,
		"null, which is no length":  `null`,
		"an empty text":             `""`,
		"no unit":                   `"90"`,
		"a bare zero":               `"0"`,
		"a negative length":         `"-1s"`,
		"a sign":                    `"+1s"`,
		"a day":                     `"1d"`,
		"microseconds":              `"1us"`,
		"a fraction without a zero": `".5s"`,
		"a blank":                   `"1m 30s"`,
		"more than there is":        `"9999999999h"`,
		"a text of any length":      `"` + strings.Repeat("1s", 20) + `"`,
	} {
		t.Run(sentence, func(t *testing.T) {
			var d policy.Duration
			if err := d.UnmarshalJSON([]byte(text)); err == nil || d.Duration != 0 {
				t.Errorf("Unmarshal(%s) = %s, %v", text, d, err)
			}
		})
	}
}

// FuzzDuration reads back whatever was written.
func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"90s", "1h30m", "0.5ms", "2562047h47m16.854775807s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted, _ := json.Marshal(text)
		var d, again policy.Duration
		if json.Unmarshal(quoted, &d) != nil {
			return
		}
		written, err := json.Marshal(d)
		if err != nil || d.Duration < 0 {
			t.Fatalf("%q is %s: %v", text, d, err)
		}
		if err := json.Unmarshal(written, &again); err != nil || again != d {
			t.Fatalf("%q written as %s reads as %s, %v", text, written, again, err)
		}
	})
}

func TestLookup(t *testing.T) {
	claims := map[string]any{
		"sub": "u", "null": nil, "a.b": "dotted", "/x": "slash", "a/b": "inner", "~": "tilde",
		"deep": map[string]any{"list": []any{"zero", map[string]any{"": "empty"}}, "n": json.Number("7")},
	}
	for _, test := range []struct {
		sentence, name string
		want           any
		found          bool
	}{
		{"a name", "sub", "u", true},
		{"a name in other letters", "Sub", nil, false},
		{"a null is found", "null", nil, true},
		{"a dot separates nothing", "a.b", "dotted", true},
		{"a slash inside separates nothing", "a/b", "inner", true},
		{"an empty name", "", nil, false},
		{"a pointer to a name", "/sub", "u", true},
		{"a pointer to a name with a slash", "/~1x", "slash", true},
		{"a pointer to a name with a tilde", "/~0", "tilde", true},
		{"a pointer down", "/deep/n", json.Number("7"), true},
		{"a pointer into a list", "/deep/list/0", "zero", true},
		{"a pointer through a list", "/deep/list/1/", "empty", true},
		{"a pointer behind a list", "/deep/list/2", nil, false},
		{"a pointer with a padded index", "/deep/list/00", nil, false},
		{"a pointer with a signed index", "/deep/list/+0", nil, false},
		{"a pointer behind the last", "/deep/list/-", nil, false},
		{"a pointer below a text", "/sub/x", nil, false},
		{"a pointer below null", "/null/x", nil, false},
		{"a pointer with a wrong escape", "/~2", nil, false},
		{"a pointer that ends in an escape", "/~", nil, false},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			got, found := policy.Lookup(claims, test.name)
			if diff := cmp.Diff(test.want, got); diff != "" || found != test.found {
				t.Errorf("Lookup(%q) = %v, %t; want %v, %t", test.name, got, found, test.want, test.found)
			}
		})
	}
	if _, found := policy.Lookup(nil, "/a/b"); found {
		t.Error("a claim was found in none")
	}
}

func TestDefaultsThatNoSchemaFillsIn(t *testing.T) {
	p := compile(t, `
jwt:
  providers:
  - {name: a, algorithms: [HS256], secretRef: {name: s, keys: [k]}}
  - {name: b, algorithms: [ES256], signingKeyRef: {name: k}}
  - {name: c, algorithms: [ES256], remoteJWKS: {uri: "https://a.example"}}
apiKeyAuth: {credentialSelector: {}}
authorization: {rules: [{name: t, principal: {tenant: {}}}]}
cors: {}
`)
	length := func(d time.Duration) *policy.Duration { return &policy.Duration{Duration: d} }
	types := []string{"JWT", "at+jwt"}
	want := policy.Spec{
		Mode: policy.ModeEnforce,
		JWT: &policy.JWT{
			Providers: []policy.Provider{
				{Name: "a", Algorithms: []policy.Algorithm{"HS256"}, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"k"}}, ClockSkew: length(10 * time.Second), MaxTokenLifetime: length(24 * time.Hour), Types: types},
				{Name: "b", Algorithms: []policy.Algorithm{"ES256"}, SigningKeyRef: &policy.SigningKeyRef{Name: "k"}, ClockSkew: length(10 * time.Second), Types: types},
				{Name: "c", Algorithms: []policy.Algorithm{"ES256"}, RemoteJWKS: &policy.RemoteJWKS{
					URI: "https://a.example", CacheDuration: length(5 * time.Minute), FailedRefetchDuration: length(10 * time.Second),
					UnknownKeyRefetchInterval: length(10 * time.Second), MaxStale: length(24 * time.Hour),
				}, ClockSkew: length(10 * time.Second), MaxTokenLifetime: length(24 * time.Hour), Types: types},
			},
			ExtractFrom: &policy.ExtractFrom{Headers: []policy.TokenHeader{{Name: "Authorization", ValuePrefix: "Bearer "}}},
			Forward:     policy.ForwardOriginal,
		},
		APIKeyAuth: &policy.APIKeyAuth{ExtractFrom: []policy.APIKeySource{{Header: "X-API-Key"}}, ForwardClientIDHeader: "X-Auth-Client", Sanitize: new(true)},
		Authorization: &policy.Authorization{DefaultAction: policy.ActionDeny, Rules: []policy.Rule{
			{Name: "t", Action: policy.ActionAllow, Principal: &policy.Principal{Tenant: &policy.Tenant{Claim: "tenant_id", OnNull: policy.ActionDeny}}},
		}},
		CORS: &policy.CORS{
			Mode: policy.CORSGateway, AllowMethods: []policy.Method{"GET", "POST", "PUT", "PATCH", "DELETE"},
			AllowHeaders: []string{"Authorization", "Content-Type", "X-API-Key", "Last-Event-ID", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Mcp-Session-Id"},
			MaxAge:       length(10 * time.Minute),
		},
		Streaming: &policy.Streaming{OnTokenExpiry: policy.OnExpiryContinue, Grace: length(30 * time.Second)},
		Upstream:  &policy.Upstream{Host: policy.HostPreserve},
		WebSocket: &policy.WebSocket{TokenSources: []string{policy.TokenSourceHeader}},
		Responses: &policy.Responses{APIKeyFailureStatus: 401},
		Limits: &policy.Limits{
			MaxTokenBytes: new(int32(16384)), MaxHeaderBytes: new(int32(65536)), MaxConcurrentRequests: new(int32(2048)),
			MaxConnections: new(int32(10240)), MaxMCPBodyBytes: new(int32(1048576)),
		},
	}
	if diff := cmp.Diff(want, p.Spec()); diff != "" {
		t.Errorf("Spec (-want +got):\n%s", diff)
	}
}
