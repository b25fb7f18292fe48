package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/policy"
)

var (
	reasonConstant    = regexp.MustCompile(`(?m)^\s+\w+\s+Reason = "([a-z_]+)"`)
	conditionConstant = regexp.MustCompile(`(?m)^\s+Reason\w+\s+=\s+"(\w+)"`)
	metricName        = regexp.MustCompile(`"(gatepost_[a-z_]+)"`)
	markdownLink      = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
)

// What an operator may meet is explained: reasons of refusals, reasons of
// conditions, metrics.
func TestNamesInTheCodeAreDocumented(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what    string
		sources string
		name    *regexp.Regexp
		page    string
	}{
		{"reason", "policy/reason.go", reasonConstant, "docs/troubleshooting.md"},
		{"condition reason", "api/v1alpha1/conditions.go", conditionConstant, "docs/troubleshooting.md"},
		{"metric", "sidecar/*.go", metricName, "docs/reference/metrics.md"},
		{"metric", "issuer/*.go", metricName, "docs/reference/metrics.md"},
		{"metric", "controller/*.go", metricName, "docs/reference/metrics.md"},
		{"metric", "controller/webhook/*.go", metricName, "docs/reference/metrics.md"},
	} {
		t.Run(test.what+" in "+test.sources, func(t *testing.T) {
			t.Parallel()
			page := readFile(t, test.page)
			names := namesIn(t, test.sources, test.name)
			if len(names) == 0 {
				t.Fatalf("no %s found in %s: has the code moved?", test.what, test.sources)
			}
			for _, name := range names {
				if !strings.Contains(page, "`"+name+"`") && !strings.Contains(page, "`"+name+"{") {
					t.Errorf("%s does not explain the %s %s", test.page, test.what, name)
				}
			}
		})
	}
}

var (
	namedTest  = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)\\w+)`")
	namedGroup = regexp.MustCompile("`corpus/([\\w-]+)`")
	testFunc   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

// docs/hardening.md promises tests: each is there, and no group of the attack
// corpus and no fuzz target is left out.
func TestHardeningNamesItsTests(t *testing.T) {
	t.Parallel()
	page := readFile(t, "docs/hardening.md")
	named := map[string]bool{}
	for _, match := range namedTest.FindAllStringSubmatch(page, -1) {
		folder, name := match[1], match[2]
		named[folder+"."+name] = true
		if !slices.Contains(testsIn(t, folder), name) {
			t.Errorf("docs/hardening.md names %s.%s, which is not there", folder, name)
		}
	}
	for _, match := range namedGroup.FindAllStringSubmatch(page, -1) {
		named["corpus/"+match[1]] = true
		if len(files(t, "test/attack/corpus/"+match[1]+".txtar")) == 0 {
			t.Errorf("docs/hardening.md names corpus/%s, which is not there", match[1])
		}
	}
	for letter, threats := range map[string]int{"K": 18, "I": 11} { // of the cluster, of the issuer: each has a row
		for i := range threats {
			row := fmt.Sprintf("| %s%d ", letter, i+1)
			if at := strings.Index(page, row); at < 0 || !namedTest.MatchString(strings.SplitN(page[at:], "\n", 2)[0]) {
				t.Errorf("docs/hardening.md shows nothing against %s%d", letter, i+1)
			}
		}
	}
	for _, path := range files(t, "test/attack/corpus/*.txtar") {
		if group := "corpus/" + strings.TrimSuffix(filepath.Base(path), ".txtar"); !named[group] {
			t.Errorf("docs/hardening.md leaves out %s", group)
		}
	}
	for _, path := range goFiles(t) {
		folder := filepath.Dir(strings.TrimPrefix(path, "../../"))
		for _, name := range testsOf(readFile(t, strings.TrimPrefix(path, "../../"))) {
			if strings.HasPrefix(name, "Fuzz") && !named[folder+"."+name] {
				t.Errorf("docs/hardening.md leaves out %s.%s", folder, name)
			}
		}
	}
}

// testsIn are the tests and fuzz targets of a folder.
func testsIn(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	for _, path := range files(t, folder+"/*_test.go") {
		names = append(names, testsOf(readFile(t, path))...)
	}
	return names
}

func testsOf(source string) []string {
	var names []string
	for _, match := range testFunc.FindAllStringSubmatch(source, -1) {
		names = append(names, match[1])
	}
	return names
}

// policy.Reasons is written by hand beside the constants.
func TestReasonsAreListedWhole(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, reason := range policy.Reasons() {
		listed = append(listed, string(reason))
	}
	slices.Sort(listed)
	if diff := cmp.Diff(namesIn(t, "policy/reason.go", reasonConstant), listed); diff != "" {
		t.Errorf("policy.Reasons (-constants +listed):\n%s", diff)
	}
}

func TestLinksBetweenDocumentsLead(t *testing.T) {
	t.Parallel()
	for _, glob := range []string{"*.md", "docs/*.md", "docs/*/*.md", "test/*/*.md", "examples/*/*.md"} {
		for _, page := range files(t, glob) {
			for _, link := range markdownLink.FindAllStringSubmatch(readFile(t, page), -1) {
				if strings.Contains(link[1], "://") {
					continue
				}
				target := filepath.Join("../..", filepath.Dir(page), link[1])
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s links to %s, which is not there", page, link[1])
				}
			}
		}
	}
}

func namesIn(t *testing.T, glob string, name *regexp.Regexp) []string {
	t.Helper()
	var names []string
	for _, path := range files(t, glob) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, match := range name.FindAllStringSubmatch(readFile(t, path), -1) {
			names = append(names, match[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// files lists paths relative to the module's root.
func files(t *testing.T, glob string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("../..", glob))
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		paths[i] = strings.TrimPrefix(path, "../../")
	}
	return paths
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
