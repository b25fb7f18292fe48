package token_test

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
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
	return fetchOnceBy(t, cfg, wire, nil)
}

// fetchOnceBy trusts certificates of its own, if there are any.
func fetchOnceBy(t *testing.T, cfg token.RemotesConfig, wire policy.RemoteJWKS, bundle []byte) token.Fetch {
	t.Helper()
	reports := make(chan token.Fetch, 16)
	cfg.OnFetch = func(f token.Fetch) { reports <- f }
	remotes := token.NewRemotes(cfg)
	defer remotes.Close()
	remotes.Use(verifier(t, remoteProviderBy(t, remotes, wire, bundle)))
	return next(t, reports)
}

// next waits for the report of a fetch.
func next(t *testing.T, reports chan token.Fetch) token.Fetch {
	t.Helper()
	select {
	case report := <-reports:
		return report
	case <-time.After(20 * time.Second):
		t.Fatal("no fetch was reported within 20s")
		return token.Fetch{}
	}
}

// remoteProviderBy is remoteProvider with a caBundleRef, if there is one.
func remoteProviderBy(t *testing.T, remotes *token.Remotes, wire policy.RemoteJWKS, bundle []byte) token.Provider {
	t.Helper()
	if bundle == nil {
		return remoteProvider(t, remotes, "id", wire)
	}
	ca, err := token.ParseCABundle(bundle)
	if err != nil {
		t.Fatal(err)
	}
	wire.CABundleRef = &policy.CABundleRef{Name: "ca", Key: "ca.crt"}
	source, err := remotes.Source("id", wire, ca)
	if err != nil {
		t.Fatal(err)
	}
	made := remoteProvider(t, nil, "id", spec())
	made.Keys = source
	return made
}

// quiet discards what a server says of handshakes that are meant to fail.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func insecure(uri string) policy.RemoteJWKS {
	return policy.RemoteJWKS{URI: uri, AllowInsecureHTTP: true}
}

// gzipBomb is a gibibyte of blanks in a mebibyte: members of gzip one after
// another are one text.
func gzipBomb(t *testing.T) []byte {
	t.Helper()
	var member bytes.Buffer
	zip := gzip.NewWriter(&member)
	_, err := zip.Write(bytes.Repeat([]byte(" "), 1<<20))
	must(t, err)
	must(t, zip.Close())
	return bytes.Repeat(member.Bytes(), 1024)
}

// TestFetchBounds is D5: what a key server may answer.
func TestFetchBounds(t *testing.T) {
	key := generate(t, "ES256", "k1")
	document, err := token.PublicJWKS([]token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	padded := func(size int) string { return string(document) + strings.Repeat(" ", size-len(document)) }
	bomb := gzipBomb(t)
	var elsewhere, rounds atomic.Int64
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
		_, _ = w.Write(bomb)
	})
	mux.HandleFunc("/announced", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "209715200")
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("/many", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[` + strings.Repeat("{},", 300_000) + `{}]}`))
	})
	mux.HandleFunc("/heads", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("a", 128<<10))
		_, _ = w.Write(document)
	})
	mux.Handle("/here", http.RedirectHandler("/ok", http.StatusFound))
	mux.Handle("/elsewhere", http.RedirectHandler(other.URL+"/jwks", http.StatusFound))
	mux.Handle("/metadata", http.RedirectHandler("http://169.254.169.254/latest/meta-data", http.StatusFound))
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) {
		rounds.Add(1)
		http.Redirect(w, r, "/round", http.StatusFound)
	})
	mux.HandleFunc("/mislabelled", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(document)
	})
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
		"as many, announced":           {"/announced", token.FetchTooLarge},
		"a mebibyte of empty objects":  {"/many", token.FetchInvalid},
		"a compressed answer, unasked": {"/bomb", token.FetchInvalid},
		"an answer that says it is":    {"/mislabelled", token.FetchInvalid},
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
	if elsewhere.Load() != 0 || rounds.Load() > 4 {
		t.Errorf("another host was asked %d times, one that redirects to itself %d times", elsewhere.Load(), rounds.Load())
	}
}

// TestBadAnswersCostLittle: memory stays bounded whatever is sent.
func TestBadAnswersCostLittle(t *testing.T) {
	endless := strings.Repeat("[", 1<<20)
	for name, answer := range map[string]http.HandlerFunc{
		"an endless answer": func(w http.ResponseWriter, _ *http.Request) {
			for range 200 {
				if _, err := io.WriteString(w, endless); err != nil {
					return
				}
			}
		},
		"a mebibyte of empty objects": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[`+strings.Repeat("{},", 300_000)+`{}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			fetchOnce(t, token.RemotesConfig{}, insecure(server.URL))
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
				t.Errorf("%d bytes were allocated for one fetch", grown)
			}
		})
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
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) }))
	server.Config.ErrorLog = quiet()
	server.StartTLS()
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

// TestFetchIsLogged: operators search for these lines.
func TestFetchIsLogged(t *testing.T) {
	for name, c := range map[string]struct {
		fetch token.Fetch
		want  string
	}{
		"a good one says nothing": {token.Fetch{URI: "u", Result: token.FetchOK, Keys: 2}, ""},
		"a failure": {
			token.Fetch{URI: "u", Result: token.FetchFailed, Err: io.EOF},
			`level=WARN msg="remote key set was not fetched" uri=u result=error error=EOF` + "\n",
		},
		"one that is good again, without a key": {
			token.Fetch{URI: "u", Result: token.FetchOK, Keys: 2, Skipped: []error{io.EOF}, Recovered: true},
			`level=WARN msg="key of a remote key set is left out" uri=u error=EOF` + "\n" +
				`level=INFO msg="remote key set is fetched again" uri=u keys=2` + "\n",
		},
	} {
		var out strings.Builder
		c.fetch.Log(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
		wantEqual(t, name, out.String(), c.want)
	}
}
