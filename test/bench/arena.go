package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gatepost.dev/gatepost/token"
)

const (
	upstreamBody  = `{"reply":"the agent's answer has about this many bytes, as small answers do"}` + "\n"
	manyTokens    = 1000
	policyNoToken = `apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: plain}
spec:
  authorization:
    rules:
    - name: run
      operation: {methods: [POST], paths: [{value: /agent}]}
      principal: {anonymous: true}
`
	policyToken = `apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: guarded}
spec:
  jwt:
    providers:
    - {name: hs, algorithms: [HS256], secretRef: {name: hs, keys: [current]}}
    - {name: rs, algorithms: [RS256], issuers: [rs], signingKeyRef: {name: rs}}
    - {name: es, algorithms: [ES256], issuers: [es], signingKeyRef: {name: es}}
  authorization:
    rules:
    - name: run
      operation: {methods: [POST], paths: [{value: /agent}]}
      principal: {claims: [{name: role, values: [teacher]}]}
`
)

// arena holds the processes of one run: an upstream, and a sidecar for each
// contender, so that none pays for tokens that another remembers.
type arena struct {
	dir       string
	binary    string
	upstream  string
	processes []*exec.Cmd
	keys      map[string]token.Key
}

type process struct {
	address string
	pid     int
}

func newArena(ctx context.Context) (_ *arena, err error) {
	dir, err := os.MkdirTemp("", "gatepost-bench")
	if err != nil {
		return nil, err
	}
	a := &arena{dir: dir}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if err = a.writeKeys(); err != nil {
		return nil, err
	}
	a.binary = filepath.Join(dir, "sidecar")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "nethttpomithttp2", "-o", a.binary, "./cmd/sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	fmt.Println("building the sidecar")
	if err = build.Run(); err != nil {
		return nil, fmt.Errorf("building the sidecar: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	up, err := a.start(exec.CommandContext(ctx, self, "upstream"), "upstream")
	if err != nil {
		return nil, err
	}
	a.upstream = up.address
	return a, nil
}

// writeKeys makes one key per algorithm and lays them out as a keys directory.
func (a *arena) writeKeys() error {
	a.keys = map[string]token.Key{}
	for _, alg := range []string{"HS256", "RS256", "ES256"} {
		key, err := token.Generate(alg, rand.Reader)
		if err != nil {
			return fmt.Errorf("making a key for %s: %w", alg, err)
		}
		a.keys[alg] = key
		file, content := "current", []byte(key.K)
		if alg != "HS256" {
			file = "jwks.json"
			if content, err = token.PublicJWKS([]token.Key{key}); err != nil {
				return err
			}
		}
		dir := filepath.Join(a.dir, "keys", strings.ToLower(alg[:2]))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (a *arena) startSidecar(ctx context.Context, name, policy string) (process, error) {
	file := filepath.Join(a.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		return process{}, err
	}
	// One thread for the proxy, as in a pod with a small CPU request; the rest of
	// the machine is for the load and the upstream.
	command := exec.CommandContext(ctx, a.binary, "--policy", file, "--keys", filepath.Join(a.dir, "keys"),
		"--listen", "127.0.0.1:0", "--upstream", "http://"+a.upstream, "--admin", "127.0.0.1:0")
	command.Env = append(os.Environ(), "GOMAXPROCS=1")
	return a.start(command, name)
}

// start starts a command that says on its standard error, in a JSON log record,
// where it listens: "guarded":["ADDRESS"].
func (a *arena) start(command *exec.Cmd, name string) (process, error) {
	stderr, err := command.StderrPipe()
	if err != nil {
		return process{}, err
	}
	if err := command.Start(); err != nil {
		return process{}, err
	}
	a.processes = append(a.processes, command)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var record struct {
			Guarded []string `json:"guarded"`
		}
		if json.Unmarshal(lines.Bytes(), &record) == nil && len(record.Guarded) > 0 {
			go func() {
				for lines.Scan() { // the pipe must not fill up
				}
			}()
			return process{address: record.Guarded[0], pid: command.Process.Pid}, nil
		}
		fmt.Fprintln(os.Stderr, lines.Text())
	}
	return process{}, fmt.Errorf("%s ended before it listened", name)
}

func (a *arena) close() {
	for _, p := range a.processes {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	_ = os.RemoveAll(a.dir)
}

func (a *arena) contenders(ctx context.Context) ([]*contender, error) {
	var list []*contender
	add := func(name, policy string, requests [][]byte) error {
		p, err := a.startSidecar(ctx, name, policy)
		list = append(list, &contender{name: name, address: p.address, pid: p.pid, requests: requests})
		return err
	}
	for _, name := range []string{"no_token", "control"} {
		if err := add(name, policyNoToken, [][]byte{request("")}); err != nil {
			return nil, err
		}
	}
	for _, alg := range []string{"HS256", "RS256", "ES256"} {
		for _, many := range []int{1, manyTokens} {
			requests, err := a.tokens(alg, many)
			if err != nil {
				return nil, err
			}
			if err := add(fmt.Sprintf("%s_%d_tokens", strings.ToLower(alg), many), policyToken, requests); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

func (a *arena) tokens(alg string, n int) ([][]byte, error) {
	key := a.keys[alg]
	requests := make([][]byte, n)
	for i := range requests {
		claims := map[string]any{
			"sub": fmt.Sprintf("user-%d", i), "role": "teacher", "email": "someone@example.com", "name": "Some One",
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "tenant_id": "t-1",
		}
		if alg != "HS256" {
			claims["iss"] = strings.ToLower(alg[:2])
		}
		compact, err := token.Mint(key, nil, claims)
		if err != nil {
			return nil, err
		}
		requests[i] = request(compact)
	}
	return requests, nil
}

func request(bearer string) []byte {
	body := `{"message":"` + strings.Repeat("hello ", 30) + `"}`
	var b strings.Builder
	b.WriteString("POST /agent HTTP/1.1\r\nHost: agent.example\r\nContent-Type: application/json\r\n")
	fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	if bearer != "" {
		b.WriteString("Authorization: Bearer " + bearer + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return []byte(b.String())
}

// serveUpstream is the agent: it answers every request alike.
func serveUpstream() {
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "{\"guarded\":[%q]}\n", listener.Addr())
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(upstreamBody))
	})}
	_ = server.Serve(listener)
}
