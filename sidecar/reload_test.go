package sidecar

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// edition is one of two policies that differ in key and role.
type edition struct{ role, secret string }

func (e edition) policy() string {
	return strings.Replace(testPolicy, "values: [teacher]", "values: ["+e.role+"]", 1)
}

// mount writes an edition the way a kubelet does: all files at once, by one
// link, which both paths go through.
func (g *guarded) mount(n int, e edition) {
	g.t.Helper()
	g.write(fmt.Sprintf("bundle/..%d/policy.yaml", n), e.policy())
	g.write(fmt.Sprintf("bundle/..%d/keys/agent-jwt/current", n), e.secret)
	g.link(fmt.Sprintf("..%d", n), "policy.yaml", "keys")
}

// link makes the names in the directory bundle lead to a version of theirs, all
// by one rename.
func (g *guarded) link(version string, names ...string) {
	g.t.Helper()
	next := filepath.Join(g.dir, "bundle", "..next")
	if err := os.Symlink(version, next); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(g.dir, "bundle", "..data")); err != nil {
		g.t.Fatal(err)
	}
	for _, name := range names {
		link := filepath.Join(g.dir, "bundle", name)
		if _, err := os.Lstat(link); err != nil {
			if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
				g.t.Fatal(err)
			}
		}
	}
}

// notBuilt is a field that no code stands behind yet.
const notBuilt = "  protectedResource: {resource: \"https://chat.example.com\"}\n"

// A token of one edition's key with the other's role is good under no edition,
// so it is accepted only if the sidecar mixes the two.
func TestReloadsNeverMixEditions(t *testing.T) {
	editions := [2]edition{{"teacher", strings.Repeat("a", 40)}, {"admin", strings.Repeat("b", 40)}}
	g := start(t, setup{config: func(c *Config) {
		mounting := &guarded{t: t, dir: filepath.Dir(c.PolicyFile)}
		mounting.mount(0, editions[0])
		c.PolicyFile, c.KeysDir = filepath.Join(mounting.dir, "bundle/policy.yaml"), filepath.Join(mounting.dir, "bundle/keys")
	}})
	var good, bad, mixed, wrong atomic.Int64
	var over atomic.Bool
	var load sync.WaitGroup
	for i := range 8 {
		own, other := editions[i%2], editions[(i+1)%2]
		right := bearer(mintWith(t, own.secret, map[string]any{"role": own.role}))
		cross := bearer(mintWith(t, own.secret, map[string]any{"role": other.role}))
		load.Go(func() {
			for !over.Load() {
				switch g.do("GET", "/x", nil, "Authorization", right).status {
				case http.StatusOK:
					good.Add(1)
				case http.StatusUnauthorized:
					bad.Add(1)
				default:
					wrong.Add(1)
				}
				if got := g.do("GET", "/x", nil, "Authorization", cross).status; got != 401 && got != 403 {
					mixed.Add(1)
				}
			}
		})
	}
	const reloads = 400
	for n := 1; n <= reloads; n++ {
		g.mount(n, editions[n%2])
		if err := g.sidecar.reload(); err != nil {
			t.Fatal(err)
		}
	}
	over.Store(true)
	load.Wait()
	t.Logf("figure: reloads_under_load %d reloads, %d accepted, %d refused", reloads, good.Load(), bad.Load())
	if mixed.Load() > 0 || wrong.Load() > 0 || good.Load() == 0 || bad.Load() == 0 {
		t.Errorf("%d requests saw a mix, %d another answer than 200 or 401, %d were accepted, %d refused", mixed.Load(), wrong.Load(), good.Load(), bad.Load())
	}
}

