package sidecar

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/token"
)

// mounted is a bundle with keys that only tokens of their key id are signed with.
type mounted struct {
	revision int64
	kid      string // ids, separated by blanks
	revoked  []string
	ackKey   string // of the tests' if empty
	policy   string // podPolicy if empty
}

// startMounted runs a sidecar as in a pod whose bundle is mounted the way a
// kubelet does.
func startMounted(t *testing.T, change func(*Config)) *guarded {
	t.Helper()
	g, _ := startPod(t, func(c *Config) {
		if err := os.Mkdir(filepath.Join(filepath.Dir(c.PolicyFile), "bundle"), 0o755); err != nil {
			t.Fatal(err)
		}
		c.PolicyFile = filepath.Join(filepath.Dir(c.PolicyFile), "bundle", "policy.json")
		c.KeysFile = filepath.Join(filepath.Dir(c.KeysFile), "bundle", "keys.json")
		if change != nil {
			change(c)
		}
	})
	return g
}

// mountBundle replaces what the pod has mounted.
func (g *guarded) mountBundle(m mounted) {
	g.t.Helper()
	file := keyring.File{
		Revision: m.revision, AckKey: ackKey, SigningKeys: map[string]int64{"agent-tokens": m.revision},
	}
	var keys []keyring.VerifyKey
	for kid := range strings.FieldsSeq(m.kid) {
		keys = append(keys, keyring.VerifyKey{KID: kid, Alg: "HS256", K: secretOf(kid)})
	}
	file.Providers = map[string]keyring.FileProvider{"own": {Keys: keys}}
	if m.ackKey != "" {
		file.AckKey = []byte(m.ackKey)
	}
	if len(m.revoked) > 0 {
		file.Revoked = map[string][]string{"agent-tokens": m.revoked}
	}
	data, err := file.Marshal()
	if err != nil {
		g.t.Fatal(err)
	}
	version, err := os.MkdirTemp(filepath.Join(g.dir, "bundle"), "..")
	if err != nil {
		g.t.Fatal(err)
	}
	for name, content := range map[string]string{"policy.json": cmp.Or(m.policy, podPolicy), "keys.json": string(data)} {
		g.write(filepath.Join("bundle", filepath.Base(version), name), content)
	}
	g.link(filepath.Base(version), "policy.json", "keys.json")
}

func secretOf(kid string) []byte { return []byte("the secret of the key with the id " + kid) }

// tokenOf is a token that one of the keys signed.
func tokenOf(t *testing.T, kid string) string {
	t.Helper()
	now := time.Now()
	text, err := token.Mint(token.Key{KID: kid, Alg: "HS256", K: secretOf(kid)}, nil, map[string]any{"sub": "s", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// with asks with a token and returns the status.
func (g *guarded) with(token string) int {
	g.t.Helper()
	return g.do("GET", "/x", nil, "Authorization", bearer(token)).status
}

// awaitReload waits for the next reload with this result.
func (g *guarded) awaitReload(result string, change func()) {
	g.t.Helper()
	series := fmt.Sprintf("gatepost_config_reloads_total{result=%q}", result)
	before := g.metric(series)
	change()
	await(g.t, "a reload that is "+result, func() bool { return g.metric(series) != before })
}

// inForce is the revision that /state tells; 0 when it tells none.
func (g *guarded) inForce() int64 {
	g.t.Helper()
	answer := g.private("/state?nonce=n1")
	if answer.status == 503 {
		return 0
	}
	state, err := bundle.ParseState([]byte(answer.body))
	if err != nil {
		g.t.Fatal(err)
	}
	return state.Revision
}

func TestAPodNeverTakesAnOlderRevision(t *testing.T) {
	t.Parallel()
	g := startMounted(t, nil)
	old, current, next := tokenOf(t, "7-a"), tokenOf(t, "8-b"), tokenOf(t, "9-c")
	g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 8, kid: "8-b"}) })
	for range 2 { // a restored Secret, and the kubelet that mounts it again
		g.awaitReload("older_revision", func() {
			g.mountBundle(mounted{revision: 7, kid: "7-a"})
		})
		if got := g.inForce(); got != 8 {
			t.Errorf("/state tells revision %d, want that in force, 8", got)
		}
		if kept, back := g.with(current), g.with(old); kept != 200 || back != 401 {
			t.Errorf("a token of the key in force: %d, want 200; of the key that was removed: %d, want 401", kept, back)
		}
		if got := g.private("/readyz").status; got != 200 {
			t.Errorf("readyz: %d, want 200", got)
		}
		text, _ := g.logs.find("reload refused: the last good policy and keys stay in force")["error"].(string)
		if !strings.Contains(text, "keys.json has revision 7, and 8 is in force") || !strings.Contains(text, "see that the controller runs") {
			t.Errorf("the log says %q, want both revisions and what to do", text)
		}
		g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 8, kid: "8-b"}) })
	}
	g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 9, kid: "9-c"}) }) // what the controller adopted
	if got := g.inForce(); got != 9 || g.with(next) != 200 || g.with(current) != 401 {
		t.Errorf("revision %d, want 9 in force", got)
	}
}

