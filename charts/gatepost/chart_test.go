package gatepost_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files, copies of CRDs and config/")

const (
	release   = "gatepost"
	namespace = "gatepost-system"
)

// helm returns a helm: that of the environment, or the one that test/cluster has
// built. Where that is not built the test is skipped, unless it has the cluster
// tag or is to write: then it is built.
func helm(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("GATEPOST_HELM"); path != "" {
		return path
	}
	if requireHelm || *update {
		out, err := exec.CommandContext(t.Context(), "../../test/cluster/build", "--print").Output()
		if err != nil {
			t.Fatalf("building helm: %v", err)
		}
		return filepath.Join(strings.TrimSpace(string(out)), "helm")
	}
	cache := os.Getenv("GATEPOST_CACHE")
	if home, err := os.UserHomeDir(); cache == "" && err == nil {
		cache = filepath.Join(home, ".cache", "gatepost")
	}
	built, err := filepath.Glob(filepath.Join(cache, "cluster", "*", "bin", "helm"))
	if err != nil || len(built) == 0 {
		t.Skip("there is no helm yet; test/cluster/build makes one")
	}
	return built[len(built)-1]
}

// run runs helm and returns what it printed.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), helm(t), args...)
	// Neither the user's settings nor a cluster may matter.
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+os.DevNull)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func render(t *testing.T, args ...string) string {
	t.Helper()
	out, stderr, err := run(t, append([]string{"template", release, ".", "--namespace", namespace}, args...)...)
	if err != nil {
		t.Fatalf("rendering: %v\n%s", err, stderr)
	}
	return out
}

func TestLint(t *testing.T) {
	for _, values := range valueFiles(t) {
		if out, stderr, err := run(t, "lint", "--strict", ".", "--values", values); err != nil {
			t.Errorf("helm lint with %s: %v\n%s%s", values, err, out, stderr)
		}
	}
}

func valueFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no values in testdata: %v", err)
	}
	return files
}

func TestGoldenRenders(t *testing.T) {
	inputs := valueFiles(t)
	goldens, err := filepath.Glob("testdata/*.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range goldens {
		if !slices.Contains(inputs, strings.TrimSuffix(golden, ".golden.yaml")+".values.yaml") {
			t.Errorf("%s belongs to no values; delete it", golden)
		}
	}
	for _, values := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(values), ".values.yaml"), func(t *testing.T) {
			got := render(t, "--values", values)
			if again := render(t, "--values", values); got != again {
				t.Error("rendering twice gives two results")
			}
			compare(t, strings.TrimSuffix(values, ".values.yaml")+".golden.yaml", got)
		})
	}
}

// compare compares with a file that -update rewrites.
func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run the test with -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", file, diff)
	}
}

func TestWrongValuesAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ set, want string }{
		"an unknown value":                       {"replica=3", "replica"},
		"no replica":                             {"replicas=0", "/replicas"},
		"an image tag that moves":                {"image.sidecar.tag=latest", "/image/sidecar/tag"},
		"an image that would leave the CEL text": {"image.sidecar.repository=a'b", "/image/sidecar/repository"},
		"an issuer's image that would leave it":  {"image.issuer.repository=a'b", "/image/issuer/repository"},
		"a digest that is none":                  {"image.sidecar.digest=sha256:1", "/image/sidecar/digest"},
		"a port that needs privileges":           {"adminPort=80", "/adminPort"},
		"a duration without a unit":              {"rotation.minPrePublish=120", "/rotation/minPrePublish"},
		"an unknown keeper of certificates":      {"webhook.certificates=vault", "/webhook/certificates"},
		"half an issuer":                         {"webhook.certManagerIssuer.name=ca", "/webhook/certManagerIssuer"},
		"watching kube-system":                   {"watchNamespaces={kube-system}", "/watchNamespaces/0"},
		"a log level that does not exist":        {"logLevel=loud", "/logLevel"},
		"runbooks without an address":            {"prometheusRule.runbooks=docs", "/prometheusRule/runbooks"},
	} {
		t.Run(name, func(t *testing.T) {
			out, stderr, err := run(t, "template", release, ".", "--set", test.set)
			if err == nil || !strings.Contains(stderr, test.want) {
				t.Errorf("--set %s: error %v, output %d bytes, stderr %q, want a complaint about %s", test.set, err, len(out), stderr, test.want)
			}
		})
	}
}

// The chart carries its own copies, because a chart must be whole.
func TestCRDsAreThoseOfConfig(t *testing.T) {
	sources, err := filepath.Glob("../../config/crd/gatepost.dev_*.yaml")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no CRDs in config/crd: %v", err)
	}
	copies, err := filepath.Glob("crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range copies {
		if !slices.Contains(sources, filepath.Join("../../config/crd", filepath.Base(file))) {
			t.Errorf("%s is no copy of anything in config/crd; delete it", file)
		}
	}
	for _, source := range sources {
		data, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, filepath.Join("crds", filepath.Base(source)), string(data))
	}
}
