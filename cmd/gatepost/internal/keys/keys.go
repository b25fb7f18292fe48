// Package keys shows SigningKeys to people and follows what happens to them: a
// rotation from the request to the last acceptance of the old key, a revocation
// to the last acknowledgement.
//
// All of it judges what the controller wrote into the status, and asks nobody
// else; but for Watcher, which polls and draws, it is pure, so that whole
// rotations are played in tables of tests. The
// controller's conditions already say who lags and what to do: their messages
// are handed on, not worded anew.
package keys

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// The phases of a key in the status of a SigningKey.
const (
	Published = "Published"
	Active    = "Active"
	Retiring  = "Retiring"
)

// View is a SigningKey as `keys status -o json` shows it: nothing secret is in it.
type View struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	// Signer is Issuer or External.
	Signer string `json:"signer"`
	// Signers are the TokenIssuers that sign with the key.
	Signers []Signer `json:"signers,omitempty"`
	// ExportedTo is the Secret that external signers read.
	ExportedTo string                    `json:"exportedTo,omitempty"`
	Status     v1alpha1.SigningKeyStatus `json:"status"`
}

// Signer is a TokenIssuer that signs with a key.
type Signer struct {
	Name string `json:"name"`
	// KeyID is the key that its pods were told to sign with; empty: none may.
	KeyID string `json:"keyID,omitempty"`
	// Ready and Replicas count its pods.
	Ready    int32 `json:"ready"`
	Replicas int32 `json:"replicas"`
}

// SignersOf are the issuers of a list that refer to a SigningKey of theirs.
func SignersOf(key *v1alpha1.SigningKey, issuers []v1alpha1.TokenIssuer) []Signer {
	var signers []Signer
	for i := range issuers {
		if issuer := &issuers[i]; issuer.Namespace == key.Namespace && issuer.Spec.SigningKeyRef.Name == key.Name {
			signers = append(signers, Signer{issuer.Name, issuer.Status.ActiveKeyID, issuer.Status.ReadyReplicas, issuer.Status.Replicas})
		}
	}
	return signers
}

// Of is the view of a SigningKey and of those that sign with it.
func Of(key *v1alpha1.SigningKey, signers []Signer) View {
	view := View{
		Namespace: key.Namespace, Name: key.Name, Algorithm: string(key.Spec.Algorithm),
		Signer: string(cmp.Or(key.Spec.Signer, v1alpha1.SignerExternal)), Signers: signers, Status: key.Status,
	}
	if to := key.Spec.ExportTo; to != nil {
		view.ExportedTo = to.SecretName
	}
	return view
}

// signedBy says who signs.
func (v View) signedBy() string {
	switch {
	case v.Signer == string(v1alpha1.SignerIssuer) && len(v.Signers) == 0:
		return "no TokenIssuer"
	case v.Signer == string(v1alpha1.SignerIssuer):
		names := make([]string, len(v.Signers))
		for i, signer := range v.Signers {
			names[i] = signer.Name
		}
		return "TokenIssuer " + strings.Join(names, ", ")
	case v.ExportedTo != "":
		return "Secret " + v.ExportedTo
	}
	return "outside"
}

// condition is one of the three; unknown until the controller has judged.
func (v View) condition(kind string) metav1.Condition {
	if c := meta.FindStatusCondition(v.Status.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionUnknown, Message: "the controller has not judged it yet"}
}

// Tone says how good a condition is: all should be True but Rotating, which is
// neither, and Degraded.
func Tone(c metav1.Condition) output.Tone {
	switch {
	case c.Status == metav1.ConditionUnknown:
		return output.Notice
	case c.Type == v1alpha1.ConditionRotating && c.Status == metav1.ConditionTrue:
		return output.Notice
	case c.Type == v1alpha1.ConditionRotating:
		return output.Plain
	case (c.Status == metav1.ConditionTrue) == (c.Type == v1alpha1.ConditionDegraded):
		return output.Bad
	}
	return output.Good
}

