package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"

	"gatepost.dev/gatepost/test/live"
)

const (
	idleConnections = 10_000
	idleMemory      = 100.0 // MB
)

// Ten thousand connections that nobody uses cost the pod at most 100 MB, whether
// they were never used or are kept alive after a request, and take nothing away
// from those that are used.
func TestIdleConnectionsAreCheap(t *testing.T) {
	agent := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "agent") })
	for name, asked := range map[string]bool{"never_used": false, "kept_alive": true} {
		t.Run(name, func(t *testing.T) {
			g := guarded(t, agent)
			request, before := get("/idle", teacher(t)), goroutines(t, g)
			conns := connect(t, g.Address, idleConnections, func(conn net.Conn) error {
				if !asked {
					return nil
				}
				return wantAgent(ask(conn, request))
			})
			await(t, "all connections are open", func() bool { return sockets(t, g.PID) >= idleConnections })
			// The figure is what they hold on to, so memory may settle.
			used := memory(t, g.PID, "VmRSS")
			await(t, fmt.Sprintf("%d connections hold at most %.0f MB", idleConnections, idleMemory), func() bool {
				used = memory(t, g.PID, "VmRSS")
				return used <= idleMemory
			})
			live.Figure("idle_connections_rss_"+name, fmt.Sprintf("%.1f", used), "MB")
			live.Figure("idle_connections_peak_rss_"+name, fmt.Sprintf("%.1f", memory(t, g.PID, "VmHWM")), "MB")
			fresh := connect(t, g.Address, 1, func(net.Conn) error { return nil })
			for _, conn := range append(fresh, conns[:100]...) {
				if err := wantAgent(ask(conn, request)); err != nil {
					t.Fatalf("a good request beside them: %v", err)
				}
			}
			if n := sockets(t, g.PID); n < idleConnections {
				t.Errorf("%d sockets are left of %d", n, idleConnections)
			}
			for _, conn := range append(fresh, conns...) {
				_ = conn.Close()
			}
			await(t, "nothing is left of them", func() bool { return goroutines(t, g) <= before+slack })
		})
	}
}

// slack is how many goroutines more than before may run because of the request
// that asks for their number, and of connections to the agent that are kept.
const slack = 4

func wantAgent(status int, body string, err error) error {
	if err == nil && (status != http.StatusOK || body != "agent") {
		err = fmt.Errorf("answered %d %q", status, body)
	}
	return err
}

// connect opens n connections, 32 at a time, and uses each as told.
func connect(t *testing.T, address string, n int, use func(net.Conn) error) []net.Conn {
	t.Helper()
	conns, errs := make([]net.Conn, n), make([]error, n)
	var group sync.WaitGroup
	const workers = 32
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < n; i += workers {
				if conns[i], errs[i] = dial(t.Context(), address); errs[i] == nil {
					errs[i] = use(conns[i])
				}
			}
		})
	}
	group.Wait()
	t.Cleanup(func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("connecting: %.300v", err)
	}
	return conns
}

// sockets is how many files a process has open, nearly all of them sockets.
func sockets(t *testing.T, pid int) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
