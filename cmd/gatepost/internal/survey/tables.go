package survey

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/keys"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// Tables show the report: what is wrong first, then what there is. With all,
// names have their namespaces.
func (r *Report) Tables(all bool, now time.Time) []output.Table {
	tables := []output.Table{{Title: r.summary()}, r.problems(all)}
	if len(r.Policies)+len(r.Keys)+len(r.Issuers) == 0 {
		return tables
	}
	tables = append(tables, r.policyTable(all))
	if len(r.Keys) > 0 {
		tables = append(tables, keys.Table(r.Keys, all, now))
	}
	return append(tables, r.issuerTable(all), output.Table{Title: r.remarks()})
}

// summary is the whole in one sentence.
func (r *Report) summary() output.Cell {
	cell := output.Cell{Tone: output.Good}
	count := map[Urgency]int{}
	for _, finding := range r.Findings {
		count[finding.Urgency]++
	}
	switch {
	case len(r.Policies) == 0:
		cell.Text, cell.Tone = "No AgentAuthPolicy: nothing is guarded here.", output.Notice
	case r.Selected == 0:
		cell.Text, cell.Tone = "No pod is selected by a policy.", output.Notice
	default:
		cell.Text = fmt.Sprintf("%d of %d selected pods are guarded.", r.Guarded, r.Selected)
	}
	switch {
	case count[Unguarded]+count[Failing] > 0:
		cell.Tone = output.Bad
		cell.Text += fmt.Sprintf(" %d things want something done, the most urgent first:", len(r.Findings))
		if len(r.Findings) == 1 {
			cell.Text = strings.Replace(cell.Text, "1 things want something done, the most urgent first:", "One thing wants something done:", 1)
		}
	case count[Look] > 0:
		cell.Tone = output.Notice
		cell.Text += " Nothing is broken; have a look at:"
	default:
		cell.Text += " Nothing needs attention."
	}
	return cell
}

// remarks are what is not in a table.
func (r *Report) remarks() output.Cell {
	var parts []string
	if r.APIKeys > 0 {
		parts = append(parts, fmt.Sprintf("APIKeys: %d.", r.APIKeys))
	}
	if r.Unselected > 0 {
		parts = append(parts, fmt.Sprintf("Pods that no policy selects: %d.", r.Unselected))
	}
	if len(r.Hidden) > 0 {
		parts = append(parts, fmt.Sprintf("Not shown, because you may not list them: %s.", strings.Join(r.Hidden, ", ")))
	}
	return output.Cell{Text: strings.Join(parts, " ")}
}

func (r *Report) problems(all bool) output.Table {
	tones := map[Urgency]output.Tone{Unguarded: output.Bad, Failing: output.Bad, Look: output.Notice}
	table := output.Table{Columns: []output.Column{{Name: "URGENCY"}, {Name: "OBJECT"}, {Name: "REASON"}, {Name: "WHAT", Wrap: true}}}
	for _, f := range r.Findings {
		table.Rows = append(table.Rows, []output.Cell{
			{Text: string(f.Urgency), Tone: tones[f.Urgency]}, {Text: f.Kind + " " + named(all, f.Namespace, f.Name)}, {Text: f.Reason}, {Text: f.Message},
		})
	}
	return table
}

func (r *Report) policyTable(all bool) output.Table {
	table := output.Table{Columns: []output.Column{
		{Name: "POLICY"},
		{Name: "MODE", Optional: true},
		{Name: "SELECTED"},
		{Name: "INJECTED"},
		{Name: "PROGRAMMED", Optional: true},
		{Name: "OUTDATED", Optional: true},
		{Name: "ENFORCED"},
		{Name: "REASON", Optional: true},
	}}
	for _, p := range r.Policies {
		enforced := condition(p.Conditions, v1alpha1.ConditionEnforced)
		outdated := output.Cell{Text: fmt.Sprint(p.Pods.Outdated)}
		if p.Pods.Outdated > 0 {
			outdated.Tone = output.Notice
		}
		table.Rows = append(table.Rows, []output.Cell{
			{Text: named(all, p.Namespace, p.Name)},
			{Text: p.Mode},
			{Text: fmt.Sprint(p.Pods.Selected)},
			share(p.Pods.Injected, p.Pods.Selected), share(p.Pods.Programmed, p.Pods.Injected), outdated,
			{Text: string(enforced.Status), Tone: tone(enforced)},
			{Text: enforced.Reason},
		})
	}
	return table
}

// share is a count that should be as high as another.
func share(count, of int32) output.Cell {
	cell := output.Cell{Text: fmt.Sprint(count), Tone: output.Good}
	if count < of {
		cell.Tone = output.Bad
	}
	return cell
}

func (r *Report) issuerTable(all bool) output.Table {
	table := output.Table{Columns: []output.Column{
		{Name: "TOKENISSUER"}, {Name: "ISSUER", Optional: true}, {Name: "KEY"}, {Name: "SIGNS WITH", Optional: true}, {Name: "PODS READY"}, {Name: "READY"},
	}}
	for _, issuer := range r.Issuers {
		ready := condition(issuer.Status.Conditions, v1alpha1.ConditionReady)
		pods := share(issuer.Status.ReadyReplicas, issuer.Status.Replicas)
		pods.Text += fmt.Sprintf("/%d", issuer.Status.Replicas)
		table.Rows = append(table.Rows, []output.Cell{
			{Text: named(all, issuer.Namespace, issuer.Name)},
			{Text: issuer.Issuer},
			{Text: issuer.SigningKey},
			{Text: issuer.Status.ActiveKeyID},
			pods,
			{Text: string(ready.Status), Tone: tone(ready)},
		})
	}
	return table
}

func tone(c metav1.Condition) output.Tone {
	return map[metav1.ConditionStatus]output.Tone{
		metav1.ConditionTrue: output.Good, metav1.ConditionFalse: output.Bad, metav1.ConditionUnknown: output.Notice,
	}[c.Status]
}

func named(all bool, namespace, name string) string {
	if all {
		return namespace + "/" + name
	}
	return name
}
