package token_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// authority is a certificate authority of a test.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	return authority{key: key, certificate: certificate}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// serve answers over TLS on loopback with a certificate of the authority.
func (a authority) serve(t *testing.T, document []byte) *httptest.Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	must(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// TestOwnCertificates: caBundleRef says whom to trust, instead of the system.
func TestOwnCertificates(t *testing.T) {
	document, err := token.PublicJWKS([]token.Key{generate(t, "ES256", "k1")})
	must(t, err)
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	server := ours.serve(t, document)
	for name, tc := range map[string]struct {
		bundle []byte
		want   token.FetchResult
	}{
		"the authority":                   {ours.pem(), token.FetchOK},
		"the authority beside another":    {append(theirs.pem(), ours.pem()...), token.FetchOK},
		"another authority":               {theirs.pem(), token.FetchFailed},
		"the system's, which have not it": {nil, token.FetchFailed},
	} {
		t.Run(name, func(t *testing.T) {
			got := fetchOnceBy(t, token.RemotesConfig{}, insecure(server.URL), tc.bundle)
			if got.Result != tc.want {
				t.Errorf("result = %q (%v), want %q", got.Result, got.Err, tc.want)
			}
			if got.Err != nil && !strings.HasSuffix(got.Err.Error(), "signed by unknown authority: name your CA in caBundleRef") {
				t.Errorf("the error does not say what to do: %v", got.Err)
			}
		})
	}
}

// TestCertificatesRotate: a set belongs to the certificates it was fetched under,
// whatever stands around them.
func TestCertificatesRotate(t *testing.T) {
	key := generate(t, "ES256", "k1")
	document, err := token.PublicJWKS([]token.Key{key})
	must(t, err)
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	server := ours.serve(t, document)
	reports := make(chan token.Fetch, 100)
	remotes := token.NewRemotes(token.RemotesConfig{OnFetch: func(f token.Fetch) { reports <- f }})
	defer remotes.Close()
	use := func(bundle []byte) *token.Verifier {
		v := verifier(t, remoteProviderBy(t, remotes, insecure(server.URL), bundle))
		remotes.Use(v)
		return v
	}
	use(ours.pem())
	if got := next(t, reports); got.Result != token.FetchOK {
		t.Fatalf("first fetch: %q (%v)", got.Result, got.Err)
	}
	v := use(append([]byte("# the same, with a comment\n"), ours.pem()...))
	got, _ := judgeBy(t, t.Context(), v, key, nil)
	wantReason(t, got, policy.OK)
	v = use(theirs.pem())
	if got := next(t, reports); got.Result != token.FetchFailed {
		t.Errorf("under other certificates: %q", got.Result)
	}
	got, _ = judgeBy(t, t.Context(), v, key, nil)
	wantReason(t, got, policy.KeysUnavailable)
	v = use(append(ours.pem(), theirs.pem()...))
	got, _ = judgeBy(t, t.Context(), v, key, nil)
	wantReason(t, got, policy.OK)
}

// TestParseCABundle: what is in the way is said.
func TestParseCABundle(t *testing.T) {
	good := newAuthority(t, "ours").pem()
	block := func(kind string) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("bytes")}) }
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"a certificate":                 {good, ""},
		"two, with text around them":    {bytes.Join([][]byte{[]byte("# ours\n"), good, []byte("\nand theirs\n"), good}, nil), ""},
		"with CRLF":                     {bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), ""},
		"nothing":                       {nil, "holds no certificate"},
		"text":                          {[]byte("certificate"), "holds no certificate"},
		"DER":                           {newAuthority(t, "ours").certificate.Raw, "holds no certificate"},
		"a private key beside it":       {append(bytes.Clone(good), block("EC PRIVATE KEY")...), `holds a block "EC PRIVATE KEY"`},
		"a certificate of rubbish":      {append(bytes.Clone(good), block("CERTIFICATE")...), "certificate 2 cannot be read"},
		"a certificate that is cut off": {append(bytes.Clone(good), good[:len(good)/2]...), "certificate 2 is cut off"},
		"257 certificates":              {bytes.Repeat(good, 257), "more than 256 certificates"},
		"too much":                      {bytes.Repeat([]byte(" "), 256<<10+1), "more than the 262144"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := token.ParseCABundle(tc.data)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}
