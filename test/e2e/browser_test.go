//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/clients/visitor"
	"gatepost.dev/gatepost/test/e2e/stage"
)

// TestBrowserFlow is a visitor's minute, in Chromium on the node's network: the page
// gets a token from a TokenIssuer with the site's cookie, reads the agent's stream
// through the injected sidecar, is told when its token has expired, refreshes, and its
// next call succeeds.
func TestBrowserFlow(t *testing.T) {
	onThisMachine(t)
	agent := deploy(t)
	site := visitor.Start(t, "../..", func(program string, args ...string) *exec.Cmd {
		return agent.OnNode(context.WithoutCancel(t.Context()), program, args...)
	})
	issuer, err := agent.DeployIssuer(t.Context(), stage.Names{
		Issuer: visitor.IssuerHost, Agent: visitor.AgentHost, Page: site.Origin, Lifetime: visitor.Lifetime,
	})
	if err != nil {
		t.Fatal(err)
	}
	address, err := agent.Service(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	seen := site.Visit(t, visitor.Places{Issuer: issuer.Address, Agent: address, SessionSecret: issuer.SessionSecret})
	t.Logf("the page's requests:\n%s", strings.Join(seen.Requests, "\n"))
	seen.Judge(t)
	figure(t, "browser_flow_took", fmt.Sprintf("%.1f", time.Since(began).Seconds()), "seconds")
	figure(t, "browser_flow_stream_pieces", seen.Visit.Stream.Pieces, "pieces")
	figure(t, "browser_flow_expired_told", seen.Times("POST "+visitor.AgentHost+"/agent 401"), "answers")
	figure(t, "browser_flow_refreshes", seen.Times(visitor.Refresh), "refreshes")
}
