package agents_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/test/live"
)

func TestMain(m *testing.M) { os.Exit(live.Main(m)) }

// desk is an issuer that writes down what it is asked.
type desk struct {
	*httptest.Server

	mu     sync.Mutex
	asked  []string // id secret form
	life   int      // seconds of the tokens
	status int
}

func openDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{life: 4, status: http.StatusOK}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		form, _ := io.ReadAll(r.Body)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.asked = append(d.asked, id+" "+secret+" "+string(form))
		w.WriteHeader(d.status)
		fmt.Fprintf(w, `{"access_token": "t%d", "token_type": "bearer", "expires_in": %d}`, len(d.asked), d.life)
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *desk) answer(status, life int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status, d.life = status, life
}

// said is what was asked so far.
func (d *desk) said() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.asked)
}

func (d *desk) times() int { return len(d.said()) }

// agent is the example in a Python of its own.
type agent struct {
	t      *testing.T
	in     io.Writer
	out    *bufio.Scanner
	secret string // file
}

func startAgent(t *testing.T, d *desk) agent {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a+b/c:d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	example, err := filepath.Abs("../../../examples/agent-to-agent")
	if err != nil {
		t.Fatal(err)
	}
	command := live.Python(t, ".", nil, "threads.py")
	command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "EXAMPLE="+example, "ENDPOINT="+d.URL+"/token", "SECRET_FILE="+secret)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	return agent{t: t, in: in, out: bufio.NewScanner(out), secret: secret}
}

func (a agent) does(what string) string {
	a.t.Helper()
	if _, err := io.WriteString(a.in, what+"\n"); err != nil {
		a.t.Fatal(err)
	}
	if !a.out.Scan() {
		a.t.Fatalf("%s: no answer: %v", what, a.out.Err())
	}
	return a.out.Text()
}

// is checks the answer, and how often the issuer has been asked by now.
func (a agent) is(d *desk, what, want string, times int) {
	a.t.Helper()
	if got := a.does(what); got != want || d.times() != times {
		a.t.Errorf("%s: %q after %d requests, want %q after %d", what, got, d.times(), want, times)
	}
}

func TestATokenIsFetchedOnce(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.answer(http.StatusOK, 600)
	a := startAgent(t, d)
	a.is(d, "8", "t1", 1) // eight threads at once
	a.is(d, "get", "t1", 1)
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {"https://searcher.example.com"}, "scope": {"search"}}
	if diff := cmp.Diff([]string{"a%20planner a%2Bb%2Fc%3Ad " + form.Encode()}, d.said()); diff != "" {
		t.Errorf("the request (-want +got):\n%s", diff)
	}
}

func TestATokenIsRenewedInTime(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	a := startAgent(t, d)
	began := time.Now()
	a.is(d, "get", "t1", 1)
	renewed := time.Time{}
	for end := began.Add(time.Minute); renewed.IsZero() && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if a.does("get") == "t2" {
			renewed = time.Now()
		}
	}
	// A quarter of four seconds before the end; a busy machine may be late, never early.
	if after := renewed.Sub(began); renewed.IsZero() || after < 2900*time.Millisecond {
		t.Errorf("renewed after %v, want three of the token's four seconds", after)
	}
}

func TestARefusedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.answer(http.StatusOK, 600)
	a := startAgent(t, d)
	a.is(d, "get", "t1", 1)
	a.is(d, "refused t1", "ok", 1)
	a.is(d, "get", "t2", 2)
	a.is(d, "refused t1", "ok", 2) // somebody is late: t2 is not refused
	a.is(d, "get", "t2", 2)
}

func TestAnIssuerThatIsDown(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	a := startAgent(t, d)
	d.answer(http.StatusServiceUnavailable, 0)
	a.is(d, "get", "error HTTPError", 1) // there is none yet
	d.answer(http.StatusOK, 8)
	a.is(d, "get", "t2", 2)
	d.answer(http.StatusServiceUnavailable, 0)
	kept, end := false, time.Now().Add(30*time.Second)
	for time.Now().Before(end) {
		got := a.does("get")
		if kept = kept || got == "t2" && d.times() > 2; got != "t2" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !kept || time.Now().After(end) {
		t.Errorf("asked %d times; want the old token to the end of its life while the issuer is down, and an error after it", d.times())
	}
	if err := os.WriteFile(a.secret, []byte("replaced"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.answer(http.StatusOK, 600)
	times := d.times() + 1
	a.is(d, "get", fmt.Sprintf("t%d", times), times)
	if last := d.said()[times-1]; !strings.HasPrefix(last, "a%20planner replaced ") {
		t.Errorf("asked with %q, want the secret that is in the file now", last)
	}
}
