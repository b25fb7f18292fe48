// Package survey says what Gatepost guards, what it does not, and why: from the
// objects of a cluster, or of one namespace of it, as one reading found them.
//
// Take is pure. It chooses the policy of a pod with the webhook's own code, and
// otherwise believes the conditions that the controller wrote, whose messages say
// what to do. What is wrong is a list of Findings, the most urgent first: agents
// that are reached unjudged, then what does not work, then what wants a look.
package survey

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/keys"
)

// World is what was read of a cluster.
type World struct {
	Policies []v1alpha1.AgentAuthPolicy
	Keys     []v1alpha1.SigningKey
	Issuers  []v1alpha1.TokenIssuer
	APIKeys  []v1alpha1.APIKey
	// Pods are those of the same namespaces.
	Pods []corev1.Pod
	// Injects says of a namespace whether its label puts pods before the
	// injector; a namespace that it lacks could not be read.
	Injects map[string]bool
	// Hidden are the kinds that could not be listed, in the plural.
	Hidden []string
}

// Urgency says how soon somebody should look.
type Urgency string

// The urgencies, the most urgent first.
const (
	// Unguarded: an agent is reached by requests that nobody judged.
	Unguarded Urgency = "Unguarded"
	// Failing: something that was asked for is not in force.
	Failing Urgency = "Failing"
	// Look: it works, and somebody should look.
	Look Urgency = "Look"
)

// urgencies in order.
func urgencies() []Urgency { return []Urgency{Unguarded, Failing, Look} }

// Finding is one thing that is not as it should be.
type Finding struct {
	Urgency   Urgency `json:"urgency"`
	Kind      string  `json:"kind"`
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	// Reason is that of a condition, or one of this package.
	Reason string `json:"reason"`
	// Message says what is wrong and what to do.
	Message string `json:"message"`
}

// Policy is a policy and how its pods fare.
type Policy struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Mode      string `json:"mode"`
	// Pods are the controller's counts.
	Pods       v1alpha1.PodCounts `json:"pods"`
	Conditions []metav1.Condition `json:"conditions"`
	// Uninjected are selected pods that carry no sidecar of this policy.
	Uninjected []string `json:"uninjected,omitempty"`
}

// Issuer is a TokenIssuer.
type Issuer struct {
	Namespace  string                     `json:"namespace"`
	Name       string                     `json:"name"`
	Issuer     string                     `json:"issuer"`
	SigningKey string                     `json:"signingKey"`
	Status     v1alpha1.TokenIssuerStatus `json:"status"`
}

// Report is the whole of it.
type Report struct {
	Findings []Finding   `json:"findings"`
	Policies []Policy    `json:"policies"`
	Keys     []keys.View `json:"signingKeys"`
	Issuers  []Issuer    `json:"tokenIssuers"`
	// APIKeys is how many there are.
	APIKeys int `json:"apiKeys"`
	// Guarded and Selected count pods: those with a sidecar of their policy, and
	// those that a policy selects. Pods that cannot be read are the controller's
	// count.
	Guarded  int `json:"guarded"`
	Selected int `json:"selected"`
	// Unselected counts running pods, in the namespaces with a policy or with
	// injection, that no policy selects.
	Unselected int `json:"unselected"`
	// Hidden are the kinds that could not be listed.
	Hidden []string `json:"hidden,omitempty"`
}

// Urgent reports whether anything is Unguarded or Failing.
func (r *Report) Urgent() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Urgency != Look })
}

// Take makes the report.
func Take(w World) Report {
	report := Report{Findings: []Finding{}, Policies: []Policy{}, Keys: []keys.View{}, Issuers: []Issuer{}, APIKeys: len(w.APIKeys), Hidden: w.Hidden}
	pods := w.judgePods(&report)
	for i := range w.Policies {
		p := &w.Policies[i]
		found := pods[objectOf(p)]
		report.Policies = append(report.Policies, Policy{
			Namespace: p.Namespace, Name: p.Name, Mode: string(cmp.Or(p.Spec.Mode, "Enforce")),
			Pods: p.Status.Pods, Conditions: p.Status.Conditions, Uninjected: found.bare,
		})
		report.Findings = append(report.Findings, w.ofPolicy(p, found)...)
	}
	for i := range w.Keys {
		report.Keys = append(report.Keys, keys.Of(&w.Keys[i], keys.SignersOf(&w.Keys[i], w.Issuers)))
		report.Findings = append(report.Findings, ofKey(&w.Keys[i])...)
	}
	for i := range w.Issuers {
		issuer := &w.Issuers[i]
		report.Issuers = append(report.Issuers, Issuer{issuer.Namespace, issuer.Name, issuer.Spec.Issuer, issuer.Spec.SigningKeyRef.Name, issuer.Status})
		report.Findings = append(report.Findings, ofIssuer(issuer)...)
	}
	for i := range w.APIKeys {
		report.Findings = append(report.Findings, ofAPIKey(&w.APIKeys[i])...)
	}
	order := urgencies()
	slices.SortStableFunc(report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Urgency), slices.Index(order, b.Urgency)),
			cmp.Compare(a.Namespace, b.Namespace))
	})
	return report
}

// object is a namespace and a name.
type object struct{ namespace, name string }

func objectOf(o metav1.Object) object { return object{o.GetNamespace(), o.GetName()} }

// condition is one of an object's; unknown until the controller judged it.
func condition(list []metav1.Condition, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(list, kind); c != nil {
		return *c
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionUnknown}
}
