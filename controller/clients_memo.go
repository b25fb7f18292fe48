package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// clientMemo judges the APIKeys of namespaces and remembers what is wrong with
// each by itself, which changes with its generation only.
type clientMemo struct {
	check clientCheck

	mu    sync.Mutex
	flaws map[string]map[types.UID]clientFlaw // by namespace
}

type clientFlaw struct {
	generation int64
	flaw       error // nil: none
}

func newClientMemo(check clientCheck) *clientMemo {
	return &clientMemo{check: check, flaws: map[string]map[types.UID]clientFlaw{}}
}

// judge judges all APIKeys of one namespace, and forgets those that are gone.
func (m *clientMemo) judge(namespace string, objects []v1alpha1.APIKey, now time.Time) []apiClient {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, fresh := m.flaws[namespace], map[types.UID]clientFlaw{}
	judged := judgeClients(objects, func(object *v1alpha1.APIKey) error {
		entry, found := known[object.UID]
		if !found || entry.generation != object.Generation {
			entry = clientFlaw{object.Generation, m.check(object)}
		}
		fresh[object.UID] = entry
		return entry.flaw
	}, now)
	if m.flaws[namespace] = fresh; len(fresh) == 0 {
		delete(m.flaws, namespace)
	}
	return judged
}
