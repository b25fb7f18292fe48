package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/cmd/gatepost/internal/unverified"
)

// Render is the explanation for people. Whatever came out of a token or a
// sidecar is cleaned of control characters.
func (e *Explanation) Render(now time.Time, terminal output.Terminal) string {
	var text strings.Builder
	tone := output.Bad
	if e.Reason.Allows() {
		tone = output.Good
	}
	fmt.Fprintf(&text, "%s: %s\n", output.Clean(e.Decision), output.Paint(string(e.Reason), tone, terminal))
	e.facts(&text, now)
	paragraph := func(words string) {
		if words != "" {
			text.WriteString("\n" + output.Sentence(output.Cell{Text: words}, "", terminal))
		}
	}
	paragraph(e.Means)
	if e.Here != "" {
		paragraph("Here: " + e.Here + ".")
	}
	for _, table := range e.tables() {
		if rendered := table.Render(terminal); rendered != "" {
			text.WriteString("\n" + rendered)
		}
	}
	for _, note := range e.Notes {
		paragraph("Note: " + note + ".")
	}
	if e.Do != "" {
		paragraph("Do: " + e.Do)
	}
	return text.String()
}

// facts are lines of what is known of the request.
func (e *Explanation) facts(text *strings.Builder, now time.Time) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(text, "  %-12s %s\n", name, output.Clean(value))
		}
	}
	if e.ID != "" {
		line("id", e.ID)
	}
	if e.Time != nil {
		line("when", e.Time.UTC().Format(time.RFC3339)+", "+unverified.FromNow(*e.Time, now))
	}
	line("pod", e.Pod)
	line("request", strings.TrimSpace(e.Method+" "+e.Path))
	if e.Status != 0 {
		line("status", fmt.Sprint(e.Status))
	}
	line("answer", e.Answer)
	line("policy", e.Policy)
	line("rule", e.Rule)
	line("provider", e.Provider)
	line("key", e.KID)
	line("client", e.Client)
	line("subject", e.Subject)
	for _, result := range []string{passed, failed, notReached} {
		var names []string
		for _, check := range e.Checks {
			if check.Result == result {
				names = append(names, check.Name)
			}
		}
		line(result, strings.Join(names, ", "))
	}
}

func (e *Explanation) tables() []output.Table {
	asked := output.Table{Columns: []output.Column{{Name: "PROVIDER"}, {Name: "FOUND"}, {Name: "KEYS TRIED", Wrap: true}}}
	for _, one := range e.Providers {
		asked.Rows = append(asked.Rows, output.Row(one.Provider, string(one.Reason), strings.Join(one.Keys, ", ")))
	}
	rules := output.Table{Columns: []output.Column{{Name: "RULE"}, {Name: "ACTION"}, {Name: "THIS REQUEST", Wrap: true}}}
	for _, met := range e.Rules {
		rules.Rows = append(rules.Rows, output.Row(met.Rule, string(met.Action), met.Says))
	}
	return []output.Table{asked, rules, Times(e.Times)}
}

// Times is a table of a token's dates.
func Times(moments []unverified.Moment) output.Table {
	table := output.Table{Columns: []output.Column{{Name: "CLAIM"}, {Name: "TIME"}, {Name: "FROM NOW"}}}
	for _, m := range moments {
		table.Rows = append(table.Rows, output.Row(m.Claim, m.Time.Format(time.RFC3339), m.FromNow))
	}
	return table
}

// Latest are the n latest of several denials, the latest first.
func Latest(found []Explanation, n int) []Explanation {
	slices.SortStableFunc(found, func(a, b Explanation) int { return b.when().Compare(a.when()) })
	return found[:min(n, len(found))]
}

func (e *Explanation) when() time.Time {
	if e.Time == nil {
		return time.Time{}
	}
	return *e.Time
}

// List is several explanations as a table, one a line.
func List(found []Explanation, now time.Time) output.Table {
	table := output.Table{
		Columns: []output.Column{{Name: "WHEN"}, {Name: "ID"}, {Name: "REASON"}, {Name: "STATUS"}, {Name: "REQUEST", Wrap: true}, {Name: "HERE", Wrap: true}, {Name: "POD", Optional: true}},
		Empty:   "nobody was refused since it started",
	}
	for i := range found {
		e := &found[i]
		table.Rows = append(table.Rows, output.Row(unverified.FromNow(e.when(), now), e.ID, string(e.Reason), fmt.Sprint(e.Status),
			strings.TrimSpace(e.Method+" "+e.Path), e.Here, e.Pod))
	}
	return table
}
