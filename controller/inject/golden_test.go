package inject_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/inject"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const goldenSuffix = ".injected.yaml"

var config = inject.Config{Image: "localhost/gatepost-sidecar:dev", PullPolicy: corev1.PullIfNotPresent}

// Each file in testdata is a policy and a pod; beside it is the pod that comes out.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	inputs := slices.DeleteFunc(slices.Clone(files), func(name string) bool { return strings.HasSuffix(name, goldenSuffix) })
	for _, file := range files {
		if base, golden := strings.CutSuffix(file, goldenSuffix); golden && !slices.Contains(inputs, base+".yaml") {
			t.Errorf("%s belongs to no input; delete it", file)
		}
	}
	for _, file := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			policy, pod := readCase(t, file)
			given := pod.DeepCopy()
			got, warnings, err := inject.Pod(pod, policy, config)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(given, pod); diff != "" {
				t.Errorf("the given pod was changed (-before +after):\n%s", diff)
			}
			compareGolden(t, strings.TrimSuffix(file, ".yaml")+goldenSuffix, render(t, got, warnings))
			again, _, err := inject.Pod(got, policy, config)
			if err != nil {
				t.Fatalf("injecting anew: %v", err)
			}
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("injecting anew changes the pod (-once +twice):\n%s", diff)
			}
		})
	}
}

// readCase reads a policy and a pod, in this order, strictly.
func readCase(t *testing.T, file string) (*v1alpha1.AgentAuthPolicy, *corev1.Pod) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	documents := bytes.Split(data, []byte("\n---\n"))
	if len(documents) != 2 {
		t.Fatalf("%s has %d documents, want a policy and a pod", file, len(documents))
	}
	policy, pod := &v1alpha1.AgentAuthPolicy{}, &corev1.Pod{}
	if err := yaml.UnmarshalStrict(documents[0], policy); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(documents[1], pod); err != nil {
		t.Fatal(err)
	}
	return policy, pod
}

// render is the pod as YAML under its warnings.
func render(t *testing.T, pod *corev1.Pod, warnings []inject.Warning) []byte {
	t.Helper()
	text, err := yaml.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, warning := range warnings {
		fmt.Fprintf(&out, "# warning: %s\n", warning)
	}
	out.Write(text)
	return out.Bytes()
}

func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run the test with -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", file, diff)
	}
}
