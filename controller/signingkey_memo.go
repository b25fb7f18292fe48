package controller

import (
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
)

// The values of the label change of acknowledgement_seconds.
const (
	changePublish = "publish"
	changeRevoke  = "revoke"
)

// keyMemo is what a process remembers of one SigningKey besides its status, of
// which the cache may show an older edition. Losing it costs a repeated event, and
// an old key of our issuers that stays for a token's life longer.
// Of one key one reconcile runs at a time.
type keyMemo struct {
	written time.Time                 // the status
	proved  map[string]time.Time      // by change and kid: when everybody had proved it
	untold  map[string]bool           // of those: not yet told in an event
	used    map[string]time.Time      // by kid: the last late use that was counted
	peopled time.Time                 // since when there have been verifiers
	signs   map[string]keyring.Signer // by pod: when it was first heard to sign with its key

	// What sidecars may do to the set, whatever they say (belief.go).
	lift             int
	lifted, followed int64
	rebuilds         allowance
}

// peopledSince returns since when there have been verifiers; zero: there are none.
func (m *keyMemo) peopledSince(some bool, now time.Time) time.Time {
	switch {
	case !some:
		m.peopled = time.Time{}
	case m.peopled.IsZero():
		m.peopled = now
	}
	return m.peopled
}

// heardOf notes since when issuers are known to sign with the keys that they prove.
// A process that has just begun knows it of none.
func (m *keyMemo) heardOf(signers []keyring.Signer, now time.Time) {
	heard := map[string]keyring.Signer{}
	for i := range signers {
		s := &signers[i]
		if s.KID == "" {
			continue
		}
		s.Since = now
		if before, known := m.signs[s.Name]; known && before.KID == s.KID {
			s.Since = before.Since
		}
		heard[s.Name] = *s
	}
	m.signs = heard
}

// first returns when everybody was first seen to have proved a change: now, if
// that is news.
func (m *keyMemo) first(change, kid string, now time.Time) time.Time {
	name := change + "/" + kid
	if at, known := m.proved[name]; known {
		return at
	}
	m.proved[name], m.untold[name] = now, true
	return now
}

// noted returns when everybody was seen to have proved a change, by this process.
func (m *keyMemo) noted(change, kid string) (time.Time, bool) {
	at, known := m.proved[change+"/"+kid]
	return at, known
}

// news is noted, once for each change.
func (m *keyMemo) news(change, kid string) (time.Time, bool) {
	name := change + "/" + kid
	fresh := m.untold[name]
	delete(m.untold, name)
	return m.proved[name], fresh
}

// usedLater reports whether a key was used in a later minute than was counted.
func (m *keyMemo) usedLater(kid string, minute time.Time) bool {
	if !minute.After(m.used[kid]) {
		return false
	}
	m.used[kid] = minute
	return true
}

// keep forgets keys that the status no longer shows.
func (m *keyMemo) keep(status v1alpha1.SigningKeyStatus) {
	known := func(kid string) bool {
		return status.LastRevocation != nil && status.LastRevocation.KID == kid || statusOfKey(status.Keys, kid).KID == kid
	}
	for name := range m.proved {
		if _, kid, _ := strings.Cut(name, "/"); !known(kid) {
			delete(m.proved, name)
			delete(m.untold, name)
		}
	}
	for kid := range m.used {
		if !known(kid) {
			delete(m.used, kid)
		}
	}
}

// keyMemos are the memos of all SigningKeys.
type keyMemos struct {
	mu   sync.Mutex
	byID map[types.NamespacedName]memoOf
}

// memoOf is the memo of one object of a name.
type memoOf struct {
	uid  types.UID
	memo *keyMemo
}

// of returns the memo of an object; one of an earlier object of its name is
// forgotten.
func (m *keyMemos) of(name types.NamespacedName, uid types.UID) *keyMemo {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID[name].uid != uid {
		if m.byID == nil {
			m.byID = map[types.NamespacedName]memoOf{}
		}
		m.byID[name] = memoOf{uid, &keyMemo{
			proved: map[string]time.Time{}, untold: map[string]bool{}, used: map[string]time.Time{},
		}}
	}
	return m.byID[name].memo
}

// forget drops the memo of an object that is gone, and reports whether there was
// one.
func (m *keyMemos) forget(name types.NamespacedName) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.byID[name]
	delete(m.byID, name)
	return known
}
