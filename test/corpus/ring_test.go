package corpus_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/corpus"
)

// ring holds the keys of an archive's providers and clients, and signs with
// nothing but the standard library.
type ring struct {
	archive *corpus.Archive
	spec    policy.Spec
	audit   bool
	files   map[string][]byte
	signers map[string]signer
}

// signer signs tokens of one provider.
type signer struct {
	provider *policy.Provider
	secret   []byte
	private  *ecdsa.PrivateKey
}

func newRing(t *testing.T, a *corpus.Archive) *ring {
	t.Helper()
	compiled, err := policy.Compile(document(t, a).Spec)
	if err != nil {
		t.Fatal(err)
	}
	r := &ring{archive: a, spec: compiled.Spec(), files: map[string][]byte{}, signers: map[string]signer{}}
	r.audit = r.spec.Mode == policy.ModeAudit
	if r.spec.JWT == nil {
		return r
	}
	for i := range r.spec.JWT.Providers {
		r.add(t, &r.spec.JWT.Providers[i])
	}
	return r
}

// add makes the keys of one provider.
func (r *ring) add(t *testing.T, p *policy.Provider) {
	t.Helper()
	s := signer{provider: p, secret: make([]byte, 64)}
	if _, err := rand.Read(s.secret); err != nil {
		t.Fatal(err)
	}
	switch {
	case p.SecretRef != nil:
		r.files[p.SecretRef.Name+"/"+p.SecretRef.Keys[0]] = s.secret
	case p.SigningKeyRef != nil && p.Algorithms[0] == "ES256":
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		s.private = private
		r.files[p.SigningKeyRef.Name+"/jwks.json"] = fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","kid":"k","x":%q,"y":%q}]}`,
			encode(point[1:33]), encode(point[33:]))
	default:
		t.Fatalf("no keys are made for provider %s", p.Name)
	}
	r.signers[p.Name] = s
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// token signs claims, with what the provider asks for beside them.
func (s signer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix(), "sub": "7"}
	if len(s.provider.Issuers) > 0 {
		all["iss"] = s.provider.Issuers[0]
	}
	if len(s.provider.Audiences) > 0 {
		all["aud"] = s.provider.Audiences[0]
	}
	maps.Copy(all, claims)
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	alg := string(s.provider.Algorithms[0])
	signed := encode(fmt.Appendf(nil, `{"alg":%q,"typ":"JWT"}`, alg)) + "." + encode(payload)
	return signed + "." + encode(s.sign(t, alg, signed))
}

func (s signer) sign(t *testing.T, alg, text string) []byte {
	t.Helper()
	if s.private != nil {
		digest := sha256.Sum256([]byte(text))
		r, v, err := ecdsa.Sign(rand.Reader, s.private, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
	}
	sum := hmac.New(map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}[alg], s.secret)
	_, _ = sum.Write([]byte(text))
	return sum.Sum(nil)
}

// request is the head of a case's request, as its client sends it.
func (r *ring) request(t *testing.T, c *corpus.Case) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n", c.Request.Method, c.Request.Path)
	for name, values := range c.Request.Headers {
		for _, value := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	switch p := c.Principal; {
	case p == nil:
	case p.APIKey != "":
		key, ok := r.archive.Keys[p.APIKey]
		if !ok {
			t.Fatalf("%s: there is no file %s.key", c.Name, p.APIKey)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", r.spec.APIKeyAuth.ExtractFrom[0].Header, key)
	default:
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", r.signers[p.Provider].token(t, p.Claims))
	}
	b.WriteString("\r\n")
	return b.String()
}
