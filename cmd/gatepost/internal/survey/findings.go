package survey

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// unjudged is the finding of an object that the controller has not looked at, or
// not since it was changed.
const unjudged = "NotJudged"

// ofPolicy are the findings of a policy and its pods.
func (w World) ofPolicy(p *v1alpha1.AgentAuthPolicy, pods podsOf) []Finding {
	at := finder{v1alpha1.KindAgentAuthPolicy, objectOf(p)}
	if len(p.Status.Conditions) == 0 || p.Status.ObservedGeneration != p.Generation {
		return append(w.ofBare(p, pods), at.unjudged())
	}
	var found []Finding
	found = append(found, w.ofBare(p, pods)...)
	// What follows from what was said already is not said.
	follows := []string{v1alpha1.ReasonNotAccepted, v1alpha1.ReasonRefsUnresolved, v1alpha1.ReasonNotProgrammed, v1alpha1.ReasonPodsNotInjected}
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs, v1alpha1.ConditionProgrammed, v1alpha1.ConditionEnforced} {
		c := condition(p.Status.Conditions, kind)
		if urgency := policyUrgency(c); urgency != "" && (len(found) == 0 || !slices.Contains(follows, c.Reason)) {
			found = append(found, at.finding(urgency, c.Reason, c.Message))
		}
	}
	if outdated := int(p.Status.Pods.Outdated) - len(pods.bare); outdated > 0 {
		found = append(found, at.finding(Look, "PodsOutdated", fmt.Sprintf(
			"%d of its pods carry a sidecar of another image, or of another policy: restart them when it suits (kubectl rollout restart)", outdated)))
	}
	return found
}

// policyUrgency is how urgent a condition of a policy is; empty: it is fine.
func policyUrgency(c metav1.Condition) Urgency {
	look := []string{
		v1alpha1.ReasonNoPodsSelected, v1alpha1.ReasonPodsNotReady, v1alpha1.ReasonForwardsUnverified,
		v1alpha1.ReasonAgentAddressInUse, v1alpha1.ReasonAgentCrashLooping, v1alpha1.ReasonPodsPending,
	}
	unguarded := []string{v1alpha1.ReasonPodsNotInjected, v1alpha1.ReasonPortTaken, v1alpha1.ReasonSidecarDown, v1alpha1.ReasonAuditMode}
	switch {
	case c.Type == v1alpha1.ConditionEnforced && slices.Contains(unguarded, c.Reason):
		return Unguarded
	case slices.Contains(look, c.Reason):
		return Look
	case c.Status != metav1.ConditionTrue:
		return Failing
	}
	return ""
}

// ofBare is the finding of the pods that a policy selects and nobody guards.
func (w World) ofBare(p *v1alpha1.AgentAuthPolicy, pods podsOf) []Finding {
	if len(pods.bare) == 0 {
		return nil
	}
	at := finder{v1alpha1.KindAgentAuthPolicy, objectOf(p)}
	why := "they are older than the policy: restart them (kubectl rollout restart)"
	if injects, known := w.Injects[p.Namespace]; known && !injects {
		why = fmt.Sprintf("the namespace does not inject: kubectl label namespace %s %s=%s, then restart them (kubectl rollout restart)",
			p.Namespace, v1alpha1.LabelInjection, v1alpha1.InjectionEnabled)
	}
	return []Finding{at.finding(Unguarded, v1alpha1.ReasonPodsNotInjected, fmt.Sprintf("pods run without this policy's sidecar: %s; %s", some(pods.bare), why))}
}

func ofKey(key *v1alpha1.SigningKey) []Finding {
	at := finder{v1alpha1.KindSigningKey, objectOf(key)}
	if len(key.Status.Conditions) == 0 || key.Status.ObservedGeneration != key.Generation {
		return []Finding{at.unjudged()}
	}
	var found []Finding
	if c := condition(key.Status.Conditions, v1alpha1.ConditionReady); c.Status != metav1.ConditionTrue {
		found = append(found, at.finding(Failing, c.Reason, c.Message))
	}
	if last := key.Status.LastRevocation; last != nil && last.AcknowledgedTime == nil {
		found = append(found, at.finding(Unguarded, "RevokedKeyAccepted",
			fmt.Sprintf("key %s is revoked, and some pod may still accept it: gatepost keys revoke %s %s -n %s names it", last.KID, key.Name, last.KID, key.Namespace)))
	}
	if c := condition(key.Status.Conditions, v1alpha1.ConditionDegraded); c.Status == metav1.ConditionTrue {
		found = append(found, at.finding(Look, c.Reason, c.Message))
	}
	waits := []string{v1alpha1.ReasonWaitingForVerifiers, v1alpha1.ReasonWaitingForSigner, v1alpha1.ReasonTooManyLiveKeys}
	if c := condition(key.Status.Conditions, v1alpha1.ConditionRotating); slices.Contains(waits, c.Reason) {
		found = append(found, at.finding(Look, c.Reason, c.Message))
	}
	return found
}

func ofIssuer(issuer *v1alpha1.TokenIssuer) []Finding {
	at := finder{v1alpha1.KindTokenIssuer, objectOf(issuer)}
	c := condition(issuer.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case len(issuer.Status.Conditions) == 0 || issuer.Status.ObservedGeneration != issuer.Generation:
		return []Finding{at.unjudged()}
	case c.Status != metav1.ConditionTrue:
		return []Finding{at.finding(Failing, c.Reason, c.Message)}
	}
	return nil
}

func ofAPIKey(key *v1alpha1.APIKey) []Finding {
	at := finder{v1alpha1.KindAPIKey, objectOf(key)}
	c := condition(key.Status.Conditions, v1alpha1.ConditionAccepted)
	switch {
	case len(key.Status.Conditions) == 0 || key.Status.ObservedGeneration != key.Generation:
		return []Finding{at.unjudged()}
	case c.Status != metav1.ConditionTrue:
		return []Finding{at.finding(Failing, c.Reason, c.Message)}
	case key.Status.LiveValues == 0 && !key.Spec.Suspend:
		return []Finding{at.finding(Look, "NoLiveKey", "every key of the client has expired: make another with gatepost apikey create, or delete the object")}
	}
	return nil
}

// finder makes the findings of one object.
type finder struct {
	kind string
	object
}

func (f finder) finding(urgency Urgency, reason, message string) Finding {
	return Finding{urgency, f.kind, f.namespace, f.name, reason, message}
}

// unjudged is a finding for somebody to look: a controller that runs judges
// within a second.
func (f finder) unjudged() Finding {
	return f.finding(Failing, unjudged, "the controller has not judged it as it is now: if that stays so, does it run? See kubectl get pods -A -l app.kubernetes.io/name=gatepost")
}
