package issuer

import (
	"net/http"

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
	mux.HandleFunc("POST /drain", adminport.DrainHandler(&i.health, i.log))
	return adminport.NewServer(mux, i.httpLog)
}

// serveState answers which keys are in force, which were lately used and which
// one signs. The answer is signed, and the controller believes no other.
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
