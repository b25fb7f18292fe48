package controller

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/keyring"
)

// issuerView is everything that an issuer's condition is made of.
type issuerView struct {
	invalid error
	refs    []refProblem
	notes   []string // what works and is probably not meant
	bundle  bundleView
	file    *keyring.File // the keys in force; nil: none are
	signer  *keyring.SignerFile
	spec    *grant.Spec // in force, with defaults; nil: none is
	early   bool        // nothing is written before pods were asked

	imageless  bool
	conflict   string // which part of the workload is somebody else's
	refused    string // which part the API server did not take
	deployment *appsv1.Deployment
	selecting  string
	rivals     []string
	accounts   accountsRead
	pods       issuerPods
}

func (v *issuerView) take(plan issuerPlan) {
	v.refs, v.notes, v.bundle, v.file, v.signer, v.spec = plan.refs.problems, plan.refs.warnings, plan.view, plan.file, plan.signer, plan.spec
}

// issuerPods is how the pods of one issuer fare. Names are in the order of the list.
type issuerPods struct {
	wanted, ready, signing int
	all                    int
	down                   []string // with why
}

// counts are the numbers for the metric.
func (p issuerPods) counts() map[string]int {
	return map[string]int{"wanted": p.wanted, "ready": p.ready, "signing": p.signing}
}

// judgePods sums up the pods.
func (w issuerWorld) judgePods(view issuerView) issuerPods {
	var pods issuerPods
	if view.spec != nil {
		pods.wanted = int(workload{spec: *view.spec}.replicas())
	}
	pods.all = len(w.pods)
	for i := range w.pods {
		pod := &w.pods[i]
		status := statusOf(pod.Status.ContainerStatuses, v1alpha1.IssuerContainerName)
		if status != nil && status.Ready {
			pods.ready++
		} else {
			pods.down = append(pods.down, pod.Name+whyDown(status))
		}
		if view.signer != nil && view.signer.KID != "" && w.proved[pod.UID] == view.signer.KID {
			pods.signing++
		}
	}
	return pods
}

// whyDown is what a kubelet says of a container that is not ready.
func whyDown(status *corev1.ContainerStatus) string {
	switch {
	case status == nil:
		return " (not started yet)"
	case status.State.Waiting != nil && status.State.Waiting.Reason != "":
		return " (" + status.State.Waiting.Reason + ")"
	case status.State.Terminated != nil:
		return " (" + status.State.Terminated.Reason + ")"
	}
	return " (not ready)"
}

// goodIssuer is the status each condition of an issuer should have.
func goodIssuer() map[string]metav1.ConditionStatus {
	return map[string]metav1.ConditionStatus{v1alpha1.ConditionReady: metav1.ConditionTrue}
}

// status is the whole status of an issuer.
func (v issuerView) status(issuer *v1alpha1.TokenIssuer) v1alpha1.TokenIssuerStatus {
	status := *issuer.Status.DeepCopy()
	status.ObservedGeneration = issuer.Generation
	status.BundleRevision = max(status.BundleRevision, v.bundle.revision)
	status.Replicas, status.ReadyReplicas = int32(v.pods.all), int32(v.pods.ready) //nolint:gosec // pods of one issuer
	status.ActiveKeyID = ""
	if v.signer != nil {
		status.ActiveKeyID = v.signer.KID
	}
	status.Endpoints = v.endpoints(issuer)
	status.Conditions = setConditions(status.Conditions, issuer.Generation, v.readiness())
	return status
}

// endpoints are the addresses of the issuer that is in force.
func (v issuerView) endpoints(issuer *v1alpha1.TokenIssuer) *v1alpha1.IssuerEndpoints {
	if v.spec == nil {
		return nil
	}
	of := grant.EndpointsOf(v.spec.Issuer)
	return &v1alpha1.IssuerEndpoints{
		Service:  fmt.Sprintf("http://%s.%s.svc", v1alpha1.IssuerWorkload(issuer.Name), issuer.Namespace),
		GetToken: of.GetToken, RefreshToken: of.RefreshToken, Token: of.Token, JWKS: of.JWKS,
		OAuthMetadata: of.OAuthMetadata, OpenIDMetadata: of.OpenIDMetadata,
	}
}

// readiness says what keeps the issuer from what its spec asks for, the cause
// before its consequences.
func (v issuerView) readiness() condition {
	const kind = v1alpha1.ConditionReady
	for _, judge := range []func() condition{v.unwritten, v.unresolved, v.unsigned, v.unrun, v.unready} {
		if why := judge(); why.reason != "" {
			return why
		}
	}
	message := fmt.Sprintf("%d pods answer, and sign with key %s%s%s", v.pods.ready, v.signer.KID, v.unreplaced(), v.ofOneURL())
	return holds(kind, v1alpha1.ReasonServing, strings.Join(append([]string{message}, v.notes...), "; "))
}

