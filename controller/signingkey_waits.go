package controller

import (
	"fmt"
	"slices"
	"strings"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
	"gatepost.dev/gatepost/internal/keyring"
)

// waits finds out what the newest key waits for.
func (w keyWorld) waits() waits {
	found := waits{why: map[string]string{}}
	for _, c := range w.carriers {
		if w.state != nil && c.holds(w.state) < w.state.Generation {
			found.bundles = append(found.bundles, c.name)
		}
		found.untold = append(found.untold, c.untold...)
		for _, v := range c.verifiers {
			found.why[v.name] = v.why(c.revision)
		}
	}
	for _, o := range w.orphans {
		found.why[o.pod] = o.why()
	}
	found.revocation = w.unsure()
	slices.Sort(found.untold)
	return found
}

// unsure names the orphans, and the issuers, for which the last revocation is not
// acknowledged.
func (w keyWorld) unsure() []string {
	if w.state == nil || len(w.state.Revoked) == 0 {
		return nil
	}
	last := w.state.Revoked[len(w.state.Revoked)-1]
	if was := w.key.Status.LastRevocation; was != nil && was.KID == last.KID && was.AcknowledgedTime != nil {
		return nil
	}
	return append(w.orphans.mayAccept(last.Time), w.stillSign(last.KID)...)
}

// why says what keeps a sidecar from acknowledging the revision.
func (v verifier) why(revision int64) string {
	answer := v.answer
	switch {
	case answer.Problem != "":
		return problems[answer.Problem]
	case answer.At.IsZero():
		return "not asked yet"
	case answer.State.Revision < revision:
		return "has an older bundle"
	case answer.State.Revision > revision:
		return "has a bundle of a later time"
	}
	return "lacks the key"
}

// problems are in words why sidecars do not answer as they should.
var problems = map[string]string{
	rollcall.Unreachable: "does not answer", rollcall.WrongPod: "another pod answers at its address",
	rollcall.BadMAC: "does not know its bundle's key", rollcall.Malformed: "answers nonsense",
	rollcall.NotLoaded: "has loaded no bundle",
}

// pods names up to ten pods with what is wrong, and says what to do about it.
func (w waits) pods(names []string) string {
	named := make([]string, 0, len(names))
	unreachable := false
	for _, name := range names[:min(len(names), mostNamed)] {
		why := w.why[name]
		unreachable = unreachable || why == problems[rollcall.Unreachable]
		if why != "" {
			name += " (" + why + ")"
		}
		named = append(named, name)
	}
	list := strings.Join(named, ", ")
	if rest := len(names) - len(named); rest > 0 {
		list += fmt.Sprintf(" and %d more", rest)
	}
	if unreachable {
		return list + "; let the controller reach port " + v1alpha1.AdminPortName + " of the pods, or delete those that cannot answer"
	}
	return list + "; look at the log of container " + v1alpha1.ContainerName + " of the pods, or delete those that cannot answer"
}

// distribution names the bundles and pods on the way to which a key is.
func (w waits) distribution() string {
	var parts []string
	if len(w.bundles) > 0 {
		parts = append(parts, "Secrets without it: "+someOf(w.bundles)+" (look at the conditions of their AgentAuthPolicies)")
	}
	if len(w.untold) > 0 {
		parts = append(parts, "pods that were not told yet: "+someOf(w.untold))
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, "; ")
}

// waitingForVerifiers is about a key that waits to be used, or about old ones
// that wait to be removed.
func (v keyView) waitingForVerifiers(next keyring.Key) string {
	if next.KID == "" {
		return "an old key stays accepted while it is unknown whether these pods still see its tokens: " + v.waits.pods(v.plan.Lagging)
	}
	return fmt.Sprintf("key %s is not used before these pods acknowledged it: %s", next.KID, v.waits.pods(v.plan.Lagging))
}

// waitingForSigner says which sign of the signer's is missing.
func (v keyView) waitingForSigner() string {
	active, signs := v.active()
	where := "the signers"
	if late := v.plan.Lagging; len(late) > 0 && !v.spec.External {
		return fmt.Sprintf("the key before %s stays accepted until these pods of TokenIssuers prove to sign with it: %s; look at the log of container %s of the pods, or delete those that cannot answer",
			active.KID, someOf(late), v1alpha1.IssuerContainerName)
	}
	if v.exportName != "" {
		where = "the signers that read Secret " + v.exportName
	}
	if !signs {
		return "an old key stays accepted until a successor signs"
	}
	return fmt.Sprintf("the key before %s stays accepted until tokens of %s are seen and none of the old one are: restart %s if they do not re-read it, or annotate %s=%s once all of them use it",
		active.KID, active.KID, where, v1alpha1.AnnotationConfirmSigner, active.KID)
}

// stillUsed names the retiring keys whose tokens keep coming.
func (v keyView) stillUsed() string {
	var kids []string
	for _, finding := range v.plan.Findings {
		if finding.Kind == keyring.RetiredKeyStillUsed && finding.KID != "" {
			kids = append(kids, finding.KID)
		}
	}
	return fmt.Sprintf("tokens of retiring keys (%s) are accepted long after their successor took over: restart the signers that still use them; they stay accepted until none was for retireAfter, or until you revoke them", someOf(kids))
}
