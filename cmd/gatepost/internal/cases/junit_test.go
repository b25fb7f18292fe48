package cases_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/cases"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

func now() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// element is what a JUnit report may have at one place: the form that Jenkins
// and what follows it read.
type element struct {
	required, optional, children []string
	mostOne                      bool // of its children
}

var junitForm = map[string]element{
	"testsuites": {required: []string{"tests", "failures", "errors", "time"}, optional: []string{"name"}, children: []string{"testsuite"}},
	"testsuite": {
		required: []string{"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
		optional: []string{"hostname", "id", "package"}, children: []string{"testcase", "properties", "system-out", "system-err"},
	},
	"testcase": {required: []string{"name", "classname", "time"}, children: []string{"failure", "error", "skipped"}, mostOne: true},
	"failure":  {required: []string{"message", "type"}},
	"error":    {required: []string{"message", "type"}},
}

// node is an element of any name.
type node struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []node     `xml:",any"`
}

func (n *node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (n *node) count(t *testing.T, name string) int {
	t.Helper()
	value, err := strconv.Atoi(n.attr(name))
	if err != nil {
		t.Errorf("%s: %s=%q is no number", n.XMLName.Local, name, n.attr(name))
	}
	return value
}

var (
	decimal   = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`)
)

// checkForm holds one element and those in it against junitForm.
func checkForm(t *testing.T, n *node) {
	t.Helper()
	form, ok := junitForm[n.XMLName.Local]
	if !ok {
		t.Errorf("the element %s is none of JUnit's", n.XMLName.Local)
		return
	}
	for _, name := range form.required {
		if !slices.ContainsFunc(n.Attrs, func(a xml.Attr) bool { return a.Name.Local == name }) {
			t.Errorf("%s lacks the attribute %s", n.XMLName.Local, name)
		}
	}
	for _, a := range n.Attrs {
		if !slices.Contains(form.required, a.Name.Local) && !slices.Contains(form.optional, a.Name.Local) {
			t.Errorf("%s has the attribute %s", n.XMLName.Local, a.Name.Local)
		}
		if a.Name.Local == "time" && !decimal.MatchString(a.Value) || a.Name.Local == "timestamp" && !timestamp.MatchString(a.Value) {
			t.Errorf("%s: %s=%q", n.XMLName.Local, a.Name.Local, a.Value)
		}
	}
	if form.mostOne && len(n.Children) > 1 {
		t.Errorf("%s %q has more than one outcome", n.XMLName.Local, n.attr("name"))
	}
	for i := range n.Children {
		if !slices.Contains(form.children, n.Children[i].XMLName.Local) {
			t.Errorf("%s contains %s", n.XMLName.Local, n.Children[i].XMLName.Local)
		}
		checkForm(t, &n.Children[i])
	}
}

// checkCounts holds the numbers of the suites against their cases.
func checkCounts(t *testing.T, all *node) {
	t.Helper()
	sums := map[string]int{}
	for i := range all.Children {
		suite := &all.Children[i]
		counted := map[string]int{"tests": len(suite.Children), "failures": 0, "errors": 0}
		for j := range suite.Children {
			for k := range suite.Children[j].Children {
				counted[suite.Children[j].Children[k].XMLName.Local+"s"]++
			}
		}
		for name, n := range map[string]int{"tests": counted["tests"], "failures": counted["failures"], "errors": counted["errors"]} {
			if suite.count(t, name) != n {
				t.Errorf("suite %s: %s=%s, counted %d", suite.attr("name"), name, suite.attr(name), n)
			}
			sums[name] += n
		}
	}
	for name, n := range sums {
		if all.count(t, name) != n {
			t.Errorf("%s=%s, counted %d", name, all.attr(name), n)
		}
	}
}

func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const policyText = `
apiVersion: gatepost.dev/v1alpha1
kind: AgentAuthPolicy
metadata: {name: chat}
spec:
  jwt: {providers: [{name: own, algorithms: [HS256], secretRef: {name: s, keys: [current]}}]}
  exemptions: [{methods: [GET], path: /health}]
`

func TestAJUnitReportHasTheFormThatCIServersRead(t *testing.T) {
	t.Parallel()
	policy := write(t, "policy.yaml", policyText)
	suite := write(t, "cases.yaml", "policy: "+relative(t, policy)+`
cases:
- {name: "<health> & \"more\"", request: {method: GET, path: /health}, expect: {reason: exempt}}
- {name: "another \u0007 bell", request: {method: GET, path: /x}, expect: {reason: ok}}
`)
	var reports []cases.Report
	for _, file := range []string{suite, filepath.Join(t.TempDir(), "nowhere.yaml")} {
		report, err := cases.Judge(file, now)
		if (err != nil) != (report.Error != "") {
			t.Fatalf("%v, and %q", err, report.Error)
		}
		reports = append(reports, report)
	}
	text, err := cases.JUnit(reports, now())
	if err != nil {
		t.Fatal(err)
	}
	var all node
	if err := xml.Unmarshal(text, &all); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	checkForm(t, &all)
	checkCounts(t, &all)
	for name, want := range map[string]int{"tests": 3, "failures": 1, "errors": 1} {
		if got := all.count(t, name); got != want {
			t.Errorf("%s = %d, want %d", name, got, want)
		}
	}
	if got := all.Children[0].Children[0].attr("name"); got != `<health> & "more"` {
		t.Errorf("the name came back as %q", got)
	}
}

// relative leads from one temporary directory of a test to another.
func relative(t testing.TB, path string) string {
	t.Helper()
	return "../" + filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
}

// FuzzJudge: whatever stands in a file of cases, it is judged or an error says
// why not, and both reports of it can be read.
func FuzzJudge(f *testing.F) {
	f.Add("cases:\n- {name: a, request: {method: GET, path: /x}, expect: {reason: ok}}\n")
	f.Add("cases:\n- {name: \"\\u001b[2J\\ud7ff\", request: {method: TRACE, path: '*', headers: {A: [b, c]}}, principal: {provider: own, claims: {a: [1, {b: null}]}}, expect: {reason: rule_denied, scopes: []}}\n")
	f.Add("cases: [{name: a}]\ncases: []\n")
	f.Add("cases: &a [*a]\n")
	policy := write(f, "policy.yaml", policyText)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(dir, "cases.yaml")
		if err := os.WriteFile(file, []byte("policy: "+relative(t, policy)+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := cases.Judge(file, now)
		if (err != nil) != (report.Error != "") || err != nil && len(report.Cases) > 0 {
			t.Fatalf("%v, and %+v", err, report)
		}
		if shown := cases.Text([]cases.Report{report, report}, output.Terminal{}); strings.ContainsAny(shown, "\x1b\r") {
			t.Errorf("a control character came through: %q", shown)
		}
		xmlText, err := cases.JUnit([]cases.Report{report}, now())
		if err != nil {
			t.Fatal(err)
		}
		decoder := xml.NewDecoder(strings.NewReader(string(xmlText)))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %q", err, xmlText)
			}
		}
	})
}
