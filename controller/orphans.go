package controller

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
)

// orphan is a pod of which it is not known what it accepts: the bundle that its
// sidecar goes on with is nobody's any more (decision 11), or its bundle does not
// hold the SigningKey and it never said that it has taken that up.
type orphan struct {
	pod     string
	held    bool      // it is known to have had the SigningKey
	unheard bool      // its bundle is kept up to date
	since   time.Time // when it was made
}

// orphans are those that may have keys of one SigningKey, by name.
type orphans []orphan

// Why it is not known what a pod accepts, and what to do.
const (
	whyGone    = "its bundle is no AgentAuthPolicy's any more: delete the pod, or bring the policy back"
	whyUnheard = "of another AgentAuthPolicy, and has not answered yet"
)

func (o orphan) why() string {
	if o.unheard {
		return whyUnheard
	}
	return whyGone
}

// known are those that count as verifiers which prove nothing. Of the others it is
// not known that they ever had the set, so that they hold nothing but the word
// that everybody refuses a revoked key.
func (o orphans) known() orphans {
	return slices.DeleteFunc(slices.Clone(o), func(one orphan) bool { return !one.held })
}

// mayAccept names those that may accept a key that was revoked at a time. A pod
// that was made later has a bundle from which the key was gone.
func (o orphans) mayAccept(revoked time.Time) []string {
	var names []string
	for _, one := range o {
		if !one.unheard || !one.since.After(revoked) {
			names = append(names, one.pod)
		}
	}
	return names
}

// readOrphans finds the orphans among the pods, given the bundles that carry the
// SigningKey and those that are kept up to date.
func (r *keyReconciler) readOrphans(key *v1alpha1.SigningKey, pods []corev1.Pod, carriers []carrier, kept map[string]rollcall.Report) orphans {
	var found orphans
	for i := range pods {
		pod := &pods[i]
		bundle := bundleOf(pod)
		if bundle == "" || !verifies(pod, bundle) || slices.ContainsFunc(carriers, func(c carrier) bool { return c.name == bundle }) {
			continue
		}
		one := orphan{pod: pod.Name, since: pod.CreationTimestamp.Time}
		report, isKept := kept[bundle]
		switch keys, known := r.switchboard.left(types.NamespacedName{Namespace: pod.Namespace, Name: bundle}); {
		case isKept && !report.Answers[pod.UID].At.IsZero():
			continue
		case isKept:
			one.unheard = true
		case known && !slices.Contains(keys, key.Name):
			continue
		default:
			one.held = known
		}
		found = append(found, one)
	}
	slices.SortFunc(found, func(a, b orphan) int { return cmp.Compare(a.pod, b.pod) })
	return found
}
