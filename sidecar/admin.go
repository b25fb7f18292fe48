package sidecar

import (
	"net/http"

	"gatepost.dev/gatepost/internal/adminport"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/telemetry"
)

// newAdminServer serves what is not for the agent's clients.
func (s *Sidecar) newAdminServer() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.MetricsHandler(s.registry))
	mux.HandleFunc("GET /healthz", s.health.ServeAlive)
	mux.HandleFunc("GET /readyz", s.health.ServeReady)
	mux.HandleFunc("GET /state", s.serveState)
	mux.HandleFunc("GET /decisions", s.serveDecisions)
	mux.HandleFunc("POST /drain", adminport.DrainHandler(&s.health, s.log))
	return adminport.NewServer(mux, s.httpLog)
}

// serveState answers which policy and keys are in force and which keys were
// lately used, signed for the one who asks (decision 18).
func (s *Sidecar) serveState(w http.ResponseWriter, r *http.Request) {
	in := s.current.Load()
	if in == nil {
		http.Error(w, "not loaded", http.StatusServiceUnavailable)
		return
	}
	nonce, ok := adminport.Nonce(w, r)
	if !ok {
		return
	}
	state := bundle.State{
		PodUID: s.config.PodUID, Revision: in.Revision, Generations: in.Generations,
		LastAccepted: s.ledger.lastAccepted(in.signing), KIDs: in.KIDs, Revoked: in.Revoked,
	}
	if err := adminport.WriteState(w, state, in.AckKey, nonce); err != nil {
		s.log.ErrorContext(r.Context(), "state was not written", "error", err.Error())
	}
}
