package policy_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"gatepost.dev/gatepost/policy"
)

func TestRouteRefusesWhatTwoServersCouldReadDifferently(t *testing.T) {
	p := compile(t, jwt)
	for sentence, targets := range map[string][]string{
		"a dot segment":                               {"/.", "/..", "/a/./b", "/a/../b", "/a/..", "/../etc", "/a/.?x=1"},
		"an encoded dot segment":                      {"/%2e", "/%2E%2e/x", "/a/.%2e/b", "/a/%2e./b", "/%2e%2e"},
		"an empty segment":                            {"//", "//agents", "/a//b", "/a//", "//evil.example/x"},
		"a backslash":                                 {`/\`, `/a\b`, `/..\x`, "/a%5cb", "/a%5Cb"},
		"an encoded slash":                            {"/a%2fb", "/a%2Fb", "/%2f", "/agents%2Fx/runs"},
		"an encoded control":                          {"/exact%0a", "/exact%0A", "/a%00", "/a%1fb", "/a%7f", "/a%09b", "/a%0d%0aX: y", "/a%C2%85"},
		"a double encoding":                           {"/%252e", "/a%252fb", "/%25%32%66", "/a%2541", "/x%252", "/%25a"},
		"an escape that is none":                      {"/%", "/a%2", "/%zz", "/a%g0", "/%u002f", "/a%%20"},
		"an escape that is not UTF-8":                 {"/%ff", "/%c0%ae", "/%c0%af", "/a%ed%a0%80", "/%e2%82"},
		"a path parameter":                            {"/a;b", "/a;jsessionid=1/b", "/a/..;/b", "/a%3bb", "/a%3Bb", "/;"},
		"a fragment":                                  {"/a#b", "/a#", "/exact#/admin", "/a?x#y"},
		"no origin form":                              {"", "*", "a", "http://h/a", "https://h/", "h:443", "?a=1", "%2fa", "\\a"},
		"bytes beyond ASCII":                          {"/é", "/a\xff", "/a?é", "/\u2028"},
		"a blank or a control":                        {"/a b", "/a\tb", "/a\n", "/a\r\nX: y", "/a\x00", "/a\x7f", "/a? b", " /a"},
		"a segment that a lax decoder takes for dots": {"/a/%2e%2e%2fb", "/a/..%5cb", "/..%00/", "/..;x"},
	} {
		for _, target := range targets {
			t.Run(sentence+" "+target, func(t *testing.T) {
				got := p.Route(policy.RequestLine{Method: "GET", Target: target})
				if got.Reason() != policy.BadRequest {
					t.Errorf("Route(%q) = %q with path %q, want bad_request", target, got.Reason(), got.Path())
				}
			})
		}
	}
}

func TestRouteDecodesOnce(t *testing.T) {
	p := compile(t, jwt)
	for target, want := range map[string]string{
		"/":                             "/",
		"/agents":                       "/agents",
		"/agents/":                      "/agents/",
		"/agents?x=/../&y=%zz;a=1;b":    "/agents",
		"/agents?":                      "/agents",
		"/%61gents":                     "/agents",
		"/a%20b":                        "/a b",
		"/caf%C3%A9":                    "/café",
		"/100%25":                       "/100%",
		"/100%25-off":                   "/100%-off",
		"/a%3fb":                        "/a?b",
		"/a%23b":                        "/a#b",
		"/...":                          "/...",
		"/.well-known/x":                "/.well-known/x",
		"/a/.b/..c/d.":                  "/a/.b/..c/d.",
		"/a2a/agents/x/v1/message:send": "/a2a/agents/x/v1/message:send",
		"/@me/$x,y'(z)*!+=&~":           "/@me/$x,y'(z)*!+=&~",
	} {
		t.Run(target, func(t *testing.T) {
			got := p.Route(policy.RequestLine{Method: "GET", Target: target})
			if got.Reason() != "" || got.Path() != want {
				t.Errorf("Route(%q) = %q with path %q, want path %q", target, got.Reason(), got.Path(), want)
			}
		})
	}
}

func TestRouteJudgesTheMethod(t *testing.T) {
	p := compile(t, jwt)
	for _, test := range []struct {
		sentence string
		methods  []string
		want     policy.Reason
	}{
		{"the methods of HTTP go on", []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, ""},
		{"a method nobody knows is left to the rules", []string{"PROPFIND", "QUERY", "x-run"}, ""},
		{"CONNECT and TRACE are never forwarded", []string{"CONNECT", "TRACE", "trace", "Connect"}, policy.MethodNotAllowed},
		{"a known method in other letters is ambiguous", []string{"get", "Get", "pOST", "options"}, policy.BadRequest},
		{"a method that is no token is broken", []string{"", "GE T", "GET\n", "G(T", "GÉT", "GET\x00"}, policy.BadRequest},
	} {
		for _, method := range test.methods {
			t.Run(test.sentence+" "+method, func(t *testing.T) {
				if got := p.Route(policy.RequestLine{Method: method, Target: "/"}).Reason(); got != test.want {
					t.Errorf("Route(%q /) = %q, want %q", method, got, test.want)
				}
			})
		}
	}
	if got := p.Route(policy.RequestLine{Method: "CONNECT", Target: "host:443"}).Reason(); got != policy.MethodNotAllowed {
		t.Errorf("CONNECT with its own target form = %q, want method_not_allowed", got)
	}
}

func TestRouteExemptsExactRequests(t *testing.T) {
	p := compile(t, jwt+`
exemptions:
- {methods: [GET, HEAD], path: /health}
- {methods: [POST], path: /hooks/a b}
`, policy.Probe{Port: 8000, Method: "GET", Path: "/ready?full=1"}, policy.Probe{Port: 9000, Method: "GET", Path: "live"},
		policy.Probe{Port: 9001, Method: "GET", Path: ""})
	for _, test := range []struct {
		sentence string
		line     policy.RequestLine
		want     policy.Reason
	}{
		{"the exempt method and path", policy.RequestLine{Method: "GET", Target: "/health", Port: 1}, policy.Exempt},
		{"the other exempt method", policy.RequestLine{Method: "HEAD", Target: "/health"}, policy.Exempt},
		{"a query changes nothing", policy.RequestLine{Method: "GET", Target: "/health?x=/admin"}, policy.Exempt},
		{"the path may be written with escapes", policy.RequestLine{Method: "GET", Target: "/%68ealth"}, policy.Exempt},
		{"an exempt path with a blank", policy.RequestLine{Method: "POST", Target: "/hooks/a%20b"}, policy.Exempt},
		{"another method is not exempt", policy.RequestLine{Method: "POST", Target: "/health"}, ""},
		{"a path below is not exempt", policy.RequestLine{Method: "GET", Target: "/health/x"}, ""},
		{"a longer name is not exempt", policy.RequestLine{Method: "GET", Target: "/healthx"}, ""},
		{"a trailing slash is not exempt", policy.RequestLine{Method: "GET", Target: "/health/"}, ""},
		{"other letters are not exempt", policy.RequestLine{Method: "GET", Target: "/Health"}, ""},
		{"an ambiguous way to it is refused", policy.RequestLine{Method: "GET", Target: "/x/../health"}, policy.BadRequest},
		{"Python's end of line is refused", policy.RequestLine{Method: "GET", Target: "/health%0a"}, policy.BadRequest},
		{"a probe on its port, without its query", policy.RequestLine{Method: "GET", Target: "/ready", Port: 8000}, policy.Exempt},
		{"a probe on another port is no probe", policy.RequestLine{Method: "GET", Target: "/ready", Port: 9000}, ""},
		{"a probe with another method is no probe", policy.RequestLine{Method: "POST", Target: "/ready", Port: 8000}, ""},
		{"a probe's path without its slash", policy.RequestLine{Method: "GET", Target: "/live", Port: 9000}, policy.Exempt},
		{"a probe without a path asks for the root", policy.RequestLine{Method: "GET", Target: "/", Port: 9001}, policy.Exempt},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			route := p.Route(test.line)
			if route.Reason() != test.want {
				t.Errorf("Route(%v) = %q, want %q", test.line, route.Reason(), test.want)
			}
			if test.want != policy.Exempt {
				return
			}
			if got := p.Decide(route, nil, policy.Who{}).Reason; got != policy.Exempt {
				t.Errorf("Decide of an exempt route = %q, want exempt", got)
			}
		})
	}
}

func TestWithoutAPolicyNothingPasses(t *testing.T) {
	who := policy.Who{Provider: "laravel"}
	for sentence, p := range map[string]*policy.Policy{"nil": nil, "zero": {}} {
		t.Run(sentence, func(t *testing.T) {
			route := p.Route(policy.RequestLine{Method: "GET", Target: "/"})
			if got := route.Reason(); got != policy.KeysUnavailable {
				t.Errorf("Route = %q, want keys_unavailable", got)
			}
			if got := p.Decide(route, http.Header{}, who).Reason; got != policy.KeysUnavailable {
				t.Errorf("Decide = %q, want keys_unavailable", got)
			}
			if p.Spec().JWT != nil || p.Warnings() != nil || p.JudgedHeaders() != nil {
				t.Error("there is more in it than nothing")
			}
		})
	}
	if got := (policy.Route{}).Reason(); got != policy.BadRequest {
		t.Errorf("the zero Route = %q, want bad_request", got)
	}
	if got := compile(t, jwt).Decide(policy.Route{}, nil, who).Reason; got != policy.BadRequest {
		t.Errorf("Decide of the zero Route = %q, want bad_request", got)
	}
	if (policy.Decision{}).Reason.Allows() {
		t.Error("the zero Decision allows")
	}
}

func TestRouteOfAnotherPolicyIsJudgedAgain(t *testing.T) {
	open := compile(t, jwt+"exemptions: [{methods: [GET], path: /x}]")
	closed := compile(t, jwt)
	route := open.Route(policy.RequestLine{Method: "GET", Target: "/x"})
	if got := closed.Decide(route, nil, policy.Who{Anonymous: true}).Reason; got != policy.MissingCredential {
		t.Errorf("an exemption of another policy = %q, want missing_credential", got)
	}
}

// FuzzRoute holds what Route accepts against readers that are not ours.
func FuzzRoute(f *testing.F) {
	for _, seed := range []string{"/", "/health", "/health%0a", "/a/../health", "/%68ealth", "/a%2fb", "/x?y#z", "//x", "/a;b", "/%25zz", "/%c3%a9", "/a%5c..", "*", "http://h/health", "/agents/x/runs/"} {
		f.Add("GET", seed)
	}
	p := compile(f, jwt+"exemptions: [{methods: [GET], path: /health}]")
	health := compilePath("/health")
	f.Fuzz(func(t *testing.T, method, target string) {
		route := p.Route(policy.RequestLine{Method: method, Target: target})
		if route.Reason() != "" && route.Reason() != policy.Exempt {
			if route.Path() != "" {
				t.Fatalf("a refused route has the path %q", route.Path())
			}
			return
		}
		got := route.Path()
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Path != got {
			t.Fatalf("net/url reads %q as %q, %v; we as %q", target, u, err, got)
		}
		if clean := path.Clean(got); clean != got && clean+"/" != got {
			t.Fatalf("%q is not clean", got)
		}
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == ';' }) {
			t.Fatalf("%q has a byte that must not be in a path", got)
		}
		if twice, err := url.PathUnescape(got); err == nil && twice != got {
			t.Fatalf("%q decodes a second time to %q", got, twice)
		}
		raw, _, _ := strings.Cut(target, "?")
		if strings.Count(raw, "/") != strings.Count(got, "/") {
			t.Fatalf("%q gained or lost a slash: %q", raw, got)
		}
		for _, path := range uvicornPaths(target) {
			if routed, exempt := health.MatchString(path), got == "/health"; routed != exempt {
				t.Fatalf("the agent takes %q for /health: %t, we: %t", target, routed, exempt)
			}
		}
	})
}

func ExamplePolicy_Route() {
	p, err := policy.Compile(policy.Spec{Exemptions: []policy.Exemption{{Methods: []policy.Method{"GET"}, Path: "/health"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, target := range []string{"/health", "/agents", "/health/../agents"} {
		fmt.Printf("%s: %q\n", target, p.Route(policy.RequestLine{Method: "GET", Target: target}).Reason())
	}
	// Output:
	// /health: "exempt"
	// /agents: ""
	// /health/../agents: "bad_request"
}
