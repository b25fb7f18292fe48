package alerts

import (
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "sigs.k8s.io/controller-runtime/pkg/controller" // registers its metrics
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"gatepost.dev/gatepost/test/alerts/reference"
)

var (
	selector = regexp.MustCompile(`\b((?:gatepost|controller_runtime|leader_election|apiserver)_[a-z_]+)(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`(\w+) *(?:=~|!~|!=|=) *"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|on|without|ignoring|group_left|group_right) *\(([^)]*)\)`)
	suffix   = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// target are the labels that scraping adds.
var target = []string{"namespace", "pod", "container", "instance", "job"}

// open are labels whose values are not ours to choose.
var open = []string{"namespace", "name", "pod", "policy", "provider"}

// apiServer are metrics that the Kubernetes API server has (k8s.io/apiserver,
// pkg/admission/metrics).
var apiServer = map[string][]string{
	"apiserver_admission_webhook_rejection_count": {"name", "type", "operation", "error_type", "rejection_code"},
}

// world is what there is to ask for.
type world struct {
	labels  map[string][]string // by metric
	sources string              // of the product
}

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{labels: reference.Labels(t, root)}
	runtime, ok := metrics.Registry.(reference.Describer)
	if !ok {
		t.Fatalf("controller-runtime's registry is a %T, which does not say what it has", metrics.Registry)
	}
	for _, more := range []map[string][]string{reference.Registered(runtime), apiServer} {
		maps.Copy(w.labels, more)
	}
	w.sources = sources(t)
	return w
}

func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"api", "cmd", "controller", "internal", "policy", "sidecar", "token"} {
		err := fs.WalkDir(os.DirFS(root), dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				all.Write(read(t, root+"/"+path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// flaws names what a query asks for in vain.
func (w world) flaws(query string) []string {
	var flaws []string
	known := slices.Clone(target)
	for _, match := range selector.FindAllStringSubmatch(query, -1) {
		name, histogram := w.base(match[1])
		labels, exists := w.labels[name]
		if !exists {
			flaws = append(flaws, "no metric is called "+match[1])
			continue
		}
		if histogram {
			known = append(known, "le")
		}
		known = append(known, labels...)
		flaws = append(flaws, w.matcherFlaws(name, match[2])...)
	}
	for _, match := range grouping.FindAllStringSubmatch(query, -1) {
		for name := range strings.SplitSeq(match[1], ",") {
			if name = strings.TrimSpace(name); name != "" && !slices.Contains(known, name) {
				flaws = append(flaws, "no metric in it has the label "+name)
			}
		}
	}
	return flaws
}

func (w world) matcherFlaws(name, matchers string) []string {
	var flaws []string
	for _, match := range matcher.FindAllStringSubmatch(matchers, -1) {
		if !slices.Contains(append(slices.Clone(target), w.labels[name]...), match[1]) {
			flaws = append(flaws, name+" has no label "+match[1])
		}
		if slices.Contains(open, match[1]) && strings.HasPrefix(name, "gatepost_") {
			continue
		}
		for value := range strings.SplitSeq(match[2], "|") {
			if match[1] == "pod" || strings.ContainsAny(value, "$*[\\") || apiServer[name] != nil || value == "" {
				continue
			}
			if !strings.Contains(w.sources, `"`+value+`"`) {
				flaws = append(flaws, "nothing in the code says "+value)
			}
		}
	}
	return flaws
}

// base is the name under which a metric is registered, and whether it is a part of
// a histogram.
func (w world) base(name string) (string, bool) {
	if _, whole := w.labels[name]; whole {
		return name, false
	}
	base := suffix.ReplaceAllString(name, "")
	return base, base != name
}

func metricsIn(query string) []string {
	var names []string
	for _, match := range selector.FindAllStringSubmatch(query, -1) {
		names = append(names, match[1])
	}
	return names
}

func TestFlaws(t *testing.T) {
	t.Parallel()
	w := world{
		labels:  map[string][]string{"gatepost_x_total": {"policy", "reason"}, "gatepost_y_seconds": {"provider"}},
		sources: `"expired" "deny"`,
	}
	for name, test := range map[string]struct {
		query string
		want  []string
	}{
		"a sound query":             {`sum by (policy, pod) (rate(gatepost_x_total{reason=~"expired|deny"}[5m]))`, nil},
		"a metric that is not":      {`rate(gatepost_z_total[5m])`, []string{"no metric is called gatepost_z_total"}},
		"a matcher that is not":     {`gatepost_x_total{resaon="expired"}`, []string{"gatepost_x_total has no label resaon"}},
		"a value that is not":       {`gatepost_x_total{reason="expird"}`, []string{"nothing in the code says expird"}},
		"a grouping that is not":    {`sum by (polic) (gatepost_x_total)`, []string{"no metric in it has the label polic"}},
		"a histogram":               {`sum by (le, provider) (rate(gatepost_y_seconds_bucket[5m]))`, nil},
		"le without a histogram":    {`sum by (le) (gatepost_x_total)`, []string{"no metric in it has the label le"}},
		"a variable of a dashboard": {`gatepost_x_total{namespace=~"$namespace"}`, nil},
	} {
		if diff := cmp.Diff(test.want, w.flaws(test.query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAlertsAskForWhatThereIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, rule := range rules(t) {
		for _, flaw := range w.flaws(rule.Expr) {
			t.Errorf("%s: %s", rule.Alert, flaw)
		}
	}
	for _, s := range scenarios(t) {
		for _, series := range s.Series {
			if strings.Contains(series.Series, "another-") {
				continue // of a program that is not ours
			}
			for _, flaw := range w.flaws(series.Series) {
				t.Errorf("case %q: %s: %s", s.Name, series.Series, flaw)
			}
		}
	}
}
