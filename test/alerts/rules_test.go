package alerts

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	label    = regexp.MustCompile(`(\w+) *= *"([^"]*)"`)
	variable = regexp.MustCompile(`\$labels\.(\w+)`)
	heading  = regexp.MustCompile(`(?m)^## (Gatepost\w+)$`)
)

func TestCasesHold(t *testing.T) {
	t.Parallel()
	if out, err := promtool(t, "check", "rules", rulesFile); err != nil {
		t.Fatalf("promtool check rules: %v\n%s", err, out)
	}
	if out, err := promtool(t, append([]string{"test", "rules"}, scenarioFiles(t)...)...); err != nil {
		t.Errorf("promtool test rules: %v\n%s", err, out)
	}
}

// A case that expects nothing proves nothing unless what the rule looks at is there.
func TestEveryRuleIsFiredAndLeftAlone(t *testing.T) {
	t.Parallel()
	all := rules(t)
	tested := 0
	for _, rule := range all {
		fired, quiet := verdicts(rule, scenarios(t))
		if len(fired) == 0 {
			t.Errorf("no case fires %s", rule.Alert)
		}
		if !quiet {
			t.Errorf("no case has series of %s and leaves it alone", rule.Alert)
		}
		if len(fired) > 0 && quiet {
			tested++
		}
		checkVariables(t, rule, fired)
	}
	t.Logf("figure: alert_rules %d rules", len(all))
	t.Logf("figure: alert_rules_tested %d rules", tested)
}

// verdicts are the labels of each alert of the rule that a case expects, and
// whether another case expects none.
func verdicts(rule rule, all []scenario) (fired []map[string]string, quiet bool) {
	for _, s := range all {
		silent, asked := true, false
		for _, query := range s.Queries {
			if labelsOf(query.Expr)["alertname"] != rule.Alert {
				continue
			}
			asked = true
			for _, sample := range query.Samples {
				fired, silent = append(fired, labelsOf(sample.Labels)), false
			}
		}
		if asked && silent && hasSeries(s, rule) {
			quiet = true
		}
	}
	return fired, quiet
}

func labelsOf(selector string) map[string]string {
	labels := map[string]string{}
	for _, match := range label.FindAllStringSubmatch(selector, -1) {
		labels[match[1]] = match[2]
	}
	return labels
}

func hasSeries(s scenario, rule rule) bool {
	return slices.ContainsFunc(s.Series, func(series struct {
		Series string `json:"series"`
	},
	) bool {
		name, _, _ := strings.Cut(series.Series, "{")
		return slices.Contains(metricsIn(rule.Expr), name)
	})
}

// checkVariables fails for labels in a rule's texts that its alerts do not have:
// they would read as nothing.
func checkVariables(t *testing.T, rule rule, fired []map[string]string) {
	t.Helper()
	for name, text := range rule.Annotations {
		for _, match := range variable.FindAllStringSubmatch(text, -1) {
			for _, labels := range fired {
				if labels[match[1]] == "" {
					t.Errorf("%s: its %s names the label %s, which an alert does not have: %v", rule.Alert, name, match[1], labels)
				}
			}
		}
	}
}

func TestRulesSayWhatToDo(t *testing.T) {
	t.Parallel()
	pages := map[string][]string{} // by page, its headings that no rule has led to
	for _, rule := range rules(t) {
		if severity := rule.Labels["severity"]; !slices.Contains([]string{"critical", "warning", "info"}, severity) {
			t.Errorf("%s: severity %q is none of critical, warning, info", rule.Alert, severity)
		}
		for _, name := range []string{"summary", "description"} {
			if rule.Annotations[name] == "" {
				t.Errorf("%s has no %s", rule.Alert, name)
			}
		}
		page, anchor, _ := strings.Cut(strings.TrimPrefix(rule.Annotations["runbook_url"], "https://gatepost.dev/docs/"), "#")
		if _, seen := pages[page]; !seen {
			pages[page] = headings(t, page)
		}
		at := slices.Index(pages[page], rule.Alert)
		if at < 0 || anchor != strings.ToLower(rule.Alert) {
			t.Errorf("%s: its runbook_url leads to no heading of its own in docs/%s: %s", rule.Alert, page, rule.Annotations["runbook_url"])
			continue
		}
		pages[page] = slices.Delete(pages[page], at, at+1)
	}
	for page, left := range pages {
		if len(left) > 0 {
			t.Errorf("docs/%s has headings of alerts that do not exist: %v", page, left)
		}
	}
}

func headings(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/" + page)
	if err != nil {
		t.Errorf("a runbook_url leads to %s: %v", page, err)
	}
	var names []string
	for _, match := range heading.FindAllStringSubmatch(string(text), -1) {
		names = append(names, match[1])
	}
	return names
}
