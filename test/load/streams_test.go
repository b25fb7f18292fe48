package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

const (
	openStreams   = 2_000
	streamTime    = 6 * time.Second // times soak: two minutes
	eventInterval = time.Second
)

// stream answers with server-sent events until it has lasted for so long: id 1,
// 2, 3 and so on, and the event end.
func stream(w http.ResponseWriter, r *http.Request, lasts time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	ticker, over := time.NewTicker(eventInterval), time.After(lasts)
	defer ticker.Stop()
	for id := 1; ; id++ {
		_, _ = fmt.Fprintf(w, "id: %d\ndata: %s\n\n", id, strings.Repeat("token ", 10))
		if flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-over:
			_, _ = io.WriteString(w, "event: end\n\n")
			return
		case <-ticker.C:
		}
	}
}

// read follows a stream to its end and returns the number of its events. An
// error says what is wrong: a cut, a gap, no end.
func read(conn net.Conn, first func()) (events int, err error) {
	if err := conn.SetDeadline(time.Now().Add(streamTime*time.Duration(soak()) + patience)); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<10), nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("answered %d", res.StatusCode)
	}
	lines, ended := bufio.NewReaderSize(res.Body, 256), false
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" && ended {
			return events, nil
		}
		if err != nil {
			return events, fmt.Errorf("after %d events: %w", events, err)
		}
		ended = ended || line == "event: end\n"
		if !strings.HasPrefix(line, "id: ") {
			continue
		}
		if events++; line != fmt.Sprintf("id: %d\n", events) {
			return events, fmt.Errorf("event %d came as %q", events, line)
		}
		if events == 1 {
			first()
		}
	}
}

// Two thousand streams last as long as the agent lets them: none is cut, no
// event is lost or out of its order, and nothing is left when they have ended.
func TestStreamsLastToTheirEnd(t *testing.T) {
	lasts := streamTime * time.Duration(soak())
	g := guarded(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { stream(w, r, lasts) }))
	before, idle, request := goroutines(t, g), memory(t, g.PID, "VmRSS"), get("/stream", teacher(t))
	var flowing, events, cut atomic.Int64
	var group sync.WaitGroup
	connect(t, g.Address, openStreams, func(conn net.Conn) error {
		_, err := io.WriteString(conn, request)
		group.Go(func() {
			defer func() { _ = conn.Close() }()
			n, err := read(conn, func() { flowing.Add(1) })
			if events.Add(int64(n)); err != nil {
				cut.Add(1)
				t.Errorf("a stream: %v", err)
			}
		})
		return err
	})
	await(t, "all streams flow", func() bool { return flowing.Load() == openStreams })
	if got := g.Metric(`gatepost_streams_active{kind="sse"}`); got != fmt.Sprint(openStreams) {
		t.Errorf("gatepost_streams_active: %q, want %d", got, openStreams)
	}
	used := memory(t, g.PID, "VmRSS")
	group.Wait()
	live.Figure("streams", openStreams, fmt.Sprintf("streams of %v", lasts))
	live.Figure("streams_events", events.Load(), "events")
	live.Figure("streams_truncated", cut.Load(), "streams")
	live.Figure("stream_rss", fmt.Sprintf("%.1f", (used-idle)*1000/openStreams), "KB per open stream")
	await(t, "no goroutine is left", func() bool { return goroutines(t, g) <= before+slack })
	live.Figure("streams_goroutines_left", max(0, goroutines(t, g)-before), "goroutines")
	if got := g.Metric(`gatepost_streams_active{kind="sse"}`); got != "0" {
		t.Errorf("gatepost_streams_active afterwards: %q, want 0", got)
	}
}

// agentAddress is the environment variable by which the test program becomes an
// agent of its own, which can be killed.
const agentAddress = "GATEPOST_LOAD_AGENT"

// runAgent streams at the address that the environment names.
func runAgent(address string) int {
	server := &http.Server{Addr: address, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, time.Hour)
	})}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	return 1
}

// An agent that dies does not end its streams: their clients must see that
// something is missing, which in HTTP/1.1 only the lack of the last chunk says.
func TestAKilledAgentCutsItsStreams(t *testing.T) {
	const streams = 200
	address := live.FreeAddress(t)
	command := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	command.Env = append(os.Environ(), agentAddress+"="+address)
	agent := live.Run(t, command)
	agent.AwaitListening(t, address)
	g := live.Start(t, live.Setup{Policy: guardedPolicy, Upstream: address, Keys: map[string][]byte{"back-end/current": []byte(secret)}})
	before, request := goroutines(t, g), get("/stream", teacher(t))
	var flowing, cut atomic.Int64
	var group sync.WaitGroup
	connect(t, g.Address, streams, func(conn net.Conn) error {
		_, err := io.WriteString(conn, request)
		group.Go(func() {
			_, err := read(conn, func() { flowing.Add(1) })
			if errors.Is(err, io.ErrUnexpectedEOF) {
				cut.Add(1)
			}
		})
		return err
	})
	await(t, "all streams flow", func() bool { return flowing.Load() == streams })
	agent.Kill()
	group.Wait()
	live.Figure("streams_cut_with_their_agent", cut.Load(), fmt.Sprintf("of %d streams", streams))
	if cut.Load() != streams {
		t.Errorf("%d of %d clients saw that their stream was cut", cut.Load(), streams)
	}
	if got := g.Metric(`gatepost_streams_closed_total{cause="error",kind="sse"}`); got != fmt.Sprint(streams) {
		t.Errorf("streams closed with cause error: %q, want %d", got, streams)
	}
	await(t, "no goroutine is left", func() bool { return goroutines(t, g) <= before+slack })
}

// goneWithin is how soon an agent must learn that its client has gone.
const goneWithin = 2 * time.Second

func TestAGoneClientEndsItsRun(t *testing.T) {
	for name, leave := range map[string]func(net.Conn) error{
		"closes":     net.Conn.Close,
		"breaks off": func(conn net.Conn) error { return errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			const streams = 200
			ended := make(chan time.Time, streams)
			g := guarded(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done() // it says nothing more, so that no write can fail
				ended <- time.Now()
			}))
			request := get("/stream", teacher(t))
			conns := connect(t, g.Address, streams, func(conn net.Conn) error {
				if _, err := io.WriteString(conn, request); err != nil {
					return err
				}
				_, err := bufio.NewReader(conn).ReadString('\n') // the answer has begun
				return err
			})
			left := time.Now()
			for _, conn := range conns {
				if err := leave(conn); err != nil {
					t.Fatal(err)
				}
			}
			var longest time.Duration
			for i := range streams {
				select {
				case at := <-ended:
					longest = max(longest, at.Sub(left))
				case <-time.After(patience):
					t.Fatalf("%d of %d runs go on without their client", streams-i, streams)
				}
			}
			live.Figure("client_gone_run_ended_within_"+strings.ReplaceAll(name, " ", "_"), fmt.Sprintf("%.0f", longest.Seconds()*1000), "ms")
			if longest > goneWithin {
				t.Errorf("the last run ended after %v, want %v", longest, goneWithin)
			}
		})
	}
}
