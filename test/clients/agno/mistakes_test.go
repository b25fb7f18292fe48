package agno_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
)

// behind puts a server of another's in front of the sidecar.
func (s *stage) behind(front func(http.ResponseWriter, *http.Request) bool) {
	s.t.Helper()
	to, err := url.Parse(s.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !front(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	s.t.Cleanup(server.Close)
	fronted := *s.Sidecar
	fronted.URL = server.URL
	s.Sidecar = &fronted
}

// testMistakes is where the texts come from that the guide to CORS quotes: what the
// browser's console says about each mistake.
func testMistakes(s *stage) {
	written, err := os.ReadFile("../../../docs/guides/cors.md")
	if err != nil {
		s.t.Fatal(err)
	}
	guide := strings.Join(strings.Fields(string(written)), " ")
	bearer := bearing(s.token(good))
	for name, c := range map[string]struct {
		edits []string
		from  string
		path  string
		init  map[string]any
		front func(http.ResponseWriter, *http.Request) bool // stands before the sidecar; true: it has answered
		says  string
	}{
		"an origin that is not listed": {
			from: "foreign", init: bearer,
			says: "Response to preflight request doesn't pass access control check: No 'Access-Control-Allow-Origin' header is present on the requested resource.",
		},
		"a request without preflight from there": {
			from: "foreign", path: "/health",
			says: "No 'Access-Control-Allow-Origin' header is present on the requested resource.",
		},
		"a header that is not listed": {
			init: map[string]any{"headers": map[string]any{"X-Trace": "1"}},
			says: "Request header field x-trace is not allowed by Access-Control-Allow-Headers in preflight response.",
		},
		"a method that is not listed": {
			edits: []string{"  cors:\n", "  cors:\n    allowMethods: [GET, POST]\n"},
			init:  map[string]any{"method": "DELETE"},
			says:  "Method DELETE is not allowed by Access-Control-Allow-Methods in preflight response.",
		},
		"credentials that the policy does not allow": {
			init: map[string]any{"credentials": "include"},
			says: "The value of the 'Access-Control-Allow-Credentials' header in the response is '' which must be 'true' when the request's credentials mode is 'include'.",
		},
		"a login for OPTIONS before the sidecar": {
			front: func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodOptions {
					return false
				}
				w.Header().Set("Access-Control-Allow-Origin", "*")
				w.WriteHeader(http.StatusUnauthorized)
				return true
			},
			init: bearer,
			says: "Response to preflight request doesn't pass access control check: It does not have HTTP ok status.",
		},
		"a redirect before the sidecar": {
			front: func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
				return true
			},
			init: bearer,
			says: "Response to preflight request doesn't pass access control check: Redirect is not allowed for a preflight request.",
		},
		"CORS headers before the sidecar": {
			front: func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Access-Control-Allow-Origin", "*")
				return false
			},
			path: "/health",
			says: "The 'Access-Control-Allow-Origin' header contains multiple values",
		},
	} {
		s.on(name, func(s *stage) {
			if c.edits != nil {
				s.guard(c.edits...)
			}
			if c.front != nil {
				s.behind(c.front)
			}
			if c.from == "" {
				c.from = "pages"
			}
			if c.path == "" {
				c.path = "/agents"
			}
			got := s.fetch(c.from, c.path, c.init)
			if got.Error != "TypeError: Failed to fetch" || !strings.Contains(strings.Join(got.Console, "\n"), c.says) {
				s.t.Errorf("the page reads %+v, want the console to say %q", got, c.says)
			}
			if !strings.Contains(guide, c.says) {
				s.t.Errorf("docs/guides/cors.md does not quote %q", c.says)
			}
		})
	}
}
