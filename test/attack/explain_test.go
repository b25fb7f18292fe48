package attack

import (
	"bytes"
	"encoding/json"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// explainer is the built command line, asked about one stage.
type explainer struct {
	gatepost string
	stage    *stage
}

// explained is what `gatepost explain -o json` says.
type explained struct {
	Decision string `json:"decision"`
	Reason   string `json:"reason"`
	Means    string `json:"means"`
	Do       string `json:"do"`
	Checks   []struct{ Name, Result string }
}

// ask runs gatepost explain; ok is false when it could not explain.
func (e *explainer) ask(t *testing.T, stdin string, args ...string) (said []explained, ok bool, stderr string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), e.gatepost, append([]string{"explain", "-o", "json"}, args...)...)
	command.Stdin = strings.NewReader(stdin)
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	if err := command.Run(); err != nil {
		return nil, false, complaints.String()
	}
	text := out.Bytes()
	if !bytes.HasPrefix(text, []byte("[")) {
		text = append(append([]byte("["), text...), ']')
	}
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return said, len(said) > 0, ""
}

// decided asks the sidecar about decisions, until it has kept them.
func (e *explainer) decided(t *testing.T, ids []string) []explained {
	t.Helper()
	if len(ids) == 0 {
		return nil
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		said, ok, stderr := e.ask(t, "", append(ids, "--admin", "http://"+e.stage.Admin)...)
		if ok && len(said) == len(ids) {
			return said
		}
		if time.Now().After(deadline) {
			t.Fatalf("explain %q: %s", ids, stderr)
		}
	}
}

// audited asks for the latest denial, until it is that of an audit for the
// reason: its answer was the agent's own.
func (e *explainer) audited(t *testing.T, want expected) explained {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		said, ok, stderr := e.ask(t, "", "--last", "1", "--admin", "http://"+e.stage.Admin)
		if ok && said[0].Decision == "audit_deny" && said[0].Reason == want.reason {
			return said[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("the latest is %v, want %v: %s", said, want, stderr)
		}
	}
}

// offline explains by the files of the sidecar, without it.
func (e *explainer) offline(t *testing.T, stdin string, args ...string) explained {
	t.Helper()
	files := []string{"--policy", filepath.Join(e.stage.Dir, "policy.yaml"), "--keys", filepath.Join(e.stage.Dir, "keys")}
	said, ok, stderr := e.ask(t, stdin, append(args, files...)...)
	if !ok {
		t.Fatalf("explain %q: %s", args, stderr)
	}
	return said[0]
}

// Whatever the sidecar refuses of the corpus, gatepost explain names the reason
// that the corpus expects: by the answer's decision id, and where the request has
// an ordinary head, by the request itself and without a sidecar. Where the flaw
// is the token's alone, by the token too.
func TestExplainNamesTheReasonOfEveryAttack(t *testing.T) {
	stages := map[string]*explainer{}
	var f struct{ cases, decisions, requests, tokens, wrong int }
	for _, g := range readCorpus(t) {
		e := stages[g.policy]
		if e == nil {
			e = &explainer{gatepost: live.Build(t, "gatepost"), stage: newStage(t, g.policy, false)}
			stages[g.policy] = e
			e.stage.marks = 10000 * len(stages)
		}
		t.Run(g.name, func(t *testing.T) {
			var ids []string
			var wants []expected
			for _, c := range g.cases {
				f.cases++
				t.Run(c.name, func(t *testing.T) {
					sent, answers := e.play(t, &c)
					for i, want := range c.answers {
						if id := answers[i].header.Get("X-Gatepost-Decision"); id != "" {
							ids, wants = append(ids, id), append(wants, want)
						} else if want.reason != "ok" && want.reason != "exempt" {
							f.decisions++
							f.wrong += differs(t, "as the latest", e.audited(t, want), want)
						}
					}
					switch credential, ok := tokenAlone(c.request, sent); {
					case ok:
						f.tokens++
						f.wrong += differs(t, "by the token", e.offline(t, credential, "-"), c.answers[0])
					case isOrdinary(c.request) && !strings.HasPrefix(g.name, "F01"): // heads that are no heads
						f.requests++
						f.wrong += differs(t, "by the request", e.offline(t, string(sent), "--request", "-"), c.answers[0])
					}
				})
			}
			f.decisions += len(ids)
			for i, named := range e.decided(t, ids) {
				f.wrong += differs(t, "by decision "+ids[i], named, wants[i])
			}
		})
	}
	if f.requests < 100 || f.tokens < 50 {
		t.Errorf("only %d requests and %d tokens were explained without a sidecar", f.requests, f.tokens)
	}
	live.Figure("explain_attack_cases", f.cases, "cases")
	live.Figure("explain_attack_decisions", f.decisions, "decisions")
	live.Figure("explain_attack_requests_offline", f.requests, "requests")
	live.Figure("explain_attack_tokens_offline", f.tokens, "tokens")
	live.Figure("explain_attack_wrong_reasons", f.wrong, "explanations")
}

// play sends the attack.
func (e *explainer) play(t *testing.T, c *testCase) (sent []byte, answers []answered) {
	t.Helper()
	text, err := c.request.choose(true)
	if err != nil {
		t.Fatal(err)
	}
	if sent, err = e.stage.fresh().fill(text); err != nil {
		t.Fatal(err)
	}
	answers, _ = exchangeFrom(t, net.IPv4(127, 0, 0, 1), e.stage.Address, sent, len(c.answers))
	if len(answers) != len(c.answers) {
		t.Fatalf("%d answers, want %d; sent:\n%q", len(answers), len(c.answers), clip(sent))
	}
	return sent, answers
}

// differs says when an explanation names another reason, or says nothing.
func differs(t *testing.T, how string, got explained, want expected) int {
	t.Helper()
	if got.Reason == want.reason && got.Means != "" && got.Do != "" {
		return 0
	}
	t.Errorf("explained %s as %s (%s), want %s", how, got.Reason, got.Means, want.reason)
	return 1
}

// isOrdinary reports whether the request is the standard one with headers of its
// own: what else is sent may be refused for its framing, which only a connection
// shows.
func isOrdinary(request template) bool {
	return strings.HasPrefix(string(request), "GET /notes/<mark> HTTP/1.1\nHost: agent.example\n") &&
		!strings.Contains(string(request), "repeat") && !strings.ContainsAny(string(request), "\\")
}

// tokenAlone is the value of the Authorization header, if the request has no
// other header beside the standard ones and it is a Bearer's.
func tokenAlone(request template, sent []byte) (string, bool) {
	lines := strings.Split(strings.TrimSpace(string(request)), "\n")
	if len(lines) != 3 || !isOrdinary(request) {
		return "", false
	}
	_, value, ok := strings.Cut(string(sent), "\r\nAuthorization: ")
	value, _, _ = strings.Cut(value, "\r\n")
	credential := strings.TrimSpace(strings.TrimPrefix(value, "Bearer "))
	return value, ok && credential != value && credential != "" && !strings.HasPrefix(credential, "gpk_") // a key is explained as one
}
