package issuer

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/test/live"
	"gatepost.dev/gatepost/token"
)

// One page reads the answers of a sidecar and of an issuer, letter by letter: refused
// alike, a session is answered alike by both.
func TestSidecarAndIssuerAnswerAlike(t *testing.T) {
	t.Parallel()
	const (
		session = `{name: site, issuers: ["https://site.example.com"], algorithms: [HS256], secretRef: {name: site, keys: [current]}`
		origins = `  cors: {mode: Gateway, allowOrigins: ["` + app + `"], allowCredentials: true}` + "\n"
	)
	keys := map[string][]byte{"site/current": []byte(hmacSecret), "agent/current": privateKey(t, "ES256")}
	issuer := live.StartIssuer(t, live.IssuerSetup{Keys: keys, Document: "apiVersion: gatepost.dev/v1alpha1\nkind: TokenIssuer\nmetadata: {name: auth}\nspec:\n" +
		"  issuer: \"{issuer}\"\n  signingKeyRef: {name: agent}\n  audiences: [" + chat + "]\n  grants: [Session]\n  session: {providers: [" + session + "}]}\n" + origins})
	sidecar := live.Start(t, live.Setup{Keys: keys, Upstream: "127.0.0.1:1", Policy: "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: chat}\nspec:\n" +
		"  jwt: {providers: [" + session + "}]}\n" + origins})
	mint := func(secret string, change map[string]any) string {
		claims := map[string]any{"iss": "https://site.example.com", "sub": "u-1", "exp": time.Now().Unix() + 600}
		maps.Copy(claims, change)
		text, err := token.Mint(token.Key{Alg: "HS256", K: token.Secret(secret)}, nil, claims)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + text
	}
	for sentence, c := range map[string]struct {
		authorization []string
		status        int
	}{
		"nothing":             {nil, 401},
		"another scheme":      {[]string{"Basic YTpi"}, 401},
		"expired":             {[]string{mint(hmacSecret, map[string]any{"exp": 1000})}, 401},
		"another's signature": {[]string{mint(hmacSecret+"x", nil)}, 401},
		"another issuer":      {[]string{mint(hmacSecret, map[string]any{"iss": "https://evil.example"})}, 401},
		"no token":            {[]string{"Bearer a.b"}, 401},
		"two of them":         {[]string{mint(hmacSecret, nil), mint(hmacSecret, nil)}, 400},
		"too large":           {[]string{"Bearer " + strings.Repeat("a", token.DefaultMaxBytes+1)}, 431},
	} {
		t.Run(sentence, func(t *testing.T) {
			said := func(url string) said {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				request.Header["Authorization"], request.Header["Origin"] = c.authorization, []string{app}
				return saidBy(t, live.Do(t, request))
			}
			bySidecar, byIssuer := said(sidecar.URL+"/runs"), said(issuer.URL+"/api/get-token")
			if diff := cmp.Diff(bySidecar, byIssuer); diff != "" || byIssuer.Status != c.status {
				t.Errorf("%d, sidecar - issuer +:\n%s", byIssuer.Status, diff)
			}
		})
	}
}

// said is what a page reads in an answer.
type said struct {
	Status                                         int
	Challenge, Caching, Kind, Allowed, Credentials []string
	Body                                           map[string]any
}

func saidBy(t *testing.T, got live.Reply) said {
	t.Helper()
	s := said{
		Status: got.Status, Challenge: got.Header["Www-Authenticate"], Caching: got.Header["Cache-Control"], Kind: got.Header["Content-Type"],
		Allowed: got.Header["Access-Control-Allow-Origin"], Credentials: got.Header["Access-Control-Allow-Credentials"],
	}
	if err := json.Unmarshal(got.Body, &s.Body); err != nil {
		t.Fatalf("%v: %s", err, got.Body)
	}
	return s
}
