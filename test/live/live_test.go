package live_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

func TestASidecarStartsAndEndsWithItsTest(t *testing.T) {
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "agent")
	}))
	defer agent.Close()
	g := live.Start(t, live.Setup{
		Policy: `{apiVersion: gatepost.dev/v1alpha1, kind: AgentAuthPolicy, metadata: {name: open},
spec: {exemptions: [{methods: [GET], path: /open}]}}`,
		Upstream: strings.TrimPrefix(agent.URL, "http://"),
	})
	resp, err := http.Get(g.URL + "/open")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, _ := io.ReadAll(resp.Body); string(body) != "agent" {
		t.Errorf("GET /open: %d %q, want the agent's answer", resp.StatusCode, body)
	}
	if got := g.Metric(`gatepost_requests_total{decision="exempt",policy="open",reason="exempt"}`); got != "1" {
		t.Errorf("exempt requests counted: %q, want 1", got)
	}
	g.Stop()
	if resp, err := http.Get(g.URL + "/open"); err == nil {
		_ = resp.Body.Close()
		t.Error("it answers after its end")
	}
}
