package token_test

import (
	"compress/gzip"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// fetchOnce fetches from a real server over loopback and returns the report of
// the first fetch.
func fetchOnce(t *testing.T, cfg token.RemotesConfig, wire policy.RemoteJWKS) token.Fetch {
	t.Helper()
	reports := make(chan token.Fetch, 16)
	cfg.OnFetch = func(f token.Fetch) { reports <- f }
	remotes := token.NewRemotes(cfg)
	defer remotes.Close()
	remotes.Use(verifier(t, remoteProvider(t, remotes, "id", wire)))
	select {
	case report := <-reports:
		return report
	case <-time.After(20 * time.Second):
		t.Fatal("no fetch was reported within 20s")
		return token.Fetch{}
	}
}

func insecure(uri string) policy.RemoteJWKS {
	return policy.RemoteJWKS{URI: uri, AllowInsecureHTTP: true}
}

// TestFetchBounds is D5: what a key server may answer.
func TestFetchBounds(t *testing.T) {
	key := generate(t, "ES256", "k1")
	document, err := token.PublicJWKS([]token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	padded := func(size int) string { return string(document) + strings.Repeat(" ", size-len(document)) }
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		_, _ = w.Write(document)
	}))
	defer other.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding = %q", got)
		}
		_, _ = w.Write(document)
	})
	mux.HandleFunc("/mebibyte", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(padded(1 << 20))) })
	mux.HandleFunc("/more", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(padded(1<<20 + 1))) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range 200 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range 64 {
			_, _ = zip.Write(chunk)
		}
		_ = zip.Close()
	})
	mux.HandleFunc("/heads", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("a", 128<<10))
		_, _ = w.Write(document)
	})
	mux.Handle("/here", http.RedirectHandler("/ok", http.StatusFound))
	mux.Handle("/elsewhere", http.RedirectHandler(other.URL+"/jwks", http.StatusFound))
	mux.Handle("/metadata", http.RedirectHandler("http://169.254.169.254/latest/meta-data", http.StatusFound))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	mux.HandleFunc("/created", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(document)
	})
	mux.HandleFunc("/rubbish", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	server := httptest.NewServer(mux)
	defer server.Close()

	for name, tc := range map[string]struct {
		path string
		want token.FetchResult
	}{
		"a good answer":                {"/ok", token.FetchOK},
		"a mebibyte":                   {"/mebibyte", token.FetchOK},
		"a byte more":                  {"/more", token.FetchTooLarge},
		"two hundred mebibytes":        {"/endless", token.FetchTooLarge},
		"a compressed answer, unasked": {"/bomb", token.FetchInvalid},
		"a head of 128 KiB":            {"/heads", token.FetchFailed},
		"a redirect to the same host":  {"/here", token.FetchOK},
		"a redirect to another host":   {"/elsewhere", token.FetchFailed},
		"a redirect to metadata":       {"/metadata", token.FetchFailed},
		"a redirect to itself":         {"/round", token.FetchFailed},
		"201":                          {"/created", token.FetchStatus},
		"404":                          {"/nowhere", token.FetchStatus},
		"rubbish":                      {"/rubbish", token.FetchInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			got := fetchOnce(t, token.RemotesConfig{}, insecure(server.URL+tc.path))
			if got.Result != tc.want || (got.Err == nil) != (tc.want == token.FetchOK) {
				t.Errorf("result = %q (%v), want %q", got.Result, got.Err, tc.want)
			}
			if got.Err != nil && strings.Contains(got.Err.Error(), "127.0.0.1") && strings.Contains(got.Err.Error(), tc.path) {
				t.Errorf("the error holds the address: %v", got.Err)
			}
		})
	}
	if elsewhere.Load() != 0 {
		t.Error("another host was asked")
	}
}

// TestEndlessAnswerCostsLittle: memory stays bounded whatever is sent.
func TestEndlessAnswerCostsLittle(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := []byte(strings.Repeat("[", 1<<20))
		for range 200 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fetchOnce(t, token.RemotesConfig{}, insecure(server.URL))
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d bytes were allocated for one fetch", grown)
	}
}

// TestFetchOverTLS: certificates are checked, and loopback needs its permission
// over https too.
func TestFetchOverTLS(t *testing.T) {
	key := generate(t, "ES256", "k1")
	document, err := token.PublicJWKS([]token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) }))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	trusting := token.WithRoots(token.RemotesConfig{}, roots)
	for name, tc := range map[string]struct {
		cfg  token.RemotesConfig
		wire policy.RemoteJWKS
		want token.FetchResult
	}{
		"a trusted certificate":       {trusting, insecure(server.URL), token.FetchOK},
		"loopback without permission": {trusting, policy.RemoteJWKS{URI: server.URL}, token.FetchRefused},
		"an unknown certificate":      {token.RemotesConfig{}, insecure(server.URL), token.FetchFailed},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fetchOnce(t, tc.cfg, tc.wire); got.Result != tc.want {
				t.Errorf("result = %q (%v), want %q", got.Result, got.Err, tc.want)
			}
		})
	}
}

// TestNobodyThere: a server that refuses connections.
func TestNobodyThere(t *testing.T) {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	uri := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if got := fetchOnce(t, token.RemotesConfig{}, insecure(uri)); got.Result != token.FetchFailed {
		t.Errorf("result = %q (%v)", got.Result, got.Err)
	}
}

// TestAddresses: what the dialer refuses after resolution.
func TestAddresses(t *testing.T) {
	own := netip.MustParseAddr("10.1.2.3")
	for name, tc := range map[string]struct {
		address  string
		loopback bool
		refused  bool
	}{
		"a public address":                  {"93.184.216.34:443", false, false},
		"a cluster address":                 {"10.96.0.10:443", false, false},
		"a unique local IPv6 address":       {"[fd12:3456::1]:443", false, false},
		"loopback":                          {"127.0.0.1:443", false, true},
		"loopback where it is allowed":      {"127.0.0.1:443", true, false},
		"all of loopback":                   {"127.9.9.9:443", false, true},
		"loopback over IPv6":                {"[::1]:443", false, true},
		"loopback as a mapped address":      {"[::ffff:127.0.0.1]:443", false, true},
		"loopback through NAT64":            {"[64:ff9b::7f00:1]:443", false, true},
		"the unspecified address":           {"0.0.0.0:443", true, true},
		"the unspecified IPv6 address":      {"[::]:443", true, true},
		"metadata":                          {"169.254.169.254:80", true, true},
		"metadata as a mapped address":      {"[::ffff:169.254.169.254]:80", true, true},
		"metadata through NAT64":            {"[64:ff9b::a9fe:a9fe]:80", true, true},
		"metadata of ECS tasks":             {"169.254.170.2:80", true, true},
		"metadata of AWS over IPv6":         {"[fd00:ec2::254]:80", true, true},
		"metadata of Google over IPv6":      {"[fd20:ce::254]:80", true, true},
		"metadata of Alibaba":               {"100.100.100.200:80", true, true},
		"Azure's wire server":               {"168.63.129.16:80", true, true},
		"link-local over IPv6":              {"[fe80::1%eth0]:443", true, true},
		"multicast":                         {"224.0.0.1:443", true, true},
		"the pod's own address":             {"10.1.2.3:443", true, true},
		"the pod's own as a mapped address": {"[::ffff:10.1.2.3]:443", true, true},
		"no address":                        {"id.example:443", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := token.RefusesAddress(tc.address, tc.loopback, own); got != tc.refused {
				t.Errorf("refused = %v, want %v", got, tc.refused)
			}
		})
	}
}
