package sidecar

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/apikey"
)

// newKey is a random API key of its own for each test.
func newKey(t *testing.T) apikey.Key {
	t.Helper()
	key, err := apikey.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keyPolicy accepts tokens and the API keys of APIKey documents labelled team:
// chat. %s is more of the spec.
const keyPolicy = `
apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: chat, namespace: agents}
spec:
  jwt:
    providers:
    - {name: local, algorithms: [HS256], secretRef: {name: agent-jwt, keys: [current]}}
    claimToHeaders: [{claim: plan, header: X-Plan}]
  apiKeyAuth: {credentialSelector: {matchLabels: {team: chat}}%s}
  exemptions: [{methods: [GET], path: /health}]
`

// keyRules are rules that tell clients, scopes and tenants apart.
const keyRules = `
  authorization:
    rules:
    - {name: crm-only, operation: {paths: [{value: /crm}]}, principal: {apiKeys: [crm]}}
    - {name: scoped, operation: {paths: [{value: /run}]}, principal: {scopes: {anyOf: ["agents:run"]}}}
    - {name: own-tenant, operation: {paths: [{type: Template, value: "/tenants/{id}"}]}, principal: {tenant: {match: {pathVariable: id}}}}
    - {name: tokens, operation: {paths: [{value: /tokens}]}, principal: {providers: [local]}}
    - {name: anyone, operation: {paths: [{value: /any}]}}
    - {name: public, operation: {paths: [{value: /public}]}, principal: {anonymous: true}}
`

// document is an APIKey document of one client labelled team: chat.
func keyDocument(client, more string, keys ...apikey.Key) string {
	var values []string
	for i, key := range keys {
		values = append(values, fmt.Sprintf("{name: v%d, keyHash: '%s'}", i+1, key.Hash()))
	}
	return fmt.Sprintf("---\napiVersion: gatepost.dev/v1alpha1\nkind: APIKey\nmetadata: {name: %s, labels: {team: chat}}\nspec:\n  clientID: %s\n  values: [%s]\n%s",
		client, client, strings.Join(values, ", "), more)
}

func TestAPIKeysAreJudged(t *testing.T) {
	crm, second, batch, off, foreign, stranger := newKey(t), newKey(t), newKey(t), newKey(t), newKey(t), newKey(t)
	old := newKey(t)
	expired := strings.Replace(keyDocument("old", "", old, newKey(t), newKey(t)), "'}", "', expiresAt: 2026-01-01T00:00:00Z}", 1) // two are live
	unselected := strings.Replace(keyDocument("foreign", "", foreign), "team: chat", "team: other", 1)
	g := start(t, setup{policy: fmt.Sprintf(keyPolicy, "") + keyRules +
		keyDocument("crm", "  scopes: ['agents:run']\n  claims: {tenant_id: t-1}\n", crm, second) +
		keyDocument("batch", "", batch) + keyDocument("off", "  suspend: true\n", off) + expired + unselected})
	key := func(k apikey.Key) []string { return []string{"X-API-Key", k.Reveal()} }
	invalid := http.Header{"Www-Authenticate": {"APIKey"}}
	both := http.Header{"Www-Authenticate": {"Bearer, APIKey"}}
	for _, test := range []struct {
		sentence, target string
		header           []string
		status           int
		detail           string
		challenge        http.Header
	}{
		{"a key is let in", "/any", key(crm), 200, "", nil},
		{"the client's second key is let in", "/any", key(second), 200, "", nil},
		{"another client's key is let in", "/any", key(batch), 200, "", nil},
		{"a rule for the client is its own", "/crm", key(crm), 200, "", nil},
		{"a rule for a client is not another's", "/crm", key(batch), 403, "Insufficient permissions", nil},
		{"the client's scopes count", "/run", key(crm), 200, "", nil},
		{"a client without the scope is not sent to log in", "/run", key(batch), 403, "Insufficient permissions", nil},
		{"the client's tenant counts", "/tenants/t-1", key(crm), 200, "", nil},
		{"another tenant is refused", "/tenants/t-2", key(crm), 403, "Insufficient permissions", nil},
		{"a rule for a provider is not for keys", "/tokens", key(crm), 403, "Insufficient permissions", nil},
		{"a rule for everybody is for keys too", "/public", key(batch), 200, "", nil},
		{"a key that nobody has is refused, though the route is public", "/public", key(stranger), 401, "Invalid API key", invalid},
		{"a key that nobody has", "/any", key(stranger), 401, "Invalid API key", invalid},
		{"an expired key", "/any", key(old), 401, "Invalid API key", invalid},
		{"a suspended client's key", "/any", key(off), 401, "Invalid API key", invalid},
		{"a key that the policy does not select", "/any", key(foreign), 401, "Invalid API key", invalid},
		{"a key with one wrong letter", "/any", []string{"X-API-Key", misspelled(crm.Reveal())}, 401, "Invalid API key", invalid},
		{"a key in capitals", "/any", []string{"X-API-Key", strings.ToUpper(crm.Reveal())}, 401, "Invalid API key", invalid},
		{"the hash in place of the key", "/any", []string{"X-API-Key", crm.Hash().String()}, 401, "Invalid API key", invalid},
		{"an empty header", "/any", []string{"X-API-Key", ""}, 401, "Invalid API key", invalid},
		{"a header of 60 KB", "/any", []string{"X-API-Key", strings.Repeat("g", 60_000)}, 401, "Invalid API key", invalid},
		{"the same key twice", "/any", append(key(crm), key(crm)...), 400, "Invalid request", http.Header{"Www-Authenticate": {`Bearer error="invalid_request"`}}},
		{"two keys in one header", "/any", []string{"X-API-Key", crm.Reveal() + "," + batch.Reveal()}, 401, "Invalid API key", invalid},
		{"a key beside a token", "/any", append(key(crm), "Authorization", bearer(mint(t, nil))), 400, "Invalid request", http.Header{"Www-Authenticate": {`Bearer error="invalid_request"`}}},
		{"a wrong key beside a token", "/any", append(key(stranger), "Authorization", bearer(mint(t, nil))), 400, "Invalid request", http.Header{"Www-Authenticate": {`Bearer error="invalid_request"`}}},
		{"a key beside a broken token", "/any", append(key(crm), "Authorization", "Bearer x"), 400, "Invalid request", http.Header{"Www-Authenticate": {`Bearer error="invalid_request"`}}},
		{"a key as bearer token", "/any", []string{"Authorization", bearer(crm.Reveal())}, 401, "Invalid token", http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}},
		{"a key in the query", "/any?api_key=" + crm.Reveal() + "&X-API-Key=" + crm.Reveal(), nil, 401, "Not authenticated", both},
		{"a key in a header that only looks like it", "/any", []string{"X_API_Key", crm.Reveal()}, 401, "Not authenticated", both},
		{"no credential at all", "/any", nil, 401, "Not authenticated", both},
		{"a token", "/any", []string{"Authorization", bearer(mint(t, nil))}, 200, "", nil},
		{"an exempt route ignores a wrong key", "/health", key(stranger), 200, "", nil},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			before := len(g.agent.requests())
			got := g.do("GET", test.target, nil, test.header...)
			if got.status != test.status || test.detail != "" && !strings.Contains(got.body, `"detail":"`+test.detail+`"`) {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if want, have := test.challenge.Values("Www-Authenticate"), got.header.Values("Www-Authenticate"); !slices.Equal(want, have) {
				t.Errorf("WWW-Authenticate = %q, want %q", have, want)
			}
			if reached := len(g.agent.requests()) > before; reached != (test.status == 200) {
				t.Errorf("reached the agent: %v", reached)
			}
		})
	}
	for _, secret := range []apikey.Key{crm, second, batch, off, foreign, stranger, old} {
		everything := g.logs.String() + g.private("/metrics").body + g.private("/state").body
		if strings.Contains(everything, secret.Reveal()[13:]) || strings.Contains(everything, secret.Hash().String()[7:]) {
			t.Error("a key or its hash is in logs, metrics or state")
		}
	}
}

