package alerts

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/test/live"
)

const (
	root      = "../.."
	rulesFile = root + "/charts/gatepost/monitoring/alerts.yaml"
	boardFile = root + "/charts/gatepost/monitoring/dashboard.json"
)

// rule is an alert.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// scenario is one group of a file for promtool.
type scenario struct {
	Name   string `json:"name"`
	Series []struct {
		Series string `json:"series"`
	} `json:"input_series"`
	Queries []struct {
		Expr    string `json:"expr"`
		Samples []struct {
			Labels string `json:"labels"`
		} `json:"exp_samples"`
	} `json:"promql_expr_test"`
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []rule `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.Unmarshal(read(t, rulesFile), &file); err != nil {
		t.Fatalf("%s: %v", rulesFile, err)
	}
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", rulesFile)
	}
	return all
}

func scenarioFiles(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.test.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	return paths
}

func scenarios(t *testing.T) []scenario {
	t.Helper()
	var all []scenario
	for _, path := range scenarioFiles(t) {
		var file struct {
			Tests []scenario `json:"tests"`
		}
		if err := yaml.Unmarshal(read(t, path), &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, file.Tests...)
	}
	return all
}

// promtool runs it and returns what it says.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := live.Need(t, "this test", "promtool")
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	return string(out), err
}

// parses checks queries with promtool: it reads them as recording rules.
func parses(t *testing.T, queries []string) {
	t.Helper()
	type recording struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	recordings := make([]recording, 0, len(queries))
	for _, query := range queries {
		recordings = append(recordings, recording{Record: "query", Expr: query})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": recordings}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "queries.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, "check", "rules", "--lint=none", path); err != nil {
		t.Errorf("queries that Prometheus does not understand: %v\n%s", err, out)
	}
}