// Table lists SigningKeys, one on each line.
func Table(views []View, all bool, now time.Time) output.Table {
	table := output.Table{
		Columns: []output.Column{
			{Name: "NAME"},
			{Name: "ALGORITHM", Optional: true},
			{Name: "SIGNED BY", Optional: true},
			{Name: "ACTIVE KEY"},
			{Name: "READY"},
			{Name: "ROTATING"},
			{Name: "DEGRADED", Optional: true},
			{Name: "VERIFIERS"},
			{Name: "NEXT ROTATION", Optional: true},
		},
		Empty: "There is no SigningKey here.",
	}
	for _, view := range views {
		name := view.Name
		if all {
			name = view.Namespace + "/" + view.Name
		}
		ready, rotating, degraded := view.condition(v1alpha1.ConditionReady), view.condition(v1alpha1.ConditionRotating), view.condition(v1alpha1.ConditionDegraded)
		table.Rows = append(table.Rows, []output.Cell{
			{Text: name},
			{Text: view.Algorithm},
			{Text: view.signedBy()},
			{Text: orNone(view.Status.ActiveKeyID)},
			{Text: string(ready.Status), Tone: Tone(ready)},
			{Text: cmp.Or(rotating.Reason, string(rotating.Status)), Tone: Tone(rotating)},
			{Text: cmp.Or(degraded.Reason, string(degraded.Status)), Tone: Tone(degraded)},
			view.verifiers(),
			{Text: in(view.Status.NextRotationTime, now)},
		})
	}
	return table
}

// verifiers is how many of the guarded pods have the newest key.
func (v View) verifiers() output.Cell {
	newest := newest(v.Status.Keys)
	if newest == nil || newest.Verifiers == nil {
		return output.Cell{Text: "-"}
	}
	return accepted(newest.Verifiers)
}

// newest is the key that was made last; nil without one.
func newest(list []v1alpha1.KeyStatus) *v1alpha1.KeyStatus {
	for _, phase := range []string{Published, Active, Retiring} {
		if i := slices.IndexFunc(list, func(k v1alpha1.KeyStatus) bool { return k.Phase == phase }); i >= 0 {
			return &list[i]
		}
	}
	return nil
}

func accepted(by *v1alpha1.VerifierStatus) output.Cell {
	tone := output.Good
	if by.Ready < by.Total {
		tone = output.Notice
	}
	return output.Cell{Text: fmt.Sprintf("%d/%d", by.Ready, by.Total), Tone: tone}
}

// Page shows one SigningKey: its conditions in words, its keys, and what was
// revoked last.
func Page(view View, now time.Time) []output.Table {
	title := fmt.Sprintf("SigningKey %s/%s, %s, signed by %s", view.Namespace, view.Name, view.Algorithm, view.signedBy())
	conditions := output.Table{
		Title: output.Cell{Text: title}, Bare: true,
		Columns: []output.Column{{}, {}, {}, {Wrap: true}},
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionRotating, v1alpha1.ConditionDegraded} {
		c := view.condition(kind)
		conditions.Rows = append(conditions.Rows, []output.Cell{{Text: kind}, {Text: string(c.Status), Tone: Tone(c)}, {Text: c.Reason}, {Text: c.Message}})
	}
	if at := view.Status.NextRotationTime; at != nil {
		conditions.Rows = append(conditions.Rows, output.Row("Next rotation", in(at, now), "", stamp(at)))
	}
	list := Live(view.Status, now)
	list.Empty = "There is no key yet."
	tables := []output.Table{conditions, list, signerTable(view.Signers)}
	if last := view.Status.LastRevocation; last != nil {
		tables = append(tables, output.Table{Title: revoked(last)})
	}
	return tables
}

