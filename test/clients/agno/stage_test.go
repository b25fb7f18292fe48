package agno_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

// secret signs the tokens of the front end's back end.
const secret = "an HMAC secret of the back end, longer than its hash"

const example = "../../../examples/agno-client"

// stage is an agent, a sidecar before it, and the driver with its pages.
type stage struct {
	*live.Sidecar

	t       *testing.T
	agent   string // the agent's address, without the sidecar
	control string
	pages   string // origin of the front end
	foreign string // origin that the policy does not name
}

// open starts all of it. Without a browser only scenes in Node can be played.
func open(t *testing.T, browser bool) *stage {
	t.Helper()
	s := &stage{t: t, control: live.FreeAddress(t)}
	pages, foreign := live.FreeAddress(t), live.FreeAddress(t)
	s.pages, s.foreign = "http://"+pages, "http://"+foreign

	s.agent, _ = live.Uvicorn(t, ".", "agent:app")
	s.guard()

	chromium := ""
	if browser {
		chromium = live.Need(t, "a browser test", "chromium", "chromium-browser", "google-chrome")
	}
	absolute, err := filepath.Abs(example)
	if err != nil {
		t.Fatal(err)
	}
	driver := live.Node(t, ".", "driver.mjs")
	driver.Env = append(os.Environ(), "CONTROL="+s.control, "PAGES="+pages, "FOREIGN="+foreign,
		"CHROMIUM="+chromium, "EXAMPLE="+absolute, "SECRET="+secret)
	live.Run(t, driver).AwaitListening(t, s.control)
	return s
}

// on runs one case on the stage.
func (s *stage) on(name string, test func(*stage)) {
	s.t.Helper()
	s.t.Run(name, func(t *testing.T) {
		in := *s
		in.t = t
		test(&in)
	})
}

// guard starts a sidecar before the agent, in the place of the one before, with the
// example's policy, in which the pairs of edits are replaced.
func (s *stage) guard(edits ...string) {
	s.t.Helper()
	written, err := os.ReadFile(filepath.Join(example, "policy.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	edits = append([]string{"http://localhost:3000", s.pages, "requiredClaims: [sub]", "requiredClaims: [sub]\n      clockSkew: 0s"}, edits...)
	text := string(written)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			s.t.Fatalf("the example's policy has no %q to replace", edits[i])
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	s.Sidecar = live.Start(s.t, live.Setup{
		Policy: text, Keys: map[string][]byte{"backend-jwt/current": []byte(secret)}, Upstream: s.agent,
	})
}

// scene plays a scene of the driver and stores its result in into, unless that is nil.
func (s *stage) scene(name string, args map[string]any, into any) {
	s.t.Helper()
	text, err := json.Marshal(args)
	if err != nil {
		s.t.Fatal(err)
	}
	status, answer := s.ask(http.MethodPost, "http://"+s.control+"/"+name, text)
	if status != http.StatusOK {
		s.t.Fatalf("scene %s: %s", name, answer)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer, into); err != nil {
		s.t.Fatalf("scene %s: %v in %s", name, err, answer)
	}
}

// ask makes one plain request of the test's own.
func (s *stage) ask(method, url string, body []byte) (int, []byte) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), 90*time.Second) // cleanups ask too
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp := live.Do(s.t, req)
	return resp.Status, resp.Body
}

// backend sets how the back end mints tokens from now on, and forgets who asked.
func (s *stage) backend(set map[string]any) {
	s.t.Helper()
	s.scene("backend", map[string]any{"set": set}, nil)
}

// asked is how often the pages asked the back end for a token since backend, and when
// the last one expires.
func (s *stage) asked() (times int, expires time.Time) {
	s.t.Helper()
	var got struct {
		Asked   int     `json:"asked"`
		Expires float64 `json:"expires"` // Unix seconds
	}
	s.scene("asked", map[string]any{}, &got)
	return got.Asked, time.UnixMilli(int64(1000 * got.Expires))
}

// token is a token as first and second of the scene client describe them.
func (s *stage) token(kind map[string]any) string {
	s.t.Helper()
	var text string
	s.scene("token", kind, &text)
	return text
}

// request is one request as the agent saw it.
type request struct {
	Method        string `json:"method"`
	Path          string `json:"path"`
	Authorization string `json:"authorization"`
	Cookie        string `json:"cookie"`
	Origin        string `json:"origin"`
	Protocols     string `json:"protocols"`
	Subject       string `json:"x-auth-subject"`
	Name          string `json:"x-auth-name"`
	Code          int    `json:"code"`
}

// run is one run as the agent knows it.
type run struct {
	Message string         `json:"message"`
	End     string         `json:"end"` // running, completed or cancelled
	Cancel  bool           `json:"cancel_called"`
	Files   map[string]int `json:"files"`
	User    string         `json:"user_id"`
}

// seen is what reached the agent since forget.
func (s *stage) seen() (requests []request, runs []run) {
	s.t.Helper()
	_, text := s.ask(http.MethodGet, "http://"+s.agent+"/__seen", nil)
	var all struct {
		Requests []request `json:"requests"`
		Runs     []run     `json:"runs"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		s.t.Fatal(err)
	}
	return all.Requests, all.Runs
}

// forget empties what the agent has seen.
func (s *stage) forget() {
	s.t.Helper()
	s.ask(http.MethodDelete, "http://"+s.agent+"/__seen", nil)
}

// await waits for ok.
func (s *stage) await(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not within half a minute: %s", what)
		}
	}
}
