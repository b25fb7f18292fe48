package policy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/live"
)

// The agents that Gatepost stands before route with Starlette under uvicorn,
// which read a request target in ways of their own. Here is a model of both; a
// test holds it against the real ones, and whatever the model routes to a handler
// must be refused by the judge or decided by the rules of that handler.

// entry is a route of testdata/starlette/routes.json.
type entry struct {
	Path   string  `json:"path"`
	Mount  string  `json:"mount"`
	Routes []entry `json:"routes"`
}

// application is the model of a Starlette router.
type application []modelled

// modelled is one route: its full path, its pattern and, for a mount, the
// application below it.
type modelled struct {
	name    string
	pattern *regexp.Regexp
	below   application
}

func starletteEntries(t testing.TB) []entry {
	t.Helper()
	data, err := os.ReadFile("testdata/starlette/routes.json")
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	if err := json.Unmarshal(data, &entries); err != nil {
		t.Fatal(err)
	}
	return entries
}

func newApplication(entries []entry, prefix string) application {
	var app application
	for _, e := range entries {
		if e.Mount != "" {
			app = append(app, modelled{e.Mount, compilePath(e.Mount + "/{path:path}"), newApplication(e.Routes, prefix+e.Mount)})
			continue
		}
		app = append(app, modelled{name: prefix + e.Path, pattern: compilePath(e.Path)})
	}
	return app
}

var parameter = regexp.MustCompile(`\{[a-z_]+(:path)?\}`)

// compilePath is Starlette's: {x} is a segment, {x:path} anything on a line, and
// Python's $ is satisfied before a final newline too.
func compilePath(path string) *regexp.Regexp {
	text, at := `\A`, 0
	for _, m := range parameter.FindAllStringIndex(path, -1) {
		text += regexp.QuoteMeta(path[at:m[0]])
		if strings.HasSuffix(path[m[0]:m[1]], ":path}") {
			text += `(.*)`
		} else {
			text += `([^/]+)`
		}
		at = m[1]
	}
	return regexp.MustCompile(text + regexp.QuoteMeta(path[at:]) + `\n?\z`)
}

// handler is the route that answers for a path; empty when none does. That a
// path with a slash more or less would be redirected runs no handler.
func (app application) handler(path string) string {
	for _, route := range app {
		m := route.pattern.FindStringSubmatch(path)
		switch {
		case m == nil:
		case route.below == nil:
			return route.name
		default:
			return route.below.handler("/" + m[len(m)-1]) // a mount that matched is final
		}
	}
	return ""
}

// uvicornPaths are the paths that uvicorn makes of a target, with h11 and with
// httptools: both decode once, forgiving; httptools also takes the absolute form
// and drops a fragment.
func uvicornPaths(target string) []string {
	h11, _, _ := strings.Cut(target, "?")
	tools := target
	if i := strings.IndexAny(tools, "?#"); i >= 0 {
		tools = tools[:i]
	}
	if _, rest, ok := strings.Cut(tools, "://"); ok && !strings.HasPrefix(tools, "/") {
		_, path, _ := strings.Cut(rest, "/")
		tools = "/" + path
	}
	return slices.Compact([]string{unquote(h11), unquote(tools)})
}

