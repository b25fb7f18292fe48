package podfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"gatepost.dev/gatepost/cmd/gatepost/internal/podfile"
	"gatepost.dev/gatepost/controller/inject"
)

// corpus is the golden corpus of the webhook's injector.
const corpus = "../../../../controller/inject/testdata"

var config = inject.Config{Image: "localhost/gatepost-sidecar:dev", PullPolicy: corev1.PullIfNotPresent}

// wrappers are the kinds that hold pods: how a pod is put in, and out again.
var wrappers = map[string]struct {
	head   string
	indent int
	path   []string
}{
	"Pod":         {},
	"Deployment":  {head: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w}\nspec:\n  replicas: 2 # kept\n  template:\n", indent: 4, path: []string{"spec", "template"}},
	"StatefulSet": {head: "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: w}\nspec:\n  template:\n", indent: 4, path: []string{"spec", "template"}},
	"CronJob":     {head: "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: w}\nspec:\n  jobTemplate:\n    spec:\n      template:\n", indent: 8, path: []string{"spec", "jobTemplate", "spec", "template"}},
	"PodTemplate": {head: "apiVersion: v1\nkind: PodTemplate\nmetadata: {name: w}\ntemplate:\n", indent: 2, path: []string{"template"}},
	"Rollout":     {head: "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: w}\nspec:\n  template:\n", indent: 4, path: []string{"spec", "template"}},
}

// The pods of the webhook's corpus come out as they do of the webhook, whatever
// holds them.
func TestFilesComeOutAsTheWebhookMakesThem(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(corpus, "*.injected.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, golden := range files {
		name := strings.TrimSuffix(filepath.Base(golden), ".injected.yaml")
		for kind := range wrappers {
			t.Run(name+" in "+kind, func(t *testing.T) {
				t.Parallel()
				checkCase(t, kind, filepath.Join(corpus, name+".yaml"), golden)
			})
		}
	}
}

func checkCase(t *testing.T, kind, file, golden string) {
	t.Helper()
	policy, pod, ok := strings.Cut(read(t, file), "\n---\n")
	if !ok {
		t.Fatalf("%s has no two documents", file)
	}
	policies, err := podfile.Policies([]byte(policy), "default")
	if err != nil {
		t.Fatal(err)
	}
	if len(policies) != 1 {
		t.Fatalf("%d policies", len(policies))
	}
	namespace := policies[0].Namespace
	out, outcomes, err := podfile.Inject([]byte(policy+"\n---\n"+wrap(kind, pod)), podfile.Options{Config: config, Policies: policies, Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	if len(outcomes) != 1 || outcomes[0].Policy != policies[0].Name {
		t.Fatalf("outcomes: %+v", outcomes)
	}
	before, after, _ := strings.Cut(string(out), "\n---\n")
	if diff := cmp.Diff(policy, before); diff != "" {
		t.Errorf("a document without a pod was changed:\n%s", diff)
	}
	if diff := cmp.Diff(decode(t, timeless(read(t, golden))), unwrap(t, kind, after)); diff != "" {
		t.Errorf("(-webhook +file):\n%s", diff)
	}
	if kind == "Deployment" && !strings.Contains(after, "# kept") {
		t.Errorf("the comment is gone:\n%s", after)
	}
}

// timeless leaves out what the webhook says of the bundle as it is at the moment:
// a file is applied at another time, maybe in another cluster.
func timeless(golden string) string {
	var text strings.Builder
	for line := range strings.Lines(golden) {
		if !strings.Contains(line, "gatepost.dev/bundle-revision:") && !strings.Contains(line, "- --min-revision=") {
			text.WriteString(line)
		}
	}
	return text.String()
}

func wrap(kind, pod string) string {
	wrapper := wrappers[kind]
	var text strings.Builder
	text.WriteString(wrapper.head)
	for line := range strings.Lines(pod) {
		text.WriteString(strings.Repeat(" ", wrapper.indent) + line)
	}
	return text.String()
}

// unwrap takes the pod out. What our types write of an empty pod is left out.
func unwrap(t *testing.T, kind, text string) map[string]any {
	t.Helper()
	value := decode(t, text)
	for _, name := range wrappers[kind].path {
		inner, ok := value[name].(map[string]any)
		if !ok {
			t.Fatalf("no %s in\n%s", name, text)
		}
		value = inner
	}
	return value
}

// decode reads a pod; the golden files have the empty fields of its type, which a
// file need not have.
func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var value map[string]any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return prune(value)
}

func prune(value map[string]any) map[string]any {
	for name, child := range value {
		switch child := child.(type) {
		case nil:
			delete(value, name)
		case map[string]any:
			if len(prune(child)) == 0 {
				delete(value, name)
			}
		case []any:
			for _, element := range child {
				if object, ok := element.(map[string]any); ok {
					prune(object)
				}
			}
		}
	}
	return value
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(text)) + "\n"
}

func FuzzInject(f *testing.F) {
	policy := "apiVersion: gatepost.dev/v1alpha1\nkind: AgentAuthPolicy\nmetadata: {name: p}\nspec: {selector: {}}\n"
	f.Add("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: x, ports: [{containerPort: 80}]}]}\n")
	f.Add("kind: Deployment\nspec:\n  template: &a\n    spec:\n      containers:\n      - {name: x, ports: [{containerPort: 8000}]}\n  again: *a\n")
	f.Add("kind: List\nitems:\n- kind: Pod\n- 7\n---\n# nothing\n---\n...\n")
	f.Add(`{"kind":"Pod","spec":{"containers":[{"name":"x","ports":[{"containerPort":1}]}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		policies, err := podfile.Policies([]byte(policy), "default")
		if err != nil {
			t.Fatal(err)
		}
		options := podfile.Options{Config: config, Policies: policies, Namespace: "default"}
		once, outcomes, err := podfile.Inject([]byte(text), options)
		if err != nil {
			return
		}
		guarded := false
		for _, outcome := range outcomes {
			guarded = guarded || outcome.Policy != ""
		}
		if !guarded {
			if string(once) != text {
				t.Errorf("nothing was guarded, and the text was changed:\n%q\n%q", text, once)
			}
			return
		}
		twice, _, err := podfile.Inject(once, options)
		if err != nil {
			t.Fatalf("injecting anew: %v\n%s", err, once)
		}
		if diff := cmp.Diff(string(once), string(twice)); diff != "" {
			t.Errorf("injecting anew changes the file (-once +twice):\n%s", diff)
		}
	})
}
