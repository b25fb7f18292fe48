package rollcall

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const testTimeout = 2 * time.Second

// sidecar is an honest `/state`.
func sidecar(t testing.TB, uid string, revision int64) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/state" || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(signed(t, stateOf(uid, revision), ackKey, r.URL.Query().Get("nonce")))
	}
}

// serve serves on a free port of 127.0.0.1.
func serve(t testing.TB, handler http.Handler) (address string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// speak accepts connections and lets talk have each, until the test ends.
func speak(t *testing.T, talk func(net.Conn)) (address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var under sync.WaitGroup
	under.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			under.Go(func() {
				defer conn.Close()
				talk(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		under.Wait()
	})
	return listener.Addr().String()
}

// raw answers every request with these bytes.
func raw(t *testing.T, answer string) string {
	t.Helper()
	return speak(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, answer)
		}
	})
}

// forEver keeps writing until the other side has enough.
func forEver(text string, every time.Duration) func(net.Conn) {
	return func(conn net.Conn) {
		for {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
}

func questionFor(address string) question {
	return question{uid: "pod-1", address: address, key: ackKey}
}

func TestWhatPodsMayAnswer(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	replayed := signed(t, stateOf("pod-1", 7), ackKey, "an earlier nonce")
	elsewhere := serve(t, sidecar(t, "pod-1", 7))
	closed := speak(t, func(net.Conn) {})
	for sentence, test := range map[string]struct {
		address string
		problem string
	}{
		"the truth": {elsewhere, ""},
		"the truth in pieces": {serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, piece := range signed(t, stateOf("pod-1", 7), ackKey, r.URL.Query().Get("nonce")) {
				_, _ = w.Write([]byte{piece})
				_ = http.NewResponseController(w).Flush()
			}
		})), ""},
		"the word of another pod":     {serve(t, sidecar(t, "pod-2", 7)), WrongPod},
		"an answer overheard earlier": {serve(t, write(replayed)), BadMAC},
		"an unsigned answer":          {serve(t, write([]byte(`{"podUID":"pod-1","revision":7}`))), BadMAC},
		"that it has nothing loaded": {serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not loaded", http.StatusServiceUnavailable)
		})), NotLoaded},
		"a way to somebody else": {serve(t, http.RedirectHandler("http://"+elsewhere+"/state", http.StatusFound)), Unreachable},
		"that it needs a name":   {serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })), Unreachable},
		"a huge body":            {serve(t, write(bytes.Repeat([]byte(" "), 10<<20))), Malformed},
		"a body without end": {serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for r := strings.NewReader(""); ; r.Reset(strings.Repeat("x", 1<<16)) {
				if _, err := io.Copy(w, r); err != nil {
					return
				}
			}
		})), Malformed},
		"a compressed body":                     {raw(t, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"), Malformed},
		"nothing":                               {raw(t, ""), Unreachable},
		"half of a body":                        {raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), Unreachable},
		"no HTTP, with lines of a log":          {raw(t, "\x1b[31mHTTP\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\n"), Unreachable},
		"a status that is text":                 {raw(t, "HTTP/1.1 two hundred\r\n\r\n"), Unreachable},
		"an interim answer alone":               {raw(t, "HTTP/1.1 103 Early Hints\r\n\r\n"), Unreachable},
		"a body of an unknown coding":           {raw(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: trust-me\r\n\r\n{}"), Unreachable},
		"chunks that lie about their size":      {raw(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}"), Unreachable},
		"a line before it was asked":            {speak(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") }), WrongPod},
		"a head without end":                    {speak(t, forEver("X-Long: "+strings.Repeat("x", 1<<10)+"\r\n", 0)), Unreachable},
		"a connection that is closed":           {closed, Unreachable},
		"an address that nobody has":            {"127.0.0.1:1", Unreachable},
		"a name instead of an address":          {"localhost:19901", Unreachable},
		"an address without a port":             {"127.0.0.1", Unreachable},
		"an address with something more to say": {"127.0.0.1:80/../x?", Unreachable},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := asker{timeout: testTimeout, random: rand.Reader}.ask(t.Context(), questionFor(test.address))
			if got.problem != test.problem || got.problem == "" && got.state.Revision != 7 {
				t.Errorf("problem %q (revision %d), want %q", got.problem, got.state.Revision, test.problem)
			}
		})
	}
	if logged.Len() > 0 {
		t.Errorf("something was logged: %q", logged.String())
	}
}

func write(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }
}

func TestSlowPodsAreGivenUp(t *testing.T) {
	t.Parallel()
	silent := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	for sentence, talk := range map[string]func(net.Conn){
		"it accepts and says nothing":   silent,
		"it drips its head":             forEver("X", 50*time.Millisecond),
		"it drips headers":              forEver("HTTP/1.1 200 OK\r\n", 50*time.Millisecond),
		"it promises a body and drips":  afterHead(forEver(" ", 50*time.Millisecond)),
		"it promises a body and sleeps": afterHead(silent),
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			answered := make(chan reply, 1)
			address := speak(t, talk)
			go func() {
				a := asker{timeout: 300 * time.Millisecond, random: rand.Reader}
				answered <- a.ask(context.WithoutCancel(t.Context()), questionFor(address))
			}()
			select {
			case got := <-answered:
				if got.problem != Unreachable {
					t.Errorf("problem %q", got.problem)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it is still waited for")
			}
		})
	}
}

