package corpus_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/corpus"
	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

// The built sidecar is started with the policy of every archive, and every case
// is sent to it, byte for byte, with a token or an API key of the principal. What
// the client gets, what the agent sees and what the metrics count must agree, and
// so must what `gatepost policy test` says of the case.
func TestPolicyCorpusLiveSidecar(t *testing.T) {
	agent := startAgent(t)
	gatepost := live.Build(t, "gatepost")
	cases, disagreements, judged, apart := 0, 0, 0, 0
	for _, a := range corpus.Load(t) {
		if !a.Valid() {
			continue // live.Start would fail; the transcripts of cmd/sidecar show how.
		}
		t.Run(a.Name, func(t *testing.T) {
			offline := policyTest(t, gatepost, a)
			ring := newRing(t, a)
			s := live.Start(t, live.Setup{Policy: string(a.Policy()), Keys: ring.files, Upstream: agent.address})
			watch := newCounters(s)
			for i := range a.Cases {
				cases++
				c := &a.Cases[i]
				seen, problems := ask(t, s, agent, watch, ring.request(t, c), c, ring.audit)
				if len(problems) > 0 {
					disagreements++
					t.Errorf("%s: %s", c.Name, strings.Join(problems, "; "))
				}
				judged++
				if said := offline[i]; said != seen {
					apart++
					t.Errorf("%s: policy test says %q, the sidecar %q", c.Name, said, seen)
				}
			}
		})
	}
	corpus.Figure("policy_corpus_live_cases", cases, "cases")
	corpus.Figure("policy_corpus_disagreements", disagreements, "cases")
	corpus.Figure("policy_test_and_sidecar_compared", judged, "cases")
	corpus.Figure("policy_test_and_sidecar_disagreements", apart, "cases")
}

// recorder is an agent that remembers what reached it.
type recorder struct {
	address string
	mu      sync.Mutex
	seen    []*http.Request
}

func startAgent(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen = append(r.seen, req)
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(server.Close)
	r.address = server.Listener.Addr().String()
	return r
}

// take returns what was seen since it was last asked.
func (r *recorder) take() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// policyTest is what `gatepost policy test` says of each case of an archive: the
// reason, and the rule that decided.
func policyTest(t *testing.T, gatepost string, a *corpus.Archive) []string {
	t.Helper()
	dir := writeSuite(t, a, "")
	command := exec.CommandContext(t.Context(), gatepost, "policy", "test", "-f", "cases.yaml", "-o", "json")
	command.Dir = dir
	out, err := command.Output()
	if err != nil {
		t.Fatalf("policy test: %v\n%s", err, out)
	}
	var reports []struct{ Cases []struct{ Got string } }
	if err := json.Unmarshal(out, &reports); err != nil || len(reports) != 1 || len(reports[0].Cases) != len(a.Cases) {
		t.Fatalf("policy test says %s: %v", out, err)
	}
	said := make([]string, len(a.Cases))
	for i, one := range reports[0].Cases {
		said[i], _, _ = strings.Cut(one.Got, " for ") // the scopes are in the challenge, and held against it
	}
	return said
}

// ask sends one case and says what became of it, and what is not as expected.
func ask(t *testing.T, s *live.Sidecar, agent *recorder, watch *counters, raw string, c *corpus.Case, audit bool) (became string, problems []string) {
	t.Helper()
	status, challenge := send(t, s.Address, raw, c.Request.Method)
	note := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	wantStatus, decision := expected(c.Expect.Reason, audit)
	if status != wantStatus {
		note("status %d, want %d", status, wantStatus)
	}
	seen := agent.take()
	switch passes := wantStatus == http.StatusOK; {
	case passes && len(seen) != 1, !passes && len(seen) != 0:
		note("the agent saw %d requests", len(seen))
	case passes && (seen[0].Method != c.Request.Method || seen[0].RequestURI != c.Request.Path):
		note("the agent saw %s %s", seen[0].Method, seen[0].RequestURI)
	case passes && c.Expect.Reason != policy.OK && seen[0].Header.Get("X-Auth-Provider") != "":
		note("the agent was told who asks")
	}
	if got, want := label(challenge, "scope"), offered(c, wantStatus); got != want {
		note("the challenge offers %q, want %q", got, want)
	}
	reason, rule := watch.next(t)
	if want := decision + " " + string(c.Expect.Reason); reason != want {
		note("counted as %s, want %s", reason, want)
	}
	if want := c.Expect.Rule; rule != want {
		note("by rule %q, want %q", rule, want)
	}
	_, became, _ = strings.Cut(reason, " ") // without the decision
	if rule != "" {
		became += " by rule " + rule
	}
	return became, problems
}

// offered are the scopes that a token would need; an API key cannot get more.
func offered(c *corpus.Case, status int) string {
	if status != http.StatusForbidden || c.Principal == nil || c.Principal.APIKey != "" {
		return ""
	}
	return strings.Join(c.Expect.Scopes, " ")
}

// expected is the status and the decision that go with a reason.
func expected(reason policy.Reason, audit bool) (status int, decision string) {
	switch {
	case reason == policy.OK:
		return http.StatusOK, "allow"
	case reason == policy.Exempt:
		return http.StatusOK, "exempt"
	case reason == policy.BadRequest:
		return http.StatusBadRequest, "deny"
	case reason == policy.MethodNotAllowed:
		return http.StatusMethodNotAllowed, "deny"
	case audit:
		return http.StatusOK, "audit_deny"
	case reason == policy.MissingCredential:
		return http.StatusUnauthorized, "deny"
	}
	return http.StatusForbidden, "deny"
}

// send writes a request as it is and reads the answer's status and challenge
// (RFC 6750 section 3).
func send(t *testing.T, address, raw, method string) (status int, challenge string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %q: %v", raw, err)
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode, response.Header.Get("WWW-Authenticate")
}
