package controller

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/token"
)

// How often a sidecar that has the bundle of now is asked again.
const (
	askRetiring  = time.Minute // at most: to hear whether an old key is still used
	askPublished = 5 * time.Second
	askIdle      = 5 * time.Minute
	askLeast     = time.Second
)

// call says which sidecars have to answer for the policy's bundle, and how often.
func (r *policyReconciler) call(w policyWorld, view policyView) {
	bundle := bundleKey(w.policy)
	if view.bundle.foreign || view.file == nil {
		r.switchboard.forget(bundle)
		return
	}
	if last := w.last.revision(); last > 0 && view.file.Revision > last+1 {
		r.switchboard.climbed(bundle, r.now())
	}
	every, moving := askIdle, false
	for _, source := range w.from.keys {
		pause, moves := source.pace()
		every, moving = min(every, pause), moving || moves
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(w.from.keys)), maps.Keys(view.file.SigningKeys))
	r.switchboard.expect(bundle, rollcall.Call{
		Pods:   askedPods(w.pods, bundle.Name, view.file.Revision),
		AckKey: token.Secret(view.file.AckKey), Revision: view.file.Revision, Every: every, Keys: w.heardOn(view.file),
	}, names, moving)
}

// heardOn are the SigningKeys that the policy's sidecars can know, by its spec,
// its last document and the bundle of now, and the ids of their live keys. What
// they say of another is none of their business.
func (w policyWorld) heardOn(file *keyring.File) map[string][]string {
	heard := map[string][]string{}
	names := references(w.policy.Spec.Spec)
	if w.last.doc != nil {
		names.add(w.last.doc.Spec)
	}
	for name := range names.keys {
		heard[name] = nil
		if w.last.doc != nil && w.last.file != nil {
			for _, key := range w.last.keysOf(name) {
				heard[name] = append(heard[name], key.KID)
			}
		}
		if state := w.from.keys[name].state; state != nil {
			for _, key := range state.Keys {
				heard[name] = append(heard[name], key.KID)
			}
		}
	}
	for name := range file.SigningKeys {
		heard[name] = slices.Clip(heard[name])
	}
	return heard
}

// pace is how often verifiers of a SigningKey are asked, and whether one of its
// keys is on its way in or out.
func (s signingSource) pace() (every time.Duration, moving bool) {
	if s.state == nil {
		return askIdle, true
	}
	every = askIdle
	for _, key := range s.state.Keys {
		switch {
		case key.Phase == keyring.Retiring:
			every = min(every, askRetiring, max(s.lifetime()/3, askLeast))
			moving = true
		case key.Phase == keyring.Published || key.Published.IsZero():
			every, moving = min(every, askPublished), true
		}
	}
	return every, moving || s.unacknowledged()
}

// unacknowledged reports whether the status waits for sidecars to acknowledge a
// revocation or an imported value.
func (s signingSource) unacknowledged() bool {
	status := s.key.Status
	if last := len(s.state.Revoked); last > 0 {
		told := status.LastRevocation
		if told == nil || told.KID != s.state.Revoked[last-1].KID || told.AcknowledgedTime == nil {
			return true
		}
	}
	active, found := s.state.ActiveKey()
	return found && len(active.Imported) > 0 && !slices.ContainsFunc(status.Keys, func(key v1alpha1.KeyStatus) bool {
		return key.KID == active.KID && key.AcknowledgedTime != nil
	})
}

// askedPods are the pods whose sidecars have to answer for a bundle: living ones
// that mount it, whatever policy selects them now, and whose sidecar has started
// at least once, ready or not (decision 18).
func askedPods(pods []corev1.Pod, bundle string, revision int64) []rollcall.Pod {
	var asked []rollcall.Pod
	for i := range pods {
		pod := &pods[i]
		if verifies(pod, bundle) {
			asked = append(asked, rollcall.Pod{UID: pod.UID, Name: pod.Name, Address: adminAddress(pod), Told: toldOf(pod, revision)})
		}
	}
	return asked
}

// mounts reports whether a living pod mounts a bundle, a policy's for its guard or
// an issuer's to be it.
func mounts(pod *corev1.Pod, bundle string) bool {
	_, guarded := sidecarImageOf(pod)
	return living(pod) && (guarded && bundleOf(pod) == bundle || issuerBundleOf(pod) == bundle)
}

// verifies reports whether a pod's sidecar, or the pod as an issuer, has come to
// judge tokens with a bundle, or to sign them.
func verifies(pod *corev1.Pod, bundle string) bool {
	if issuerBundleOf(pod) == bundle {
		return living(pod) && started(statusOf(pod.Status.ContainerStatuses, v1alpha1.IssuerContainerName))
	}
	return mounts(pod, bundle) && started(statusOf(pod.Status.InitContainerStatuses, v1alpha1.ContainerName))
}

// issuerBundleOf is the bundle with which a pod is an issuer; empty: it is none.
func issuerBundleOf(pod *corev1.Pod) string {
	if !slices.ContainsFunc(pod.Spec.Containers, isIssuer) {
		return ""
	}
	return secretOfVolume(pod, v1alpha1.IssuerVolumeName)
}

func isIssuer(container corev1.Container) bool { return container.Name == v1alpha1.IssuerContainerName }

// adminAddress is where a pod's sidecar answers; empty while the pod has no
// address of its own. Nobody is asked at a node's: which port it would be is up
// to whoever wrote the pod. Nor at one that no pod network gives out, where
// credentials of the machine may be served.
func adminAddress(pod *corev1.Pod) string {
	address, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || pod.Spec.HostNetwork {
		return ""
	}
	if a := address.Unmap(); a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() {
		return ""
	}
	port := int32(v1alpha1.AdminPort)
	for _, container := range append(slices.Clip(pod.Spec.InitContainers), pod.Spec.Containers...) {
		for _, declared := range container.Ports {
			if (container.Name == v1alpha1.ContainerName || isIssuer(container)) && declared.Name == v1alpha1.AdminPortName {
				port = declared.ContainerPort
			}
		}
	}
	return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port)))
}

// bundleName is that of the policy's bundle, or of the issuer's for which it stands.
func (w policyWorld) bundleName() types.NamespacedName {
	if w.issues {
		return issuerKey(w.policy)
	}
	return bundleKey(w.policy)
}

func issuerKey(issuer client.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: issuer.GetNamespace(), Name: v1alpha1.IssuerName(issuer.GetName())}
}

func bundleKey(p client.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: p.GetNamespace(), Name: v1alpha1.BundleName(p.GetName())}
}
