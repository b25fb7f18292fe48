package controller

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// bell wakes a controller for what no watch shows: what sidecars answered, and
// what another controller just wrote. It is a source.Source. Ringing before the
// controller has started is no loss: at its start everything is reconciled.
type bell struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// Start implements source.Source.
func (b *bell) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = queue
	return nil
}

// ring asks for objects of one namespace to be reconciled; after a pause, in
// which further rings for them are one with this, where nobody waits for it. It
// never blocks.
func (b *bell) ring(pause time.Duration, namespace string, names ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue == nil {
		return
	}
	for _, name := range names {
		b.queue.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}, pause)
	}
}
