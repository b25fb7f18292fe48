// Package issuer holds the built issuer, as a process of its own, against clients that
// are not ours (PyJWT, jose, jsonwebtoken, go-oidc, oauth2) and against callers who mean
// no good: docs/hardening.md lists which test stands for which threat.
package issuer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

const (
	chat = "https://chat.example.com"
	crm  = "https://crm.example.com"
	app  = "https://app.example.com" // the page

	// The passwords of users, made by others: by bcryptjs and hash-wasm.
	horse      = "correct horse"
	umlauts    = "ünïcödé ✓"
	adaBcrypt  = "ada:$2b$10$UE/NeKhSDBnrV1Wgxz13ZO2uZFrjtws/mWjzeq8bahak/GK9Yh0Ve\n" // horse
	bobBcrypt  = "bob:$2b$10$V0cAyzLzUzX5UfoUDi2bCuywvLBGd5doBZ8HmV0PDZRpznvv5xtBe\n" // umlauts
	cydArgon2  = "cyd:$argon2id$v=19$m=19456,t=2,p=1$c2l4dGVlbiBieXRlcyBvaw$Oq6NUf8oUawuVWIqWRRrB80MYlKfkN6Nm4K6m5hBrTw\n"
	danArgon2  = "dan:$argon2id$v=19$m=65536,t=3,p=4$c2l4dGVlbiBieXRlcyBvaw$eXnigS77mq3GGy8kBvGmzH5+ruZ3IbtGXuP8vB35yLg\n"
	hmacSecret = "an HMAC secret of this test, thirty-two bytes or more"
)

// document is an issuer with every grant and one client; its key is agent.
const document = `apiVersion: gatepost.dev/v1alpha1
kind: TokenIssuer
metadata: {name: auth, namespace: agents}
spec:
  issuer: "{issuer}"
  signingKeyRef: {name: agent}
  tokenLifetime: 1m
  audiences: [` + chat + `, ` + crm + `]
  grants: [Session, ClientCredentials, Password, TokenExchange, RefreshToken]
  session:
    providers:
    - {name: site, issuers: ["https://site.example.com"], algorithms: [HS256], secretRef: {name: site, keys: [current]}, extractFrom: {cookie: session}}
    scopes: ["agents:run"]
  clients: {credentialSelector: {}}
  password: {usersSecretRef: {name: users, key: htpasswd}, scopes: ["agents:run", "agents:read"]}
  legacyPasswordGrant: true
  tokenExchange: {sessions: true}
  refreshToken: {lifetime: 1h, reuseGrace: 2s}
  claims: [{name: role, value: teacher}, {name: email, from: email}]
  cors: {allowOrigins: ["` + app + `"], allowCredentials: true}
  rateLimit: {perClient: 100000/s, perIP: 100000/s}
  replicas: 1
`

// client is an OAuth client of the document: the APIKey crm.
type client struct {
	id, secret string
	document   string
}

func newClient(t testing.TB) client {
	t.Helper()
	key, err := apikey.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return client{"crm", key.Reveal(), fmt.Sprintf(`---
apiVersion: gatepost.dev/v1alpha1
kind: APIKey
metadata: {name: crm}
spec:
  clientID: crm
  scopes: ["agents:run", "agents:admin"]
  claims: {tenant_id: t-1}
  values: [{name: v1, keyHash: "%s"}]
`, key.Hash())}
}

// stage is an issuer with the document and one client.
type stage struct {
	*live.Issuer

	client client
	t      testing.TB
}

// start runs the issuer; change edits its setup first.
func start(t testing.TB, change func(*live.IssuerSetup)) *stage {
	t.Helper()
	client := newClient(t)
	setup := live.IssuerSetup{
		Document: document + client.document,
		Keys: map[string][]byte{
			"agent/current": privateKey(t, "ES256"),
			"site/current":  []byte("the site's secret, of thirty-two bytes or more"),
		},
		Users: adaBcrypt + bobBcrypt,
	}
	if change != nil {
		change(&setup)
	}
	return &stage{live.StartIssuer(t, setup), client, t}
}

// privateKey is a fresh key for an algorithm, in PEM.
func privateKey(t testing.TB, alg string) []byte {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of the connection

	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
	IssuedType   string `json:"issued_token_type"`
	Token        string `json:"token"`
	Error        string `json:"error"`
	Description  string `json:"error_description"`
	Detail       string `json:"detail"`
}

// caller speaks from one loopback address, with connections of its own.
type caller struct{ http *http.Client }

// from is the caller at 127.0.a.b: each address is a source of its own.
func from(n int) caller {
	local := &net.TCPAddr{IP: net.IPv4(127, byte(n>>16), byte(n>>8), byte(n))}
	dialer := &net.Dialer{LocalAddr: local, Timeout: 30 * time.Second}
	return caller{&http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true},
		Timeout:   60 * time.Second,
	}}
}

// anyone is a caller that keeps its connections.
func anyone() caller { return caller{&http.Client{Timeout: 60 * time.Second}} }

// send sends a request and reads the answer.
func (c caller) send(ctx context.Context, method, url string, body io.Reader, header http.Header) answer {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return answer{err: err}
	}
	maps.Copy(request.Header, header)
	response, err := c.http.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	a := answer{status: response.StatusCode, header: response.Header}
	if a.body, a.err = io.ReadAll(response.Body); a.err == nil && bytes.HasPrefix(a.body, []byte("{")) {
		a.err = json.Unmarshal(a.body, &a)
	}
	return a
}

// form posts a form to a path of the issuer.
func (s *stage) form(c caller, path string, values url.Values, header ...string) answer {
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	a := c.send(s.t.Context(), http.MethodPost, s.URL+path, strings.NewReader(values.Encode()), h)
	if a.err != nil {
		s.t.Errorf("POST %s: %v", path, a.err)
	}
	return a
}

// login asks for a token by name and password.
func (s *stage) login(c caller, name, password string) answer {
	return s.form(c, "/token", url.Values{"grant_type": {"password"}, "username": {name}, "password": {password}})
}

// refresh uses a refresh token.
func (s *stage) refresh(token string) answer {
	return s.form(anyone(), "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// must stops the test if an answer is not one.
func (s *stage) must(a answer, status int) answer {
	s.t.Helper()
	if a.err != nil || a.status != status {
		s.t.Fatalf("%d %s %v, want %d", a.status, a.body, a.err, status)
	}
	return a
}