func TestAPodWaitsForTheRevisionItWasAdmittedWith(t *testing.T) {
	t.Parallel()
	g := startMounted(t, func(c *Config) { c.MinRevision = 8 })
	g.awaitReload("older_revision", func() { g.mountBundle(mounted{revision: 7, kid: "7-a"}) })
	if got := g.do("GET", "/x", nil, "Authorization", bearer(tokenOf(t, "7-a"))); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("with the older mount: %d, want 503 and Retry-After", got.status)
	}
	if ready, state := g.private("/readyz").status, g.private("/state?nonce=n1").status; ready != 503 || state != 503 {
		t.Errorf("readyz: %d, state: %d, want 503", ready, state)
	}
	text, _ := g.logs.find("no policy is in force yet: every request is answered 503")["error"].(string)
	if !strings.Contains(text, "keys.json has revision 7, and this pod was admitted with 8") || !strings.Contains(text, "within two minutes") {
		t.Errorf("the log says %q, want both revisions and what to do", text)
	}
	g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 8, kid: "8-b"}) })
	if got := g.inForce(); got != 8 || g.private("/readyz").status != 200 || g.with(tokenOf(t, "8-b")) != 200 {
		t.Errorf("revision %d, want 8 in force and ready", got)
	}
}

// A bundle that was deleted counts from the start, and its pods must not be left
// behind for ever.
func TestABundleThatWasMadeAnewIsTaken(t *testing.T) {
	t.Parallel()
	g := startMounted(t, nil)
	g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 8, kid: "8-b", revoked: []string{"6-z"}}) })
	g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 1, kid: "1-a", ackKey: "that of another bundle"}) })
	if got := g.inForce(); got != 1 || g.with(tokenOf(t, "1-a")) != 200 {
		t.Errorf("revision %d, want 1 in force", got)
	}
	if body := g.private("/state?nonce=n1").body; !strings.Contains(body, `"revoked":{"agent-tokens":["6-z"]}`) {
		t.Errorf("the revocation is forgotten: %s", body)
	}
}

// Memory alone holds what is in force, so a sidecar that starts again after the
// cluster was restored takes whatever is as new as its pod, until the controller
// writes a revision above all that the others told.
func TestASidecarThatStartsAgainAfterARestoreConverges(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		restored int64
		result   string
		ready    int
	}{
		"restored to a state in which the pod was there": {9, "ok", 200},
		"restored to a state that knew no such pod":      {7, "older_revision", 503},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			g := startMounted(t, func(c *Config) { c.MinRevision = 8 })
			g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 10, kid: "8-b"}) })
			g.awaitReload("older_revision", func() { g.mountBundle(mounted{revision: test.restored, kid: "7-a"}) })
			if err := g.stop(); err != nil {
				t.Fatal(err)
			}
			again := startMounted(t, func(c *Config) {
				c.MinRevision, c.PolicyFile, c.KeysFile = 8, g.sidecar.config.PolicyFile, g.sidecar.config.KeysFile
			})
			again.dir = g.dir
			if got := again.metric(`gatepost_config_reloads_total{result="` + test.result + `"}`); got != "1" {
				t.Errorf("%s is counted %q times, want once", test.result, got)
			}
			if got := again.private("/readyz").status; got != test.ready {
				t.Errorf("readyz: %d, want %d", got, test.ready)
			}
			again.awaitReload("ok", func() { again.mountBundle(mounted{revision: 11, kid: "8-b"}) })
			if got := again.inForce(); got != 11 || again.with(tokenOf(t, "8-b")) != 200 {
				t.Errorf("revision %d, want 11 in force", got)
			}
		})
	}
}

// An old state that comes with a later revision, because the controller has not
// heard yet what was revoked, cannot bring a revoked key back.
func TestARevokedKeyStaysRefused(t *testing.T) {
	t.Parallel()
	g := startMounted(t, nil)
	revoked := tokenOf(t, "1-a")
	g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 8, kid: "1-a"}) })
	for range 3 { // so that it is remembered
		if got := g.with(revoked); got != 200 {
			t.Fatalf("before the revocation: %d, want 200", got)
		}
	}
	g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 9, kid: "2-b", revoked: []string{"1-a"}}) })
	if got := g.with(revoked); got != 401 {
		t.Errorf("after the revocation: %d, want 401", got)
	}
	g.awaitReload("ok", func() { g.mountBundle(mounted{revision: 10, kid: "1-a"}) })
	if got := g.with(revoked); got == 200 {
		t.Error("a later revision brought the revoked key back")
	}
	state, err := bundle.ParseState([]byte(g.private("/state?nonce=n1").body))
	if err != nil {
		t.Fatal(err)
	}
	if !state.Verify(ackKey, "n1") || len(state.KIDs["agent-tokens"]) != 0 || strings.Join(state.Revoked["agent-tokens"], " ") != "1-a" {
		t.Errorf("/state tells %+v, want no key and one that is revoked", state)
	}
}
