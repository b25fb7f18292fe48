package corpus_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatepost.dev/gatepost/test/corpus"
	"gatepost.dev/gatepost/test/live"
)

// The built command line is given every archive as the files a person would
// write.
func TestPolicyCorpusCommandLine(t *testing.T) {
	gatepost := live.Build(t, "gatepost")
	disagreements := 0
	for _, a := range corpus.Load(t) {
		t.Run(a.Name, func(t *testing.T) {
			more := ""
			if !a.Valid() {
				more = "- {name: any, request: {method: GET, path: /}, expect: {reason: ok}}\n"
			}
			dir := writeSuite(t, a, more)
			command := exec.CommandContext(t.Context(), gatepost, "policy", "test", "-f", "cases.yaml")
			command.Dir = dir
			var stdout, stderr bytes.Buffer
			command.Stdout, command.Stderr = &stdout, &stderr
			err := command.Run()
			disagreements += commandLineDisagreements(t, a, exitCode(err), stdout.String(), stderr.String())
		})
	}
	corpus.Figure("policy_corpus_command_line_disagreements", disagreements, "cases")
}

// writeSuite writes an archive, and more cases, as policy.yaml and cases.yaml.
func writeSuite(t *testing.T, a *corpus.Archive, more string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cases := "policy: policy.yaml\ncases:\n" + string(a.CaseList) + more
	for name, content := range map[string]string{"policy.yaml": string(a.Policy()), "cases.yaml": cases} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

func commandLineDisagreements(t *testing.T, a *corpus.Archive, code int, stdout, stderr string) int {
	t.Helper()
	if !a.Valid() {
		missing := 0
		for _, text := range a.Errors {
			if code != 2 || !strings.Contains(stderr, text) {
				missing++
				t.Errorf("exit code %d, %s; want 2 and %s", code, stderr, text)
			}
		}
		return missing
	}
	if want := fmt.Sprintf("%d passed, 0 failed\n", len(a.Cases)); code != 0 || !strings.HasSuffix(stdout, want) {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
		return max(1, strings.Count(stdout, "FAIL  "))
	}
	return 0
}