func TestAnAPIKeyIsToldToTheAgentByItsClientID(t *testing.T) {
	crm, batch := newKey(t), newKey(t)
	g := start(t, setup{policy: fmt.Sprintf(keyPolicy, "") +
		keyDocument("crm", "  scopes: ['agents:run', 'a:b']\n  claims: {tenant_id: 'Zoë', plan: gold, sub: svc-1, email: a@b.example}\n", crm) +
		keyDocument("batch", "", batch)})
	lies := []string{
		"X-Auth-Client", "root", "X_Auth_Client", "root", "x.auth.client", "root", "X-Auth-Subject", "root", "X_Plan", "root", "X-Plan", "root",
		"X-User-ID", "root", "Connection", "X-Auth-Client, X-API-Key, X-Plan", "X_API_Key", "root", "X.Api.Key", "root",
	}
	for sentence, test := range map[string]struct {
		header []string
		target string
		want   map[string]string
	}{
		"a client with scopes and claims": {[]string{"X-API-Key", crm.Reveal()}, "/", map[string]string{
			"X-Auth-Client": "crm", "X-Auth-Scopes": `["agents:run","a:b"]`, "X-Auth-Tenant": "Zo%C3%AB",
			"X-Plan": "gold", "X-Auth-Subject": "svc-1", "X-Auth-Email": "a@b.example",
		}},
		"a client with nothing": {[]string{"X-API-Key", batch.Reveal()}, "/", map[string]string{"X-Auth-Client": "batch"}},
		"a token":               {[]string{"Authorization", bearer(mint(t, map[string]any{"plan": "free"}))}, "/", map[string]string{"X-Auth-Subject": "u-1", "X-Plan": "free", "X-Auth-Provider": "local"}},
		"an exempt route":       {[]string{"X-API-Key", crm.Reveal()}, "/health", map[string]string{}},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := g.do("GET", test.target, nil, append(slices.Clone(lies), test.header...)...); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			got := map[string]string{}
			for name, values := range g.agent.last(t).Header {
				folded := fold(name)
				if folded == "x-api-key" || folded == "x-user-id" {
					t.Errorf("%s reached the agent: %q", name, values)
				}
				if (strings.HasPrefix(folded, "x-auth-") || folded == "x-plan") && name != "X-Auth-Expires" {
					got[name] = strings.Join(values, "|")
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("identity (-want +got)\n%s", diff)
			}
		})
	}
}

