package controller

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// refProblem is one reference of a policy that does not lead to keys.
type refProblem struct {
	provider string
	reason   string
	message  string // names the field, what is wrong and the fix
	kept     bool   // the provider goes on with keys of the bundle in force
	keyless  bool   // it has no key at all, not even the last ones
}

// bundleView is what became of a policy's bundle Secret in this reconcile.
type bundleView struct {
	revision int64  // of what is written now; 0: nothing is
	written  bool   // it holds today's keys and clients, but for kept
	current  bool   // it holds this generation's policy
	audit    bool   // the policy in it only counts what it would refuse
	foreign  bool   // a Secret of its name belongs to somebody else
	invalid  error  // a sidecar would have refused it, so it was not written
	refused  string // why the API server did not take it
	kept     string // the providers in it that go on with their last keys
}

// policyView is everything that a policy's conditions are made of.
type policyView struct {
	unsupported []string // "field: why"
	invalid     error
	accepted    policy.Spec // with defaults; set when invalid is nil
	claim       claim
	refs        []refProblem
	bundle      bundleView
	file        *keyring.File // the keys in force; nil: none are
	early       bool          // nothing is written before sidecars were asked
	pods        podReport
	hasSelector bool
	warnings    []string // what works and is probably not meant
}

// goodPolicy is the status each condition of a policy should have.
func goodPolicy() map[string]metav1.ConditionStatus {
	return map[string]metav1.ConditionStatus{
		v1alpha1.ConditionAccepted: metav1.ConditionTrue, v1alpha1.ConditionResolvedRefs: metav1.ConditionTrue,
		v1alpha1.ConditionProgrammed: metav1.ConditionTrue, v1alpha1.ConditionEnforced: metav1.ConditionTrue,
	}
}

// conditions judges the view.
func (v policyView) conditions() []condition {
	return []condition{v.acceptance(), v.resolution(), v.programming(), v.enforcement()}
}

// acceptance needs nothing but the policy, its elders and the pods it selects.
func (v policyView) acceptance() condition {
	const kind = v1alpha1.ConditionAccepted
	switch {
	case len(v.unsupported) > 0:
		return fails(kind, v1alpha1.ReasonNotSupportedYet,
			"remove what this version cannot enforce yet: "+strings.Join(v.unsupported, "; "))
	case v.invalid != nil:
		return fails(kind, v1alpha1.ReasonInvalid, v.invalid.Error())
	case len(v.claim.lost) > 0:
		elders, pods := v.claim.rivals()
		return fails(kind, v1alpha1.ReasonConflicted, fmt.Sprintf(
			"the older AgentAuthPolicy %s guards pods that this one selects too (%s): one policy guards a pod, so narrow spec.selector of one of them",
			someOf(elders), someOf(pods)))
	case v.accepted.JWT != nil && v.accepted.JWT.Forward == policy.ForwardAlways:
		return holds(kind, v1alpha1.ReasonForwardsUnverified,
			"spec.jwt.forward is Always: the agent also receives Authorization headers that nobody verified")
	}
	return holds(kind, v1alpha1.ReasonAccepted, "the policy is valid")
}

func (v policyView) resolution() condition {
	const kind = v1alpha1.ConditionResolvedRefs
	if len(v.refs) == 0 {
		found := append([]string{"everything the policy refers to was found"}, v.warnings...)
		return holds(kind, v1alpha1.ReasonResolvedRefs, strings.Join(found, "; "))
	}
	messages := make([]string, 0, len(v.refs))
	for _, problem := range v.refs {
		messages = append(messages, problem.message)
	}
	return fails(kind, v.refs[0].reason, strings.Join(messages, "; "))
}

func (v policyView) programming() condition {
	const kind = v1alpha1.ConditionProgrammed
	if why := v.unwritten(); why.reason != "" {
		return why
	}
	switch {
	case !v.bundle.current:
		return fails(kind, v1alpha1.ReasonNotProgrammed, "the bundle is not written yet")
	case len(v.pods.untold) > 0:
		return fails(kind, v1alpha1.ReasonPodsPending, "pods that were not told of the bundle yet: "+someOf(v.pods.untold))
	}
	message := "the bundle is written and every guarded pod was told"
	if v.bundle.kept != "" {
		message += ", " + v.bundle.keys()
	}
	return holds(kind, v1alpha1.ReasonProgrammed, message)
}

