// Package reference reads docs/reference/metrics.md, so that tests can hold it
// against what programs register and against what alerts and dashboards ask for.
package reference

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var (
	row       = regexp.MustCompile("(?m)^\\| `(gatepost_[a-z_]+)` \\| (counter|gauge|histogram)(?:: ([^|]*))? \\|")
	aside     = regexp.MustCompile(`\([^)]*\)`)
	described = regexp.MustCompile(`fqName: "([a-z_]+)".*variableLabels: \{([^}]*)\}`)
)

// Labels are the labels of each metric on the page, sorted, by the metric's name.
func Labels(t testing.TB, root string) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/reference/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string][]string{}
	for _, match := range row.FindAllStringSubmatch(string(page), -1) {
		metrics[match[1]] = list(aside.ReplaceAllString(match[3], ""))
	}
	if len(metrics) == 0 {
		t.Fatal("docs/reference/metrics.md has no rows that this test understands")
	}
	return metrics
}

// Describer names the metrics that it has; a registry does.
type Describer interface {
	Describe(descs chan<- *prometheus.Desc)
}

// Registered are the labels of what was registered, by the metric's name.
func Registered(registry Describer) map[string][]string {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	metrics := map[string][]string{}
	for desc := range descs {
		if match := described.FindStringSubmatch(desc.String()); match != nil {
			metrics[match[1]] = list(match[2])
		}
	}
	return metrics
}

// Compare fails for metrics of ours in the registry whose labels are not those of
// the page.
func Compare(t testing.TB, root string, registry Describer) {
	t.Helper()
	page := Labels(t, root)
	compared := 0
	for name, labels := range Registered(registry) {
		if !strings.HasPrefix(name, "gatepost_") {
			continue
		}
		compared++
		if diff := cmp.Diff(page[name], labels); diff != "" {
			t.Errorf("labels of %s (-docs/reference/metrics.md +code):\n%s", name, diff)
		}
	}
	if compared == 0 {
		t.Error("no metric of ours was registered")
	}
}

func list(text string) []string {
	labels := []string{}
	for label := range strings.SplitSeq(text, ",") {
		if label = strings.TrimSpace(label); label != "" {
			labels = append(labels, label)
		}
	}
	slices.Sort(labels)
	return labels
}