// unwritten is why the bundle is not this generation's.
func (v issuerView) unwritten() condition {
	const kind = v1alpha1.ConditionReady
	goesOn := "nothing runs yet"
	if v.bundle.revision > 0 {
		goesOn = "what was accepted last goes on, " + v.bundle.keys()
	}
	switch {
	case v.bundle.foreign:
		return fails(kind, v1alpha1.ReasonBundleConflict,
			"a Secret with the bundle's name exists and does not belong to this TokenIssuer: delete it or rename the issuer")
	case v.bundle.refused != "":
		return fails(kind, v1alpha1.ReasonNotProgrammed, fmt.Sprintf(
			"the bundle could not be written (%s), so key updates and revocations wait: if it was made immutable, delete it, and it is made anew", v.bundle.refused))
	case v.invalid != nil:
		return fails(kind, v1alpha1.ReasonInvalid, fmt.Sprintf("%s; %s", strings.ReplaceAll(v.invalid.Error(), "\n", "; "), goesOn))
	case v.bundle.invalid != nil:
		return fails(kind, v1alpha1.ReasonBundleInvalid, fmt.Sprintf("a pod would refuse the bundle (%v); %s", v.bundle.invalid, goesOn))
	}
	return condition{}
}

// unresolved is which references lead nowhere.
func (v issuerView) unresolved() condition {
	if len(v.refs) == 0 {
		return condition{}
	}
	messages := make([]string, 0, len(v.refs))
	for _, problem := range v.refs {
		messages = append(messages, problem.message)
	}
	return fails(v1alpha1.ConditionReady, v.refs[0].reason, strings.Join(messages, "; "))
}

// unsigned is why there is no key to sign with.
func (v issuerView) unsigned() condition {
	const kind = v1alpha1.ConditionReady
	switch {
	case v.signer == nil || v.file == nil:
		return fails(kind, v1alpha1.ReasonNotProgrammed, "the bundle is not written yet")
	case v.signer.KID != "":
		return condition{}
	case len(v.file.Revoked[v.signer.SigningKey]) > 0:
		return fails(kind, v1alpha1.ReasonActiveKeyRevoked, "the key was revoked, and its successor does not sign yet: whoever asks for a token is answered 503")
	}
	return fails(kind, v1alpha1.ReasonNoActiveKey, "the first key does not sign before every bundle has it: whoever asks for a token is answered 503")
}

// unrun is why there are no pods.
func (v issuerView) unrun() condition {
	const kind = v1alpha1.ConditionReady
	switch {
	case v.imageless:
		return fails(kind, v1alpha1.ReasonIssuerImageMissing, "the controller was started without --issuer-image (chart value image.issuer), so it cannot run issuers")
	case v.conflict != "":
		return fails(kind, v1alpha1.ReasonWorkloadConflict, v.conflict+": delete it, or name the issuer otherwise")
	case v.refused != "":
		return fails(kind, v1alpha1.ReasonReplicasNotReady, "the API server refuses "+v.refused+
			": look at the log of the controller, and whether an admission policy or a quota of the namespace is in the way")
	}
	return condition{}
}

// unready is which pods do not answer.
func (v issuerView) unready() condition {
	if v.pods.ready >= v.pods.wanted {
		return condition{}
	}
	message := fmt.Sprintf("%d of %d pods answer", v.pods.ready, v.pods.wanted)
	if len(v.pods.down) > 0 {
		message += ", not " + someOf(v.pods.down)
	}
	if failure := v.unreplaced(); failure != "" {
		message += failure
	} else if v.pods.all < v.pods.wanted {
		message += v.selected()
	}
	return fails(v1alpha1.ConditionReady, v1alpha1.ReasonReplicasNotReady, message+"; kubectl describe pod and the pod's log say more")
}

// unreplaced is why new pods cannot be made, as a part of a message. It is said
// while the old ones serve, too: they cannot be replaced.
func (v issuerView) unreplaced() string {
	why := replicaFailure(v.deployment)
	if why == "" {
		return ""
	}
	return "; new pods cannot be made: " + why + v.selected()
}

// selected is which policy selects the issuer's pods too, as a part of a message.
func (v issuerView) selected() string {
	if v.selecting == "" {
		return ""
	}
	return fmt.Sprintf("; AgentAuthPolicy %s selects these pods, and where injection is enabled admission refuses them, because a pod with Gatepost's Secrets is never guarded: narrow its spec.selector", v.selecting)
}

// ofOneURL is who else signs under the issuer's URL, as a part of a message.
func (v issuerView) ofOneURL() string {
	if len(v.rivals) == 0 {
		return ""
	}
	return fmt.Sprintf("; other TokenIssuers (%s) have the same spec.issuer and another SigningKey, and whoever fetches keys from that URL finds those of one: give each a URL of its own, or the same spec.signingKeyRef",
		someOf(v.rivals))
}

// replicaFailure is what the Deployment says of pods that could not be made.
func replicaFailure(deployment *appsv1.Deployment) string {
	if deployment == nil {
		return ""
	}
	for _, c := range deployment.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return c.Message
		}
	}
	return ""
}