func TestBadReloadsKeepTheLastGoodState(t *testing.T) {
	t.Parallel()
	g := start(t, setup{})
	auth := bearer(teacher(t))
	for _, c := range []struct {
		name, file, content, result, says string
	}{
		{"a policy that is no YAML", "policy.yaml", "a: [", "invalid", "policy.yaml"},
		{"an unknown field", "policy.yaml", strings.Replace(testPolicy, "jwt:", "jtw:", 1), "invalid", "jtw"},
		{"a feature not built yet", "policy.yaml", testPolicy + notBuilt, "not_supported_yet", "spec.protectedResource"},
		{"a short secret", "keys/agent-jwt/current", "short", "secret_too_short", "32 bytes"},
		{"a public key as a secret", "keys/agent-jwt/current", "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n", "secret_looks_like_key", "random bytes"},
		{"no policy at all", "policy.yaml", "", "invalid", "policy.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			series := `gatepost_config_reloads_total{result="` + c.result + `"}`
			before := g.metric(series)
			g.write(c.file, c.content)
			await(t, "the refusal is counted", func() bool { return g.metric(series) != before })
			if got := g.do("GET", "/x", nil, "Authorization", auth); got.status != 200 {
				t.Errorf("under the last good state: %d, want 200", got.status)
			}
			record := g.logs.find("reload refused: the last good policy and keys stay in force")
			if text, _ := record["error"].(string); !strings.Contains(text, c.says) {
				t.Errorf("the log says %q, want %q in it", text, c.says)
			}
			if got := g.private("/readyz"); got.status != 200 {
				t.Errorf("readyz: %d, want 200", got.status)
			}
			ok := g.metric(`gatepost_config_reloads_total{result="ok"}`)
			g.write("policy.yaml", testPolicy)
			g.write("keys/agent-jwt/current", testSecret)
			await(t, "the good state is loaded again", func() bool { return g.metric(`gatepost_config_reloads_total{result="ok"}`) != ok })
		})
	}
}

func TestRotatedKeysAreTakenUp(t *testing.T) {
	g := start(t, setup{})
	old, next := bearer(teacher(t)), strings.Repeat("n", 40)
	fresh := bearer(mintWith(t, next, map[string]any{"role": "teacher"}))
	if got := g.do("GET", "/x", nil, "Authorization", fresh).status; got != 401 {
		t.Fatalf("before the rotation: %d, want 401", got)
	}
	g.write("keys/agent-jwt/previous", testSecret)
	g.write("keys/agent-jwt/current", next)
	await(t, "the new key is accepted", func() bool { return g.do("GET", "/x", nil, "Authorization", fresh).status == 200 })
	if got := g.do("GET", "/x", nil, "Authorization", old).status; got != 200 {
		t.Errorf("the previous key during the overlap: %d, want 200", got)
	}
	if err := os.Remove(filepath.Join(g.dir, "keys/agent-jwt/previous")); err != nil {
		t.Fatal(err)
	}
	await(t, "the previous key is refused", func() bool { return g.do("GET", "/x", nil, "Authorization", old).status == 401 })
}

func TestStandaloneRefusesToStartWithoutPolicyOrKeys(t *testing.T) {
	for name, c := range map[string]struct{ policy, secret, want string }{
		"a policy with a wrong field": {strings.Replace(testPolicy, "HS256", "HS255", 1), testSecret, "algorithms"},
		"no key":                      {testPolicy, "", "agent-jwt/current"},
		"a short key":                 {testPolicy, "short", "at least 32 bytes"},
		"a feature not built yet":     {testPolicy + notBuilt, testSecret, "NotSupportedYet"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &guarded{t: t, dir: t.TempDir()}
			g.write("policy.yaml", c.policy)
			g.write("keys/other/current", testSecret)
			if c.secret != "" {
				g.write("keys/agent-jwt/current", c.secret)
			}
			s, err := New(Config{PolicyFile: g.dir + "/policy.yaml", KeysDir: g.dir + "/keys", Listen: "127.0.0.1:0", Upstream: "127.0.0.1:9", Admin: "127.0.0.1:0"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := s.Run(ctx); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run: %v, want %q in it", err, c.want)
			}
		})
	}
}
