// Package load shows how much the built sidecar bears: thousands of idle
// connections, thousands of streams, a thousand reloads under load, and that no
// secret leaves it meanwhile. The sidecar is a process of its own; clients and
// agent live in the test.
//
// CI runs a twentieth. GATEPOST_SOAK=20, as in `make soak`, runs all of it.
package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
	"gatepost.dev/gatepost/token"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(agentAddress); address != "" {
		os.Exit(runAgent(address))
	}
	os.Exit(live.Main(m))
}

// soak multiplies what a run does.
func soak() int {
	if n, err := strconv.Atoi(os.Getenv("GATEPOST_SOAK")); err == nil && n > 0 {
		return n
	}
	return 1
}

// patience bounds every wait of these tests.
const patience = 30 * time.Second

const secret = "a secret of the load tests, longer than 32 bytes"

const guardedPolicy = `apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: load}
spec:
  jwt:
    providers:
    - {name: back-end, algorithms: [HS256], secretRef: {name: back-end, keys: [current]}}
  authorization:
    rules:
    - name: run
      principal: {claims: [{name: role, values: [teacher]}]}
`

// outputBytes bounds what is kept of a sidecar's log: the beginning says where
// it listens, and thousands of records say nothing more.
const outputBytes = 1 << 20

// guarded starts a sidecar before the agent.
func guarded(t *testing.T, agent http.Handler) *live.Sidecar {
	t.Helper()
	return live.Start(t, live.Setup{
		Policy: guardedPolicy, Upstream: serve(t, agent),
		Keys:        map[string][]byte{"back-end/current": []byte(secret)},
		OutputBytes: outputBytes,
	})
}

// serve runs an agent until the test ends and returns its host:port.
func serve(t *testing.T, agent http.Handler) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: agent, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

// mint makes an HS256 token that lives for an hour unless claims say otherwise.
func mint(t *testing.T, secret string, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"sub": "someone", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	compact, err := token.Mint(token.Key{Alg: "HS256", K: token.Secret(secret)}, nil, all)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func teacher(t *testing.T) string {
	t.Helper()
	return mint(t, secret, map[string]any{"role": "teacher"})
}

// get is the head of a GET request.
func get(path, compact string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: agent.example\r\nAuthorization: Bearer " + compact + "\r\n\r\n"
}

// dial connects to the guarded port.
func dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: patience}
	return dialer.DialContext(ctx, "tcp", address)
}

// ask sends one request over a connection that is kept, and reads its answer to
// the end.
func ask(conn net.Conn, request string) (status int, body string, err error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, "", err
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, "", err
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<10), nil)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// megabyte is what memory is given in, as everywhere in the figures.
const megabyte = 1e6

// memory is a field of /proc/PID/status in MB: VmRSS or, for the most there
// ever was, VmHWM.
func memory(t *testing.T, pid int, field string) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		live.Missing(t, "resident memory is read from /proc: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kibibytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				t.Fatal(err)
			}
			return kibibytes * 1024 / megabyte
		}
	}
	t.Fatalf("no %s in /proc/%d/status", field, pid)
	return 0
}

// goroutines is how many the sidecar runs.
func goroutines(t *testing.T, g *live.Sidecar) int {
	t.Helper()
	n, err := strconv.Atoi(g.Metric("go_goroutines"))
	if err != nil {
		t.Fatalf("go_goroutines: %v", err)
	}
	return n
}

// await waits until ok, and fails the test when that takes too long.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