// With sanitize: false the key goes on to the agent if it was verified in this
// very request, in the spelling that was looked at, and otherwise does not.
func TestAKeyGoesOnOnlyVerified(t *testing.T) {
	crm, stranger := newKey(t), newKey(t)
	g := start(t, setup{policy: fmt.Sprintf(keyPolicy, ", sanitize: false, extractFrom: [{header: x-crm-key}, {header: X-Other}], forwardClientIDHeader: X-Caller") +
		"  responses: {apiKeyFailureStatus: 403}\n" + keyDocument("crm", "", crm)})
	for sentence, test := range map[string]struct {
		target string
		header []string
		status int
		want   map[string]string
	}{
		"verified":                          {"/", []string{"X-Crm-Key", crm.Reveal()}, 200, map[string]string{"X-Crm-Key": crm.Reveal(), "X-Caller": "crm"}},
		"verified in the other header":      {"/", []string{"X-Other", crm.Reveal()}, 200, map[string]string{"X-Other": crm.Reveal(), "X-Caller": "crm"}},
		"verified, and named in Connection": {"/", []string{"X-Crm-Key", crm.Reveal(), "Connection", "X-Crm-Key, X-Caller"}, 200, map[string]string{"X-Crm-Key": crm.Reveal(), "X-Caller": "crm"}},
		"beside another spelling":           {"/", []string{"X-Crm-Key", crm.Reveal(), "X_Crm_Key", stranger.Reveal(), "X_Caller", "root"}, 200, map[string]string{"X-Crm-Key": crm.Reveal(), "X-Caller": "crm"}},
		"on an exempt route":                {"/health", []string{"X-Crm-Key", crm.Reveal(), "X-Caller", "root"}, 200, map[string]string{}},
		"beside a token":                    {"/", []string{"X-Crm-Key", crm.Reveal(), "Authorization", bearer(mint(t, nil))}, 400, nil},
		"in both headers":                   {"/", []string{"X-Crm-Key", crm.Reveal(), "X-Other", crm.Reveal()}, 400, nil},
		"of nobody":                         {"/", []string{"X-Crm-Key", stranger.Reveal()}, 403, nil},
		"another key is the agent's":        {"/health", []string{"X-API-Key", "of the agent"}, 200, map[string]string{"X-Api-Key": "of the agent"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			before := len(g.agent.requests())
			got := g.do("GET", test.target, nil, test.header...)
			if got.status != test.status {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if test.want == nil {
				if len(g.agent.requests()) > before {
					t.Error("it reached the agent")
				}
				if got.status == 403 && (!strings.Contains(got.body, `"detail":"Forbidden"`) || len(got.header.Values("Www-Authenticate")) > 0) {
					t.Errorf("%s %q", got.body, got.header)
				}
				return
			}
			have := map[string]string{}
			for name, values := range g.agent.last(t).Header {
				switch fold(name) {
				case "x-crm-key", "x-other", "x-caller", "x-api-key":
					have[name] = strings.Join(values, "|")
				}
			}
			if diff := cmp.Diff(test.want, have); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A policy of API keys alone names them in its answers, and takes no token.
func TestAPolicyOfAPIKeysAlone(t *testing.T) {
	crm := newKey(t)
	policy := "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: chat}\nspec: {apiKeyAuth: {credentialSelector: {}}}\n"
	g := start(t, setup{policy: policy + keyDocument("crm", "", crm)})
	for sentence, test := range map[string]struct {
		header []string
		status int
	}{
		"its key": {[]string{"X-API-Key", crm.Reveal()}, 200},
		"a token": {[]string{"Authorization", bearer(mint(t, nil))}, 401},
		"no key":  {nil, 401},
		"its key, with a token that nobody looks at": {[]string{"X-API-Key", crm.Reveal(), "Authorization", bearer(mint(t, nil))}, 200},
	} {
		got := g.do("GET", "/", nil, test.header...)
		if got.status != test.status || test.status == 401 && got.header.Get("Www-Authenticate") != "APIKey" {
			t.Errorf("%s: %d %q", sentence, got.status, got.header.Get("Www-Authenticate"))
		}
	}
	if token := g.agent.last(t).Header.Get("Authorization"); token != "" {
		t.Errorf("a token that nobody verified reached the agent: %q", token)
	}
}

func TestAPIKeysAreCountedAndLoggedByClient(t *testing.T) {
	crm, old, stranger := newKey(t), newKey(t), newKey(t)
	expired := strings.Replace(keyDocument("old", "", old), "'}", "', expiresAt: 2026-01-01T00:00:00Z}", 1)
	g := start(t, setup{policy: fmt.Sprintf(keyPolicy, "") + keyDocument("crm", "", crm) + expired})
	for _, text := range []string{crm.Reveal(), crm.Reveal(), old.Reveal(), stranger.Reveal(), "nonsense", "unknown\" 1"} {
		g.do("GET", "/", nil, "X-API-Key", text)
	}
	for series, want := range map[string]string{
		`gatepost_api_key_requests_total{client="crm",result="ok"}`:                       "2",
		`gatepost_api_key_requests_total{client="old",result="api_key_expired"}`:          "1",
		`gatepost_api_key_requests_total{client="unknown",result="api_key_invalid"}`:      "3",
		`gatepost_requests_total{decision="deny",policy="chat",reason="api_key_expired"}`: "1",
		`gatepost_requests_total{decision="deny",policy="chat",reason="api_key_invalid"}`: "3",
		`gatepost_requests_total{decision="allow",policy="chat",reason="ok"}`:             "2",
	} {
		if got := g.metric(series); got != want {
			t.Errorf("%s = %s, want %s", series, got, want)
		}
	}
	if logs := g.logs.String(); strings.Count(logs, `"client":"crm"`) != 2 || strings.Count(logs, `"client":"old"`) != 1 {
		t.Errorf("the log does not say which client it was:\n%s", logs)
	}
}

// A client that is suspended, removed, or whose key is taken away is shut out
// with the next reload, and its series go; a file that is wrong changes nothing.
func TestAReloadRevokesAKey(t *testing.T) {
	crm, next := newKey(t), newKey(t)
	base := fmt.Sprintf(keyPolicy, "")
	g := start(t, setup{policy: base + keyDocument("crm", "", crm)})
	status := func(k apikey.Key) int { return g.do("GET", "/", nil, "X-API-Key", k.Reveal()).status }
	becomes := func(policy string, key apikey.Key, want int) {
		t.Helper()
		g.write("policy.yaml", policy)
		await(t, fmt.Sprintf("the key is answered %d", want), func() bool { return status(key) == want })
	}
	if status(crm) != 200 {
		t.Fatal("the key is not let in")
	}
	becomes(base+keyDocument("crm", "  suspend: true\n", crm), crm, 401)
	becomes(base+keyDocument("crm", "", crm, next), next, 200)
	becomes(base+keyDocument("crm", "", next), crm, 401)
	if status(next) != 200 {
		t.Error("the key that remains is refused")
	}
	g.write("policy.yaml", base+keyDocument("crm", "", next)+keyDocument("erp", "", crm, newKey(t), newKey(t)))
	await(t, "three live values are refused", func() bool { return strings.Contains(g.logs.String(), "at most 2 may be live at once") })
	if status(next) != 200 || status(crm) != 401 {
		t.Error("a file that is wrong changed something")
	}
	becomes(base+keyDocument("erp", "", crm), next, 401)
	if series := g.private("/metrics").body; strings.Contains(series, `client="crm"`) {
		t.Error("the series of a client that is gone are still there")
	}
}

// The series stay bounded however many clients there are.
func TestOnlySoManyClientsHaveSeries(t *testing.T) {
	var documents strings.Builder
	keys := make([]apikey.Key, maxCountedClients+20)
	for i := range keys {
		keys[i] = newKey(t)
		documents.WriteString(keyDocument(fmt.Sprintf("client-%04d", i), "", keys[i]))
	}
	g := start(t, setup{policy: fmt.Sprintf(keyPolicy, "") + documents.String()})
	for _, key := range keys {
		if got := g.do("GET", "/", nil, "X-API-Key", key.Reveal()); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if n := strings.Count(g.private("/metrics").body, "gatepost_api_key_requests_total{"); n != maxCountedClients+1 {
		t.Errorf("%d series", n)
	}
	if got := g.metric(`gatepost_api_key_requests_total{client="other",result="ok"}`); got != "20" {
		t.Errorf("other = %s", got)
	}
}

// A stream ends with the key that opened it, as one does with its token.
func TestAStreamEndsWithItsKey(t *testing.T) {
	crm := newKey(t)
	soon := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339)
	expiring := strings.Replace(keyDocument("crm", "", crm), "'}", "', expiresAt: "+soon+"}", 1)
	agent := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	g := start(t, setup{agent: agent, policy: fmt.Sprintf(keyPolicy, "") + "  streaming: {onTokenExpiry: Close}\n" + expiring})
	began := time.Now()
	reply := g.raw("GET / HTTP/1.1\r\nHost: a\r\nX-Unrecorded: 1\r\nX-API-Key: " + crm.Reveal() + "\r\n\r\n")
	if !strings.HasPrefix(reply, "HTTP/1.1 200") || time.Since(began) > 15*time.Second {
		t.Fatalf("after %s: %q", time.Since(began), reply)
	}
	if got := g.do("GET", "/", nil, "X-API-Key", crm.Reveal()); got.status != 401 {
		t.Errorf("the expired key is answered %d", got.status)
	}
}

// misspelled is the key with another last letter.
func misspelled(key string) string {
	last := "a"
	if strings.HasSuffix(key, last) {
		last = "b"
	}
	return key[:len(key)-1] + last
}
