// Package visitor is a person with a browser: Chromium, a page of
// examples/agno-client, and the site that the page comes from. The page gets a token
// from an issuer with the site's session in a cookie, reads the agent's stream, goes on
// until the token has expired, refreshes and goes on.
//
// Issuer and guarded agent are elsewhere: processes of a test, or a cluster. The
// program is test/clients/agno/flow.mjs; what it tells is judged here.
package visitor

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// The hosts as the visitor's browser knows them.
const (
	SiteHost   = "app.chat.test"
	IssuerHost = "auth.chat.test"
	AgentHost  = "agent.chat.test"
)

// Lifetime is how long a token of the issuer lives at least: the visit fails where the
// machine stalls for so long between a token and its use. The page waits that long.
const Lifetime = 30 * time.Second

// Site is the site and its visitor. It listens on 127.0.0.1.
type Site struct {
	Origin string // of its page

	in  io.WriteCloser
	out *bufio.Reader
}

// Start starts the site; root is the module's root. On may put the program elsewhere,
// such as into another network; nil leaves it here.
func Start(t *testing.T, root string, on func(program string, args ...string) *exec.Cmd) *Site {
	t.Helper()
	chromium := live.Need(t, "a browser test", "chromium", "chromium-browser", "google-chrome")
	example, err := filepath.Abs(filepath.Join(root, "examples", "agno-client"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := live.Node(t, filepath.Join(root, "test", "clients", "agno"), "flow.mjs")
	cmd.Env = os.Environ()
	if on != nil {
		dir, args := cmd.Dir, cmd.Args
		cmd = on(cmd.Path, args[1:]...)
		cmd.Dir = dir
	}
	cmd.Env = append(cmd.Env, "CHROMIUM="+chromium, "EXAMPLE="+example)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, cmd, in) })
	s := &Site{in: in, out: bufio.NewReader(out)}
	var told struct {
		Port int `json:"port"`
	}
	s.read(t, &told)
	s.Origin = "http://" + SiteHost + ":" + strconv.Itoa(told.Port)
	return s
}

// end waits for the program, which ends by itself with its input.
func end(t *testing.T, cmd *exec.Cmd, in io.Closer) {
	t.Helper()
	_ = in.Close()
	if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Error(err)
	}
}

func (s *Site) read(t *testing.T, into any) {
	t.Helper()
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the visitor's program ended: %v", err)
	}
	if err := json.Unmarshal(line, into); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
}

// Places are the addresses, IP and port, of what the visitor meets.
type Places struct {
	Issuer, Agent string
	SessionSecret []byte // by which the site signs its sessions, HS256
}

// Visit lets the visitor come, and returns what the page saw.
func (s *Site) Visit(t *testing.T, p Places) Seen {
	t.Helper()
	type place struct {
		Host    string `json:"host"`
		Address string `json:"address"`
	}
	err := json.NewEncoder(s.in).Encode(map[string]any{
		"site": SiteHost, "secret": string(p.SessionSecret),
		"issuer": place{IssuerHost, p.Issuer}, "agent": place{AgentHost, p.Agent},
	})
	if err != nil {
		t.Fatal(err)
	}
	var seen Seen
	s.read(t, &seen)
	if seen.Error != "" {
		t.Fatalf("%s\nrequests %q\nconsole %q", seen.Error, seen.Requests, seen.Console)
	}
	return seen
}