// unquote is Python's: broken escapes stay, bytes that are no UTF-8 become U+FFFD.
func unquote(text string) string {
	var out []byte
	for i := 0; i < len(text); i++ {
		var c byte
		if i+2 < len(text) && text[i] == '%' && isHexDigit(text[i+1]) && isHexDigit(text[i+2]) {
			_, _ = fmt.Sscanf(text[i+1:i+3], "%02x", &c)
			out, i = append(out, c), i+2
			continue
		}
		out = append(out, text[i])
	}
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

func isHexDigit(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

// handlerRules is a policy with one rule for each handler, of the same shape and
// in the same order, named by its place.
func handlerRules(t testing.TB) (p *policy.Policy, names map[string]string) {
	t.Helper()
	s := parse(t, jwt)
	s.Authorization = &policy.Authorization{}
	names = map[string]string{}
	var add func(entries []entry, prefix string)
	add = func(entries []entry, prefix string) {
		for _, e := range entries {
			if e.Mount != "" {
				add(e.Routes, prefix+e.Mount)
				continue
			}
			path := prefix + e.Path
			match := policy.PathMatch{Value: path}
			if before, _, ok := strings.Cut(path, "{rest:path}"); ok {
				match = policy.PathMatch{Type: policy.PathPrefix, Value: before}
			} else if strings.Contains(path, "{") {
				match.Type = policy.PathTemplate
			}
			name := fmt.Sprintf("r%d", len(names))
			names[name] = path
			s.Authorization.Rules = append(s.Authorization.Rules, policy.Rule{Name: name, Operation: &policy.Operation{Paths: []policy.PathMatch{match}}})
		}
	}
	add(starletteEntries(t), "")
	p, err := policy.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	return p, names
}

// judged is the handler by whose rule the judge decides; refused says that it
// does not let the request come so far.
func judged(p *policy.Policy, names map[string]string, target string) (handler string, refused bool) {
	route := p.Route(policy.RequestLine{Method: "GET", Target: target})
	if route.Reason() != "" {
		return "", true
	}
	return names[p.Decide(route, nil, policy.Who{Provider: "laravel"}).Rule], false
}

// misjudged says how the judge and the agent differ about a target.
func misjudged(p *policy.Policy, names map[string]string, app application, target string) string {
	ours, refused := judged(p, names, target)
	if refused {
		return ""
	}
	for _, path := range uvicornPaths(target) {
		if theirs := app.handler(path); theirs != "" && theirs != ours {
			return fmt.Sprintf("%q: the agent reads %q and runs %q, we judge by the rule of %q", target, path, theirs, ours)
		}
	}
	return ""
}

// pieces are what targets of the tests are made of.
var pieces = []string{
	"/", "/", "/", "agents", "admin", "health", "files", "static", "secret", "api", "users", "v2", "items", "runs", "search", "tenants", "a1", "caf%C3%A9",
	"//", "/./", "/../", "%2f", "%2F", "%2e", "..", ".", "%0a", "%0d", "%00", "%09", "%25", "%2", "%", "%zz", "%61gents", "Agents", "%ff", "%c0%af", "%c3",
	";x=1", "%3b", "\\", "%5c", "?", "?x=/admin", "#", "#/admin", "http://agent", "*", "&", "=", ":", "message:send", "a2a", "%20", "%c2%85", "%e2%80%a8", "~", "%7e", "%7F",
}

// targets are n of the combinations of up to five pieces, always the same ones.
func targets(n int) []string {
	out := make([]string, 0, n)
	state := uint64(20261122)
	for range n {
		text := "/"
		for range 1 + state>>60&3 + state>>50&1 {
			state = state*6364136223846793005 + 1442695040888963407
			piece := pieces[state>>33%uint64(len(pieces))]
			if state>>20&1 == 0 && !strings.HasSuffix(text, "/") {
				text += "/"
			}
			text += piece
		}
		state = state*6364136223846793005 + 1442695040888963407
		out = append(out, text)
	}
	return out
}

func TestWhatStarletteRoutesIsJudgedByTheRulesOfItsHandler(t *testing.T) {
	p, names := handlerRules(t)
	app := newApplication(starletteEntries(t), "")
	reached, saved, differ := 0, 0, 0
	all := targets(200_000)
	for _, target := range all {
		if problem := misjudged(p, names, app, target); problem != "" {
			differ++
			t.Error(problem)
		}
		switch handler, refused := judged(p, names, target); {
		case refused && slices.ContainsFunc(uvicornPaths(target), func(path string) bool { return app.handler(path) != "" }):
			saved++
		case !refused && handler != "":
			reached++
		}
	}
	if reached < len(all)/50 || saved < len(all)/50 {
		t.Errorf("of %d targets only %d came to a rule and only %d were refused that the agent routes: this tests nothing", len(all), reached, saved)
	}
	fmt.Println("figure: starlette_targets_refused_that_the_agent_routes", saved, "targets")
	fmt.Println("figure: starlette_targets_judged", len(all), "targets")
	fmt.Println("figure: starlette_targets_misjudged", differ, "targets")
}

// The model is no better than its likeness to Starlette under uvicorn.
func TestTheModelOfStarletteIsTrue(t *testing.T) {
	address, _ := live.Uvicorn(t, "testdata/starlette", "main:app")
	app := newApplication(starletteEntries(t), "")
	var asked []string
	for _, e := range starletteEntries(t) {
		for _, end := range []string{"", "/", "%0a", "%0a/", "/%0a", "%0a%0a", "/x", "/x%0a", "//", "/..", "?x", "%20"} {
			asked = append(asked, parameter.ReplaceAllString(strings.ReplaceAll(e.Path+e.Mount, "é", "%C3%A9"), "p1")+end)
		}
	}
	asked = append(asked, "/api/v2/users", "/api/v2/users%0a", "/api/v2", "/api/v2/", "/api/users/%0a", "/static/secret%0a", "/static/secret/", "/%61pi/users")
	asked = append(asked, targets(300)...)
	compared := 0
	for _, target := range asked {
		if strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || !strings.HasPrefix(target, "/") {
			continue
		}
		compared++
		want := app.handler(uvicornPaths(target)[0])
		if got := starletteHandler(t, address, target); got != strings.ReplaceAll(want, "é", `\xe9`) {
			t.Errorf("%q: Starlette runs %q, the model %q", target, got, want)
		}
	}
	if compared < 300 {
		t.Errorf("only %d targets were compared", compared)
	}
	fmt.Println("figure: starlette_model_compared", compared, "targets")
}

// starletteHandler asks the real one, byte for byte; empty when no handler ran.
func starletteHandler(t *testing.T, address, target string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n", target); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", target, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// FuzzStarlette looks for a target that the agent routes to a handler whose rules
// were not asked.
func FuzzStarlette(f *testing.F) {
	for _, target := range targets(200) {
		f.Add(target)
	}
	p, names := handlerRules(f)
	app := newApplication(starletteEntries(f), "")
	f.Fuzz(func(t *testing.T, target string) {
		if problem := misjudged(p, names, app, target); problem != "" {
			t.Fatal(problem)
		}
	})
}
