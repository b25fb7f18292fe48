package grant_test

import (
	"strings"
	"testing"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/manifest"
)

// full has every field of a Spec at least once, as far as they go together.
const full = `
issuer: https://auth.example.com/agents
signingKeyRef: {name: agent-es256}
tokenLifetime: 5m
audiences: [https://chat.example.com, https://crm.example.com]
tokenType: at+jwt
grants: [Session, ClientCredentials, Password, TokenExchange, RefreshToken]
session:
  providers:
  - {name: laravel, algorithms: [HS256], secretRef: {name: s, keys: [k]}, clockSkew: 5s, maxTokenLifetime: 1h, issuers: [i], audiences: [a], requiredClaims: [sub], types: [JWT], revokedBefore: "2026-01-01T00:00:00Z"}
  - {name: key, algorithms: [ES256], signingKeyRef: {name: k}, extractFrom: {header: X-Session, valuePrefix: "S "}}
  - {name: jwks, audiences: [a], algorithms: [ES256], remoteJWKS: {uri: "https://a.example", cacheDuration: 1m, failedRefetchDuration: 1m, unknownKeyRefetchInterval: 1m, maxStale: 1m, caBundleRef: {kind: Secret, name: c, key: k}, allowInsecureHTTP: true}, extractFrom: {cookie: session}}
  - {name: inline, audiences: [a], algorithms: [ES256], localJWKS: {inline: '{"keys":[{}]}'}}
  - {name: map, audiences: [a], algorithms: [ES256], localJWKS: {configMapRef: {name: c, key: k}}}
  introspection: {uri: "https://app.example.com/api/auth/get-session", forwardCookie: better-auth.session_token, subject: /user/id, allowInsecureHTTP: true}
  anonymous: {rateLimit: 5/m, scopes: [agents:read]}
  scopes: [agents:run, agents:read]
  scopesFrom: permissions
clients: {credentialSelector: {matchLabels: {a: b}}}
password: {usersSecretRef: {name: users, key: htpasswd}, scopes: [agents:run]}
legacyPasswordGrant: true
tokenExchange: {sessions: true, serviceAccounts: [{name: crm, audience: issuer, scopes: [agents:run, agents:read]}, {name: etl}]}
refreshToken: {lifetime: 12h, reuseGrace: 5s}
claims: [{name: role, value: user}, {name: tenant_id, from: tenant_id}, {name: email, from: /user/email}]
cors: {mode: Gateway, allowOrigins: ["https://app.example.com"], allowMethods: [GET], allowHeaders: [A], allowCredentials: true, exposeHeaders: [B], maxAge: 1m}
rateLimit: {perClient: 1/s, perIP: 2/m}
trustedProxies: [10.0.0.0/8]
replicas: 1
`

// plain has what must be there, and a session to give tokens to.
const plain = `
issuer: https://auth.example.com
signingKeyRef: {name: k}
audiences: [https://chat.example.com]
grants: [Session, TokenExchange]
session:
  providers: [{name: laravel, algorithms: [HS256], secretRef: {name: s, keys: [k]}}]
  introspection: {uri: "https://app.example.com", forwardCookie: c}
tokenExchange: {sessions: true}
legacyPasswordGrant: false
cors: {allowOrigins: ["https://app.example.com"], allowCredentials: true}
`

// parse reads a spec in YAML, as people write it; it must compile.
func parse(t testing.TB, spec string) grant.Spec {
	t.Helper()
	indented := strings.ReplaceAll("\n"+strings.TrimSpace(spec), "\n", "\n  ")
	doc, err := manifest.ParseIssuer([]byte("apiVersion: gatepost.dev/v1alpha1\nkind: TokenIssuer\nmetadata: {name: test}\nspec:" + indented + "\n"))
	if err != nil {
		t.Fatalf("ParseIssuer: %v", err)
	}
	return doc.Spec
}

// compile reads a spec in YAML and compiles it.
func compile(t testing.TB, spec string) *grant.Plan {
	t.Helper()
	p, err := grant.Compile(parse(t, spec))
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return p
}
