package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/policy"
)

func TestWarnings(t *testing.T) {
	for _, test := range []struct{ sentence, spec, want string }{
		{"an issuer that ends in a slash", `jwt: {providers: [{name: a, issuers: ["https://a/"], algorithms: [HS256], signingKeyRef: {name: k}}]}`, "spec.jwt.providers[0].issuers[0]: ends in a slash: iss is compared byte for byte, so tokens must have it too"},
		{"an issuer with a blank", `jwt: {providers: [{name: a, issuers: ["a "], algorithms: [HS256], signingKeyRef: {name: k}}]}`, "spec.jwt.providers[0].issuers[0]: begins or ends with a blank: iss is compared byte for byte"},
		{"public keys without an audience", `jwt: {providers: [{name: a, algorithms: [ES256], remoteJWKS: {uri: "https://a.example/"}}]}`, "spec.jwt.providers[0].audiences: is empty: every token these keys sign is accepted, also one meant for another service"},
		{"keys over plain http", `jwt: {providers: [{name: a, audiences: [a], algorithms: [ES256], remoteJWKS: {uri: "http://a.example/", allowInsecureHTTP: true}}]}`, "spec.jwt.providers[0].remoteJWKS.allowInsecureHTTP: whoever is on the way to spec.jwt.providers[0].remoteJWKS.uri can choose the keys"},
		{"nobody to let in", `mode: Enforce`, "spec.jwt: is absent and no rule is anonymous: nothing but exemptions can pass"},
		{"no rule to let in by", jwt + `authorization: {}`, "spec.authorization: has no rules and denies by default: nothing but exemptions can pass"},
		{"every path for everybody", `authorization: {rules: [{name: a, operation: {methods: [GET]}, principal: {anonymous: true}}]}`, "spec.authorization.rules[0].principal.anonymous: opens every path to everybody: name the paths"},
		{"a rule behind a Deny rule for all", jwt + `authorization: {rules: [{name: a, action: Deny}, {name: b}]}`, "spec.authorization.rules[1]: is never reached: a before it matches every request"},
		{"a preset under a default that allows", jwt + `authorization: {defaultAction: Allow, rules: [{name: a, action: Deny, operation: {paths: [{value: /x}]}}, {name: open, operation: {methods: [GET], paths: [{value: /}]}, principal: {anonymous: true}}, {name: agno, preset: agno-v2}]}`, "spec.authorization.rules[2]: changes nothing: defaultAction: Allow lets through whom it leaves out; use Deny"},
		{"a Deny rule on a claim", jwt + `authorization: {rules: [{name: a, action: Deny, principal: {claims: [{name: c, values: [x]}]}}]}`, "spec.authorization.rules[0].principal: denies only tokens that have the claim, in the form the rule expects: an Allow rule is safer"},
		{"tokens that nobody verified", strings.Replace(jwt, "jwt:", "jwt:\n  forward: Always", 1), "spec.jwt.forward: Always shows the agent Authorization headers that nobody verified"},
		{"proxies from everywhere", jwt + `trustedProxies: [0.0.0.0/0]`, "spec.trustedProxies[0]: trusts everybody's X-Forwarded-* headers"},
		{"an origin beside all origins", jwt + `cors: {allowOrigins: ["*", "https://a.example"]}`, "spec.cors.allowOrigins: contains *: the other origins change nothing"},
		{"no origin", jwt + `cors: {}`, "spec.cors.allowOrigins: is empty: no page of another origin can read an answer"},
		{"cookies without an origin", strings.Replace(jwt, "jwt:", "jwt:\n  extractFrom: {headers: [{name: Cookie, valuePrefix: t=}]}", 1), "spec.jwt.extractFrom.headers[0].name: a cookie speaks only for pages whose origin cors.allowOrigins names, and it names none: all but GET, HEAD and OPTIONS will be refused"},
		{"an origin with its default port", jwt + `cors: {allowOrigins: ["https://a.example:443"]}`, "spec.cors.allowOrigins[0]: names the default port: browsers send https://a.example"},
		{"a prefix without its blank", strings.Replace(jwt, "jwt:", "jwt:\n  extractFrom: {headers: [{name: Authorization, valuePrefix: Bearer}]}", 1), `spec.jwt.extractFrom.headers[0].valuePrefix: "Bearer" does not end in a blank: the one before the token makes every token malformed; write "Bearer " in quotes`},
		{"a grace that nothing uses", jwt + `streaming: {grace: 20s}`, "spec.streaming.grace: changes nothing: grace needs onTokenExpiry: CloseAfterGrace"},
		{"a grace beside Close", jwt + `streaming: {onTokenExpiry: Close, grace: 20s}`, "spec.streaming.grace: changes nothing: grace needs onTokenExpiry: CloseAfterGrace"},
		{"pages that may not send their token", jwt + `cors: {allowOrigins: ["https://a.example"], allowHeaders: [Content-Type]}`, "spec.cors.allowHeaders: leaves out Authorization: no page of another origin can send its token; add it"},
		{"pages that may not send their token by another name", strings.Replace(jwt, "jwt:", "jwt:\n  extractFrom: {headers: [{name: X-Token}]}", 1) + `cors: {allowOrigins: ["https://a.example"]}`, "spec.cors.allowHeaders: leaves out X-Token: no page of another origin can send its token; add it"},
		{"pages that may not send their API key", `apiKeyAuth: {credentialSelector: {}, extractFrom: [{header: X-Key}]}` + "\n" + `cors: {allowOrigins: ["https://a.example"]}`, "spec.cors.allowHeaders: leaves out X-Key: no page of another origin can send its API key; add it"},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			if diff := cmp.Diff([]string{test.want}, compile(t, test.spec).Warnings()); diff != "" {
				t.Errorf("Warnings (-want +got):\n%s", diff)
			}
		})
	}
	for sentence, spec := range map[string]string{
		"the default grace":              jwt + `streaming: {onTokenExpiry: Close, grace: 30s}`,
		"a grace that is used":           jwt + `streaming: {onTokenExpiry: CloseAfterGrace, grace: 20s}`,
		"all headers":                    jwt + `cors: {allowOrigins: ["https://a.example"], allowHeaders: ["*"]}`,
		"the token's header in capitals": jwt + `cors: {allowOrigins: ["https://a.example"], allowHeaders: [AUTHORIZATION]}`,
		"headers that the agent allows":  jwt + `cors: {mode: Passthrough, allowOrigins: ["https://a.example"], allowHeaders: [Content-Type]}`,
		"a token without a prefix":       strings.Replace(jwt, "jwt:", "jwt:\n  extractFrom: {headers: [{name: X-Token}]}", 1),
		"a cookie":                       strings.Replace(jwt, "jwt:", "jwt:\n  extractFrom: {headers: [{name: Cookie, valuePrefix: t=}]}", 1) + `cors: {allowOrigins: ["https://a.example"], allowCredentials: true, allowHeaders: [Content-Type]}`,
	} {
		t.Run(sentence+" is no reason to warn", func(t *testing.T) {
			if got := compile(t, spec).Warnings(); len(got) > 0 {
				t.Errorf("Warnings = %q", got)
			}
		})
	}
	t.Run("a policy in order", func(t *testing.T) {
		p, err := policy.Compile(base(t))
		if err != nil || len(p.Warnings()) > 0 {
			t.Errorf("Warnings = %v, %v", p.Warnings(), err)
		}
	})
}

