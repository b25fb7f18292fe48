// Package live starts the programs that tests meet from outside: the sidecar as
// its own process, agents, issuers and browsers of other makes.
//
// A test package that uses it says so in its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(live.Main(m)) }
//
// Everything listens on loopback, ends with the test that started it, and is
// waited for with deadlines of whole seconds. What the machine lacks is said
// loudly: the test skips, or fails where CI=true.
package live

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds every wait for a program.
const patience = 60 * time.Second

// workshop is where Main keeps what is built for one test process.
var workshop string

// Main runs the tests of m with a place for built programs and returns the exit
// code.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatepost-live")
	if err != nil {
		fmt.Fprintln(os.Stderr, "a directory for built programs:", err)
		return 1
	}
	workshop = dir
	defer func() { _ = os.RemoveAll(dir) }()
	return m.Run()
}

// Need returns the path of the first of these programs that exists. Without any
// the test skips, and says why; where CI=true it fails.
func Need(t testing.TB, why string, programs ...string) string {
	t.Helper()
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	Missing(t, "%s needs one of %q on this machine", why, programs)
	return ""
}

// Missing skips the test, or fails it where CI=true.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf("SKIPPED: "+format, args...)
}

// The ports that FreeAddress tries are below those that systems give to outgoing
// connections, of which other tests make thousands: one of them would take a port
// before the program does. No process tries one twice, and each begins elsewhere.
const (
	firstPort = 10000
	ports     = 20000
)

var tried atomic.Int64

// FreeAddress returns a loopback address where nothing listens.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+(int64(os.Getpid())*977+tried.Add(1))%ports)
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("a hundred ports of 127.0.0.1 are taken")
	return ""
}

// Program is a running process.
type Program struct {
	PID  int
	Logs *Log // what it wrote to both outputs

	command *exec.Cmd
	ended   chan struct{}
}

// Run starts the command and ends it, SIGKILL after ten seconds, with the test.
// Its output is shown when the test fails.
func Run(t testing.TB, command *exec.Cmd) *Program {
	t.Helper()
	return run(t, command, new(Log))
}

func run(t testing.TB, command *exec.Cmd, logs *Log) *Program {
	t.Helper()
	p := &Program{Logs: logs, command: command, ended: make(chan struct{})}
	command.Stdout, command.Stderr = p.Logs, p.Logs
	if err := command.Start(); err != nil {
		t.Fatalf("starting %s: %v", command.Path, err)
	}
	p.PID = command.Process.Pid
	go func() {
		_ = command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", filepath.Base(command.Path), p.Logs.Tail(8<<10))
		}
	})
	return p
}

// Stop asks the program to end, waits ten seconds, and kills it.
func (p *Program) Stop() {
	_ = p.command.Process.Signal(os.Interrupt)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
}

// Kill ends the program at once and waits for its end.
func (p *Program) Kill() {
	_ = p.command.Process.Kill()
	<-p.ended
}

// Ended is closed when the program has ended.
func (p *Program) Ended() <-chan struct{} { return p.ended }

// AwaitListening waits until the program accepts connections at address.
func (p *Program) AwaitListening(t testing.TB, address string) {
	t.Helper()
	p.Await(t, "listening on "+address, func(ctx context.Context) bool {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

// Await waits until ok, and fails the test when the program ends before or a
// minute has passed.
func (p *Program) Await(t testing.TB, what string, ok func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !ok(ctx) {
		select {
		case <-p.ended:
			t.Fatalf("%s ended before %s:\n%s", p.command.Path, what, p.Logs.Tail(8<<10))
		case <-ctx.Done():
			t.Fatalf("%s: no %s within %v:\n%s", p.command.Path, what, patience, p.Logs.Tail(8<<10))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Log is a program's output, safe to read while it is written.
type Log struct {
	most int // bytes that are kept; 0: all

	mu   sync.Mutex
	text []byte
}

// Write appends, as long as there is room.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := p
	if l.most > 0 {
		kept = p[:min(len(p), max(0, l.most-len(l.text)))]
	}
	l.text = append(l.text, kept...)
	return len(p), nil
}

// String returns everything so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Tail returns the last n bytes.
func (l *Log) Tail(n int) string {
	text := l.String()
	return text[max(0, len(text)-n):]
}
