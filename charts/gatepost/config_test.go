package gatepost_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// configDir is the directory of plain manifests, made from the chart with its
// default values for people who use kustomize: config/default is all of it.
const configDir = "../../config"

// monitoringDir is the part of config/ that config/default leaves out, because it
// needs the Prometheus operator and Grafana.
const monitoringDir = "monitoring"

// TestConfig compares config/ with the chart, one file for each template.
func TestConfig(t *testing.T) {
	files := documents(t, render(t))
	for path, texts := range documents(t, render(t, "--set", "podMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true")) {
		if strings.HasPrefix(path, monitoringDir+"/") {
			files[path] = texts
		}
	}
	files["default/namespace.yaml"] = []string{namespaceManifest(t)}
	directories := map[string][]string{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		directory, name := filepath.Split(path)
		directories[filepath.Clean(directory)] = append(directories[filepath.Clean(directory)], name)
		compare(t, filepath.Join(configDir, path), header("the chart")+strings.Join(files[path], "\n---\n")+"\n")
	}
	for directory, names := range directories {
		note := ""
		if directory == "default" {
			note = images
			names = append(names, "../admission", "../crd", "../rbac", "../webhook")
		}
		slices.Sort(names)
		compare(t, filepath.Join(configDir, directory, "kustomization.yaml"), header("the chart")+note+kustomization(t, names))
		refuseStrays(t, directory, names)
	}
	crds, err := filepath.Glob(filepath.Join(configDir, "crd", "gatepost.dev_*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range crds {
		crds[i] = filepath.Base(crds[i])
	}
	compare(t, filepath.Join(configDir, "crd", "kustomization.yaml"), header("config/crd")+kustomization(t, crds))
}

// documents are what a render holds, by the path below config/ that each belongs to.
func documents(t *testing.T, rendered string) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		document = strings.TrimPrefix(strings.TrimSpace(document), "---\n")
		source, text, found := strings.Cut(document, "\n")
		path, isSource := strings.CutPrefix(source, "# Source: gatepost/templates/")
		if !found || !isSource {
			t.Fatalf("a document does not name its template: %.80q", document)
		}
		if !strings.Contains(path, "/") {
			path = "default/" + path
		}
		files[path] = append(files[path], strings.ReplaceAll(text, "managed-by: Helm", "managed-by: kustomize"))
	}
	return files
}

// images is for people who would only change the image of the Deployment.
const images = `# The images are those of ` + "`make image`" + `. The sidecar's is named in an argument of the
# controller and in the admission policies too: for others, render the chart.
`

func header(source string) string {
	return fmt.Sprintf("# Made from %s by `make generate`; do not edit.\n", source)
}

func namespaceManifest(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(mustYAML(t, map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": namespace, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"}},
	}))
}

func kustomization(t *testing.T, resources []string) string {
	t.Helper()
	return mustYAML(t, map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources,
	})
}

func mustYAML(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// refuseStrays fails for files of a directory that no template stands behind.
func refuseStrays(t *testing.T, directory string, names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(configDir, directory))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "kustomization.yaml" && !slices.Contains(names, entry.Name()) {
			t.Errorf("config/%s/%s is made from nothing; delete it", directory, entry.Name())
		}
	}
}
