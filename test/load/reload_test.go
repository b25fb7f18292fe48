package load

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// swaps is how often CI swaps the files under load; times soak: a thousand.
const swaps = 50

// edition is a policy and its key. The two differ in key and in required role,
// so a token of one's key with the other's role is good under neither.
type edition struct {
	role, secret string
	valid, mixed string // requests
}

func (e *edition) policy() string {
	return strings.Replace(guardedPolicy, "values: [teacher]", "values: ["+e.role+"]", 1)
}

// mount puts an edition in place the way a kubelet does: all of its files at
// once, by one link.
func mount(t *testing.T, dir string, n int, e *edition) {
	t.Helper()
	name := fmt.Sprintf("..%d", n)
	for file, content := range map[string]string{"policy.yaml": e.policy(), "keys/back-end/current": e.secret} {
		path := filepath.Join(dir, name, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	next := filepath.Join(dir, "..next")
	if err := errors.Join(os.Symlink(name, next), os.Rename(next, filepath.Join(dir, "..data"))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..%d", n-1))); err != nil {
		t.Fatal(err)
	}
}

// reloading is a run of swaps under load.
type reloading struct {
	address  string
	editions [2]edition
	// epoch is even while the edition epoch/2%2 is surely in force: it was seen
	// to be, and its files have not been touched since. It is odd meanwhile.
	epoch atomic.Int64

	judged, refused, mixed atomic.Int64 // requests; refused though surely valid; judged by a mix
}

// Policy and keys are swapped a thousand times under load. No request is judged
// by the policy of one and the key of the other, and no valid token is refused
// while its edition is in force.
func TestReloadsUnderLoad(t *testing.T) {
	r := &reloading{editions: [2]edition{
		{role: "teacher", secret: strings.Repeat("a", 40)}, {role: "admin", secret: strings.Repeat("b", 40)},
	}}
	for i := range r.editions {
		own, other := &r.editions[i], &r.editions[1-i]
		own.valid = get("/run", mint(t, own.secret, map[string]any{"role": own.role}))
		own.mixed = get("/run", mint(t, own.secret, map[string]any{"role": other.role}))
	}
	dir, total := t.TempDir(), swaps*soak()
	mount(t, dir, 0, &r.editions[0])
	for _, name := range []string{"policy.yaml", "keys"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	g := live.Start(t, live.Setup{
		Policy:      guardedPolicy, // not read: the flags below come later and win
		Upstream:    serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "agent") })),
		Flags:       []string{"--policy", filepath.Join(dir, "policy.yaml"), "--keys", filepath.Join(dir, "keys")},
		OutputBytes: outputBytes,
	})
	r.address = g.Address
	var over atomic.Bool
	var load sync.WaitGroup
	for i := range 8 {
		load.Go(func() { r.drive(t, i, &over) })
	}
	for n := 1; n <= total; n++ {
		r.epoch.Add(1)
		mount(t, dir, n, &r.editions[n%2])
		r.awaitForce(t, &r.editions[n%2], &r.editions[1-n%2])
		r.epoch.Add(1)
		time.Sleep(20 * time.Millisecond) // requests of a sure epoch
	}
	over.Store(true)
	load.Wait()
	live.Figure("reloads_of_a_running_sidecar", total, "reloads")
	live.Figure("reloads_requests_of_a_sure_epoch", r.judged.Load(), "requests")
	live.Figure("reloads_valid_tokens_refused", r.refused.Load(), "requests")
	live.Figure("reloads_judged_by_a_mix", r.mixed.Load(), "requests")
	if r.judged.Load() < int64(total) || r.refused.Load()+r.mixed.Load() > 0 {
		t.Errorf("of %d requests %d were refused though valid and %d judged by a mix", r.judged.Load(), r.refused.Load(), r.mixed.Load())
	}
	if n, err := strconv.Atoi(g.Metric(`gatepost_config_reloads_total{result="ok"}`)); err != nil || n < total {
		t.Errorf("the sidecar counts %d reloads, want at least %d; %v", n, total, err)
	}
}

// awaitForce waits until an edition is in force, and the other is not.
func (r *reloading) awaitForce(t *testing.T, own, other *edition) {
	t.Helper()
	conn, err := dial(t.Context(), r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		good, _, err := ask(conn, own.valid)
		bad, _, err2 := ask(conn, other.valid)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if good == http.StatusOK && bad == http.StatusUnauthorized {
			return
		}
	}
	t.Fatalf("the edition of role %s is not in force after %v", own.role, patience)
}

// drive sends valid and mixed tokens of both editions in turns.
func (r *reloading) drive(t *testing.T, first int, over *atomic.Bool) {
	conn, err := dial(t.Context(), r.address)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	for i := first; !over.Load(); i++ {
		e, valid := i%2, i/2%2 == 0
		request := r.editions[e].mixed
		if valid {
			request = r.editions[e].valid
		}
		before := r.epoch.Load()
		status, _, err := ask(conn, request)
		if err != nil {
			t.Errorf("a request during reloads: %v", err)
			return
		}
		inForce := unknown
		if before%2 == 0 && before == r.epoch.Load() {
			inForce = int(before / 2 % 2)
			r.judged.Add(1)
		}
		r.judge(e, valid, status, inForce)
	}
}

// unknown stands for the edition in force while the files change.
const unknown = -1

// judge weighs one answer to a token of edition e. A valid token is let in by
// its own edition and unknown to the other; a mixed one fails by its role or by
// its key. Anything else is a mix of both.
func (r *reloading) judge(e int, valid bool, status, inForce int) {
	own := http.StatusForbidden
	if valid {
		own = http.StatusOK
	}
	byOwn, byOther := status == own, status == http.StatusUnauthorized
	switch {
	case inForce == e && byOwn, inForce == 1-e && byOther, inForce == unknown && (byOwn || byOther):
	case inForce == e && byOther && valid:
		r.refused.Add(1)
	default:
		r.mixed.Add(1)
	}
}
