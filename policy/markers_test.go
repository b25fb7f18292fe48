package policy_test

import (
	"testing"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/markers"
)

// The markers in the comments become the resource's schema. A file never meets
// a schema, so Compile must keep the same bounds and fill in the same defaults.
// These tests read the markers, break each bound in a full spec, and see that
// Compile names the field; they fail when somebody adds a marker and forgets
// Compile.

// full has every field of a Spec at least once.
const full = `
mode: Audit
jwt:
  providers:
  - {name: a, issuers: [i], audiences: [au], algorithms: [HS256], secretRef: {name: s, keys: [k]}, clockSkew: 1s, maxTokenLifetime: 1h, requiredClaims: [sub], types: [JWT], revokedBefore: "2026-01-01T00:00:00Z"}
  - {name: b, algorithms: [ES256], signingKeyRef: {name: k}}
  - {name: c, algorithms: [ES256], localJWKS: {inline: '{"keys":[{}]}'}}
  - {name: d, algorithms: [ES256], localJWKS: {configMapRef: {name: c, key: k}}}
  - {name: e, algorithms: [ES256], remoteJWKS: {uri: "https://a.example", cacheDuration: 1m, failedRefetchDuration: 1m, unknownKeyRefetchInterval: 1m, maxStale: 1m, caBundleRef: {kind: Secret, name: c, key: k}, allowInsecureHTTP: true}}
  extractFrom: {headers: [{name: X-Token, valuePrefix: "T "}]}
  forward: Strip
  claimToHeaders: [{claim: sub, header: X-Auth-Sub}]
apiKeyAuth: {credentialSelector: {matchLabels: {a: b}}, extractFrom: [{header: X-Key}], forwardClientIDHeader: X-Client, sanitize: false}
authorization:
  defaultAction: Allow
  rules:
  - name: r
    action: Deny
    operation: {methods: [GET], paths: [{type: Template, value: /v, ignoreCase: true}]}
    principal:
      providers: [a]
      scopes: {claim: s, anyOf: [x], allOf: [y]}
      claims: [{name: c, valueType: StringArray, values: [v]}]
      tenant: {claim: t, match: {header: X-Tenant-ID}, onNull: Allow}
    mcp: {methods: [{name: tools/call, params: [p]}]}
  - {name: preset, preset: agno-v2}
  - {name: pathvariable, operation: {paths: [{type: Template, value: "/{v}"}]}, principal: {tenant: {match: {pathVariable: v}}}}
  - {name: keys, principal: {apiKeys: [crm]}}
  - {name: value, principal: {tenant: {match: {value: v}}}}
  - {name: anonymous, principal: {anonymous: true}}
exemptions: [{methods: [GET], path: /health}]
protectedResource: {resource: "https://a.example", authorizationServers: ["https://b.example"], scopesSupported: [s]}
cors: {mode: Passthrough, allowOrigins: ["https://a.example"], allowMethods: [GET], allowHeaders: [A], allowCredentials: true, exposeHeaders: [B], maxAge: 1m}
streaming: {onTokenExpiry: CloseAfterGrace, grace: 1m}
upstream: {host: Localhost}
webSocket: {tokenSources: [Subprotocol], deferToApp: [/ws]}
responses: {apiKeyFailureStatus: 403}
limits: {maxTokenBytes: 1024, maxHeaderBytes: 32768, maxConcurrentRequests: 1, maxConnections: 1, maxMCPBodyBytes: 1024, rejections: {rate: 1/s, burst: 1}}
trustedProxies: [10.0.0.0/8]
allowOptOut: true
`

func subject(t *testing.T) markers.Subject[policy.Spec] {
	t.Helper()
	return markers.Subject[policy.Spec]{
		Specs: []policy.Spec{parse(t, full)}, Copy: (*policy.Spec).DeepCopy, Folders: []string{"."},
		Compile: func(s policy.Spec) (policy.Spec, error) {
			compiled, err := policy.Compile(s)
			return compiled.Spec(), err
		},
	}
}

func TestCompileKeepsEveryBoundOfTheMarkers(t *testing.T) {
	if broken := subject(t).KeepsEveryBound(t); broken < 250 {
		t.Errorf("only %d bounds were broken: the markers are not read", broken)
	}
}

func TestCompileFillsInEveryDefaultOfTheMarkers(t *testing.T) {
	if tried := subject(t).FillsInEveryDefault(t); tried < 20 {
		t.Errorf("only %d defaults were tried: the markers are not read", tried)
	}
}
