package fleet

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Hold keeps the kubelet from refreshing the mount, or lets it again, which then
// brings the latest bundle after the usual delay.
func (p *Pod) Hold(held bool) {
	p.mu.Lock()
	p.held = held
	p.mu.Unlock()
	if !held {
		p.fleet.after(p.fleet.pick(p.fleet.options.Told), p.deliver)
	}
}

// Late sets the least that an annotated pod's mount takes from now on; zero: as
// usual.
func (p *Pod) Late(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = d
}

// Silence makes `/state` hang up on everybody who asks, while the sidecar goes
// on judging tokens.
func (p *Pod) Silence(silent bool) { p.verifier.silent.Store(silent) }

// Lie makes `/state` acknowledge the latest bundle with a valid signature,
// although the sidecar has not loaded it.
func (p *Pod) Lie(lying bool) { p.verifier.lying.Store(lying) }

// Restart ends the sidecar, which neither judges nor answers for the given time,
// and starts it from what its mount then holds. It forgets which keys it
// accepted.
func (p *Pod) Restart(ctx context.Context, down time.Duration) error {
	p.verifier.stop()
	if err := p.report(ctx, false); err != nil {
		return err
	}
	select {
	case <-time.After(down):
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	p.restarts++
	gone := p.gone
	p.mu.Unlock()
	if gone {
		return nil
	}
	p.verifier.start(p.mount())
	p.fleet.ledger.restarted()
	return p.report(ctx, true)
}

// Remove deletes the pod; its sidecar is gone at once.
func (p *Pod) Remove(ctx context.Context) error {
	p.vanish()
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.fleet.options.Namespace, Name: p.Name}}
	if err := p.fleet.api.Delete(ctx, object, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting pod %s: %w", p.Name, err)
	}
	p.fleet.ledger.vanished()
	return nil
}

// vanish ends the sidecar for good.
func (p *Pod) vanish() {
	p.verifier.stop()
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	p.listener.Close()
	p.fleet.mu.Lock()
	defer p.fleet.mu.Unlock()
	if p.fleet.pods[p.Name] == p {
		delete(p.fleet.pods, p.Name)
		delete(p.fleet.byAddress, p.Address())
	}
}

// hangUp closes all listeners once the Fleet ends.
func (f *Fleet) hangUp() {
	_ = f.server.Close()
	for _, pod := range f.Pods("") {
		pod.listener.Close()
	}
}