func signerTable(signers []Signer) output.Table {
	table := output.Table{Columns: []output.Column{{Name: "TOKENISSUER"}, {Name: "SIGNS WITH"}, {Name: "PODS READY"}}}
	for _, signer := range signers {
		pods := output.Cell{Text: fmt.Sprintf("%d/%d", signer.Ready, signer.Replicas), Tone: output.Good}
		if signer.Ready < signer.Replicas {
			pods.Tone = output.Notice
		}
		table.Rows = append(table.Rows, []output.Cell{{Text: signer.Name}, {Text: orNone(signer.KeyID)}, pods})
	}
	return table
}

// Live lists the keys of a SigningKey, in the order of their lives.
func Live(status v1alpha1.SigningKeyStatus, now time.Time) output.Table {
	table := output.Table{Columns: []output.Column{
		{Name: "KEY"},
		{Name: "PHASE"},
		{Name: "SINCE"},
		{Name: "VERIFIERS"},
		{Name: "LAST USED", Optional: true},
		{Name: "REMOVED IN", Optional: true},
		{Name: "LAGGING", Wrap: true},
	}}
	order := []string{Published, Active, Retiring}
	list := slices.Clone(status.Keys)
	slices.SortStableFunc(list, func(a, b v1alpha1.KeyStatus) int {
		return cmp.Compare(slices.Index(order, a.Phase), slices.Index(order, b.Phase))
	})
	for i := range list {
		table.Rows = append(table.Rows, row(&list[i], now))
	}
	return table
}

func row(key *v1alpha1.KeyStatus, now time.Time) []output.Cell {
	tones := map[string]output.Tone{Published: output.Notice, Active: output.Good, Retiring: output.Faint}
	verifiers, lagging := output.Cell{Text: "-"}, ""
	if key.Verifiers != nil {
		verifiers, lagging = accepted(key.Verifiers), strings.Join(key.Verifiers.Lagging, ", ")
		if rest := int(key.Verifiers.Total-key.Verifiers.Ready) - len(key.Verifiers.Lagging); rest > 0 {
			lagging += fmt.Sprintf(" and %d more", rest)
		}
	}
	return []output.Cell{
		{Text: key.KID},
		{Text: key.Phase, Tone: tones[key.Phase]},
		{Text: ago(since(key), now)},
		verifiers,
		{Text: ago(key.LastAcceptedTime, now)},
		{Text: in(key.RemovalTime, now)},
		{Text: lagging},
	}
}

// since is when the key came into its phase.
func since(key *v1alpha1.KeyStatus) *metav1.Time {
	switch key.Phase {
	case Active:
		return key.ActivatedTime
	case Retiring:
		return key.RetiringTime
	}
	return cmp.Or(key.PublishedTime, key.CreatedTime)
}

func revoked(last *v1alpha1.RevocationStatus) output.Cell {
	if last.AcknowledgedTime == nil {
		return output.Cell{Tone: output.Bad, Text: fmt.Sprintf(
			"Key %s was revoked at %s, and some pod may still accept it.", last.KID, stamp(last.RevokedTime))}
	}
	return output.Cell{Text: fmt.Sprintf("Key %s was revoked at %s; every pod refused it %s later.",
		last.KID, stamp(last.RevokedTime), Took(last))}
}

// Took is how long a revocation took until the last acknowledgement; to the
// second, as the status has it.
func Took(last *v1alpha1.RevocationStatus) time.Duration {
	if last.AcknowledgedTime == nil || last.RevokedTime == nil {
		return 0
	}
	return max(last.AcknowledgedTime.Sub(last.RevokedTime.Time), 0)
}

func stamp(at *metav1.Time) string {
	if at == nil {
		return "an unknown time"
	}
	return at.UTC().Format(time.RFC3339)
}

func ago(at *metav1.Time, now time.Time) string {
	if at == nil {
		return "-"
	}
	return duration.HumanDuration(max(now.Sub(at.Time), 0))
}

func in(at *metav1.Time, now time.Time) string {
	switch {
	case at == nil:
		return "-"
	case !at.After(now):
		return "due"
	}
	return duration.HumanDuration(at.Sub(now))
}

func orNone(text string) string { return cmp.Or(text, "-") }
