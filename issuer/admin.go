package issuer

import (
	"net/http"
	"sync"
	"time"

	"gatepost.dev/gatepost/internal/adminport"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/telemetry"
)

// newAdminServer serves what is not for clients.
func (i *Issuer) newAdminServer() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.MetricsHandler(i.registry))
	mux.HandleFunc("GET /healthz", i.health.ServeAlive)
	mux.HandleFunc("GET /readyz", i.health.ServeReady)
	mux.HandleFunc("GET /state", i.serveState)
	mux.HandleFunc("POST /drain", i.serveDrain)
	return adminport.NewServer(mux, i.httpLog)
}

// serveState answers which keys are in force, which were lately used and which
// one signs, signed for the one who asks (decision 18).
func (i *Issuer) serveState(w http.ResponseWriter, r *http.Request) {
	in := i.current.Load()
	if in == nil {
		http.Error(w, "not loaded", http.StatusServiceUnavailable)
		return
	}
	nonce, ok := adminport.Nonce(w, r)
	if !ok {
		return
	}
	state := bundle.State{
		PodUID: i.config.PodUID, Revision: in.Revision, Generations: in.Generations,
		LastAccepted: i.uses.last(), KIDs: in.KIDs, Revoked: in.Revoked,
	}
	if in.Signer.CanSign() {
		state.Signs = map[string]string{in.Signer.SigningKey: in.Signer.Key.KID}
	}
	if err := adminport.WriteState(w, state, in.AckKey, nonce); err != nil {
		i.log.ErrorContext(r.Context(), "state was not written", "error", err.Error())
	}
}

// serveDrain turns readiness off, so that no new requests are sent here while
// those under way go on. Only the pod itself may ask for it.
func (i *Issuer) serveDrain(w http.ResponseWriter, r *http.Request) {
	if !adminport.OwnPod(w, r) {
		return
	}
	i.health.Drain()
	i.log.InfoContext(r.Context(), "not ready any more: draining was asked for")
	w.WriteHeader(http.StatusNoContent)
}

// uses are when session tokens of SigningKeys were last accepted, by key id. The
// zero uses knows no key.
type uses struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// keep forgets all but the given keys.
func (u *uses) keep(kids map[string][]string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	kept := map[string]time.Time{}
	for _, set := range kids {
		for _, kid := range set {
			kept[kid] = u.seen[kid]
		}
	}
	u.seen = kept
}

// note notes that a token of a key was accepted, if it is one of those kept.
func (u *uses) note(kid string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if before, known := u.seen[kid]; known && now.After(before) {
		u.seen[kid] = now
	}
}

// last says when tokens of each key were last accepted, in UTC, cut to the second.
// Keys of which none was are left out.
func (u *uses) last() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := map[string]time.Time{}
	for kid, at := range u.seen {
		if !at.IsZero() {
			seen[kid] = at.UTC().Truncate(time.Second)
		}
	}
	return seen
}
