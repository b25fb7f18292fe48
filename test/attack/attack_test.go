package attack

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

// stage is the built sidecar under one policy of the corpus, in front of a
// recorder.
type stage struct {
	*live.Sidecar

	t        testing.TB
	recorder *recorder
	mint     *mint
	oracle   *oracle // nil for policies that it does not know
	marks    int
	sent     map[string][]byte // by the address from which it was sent
}

func newStage(t testing.TB, policy string, keep bool) *stage {
	t.Helper()
	keys, agent := newRing(t), record(t, keep)
	g := live.Start(t, live.Setup{Policy: policyText(t, policy, keys), Keys: keys.files(t), Upstream: agent.address()})
	s := &stage{Sidecar: g, t: t, recorder: agent, mint: newMint(t, keys, time.Now()), sent: map[string][]byte{}}
	if policy != "audit" {
		s.oracle = &oracle{keys: keys, carriers: policy == "carriers"}
	}
	return s
}

// policyText is a policy of the corpus.
func policyText(t testing.TB, name string, keys *ring) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("corpus", "policies", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return keys.hashed(string(text))
}

// fresh is a filler with marks that nobody has used.
func (s *stage) fresh() *filler {
	s.marks++
	return &filler{mint: s.mint, mark: fmt.Sprintf("mark%05dm", s.marks), evil: fmt.Sprintf("evil%05de", s.marks)}
}

// tally is what gatepost_requests_total has counted, by reason.
func (s *stage) tally() map[string]int {
	s.t.Helper()
	_, text := s.Private("/metrics")
	counts := map[string]int{}
	for line := range strings.Lines(text) {
		labels, ok := strings.CutPrefix(line, "gatepost_requests_total{")
		if !ok {
			continue
		}
		_, reason, _ := strings.Cut(labels, `reason="`)
		reason, rest, _ := strings.Cut(reason, `"`)
		_, value, _ := strings.Cut(rest, "} ")
		n, _ := strconv.Atoi(strings.TrimSpace(value))
		counts[reason] += n
	}
	return counts
}

// counted waits until the counters have grown by just these answers.
func (s *stage) counted(t *testing.T, before map[string]int, want []expected) {
	t.Helper()
	grown := map[string]int{}
	for _, e := range want {
		grown[e.reason]++
	}
	var diff string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		got := map[string]int{}
		for reason, n := range s.tally() {
			if n != before[reason] {
				got[reason] = n - before[reason]
			}
		}
		if diff = cmp.Diff(grown, got); diff == "" {
			return
		}
	}
	t.Errorf("requests counted by reason (-want +got):\n%s", diff)
}

// result is what one request led to.
type result struct {
	sent    []byte
	filler  *filler
	answers []answered
}

// send sends the attack or its twin and compares answers and counters.
func (s *stage) send(t *testing.T, c *testCase, flawed bool) result {
	t.Helper()
	text, err := c.request.choose(flawed)
	if err != nil {
		t.Fatal(err)
	}
	want := c.twin
	if flawed {
		want = c.answers
	}
	f := s.fresh()
	sent, err := f.fill(text)
	if err != nil {
		t.Fatal(err)
	}
	before, arrived := s.tally(), s.recorder.count()
	from := peerOf(int64(s.marks)) // its own, so that what arrives late can be told apart
	s.sent[from.String()] = sent
	answers, surplus := exchangeFrom(t, from, s.Address, sent, len(want))
	var got, statuses []int
	reach := 0
	for _, a := range answers {
		got = append(got, a.status)
	}
	for _, e := range want {
		statuses = append(statuses, e.status)
		if e.reaches() {
			reach++
		}
	}
	if diff := cmp.Diff(statuses, got); diff != "" || surplus != "" {
		t.Fatalf("answers (-want +got):\n%s\nsurplus %.200q\nsent:\n%q", diff, surplus, clip(sent))
	}
	s.counted(t, before, want)
	if n := s.recorder.count() - arrived; n != reach && (!flawed || !c.truncate) {
		t.Errorf("%d whole requests reached the agent, want %d; sent:\n%q", n, reach, clip(sent))
	}
	s.judge(t, from.String())
	return result{sent, f, answers}
}

// judge asks the oracle about what arrived from this peer.
func (s *stage) judge(t *testing.T, peer string) {
	t.Helper()
	arrived := s.recorder.take(peer)
	if s.oracle == nil {
		return
	}
	for _, wrong := range s.oracle.judge(peer, s.sent[peer], arrived) {
		t.Errorf("at the agent: %s; sent:\n%q", wrong, clip(s.sent[peer]))
	}
}

func clip(b []byte) []byte { return b[:min(len(b), 3000)] }

