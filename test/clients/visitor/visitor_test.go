package visitor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"gatepost.dev/gatepost/test/clients/visitor"
	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

// The same minute in a cluster is TestBrowserFlow of test/e2e.
func TestAVisitorsMinute(t *testing.T) {
	t.Parallel()
	site := visitor.Start(t, "../../..", nil)
	secret := []byte(rand.Text() + rand.Text())
	issuer := live.StartIssuer(t, live.IssuerSetup{
		Document: fmt.Sprintf(issuerDocument, visitor.IssuerHost, visitor.Lifetime, visitor.AgentHost, site.Origin),
		Keys:     map[string][]byte{"issued/current": newKey(t), "site-session/current": secret},
	})
	agent, _ := live.Uvicorn(t, "../../../examples/fastapi", "main:app")
	reply := request(t, issuer.URL+"/.well-known/jwks.json")
	guard := live.Start(t, live.Setup{
		Policy:   fmt.Sprintf(policyDocument, visitor.IssuerHost, visitor.AgentHost, site.Origin),
		Keys:     map[string][]byte{"issued/jwks.json": reply.Body},
		Upstream: agent,
	})
	seen := site.Visit(t, visitor.Places{Issuer: strings.TrimPrefix(issuer.URL, "http://"), Agent: guard.Address, SessionSecret: secret})
	t.Logf("the page's requests:\n%s", strings.Join(seen.Requests, "\n"))
	seen.Judge(t)
	live.Figure("visitor_expired_told", seen.Times("POST "+visitor.AgentHost+"/agent 401"), "answers")
	live.Figure("visitor_refreshes", seen.Times(visitor.Refresh), "refreshes")
}

const issuerDocument = `
apiVersion: gatepost.dev/v1alpha1
kind: TokenIssuer
metadata: {name: site}
spec:
  issuer: https://%s
  signingKeyRef: {name: issued}
  tokenLifetime: %s
  audiences: [https://%s]
  grants: [Session]
  session:
    providers:
    - name: site
      algorithms: [HS256]
      secretRef: {name: site-session, keys: [current]}
      extractFrom: {cookie: session}
  claims: [{name: role, value: teacher}]
  cors: {allowOrigins: ["%s"], allowCredentials: true}
`

const policyDocument = `
apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: chat}
spec:
  jwt:
    providers:
    - name: issuer
      issuers: [https://%s]
      audiences: [https://%s]
      algorithms: [ES256]
      signingKeyRef: {name: issued}
      clockSkew: 0s
  cors: {allowOrigins: ["%s"]}
`

// newKey is a private key as the issuer reads it.
func newKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func request(t *testing.T, url string) live.Reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return live.Do(t, req)
}
