package issuer

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"gatepost.dev/gatepost/grant"
)

// askedAbout is another system that knows the session "good".
type askedAbout struct {
	*httptest.Server

	asked atomic.Int64
}

func newAskedAbout(t *testing.T) *askedAbout {
	t.Helper()
	a := &askedAbout{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked.Add(1)
		if r.URL.Path == "/elsewhere" {
			fmt.Fprint(w, `{"user":{"id":"u-9"}}`)
			return
		}
		if len(r.Cookies()) != 1 || r.Header.Get("Authorization") != "" || r.Header.Get("X-Own") != "" {
			t.Errorf("more than the one cookie is sent on: %v", r.Header)
		}
		switch session, _ := r.Cookie("sid"); session.Value {
		case "good":
			fmt.Fprint(w, `{"user":{"id":"u-7","role":"teacher"},"session":{"expiresAt":"2099-01-01"}}`)
		case "null":
			fmt.Fprint(w, `null`)
		case "inactive":
			fmt.Fprint(w, `{"active":false}`)
		case "refused":
			w.WriteHeader(http.StatusUnauthorized)
		case "forbidden":
			w.WriteHeader(http.StatusForbidden)
		case "broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "past":
			fmt.Fprint(w, `{"user":{"id":"u-7"},"exp":1000}`)
		case "text-exp", "zero-exp", "fraction-exp":
			exp := map[string]string{"text-exp": `"4102444800"`, "zero-exp": "0", "fraction-exp": "4102444800.5"}[session.Value]
			fmt.Fprintf(w, `{"user":{"id":"u-7"},"exp":%s}`, exp)
		case "twice":
			fmt.Fprint(w, `{"user":{"id":"u-7"},"user":{"id":"u-8"}}`)
		case "huge":
			fmt.Fprintf(w, `{"user":{"id":"u-7"},"x":%q}`, strings.Repeat("x", maxSession))
		case "nobody":
			fmt.Fprint(w, `{"user":{}}`)
		case "text":
			fmt.Fprint(w, `<html>`)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

// asking changes the document so that the other system is asked.
func asksAbout(uri string) func(string) string {
	return func(spec string) string {
		return strings.Replace(spec, "  session:\n", fmt.Sprintf("  session:\n    introspection: {uri: %q, forwardCookie: sid, subject: /user/id, allowInsecureHTTP: true}\n", uri), 1)
	}
}

// Opaque sessions, such as those of Better Auth, are asked about.
func TestSessionsAreAskedAbout(t *testing.T) {
	t.Parallel()
	other := newAskedAbout(t)
	w := start(t, asksAbout(other.URL+"/session"))
	for sentence, c := range map[string]struct {
		cookie, origin string
		status         int
		detail         string
		asked          int64
	}{
		"a session":                   {"sid=good; theme=dark", appOrigin, 200, "", 1},
		"one in quotes":               {`sid="good"`, appOrigin, 200, "", 1},
		"one whose time is over":      {"sid=past", appOrigin, 401, "Token has expired", 1},
		"one that ends at a text":     {"sid=text-exp", appOrigin, 401, "Invalid token", 1},
		"one that ends at nothing":    {"sid=zero-exp", appOrigin, 401, "Invalid token", 1},
		"one that ends at a fraction": {"sid=fraction-exp", appOrigin, 401, "Invalid token", 1},
		"another cookie behind it":    {"sid=good other=1", appOrigin, 401, "Invalid token", 0},
		"a comma in it":               {"sid=good,other=1", appOrigin, 401, "Invalid token", 0},
		"bytes beyond ASCII":          {"sid=good\xff\xfe", appOrigin, 401, "Invalid token", 0},
		"half a quote":                {`sid="good`, appOrigin, 401, "Invalid token", 0},
		"of another page":             {"sid=good", "https://evil.example", 403, "Origin not allowed", 0},
		"of no page":                  {"sid=good", "", 403, "Origin not allowed", 0},
		"two of them":                 {"sid=good; sid=good", appOrigin, 400, "Invalid request", 0},
		"no session":                  {"theme=dark", appOrigin, 401, "Not authenticated", 0},
		"an empty one":                {"sid=", appOrigin, 401, "Invalid token", 0},
		"one that has ended":          {"sid=null", appOrigin, 401, "Invalid token", 1},
		"one that is not active":      {"sid=inactive", appOrigin, 401, "Invalid token", 1},
		"one that is refused":         {"sid=refused", appOrigin, 401, "Invalid token", 1},
		"one that is forbidden":       {"sid=forbidden", appOrigin, 401, "Invalid token", 1},
		"an answer of nobody":         {"sid=nobody", appOrigin, 401, "Invalid token", 1},
		"the other system is broken":  {"sid=broken", appOrigin, 503, "Authentication temporarily unavailable", 1},
		"it sends us elsewhere":       {"sid=moved", appOrigin, 503, "Authentication temporarily unavailable", 1},
		"its answer has two readings": {"sid=twice", appOrigin, 503, "Authentication temporarily unavailable", 1},
		"its answer is too large":     {"sid=huge", appOrigin, 503, "Authentication temporarily unavailable", 1},
		"its answer is a page":        {"sid=text", appOrigin, 503, "Authentication temporarily unavailable", 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			before := other.asked.Load()
			headers := []string{"Cookie", c.cookie, "X-Own", "x"}
			if c.origin != "" {
				headers = append(headers, "Origin", c.origin)
			}
			got := w.do("POST", "/api/get-token", "", headers...)
			if got.status != c.status || got.get("detail") != c.detail || other.asked.Load()-before != c.asked {
				t.Fatalf("%d %s, asked %d times", got.status, got.text, other.asked.Load()-before)
			}
			if c.status == 503 && got.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if c.status == 200 && w.verified(got.get("token"))["sub"] != "u-7" {
				t.Errorf("token %v", w.verified(got.get("token")))
			}
		})
	}
}

// However slow the other system is, one address leaves places to others.
func TestOneAddressDoesNotAskForAll(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var asked atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-release
		fmt.Fprint(w, `{"user":{"id":"u-7"}}`)
	}))
	t.Cleanup(other.Close)
	w := start(t, func(spec string) string {
		return asksAbout(other.URL)(spec) + "  trustedProxies: [127.0.0.0/8]\n"
	})
	answers := make(chan int, maxAsking+1)
	from := func(address string) {
		go func() {
			answers <- w.do("POST", "/api/get-token", "", "Cookie", "sid=good", "Origin", appOrigin, "X-Forwarded-For", address).status
		}()
	}
	for range maxAsking {
		from("192.0.2.1")
	}
	for range maxAsking - maxAskingOf {
		if got := <-answers; got != 503 {
			t.Errorf("one of too many: %d", got)
		}
	}
	from("192.0.2.2")
	w.await("another address asks too", func() bool { return asked.Load() == maxAskingOf+1 })
	close(release)
	for range maxAskingOf + 1 {
		if got := <-answers; got != 200 {
			t.Errorf("one that was asked about: %d", got)
		}
	}
	if places := &w.issuer.asking; places.taken != 0 || len(places.of) != 0 {
		t.Errorf("places that are not given back: %d, %v", places.taken, places.of)
	}
}

// A system that is not there is our trouble, not the session's, and nobody learns
// its address. Addresses that are never asked are refused with the document.
func TestAskingNobody(t *testing.T) {
	t.Parallel()
	w := start(t, asksAbout("http://127.0.0.1:1/session?key=sesame"))
	got := w.do("POST", "/api/get-token", "", "Cookie", "sid=good", "Origin", appOrigin)
	if got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.text)
	}
	if strings.Contains(w.log.String(), "sesame") || strings.Contains(got.text, "sesame") {
		t.Errorf("the address is told: %s\n%s", got.text, w.log)
	}
	about := grant.Introspection{URI: "http://169.254.169.254/", ForwardCookie: "sid", AllowInsecureHTTP: true}
	asker := newAsker(about)
	if _, err := asker.ask(t.Context(), "good"); err == nil || !strings.Contains(err.Error(), "never fetched from") {
		t.Errorf("an address of metadata is asked: %v", err)
	}
}
