package attack

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// broken are the ways in which policy and keys go wrong on disk (threats A7,
// T3).
var broken = map[string]struct{ file, content string }{
	"an empty policy":                      {"policy.yaml", ""},
	"a policy that is no YAML":             {"policy.yaml", "{[}"},
	"a policy that is cut off":             {"policy.yaml", "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: main}\nspec:\n  jwt:\n    providers:\n"},
	"a policy of another kind":             {"policy.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: main}\n"},
	"a policy with a field nobody knows":   {"policy.yaml", "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: main}\nspec: {public: true}\n"},
	"a policy of a later version":          {"policy.yaml", "apiVersion: gatepost.dev/v9\nkind: AgentAuthPolicy\nmetadata: {name: main}\nspec: {}\n"},
	"a policy that refers to no secret":    {"policy.yaml", "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: main}\nspec: {jwt: {providers: [{name: x, algorithms: [HS256], secretRef: {name: nowhere, keys: [current]}}]}}\n"},
	"a policy that allows none":            {"policy.yaml", "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: main}\nspec: {jwt: {providers: [{name: x, algorithms: [none], secretRef: {name: shared, keys: [current]}}]}}\n"},
	"a policy that mixes secrets and keys": {"policy.yaml", "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: main}\nspec: {jwt: {providers: [{name: x, algorithms: [HS256, RS256], secretRef: {name: shared, keys: [current]}}]}}\n"},
	"an empty secret":                      {"keys/shared/current", ""},
	"a secret of 31 bytes":                 {"keys/shared/current", strings.Repeat("k", 31)},
	"a secret that is a public key":        {"keys/shared/current", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: make([]byte, 64)}))},
	"a secret that is a key set":           {"keys/shared/current", `{"keys":[{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`},
	"a key set that is no JSON":            {"keys/public/jwks", "<html>"},
	"a key set without keys":               {"keys/public/jwks", `{"keys":[]}`},
	"an empty key set":                     {"keys/public/jwks", ""},
}

// A sidecar does not start with what is broken: it says why and exits.
func TestBrokenConfigurationDoesNotStart(t *testing.T) {
	binary := live.Build(t, "sidecar")
	for name, c := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(name string, content []byte) {
				path := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			write("policy.yaml", []byte(policyText(t, "main", nil)))
			for file, content := range newRing(t).files(t) {
				write("keys/"+file, content)
			}
			write(c.file, []byte(c.content))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, binary, "--policy", filepath.Join(dir, "policy.yaml"), "--keys", filepath.Join(dir, "keys"),
				"--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9", "--admin", "127.0.0.1:0").CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || strings.Contains(string(out), `"msg":"listening"`) {
				t.Errorf("it ended with %v and wrote:\n%s", err, out)
			}
		})
	}
}

// A sidecar that runs keeps the last good state, and never opens.
func TestBrokenConfigurationNeverOpens(t *testing.T) {
	t.Parallel()
	s := newStage(t, "main", false)
	good := map[string][]byte{"policy.yaml": []byte(policyText(t, "main", nil))}
	for file, content := range s.mint.keys.files(t) {
		good["keys/"+file] = content
	}
	tokens := map[string]int{}
	for recipe, status := range map[string]int{
		`{}`: 200, `{"key":"rs"}`: 200, `{"signature":"flipped"}`: 401, `{"header":{"alg":"none"},"signature":"empty"}`: 401,
		`{"secret":"empty"}`: 401, `{"key":"foreign-rs"}`: 401,
	} {
		text, err := s.mint.token(recipe)
		if err != nil {
			t.Fatal(err)
		}
		tokens["Bearer "+text] = status
	}
	tokens[""] = 401
	for name, c := range broken {
		t.Run(name, func(t *testing.T) {
			before := s.failedReloads()
			s.Write(c.file, []byte(c.content))
			await(t, "refused reload", func() bool { return s.failedReloads() > before })
			for authorization, status := range tokens {
				if got := s.get(t, "/notes/x", authorization); got != status {
					t.Errorf("with %.60q: %d, want %d as before", authorization, got, status)
				}
			}
			reloads := s.reloads(`"ok"`)
			s.Write(c.file, good[c.file])
			await(t, "good reload", func() bool { return s.reloads(`"ok"`) > reloads })
		})
	}
}

// reloads counts the reloads with this result; failedReloads those with any
// other than ok.
func (s *stage) reloads(result string) int {
	total := 0
	_, text := s.Private("/metrics")
	for line := range strings.Lines(text) {
		labels, ok := strings.CutPrefix(line, "gatepost_config_reloads_total{result=")
		if ok && strings.HasPrefix(labels, result) {
			_, value, _ := strings.Cut(labels, "} ")
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			total += n
		}
	}
	return total
}

func (s *stage) failedReloads() int { return s.reloads("") - s.reloads(`"ok"`) }

func (s *stage) get(t *testing.T, path, authorization string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode
}