// unwritten is why no bundle of this policy is written; zero when nothing keeps
// it from that.
func (v policyView) unwritten() condition {
	const kind = v1alpha1.ConditionProgrammed
	accepted := v.acceptance()
	keyless := v.keyless()
	switch {
	case v.bundle.foreign:
		return fails(kind, v1alpha1.ReasonBundleConflict,
			"a Secret with the bundle's name exists and does not belong to this policy: delete it or rename the policy")
	case v.bundle.refused != "":
		return fails(kind, v1alpha1.ReasonNotProgrammed, fmt.Sprintf(
			"the bundle could not be written (%s), so key updates and revocations wait: if it was made immutable, delete it, and it is made anew", v.bundle.refused))
	case accepted.status != metav1.ConditionTrue && v.bundle.revision == 0:
		return fails(kind, v1alpha1.ReasonNotAccepted, "no policy was ever accepted: pods that mount its bundle wait for it")
	case accepted.status != metav1.ConditionTrue:
		return fails(kind, v1alpha1.ReasonNotAccepted, "the last accepted policy stays in force, "+v.bundle.keys())
	case v.bundle.invalid != nil:
		return fails(kind, v1alpha1.ReasonBundleInvalid, fmt.Sprintf("a sidecar would refuse the bundle (%v), so the last policy stays in force, %s", v.bundle.invalid, v.bundle.keys()))
	case len(keyless) > 0 && v.bundle.revision == 0:
		return fails(kind, v1alpha1.ReasonRefsUnresolved, "pods that mount the bundle wait until these providers have a key: "+someOf(keyless))
	case len(keyless) > 0:
		return fails(kind, v1alpha1.ReasonRefsUnresolved, fmt.Sprintf("until these providers have a key (%s) the last policy stays in force, %s", someOf(keyless), v.bundle.keys()))
	}
	return condition{}
}

// keys says how new the keys are that are in force.
func (b bundleView) keys() string {
	switch {
	case !b.written:
		return "with the keys it had: it could not be written anew, so key updates and revocations wait"
	case b.kept != "":
		return "with current keys and clients, except that the last keys stay in force of providers: " + b.kept
	}
	return "with current keys"
}

func (v policyView) keyless() []string {
	var providers []string
	for _, problem := range v.refs {
		if problem.keyless {
			providers = append(providers, problem.provider)
		}
	}
	return providers
}

func (v policyView) enforcement() condition {
	const kind = v1alpha1.ConditionEnforced
	bare := append(append([]string(nil), v.pods.uninjected...), v.pods.elsewhere...)
	switch {
	case v.bundle.revision == 0:
		return fails(kind, v1alpha1.ReasonNotProgrammed, "there is no bundle yet, so no pod can start under this policy")
	case v.pods.selected == 0:
		return fails(kind, v1alpha1.ReasonNoPodsSelected, v.selectsNothing())
	case len(v.pods.portTaken) > 0:
		return fails(kind, v1alpha1.ReasonPortTaken, fmt.Sprintf(
			"another process of the pod holds a guarded port, or can while the sidecar is down, so requests may reach it unjudged: make the agent listen on 127.0.0.1, then delete the pods %s", someOf(v.pods.portTaken)))
	case len(v.pods.down) > 0:
		return fails(kind, v1alpha1.ReasonSidecarDown,
			"the sidecar is down, and until it is back an agent that listens on 0.0.0.0 is reached unjudged: look at the log of container "+
				v1alpha1.ContainerName+" in pods "+someOf(v.pods.down))
	case len(bare) > 0:
		return fails(kind, v1alpha1.ReasonPodsNotInjected, fmt.Sprintf(
			"pods run without this policy's sidecar: label the namespace %s=%s if it is not, then restart them (kubectl rollout restart): %s",
			v1alpha1.LabelInjection, v1alpha1.InjectionEnabled, someOf(bare)))
	case len(v.pods.ready) == 0:
		return fails(kind, v1alpha1.ReasonPodsNotReady, "no sidecar has loaded its bundle yet: "+someOf(v.pods.injected))
	case v.bundle.audit:
		return fails(kind, v1alpha1.ReasonAuditMode,
			"refusals are counted as audit_deny and not carried out: when gatepost_requests_total shows none that surprise you, set spec.mode to Enforce")
	case len(v.pods.addressFor) > 0: // below: what only concerns the agent
		return holds(kind, v1alpha1.ReasonAgentAddressInUse, fmt.Sprintf(
			"the guard holds, but the agent fails with address already in use: make it listen on 127.0.0.1 instead of 0.0.0.0, in pods %s", someOf(v.pods.addressFor)))
	}
	if len(v.pods.crashing) > 0 {
		return holds(kind, v1alpha1.ReasonAgentCrashLooping, fmt.Sprintf(
			"the guard holds, but the agent keeps ending: if its log says address already in use, make it listen on 127.0.0.1 instead of 0.0.0.0, in pods %s", someOf(v.pods.crashing)))
	}
	return holds(kind, v1alpha1.ReasonEnforced, "every selected pod is guarded")
}

func (v policyView) selectsNothing() string {
	switch {
	case len(v.claim.lost) > 0:
		return "older policies guard every pod that spec.selector selects"
	case !v.hasSelector:
		return "spec.selector is absent and so selects no pod: add matchLabels"
	}
	return "no running pod has the labels of spec.selector"
}
