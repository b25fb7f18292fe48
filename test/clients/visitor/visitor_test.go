package visitor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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
	issuer := startIssuer(t, fmt.Sprintf(issuerDocument, visitor.IssuerHost, visitor.AgentHost, site.Origin), secret)
	agent, _ := live.Uvicorn(t, "../../../examples/fastapi", "main:app")
	reply := request(t, "http://"+issuer+"/.well-known/jwks.json")
	guard := live.Start(t, live.Setup{
		Policy:   fmt.Sprintf(policyDocument, visitor.IssuerHost, visitor.AgentHost, site.Origin),
		Keys:     map[string][]byte{"issued/jwks.json": reply.Body},
		Upstream: agent,
	})
	seen := site.Visit(t, visitor.Places{Issuer: issuer, Agent: guard.Address, SessionSecret: secret})
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
  tokenLifetime: 10s
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

// startIssuer runs the built issuer with a fresh key and returns its address.
func startIssuer(t *testing.T, document string, sessionSecret []byte) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"issuer.yaml":               []byte(document),
		"keys/issued/current":       pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"keys/site-session/current": sessionSecret,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := live.FreeAddress(t)
	command := exec.CommandContext(context.WithoutCancel(t.Context()), live.Build(t, "issuer"),
		"--issuer", filepath.Join(dir, "issuer.yaml"), "--keys", filepath.Join(dir, "keys"), "--listen", address, "--admin", live.FreeAddress(t))
	live.Run(t, command).AwaitListening(t, address)
	return address
}

func request(t *testing.T, url string) live.Reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return live.Do(t, req)
}