// reaches reports whether one of the answers came from the agent.
func reaches(answers []expected) bool {
	for _, e := range answers {
		if e.reaches() {
			return true
		}
	}
	return false
}

// Nothing of the corpus reaches the agent but its twins.
func TestAttackCorpus(t *testing.T) {
	stages := map[string]*stage{}
	cases, twins := 0, 0
	var refused []string // marks that may never be seen at the agent
	for _, g := range readCorpus(t) {
		s := stages[g.policy]
		if s == nil {
			s = newStage(t, g.policy, true)
			stages[g.policy] = s
			s.marks = 10000 * len(stages)
		}
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					cases++
					twin := s.send(t, &c, false)
					if arrived := s.recorder.has(twin.filler.mark); arrived != reaches(c.twin) {
						t.Errorf("the twin reached the agent: %v; sent:\n%q", arrived, clip(twin.sent))
					} else if arrived {
						twins++
					}
					refused = append(refused, s.attack(t, &c, twin.filler)...)
				})
			}
			s.goodRequest(t)
		})
	}
	reached := 0
	for _, s := range stages {
		for peer := range s.sent {
			s.judge(t, peer) // what came late
		}
		for _, wrong := range s.recorder.complaints() {
			t.Errorf("the agent got what is no request: %s", wrong)
		}
		for _, key := range []string{"crm", "batch", "old"} {
			if s.recorder.has(s.mint.keys.apiKey(key)) {
				t.Errorf("the API key of %s reached the agent", key)
			}
		}
		for _, mark := range refused {
			if s.recorder.has(mark) {
				reached++
				t.Errorf("%s reached the agent", mark)
			}
		}
	}
	live.Figure("attack_cases", cases, "cases")
	live.Figure("attack_reached_agent", reached, "requests")
	live.Figure("attack_twins_served", twins, "requests")
}

// attack sends the flawed request and returns the marks that must never arrive.
func (s *stage) attack(t *testing.T, c *testCase, twin *filler) []string {
	t.Helper()
	got := s.send(t, c, true)
	if c.passed {
		return nil
	}
	if !c.cleaned {
		s.checkAnswer(t, c, &got)
		return []string{got.filler.mark}
	}
	if !s.recorder.has(got.filler.mark) {
		t.Errorf("it did not reach the agent, which it should without its flaw; sent:\n%q", clip(got.sent))
	}
	if !strings.Contains(string(c.request), "<evil>") {
		t.Error("a cleaned request needs an <evil>")
	}
	if !s.recorder.has(twin.evil) {
		t.Errorf("what is taken from the attack did not reach the agent with the twin either")
	}
	return []string{got.filler.evil}
}

// checkAnswer holds the last answer against the contract.
func (s *stage) checkAnswer(t *testing.T, c *testCase, got *result) {
	t.Helper()
	a := got.answers[len(got.answers)-1]
	text := fmt.Sprintf("%d %v %s", a.status, a.header, a.body)
	for _, want := range c.has {
		if !strings.Contains(text, want) {
			t.Errorf("the answer lacks %q:\n%s", want, text)
		}
	}
	for _, no := range append(c.lacks, got.filler.mark, got.filler.evil) {
		if strings.Contains(text, no) {
			t.Errorf("the answer contains %q:\n%s", no, text)
		}
	}
	for word := range strings.FieldsFuncSeq(string(got.sent), func(r rune) bool { return r <= ' ' || r == '.' || r == ',' }) {
		if len(word) > 30 && strings.Contains(text, word) {
			t.Errorf("the answer repeats %q of the request", word)
		}
	}
	if a.status < 400 {
		return
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(a.body), &body); (err != nil || body["detail"] == "") && !strings.HasPrefix(string(got.sent), "HEAD ") {
		t.Errorf("the answer's body is %q, want JSON with a detail", a.body)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Gatepost-Decision") == "" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("the answer's headers are %v", a.header)
	}
	if (a.status == 401) != (a.header.Get("WWW-Authenticate") != "") && a.status != 403 && a.status != 400 {
		t.Errorf("%d with WWW-Authenticate %q", a.status, a.header.Get("WWW-Authenticate"))
	}
}

// goodRequest is served after whatever came before.
func (s *stage) goodRequest(t *testing.T) {
	t.Helper()
	f := s.fresh()
	sent, err := f.fill("GET /notes/<mark> HTTP/1.1\nHost: agent.example\nAuthorization: Bearer <token>\n\n")
	if err != nil {
		t.Fatal(err)
	}
	answers, _ := exchange(t, s.Address, sent, 1)
	if len(answers) != 1 || answers[0].status != 200 || answers[0].body != "ok" || !s.recorder.has(f.mark) {
		t.Errorf("a good request afterwards: %v", answers)
	}
}
