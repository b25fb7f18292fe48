package fleet

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// A kubelet whose watch does not show yet what the pod was told of looks again
// after behind, looks times at most.
const (
	behind = 50 * time.Millisecond
	looks  = 40
)

// bundleChanged keeps the new edition, which kubelets take up at their own pace.
func (f *Fleet) bundleChanged(secret *corev1.Secret) {
	latest := newEdition(secret)
	f.mu.Lock()
	f.bundles[secret.Name] = latest
	var mounting []*Pod
	for _, pod := range f.pods {
		if v1alpha1.BundleName(pod.Policy) == secret.Name {
			mounting = append(mounting, pod)
		}
	}
	f.tellWaiters()
	f.mu.Unlock()
	for _, pod := range mounting {
		pod.syncSometime()
	}
}

func (f *Fleet) latest(bundle string) *edition {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bundles[bundle]
}

// podSeen notices an annotation.
func (f *Fleet) podSeen(object any) {
	seen, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	pod := f.pod(seen.Name)
	if pod == nil || pod.UID != seen.UID {
		return
	}
	revision, err := strconv.ParseInt(seen.Annotations[v1alpha1.AnnotationBundleRevision], 10, 64)
	if err != nil || !pod.hears(revision) {
		return
	}
	f.after(max(f.pick(f.options.Told), pod.lateness()), pod.deliver)
}

// podGone ends a pod that somebody deleted.
func (f *Fleet) podGone(object any) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	if last, ok := object.(*corev1.Pod); ok {
		if pod := f.pod(last.Name); pod != nil && pod.UID == last.UID {
			pod.vanish()
		}
	}
}

func (f *Fleet) pod(name string) *Pod {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pods[name]
}

// hears reports whether the annotation says something new.
func (p *Pod) hears(revision int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := revision != p.told
	p.told = revision
	return news
}

// syncSometime plays the kubelet's regular round, which is never more than one
// round away.
func (p *Pod) syncSometime() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending {
		return
	}
	p.pending = true
	p.fleet.after(p.fleet.pick(p.fleet.options.Untold), func() {
		p.mu.Lock()
		p.pending = false
		p.mu.Unlock()
		p.deliver()
	})
}

// deliver brings the bundle into the mount, and the sidecar loads it.
func (p *Pod) deliver() { p.look(looks) }

func (p *Pod) look(again int) {
	latest := p.fleet.latest(v1alpha1.BundleName(p.Policy))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held || p.gone || latest == nil {
		return
	}
	if again > 0 && latest.revision < p.told {
		p.fleet.after(behind, func() { p.look(again - 1) })
	}
	if latest == p.mounted {
		return
	}
	served := p.verifier.serves()
	p.mounted = latest
	p.verifier.reload(latest)
	p.fleet.ledger.delivered()
	if !served && p.verifier.serves() {
		p.fleet.after(0, p.becomeReady)
	}
}

// becomeReady writes that the sidecar now serves. A pod that is gone has no
// status.
func (p *Pod) becomeReady() { _ = p.report(p.fleet.ctx, true) }

// mount is what the volume holds.
func (p *Pod) mount() *edition {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mounted
}

func (p *Pod) lateness() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.late
}