func TestUnsupported(t *testing.T) {
	for _, test := range []struct{ field, spec string }{
		{"spec.authorization.rules[0].mcp", `authorization: {rules: [{name: a, mcp: {methods: [{name: x}]}}]}`},
		{"spec.protectedResource", `protectedResource: {resource: "https://a.example"}`},
	} {
		t.Run(test.field+" in "+test.spec, func(t *testing.T) {
			got := policy.Unsupported(parse(t, test.spec))
			if len(got) == 0 || !strings.HasPrefix(got[len(got)-1], test.field+": ") {
				t.Errorf("Unsupported = %q, want %s", got, test.field)
			}
		})
	}
	for sentence, s := range map[string]policy.Spec{"nothing": {}, "what is built": base(t)} {
		if got := policy.Unsupported(s); got != nil {
			t.Errorf("Unsupported of %s = %q", sentence, got)
		}
	}
	p, err := policy.Compile(base(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := policy.Unsupported(p.Spec()); got != nil {
		t.Errorf("Unsupported of defaults = %q", got)
	}
}

func TestAPolicySharesNothingWithItsMaker(t *testing.T) {
	s := base(t)
	p, err := policy.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := json.Marshal(p.Spec())
	provider(&s).Algorithms[0] = "none"
	principal(&s).Providers[0] = "x"
	s.Exemptions[0].Methods[0] = "DELETE"
	s.CORS.AllowOrigins[0] = "*"
	after, _ := json.Marshal(p.Spec())
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("the policy changed with its maker's spec:\n%s", diff)
	}
}