func afterHead(talk func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"); err == nil {
			talk(conn)
		}
	}
}

func TestEveryQuestionHasANonceOfItsOwn(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.URL.Query().Get("nonce")]++
		mu.Unlock()
		sidecar(t, "pod-1", 7)(w, r)
		if r.Close != true || r.Header.Get("Accept-Encoding") != "" || r.ContentLength != 0 {
			t.Errorf("request %+v", r.Header)
		}
	}))
	a := asker{timeout: testTimeout, random: rand.Reader}
	for range 20 {
		if got := a.ask(t.Context(), questionFor(address)); got.problem != "" {
			t.Fatal(got.problem)
		}
	}
	for nonce, n := range seen {
		if n > 1 || len(nonce) != 22 {
			t.Errorf("nonce %q was used %d times", nonce, n)
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d nonces of 20 questions", len(seen))
	}
	a.random = failingReader{}
	if got := a.ask(t.Context(), questionFor(address)); got.problem != Unreachable || len(seen) != 20 {
		t.Errorf("without randomness: %+v, %d nonces", got, len(seen))
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

// The proxy of the environment is for the ways out of the cluster.
func TestNoProxyHearsOfIt(t *testing.T) {
	proxy := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://"+proxy)
	}
	address := serve(t, sidecar(t, "pod-1", 7))
	if got := (asker{timeout: testTimeout, random: rand.Reader}).ask(t.Context(), questionFor(address)); got.problem != "" {
		t.Error(got.problem)
	}
}

// The real thing from end to end: honest, lying, late and dead sidecars.
func TestARollOfRealServers(t *testing.T) {
	t.Parallel()
	news := make(chan types.NamespacedName, 1000)
	roll := New(Options{Concurrency: 8, Timeout: time.Second, Notify: func(name types.NamespacedName) { news <- name }})
	start(t, roll)
	var late sync.Map // address to revision
	delivered := func(uid string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			revision, _ := late.LoadOrStore(uid, int64(6))
			sidecar(t, uid, revision.(int64))(w, r)
		}
	}
	var pods []Pod
	for n := range 20 {
		uid := fmt.Sprint("late-", n)
		pods = append(pods, Pod{UID: types.UID(uid), Name: uid, Address: serve(t, delivered(uid)), Told: true})
	}
	pods = append(pods,
		Pod{UID: "liar", Address: serve(t, sidecar(t, "late-0", 7)), Told: true},
		Pod{UID: "dead", Address: "127.0.0.1:1", Told: true})
	roll.Expect(chat, Call{Pods: pods, AckKey: ackKey, Revision: 7, Every: time.Minute, Keys: heardOn})
	waitFor(t, func() bool { return count(roll, func(a Answer) bool { return a.State.Revision == 6 }) == 20 })
	for n := range 20 {
		late.Store(fmt.Sprint("late-", n), int64(7))
	}
	waitFor(t, func() bool {
		return count(roll, func(a Answer) bool { return a.State.Revision == 7 && a.Problem == "" }) == 20
	})
	report := roll.Report(chat)
	if liar, dead := report.Answers["liar"], report.Answers["dead"]; liar.Problem != WrongPod || dead.Problem != Unreachable || !liar.Stale || !dead.Stale {
		t.Errorf("the liar: %+v, the dead: %+v", liar, dead)
	}
	drain(news)
	roll.Expect(chat, Call{Pods: pods[:20], AckKey: ackKey, Revision: 7, Every: time.Minute, Keys: heardOn})
	select {
	case <-news:
	case <-time.After(10 * time.Second):
		t.Error("nobody was told that the others are gone")
	}
}

func drain(news chan types.NamespacedName) {
	for {
		select {
		case <-news:
		default:
			return
		}
	}
}

// start runs the roll until the test ends, and waits for it.
func start(t testing.TB, roll *Roll) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- roll.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func count(roll *Roll, which func(Answer) bool) (n int) {
	for _, answer := range roll.Report(chat).Answers {
		if which(answer) {
			n++
		}
	}
	return n
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in 30 s")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
