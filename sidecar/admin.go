package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/telemetry"
)

// bindAdmin listens on the private address and, where that is an address of the
// pod, on loopback too, for what only the pod itself may ask.
func (s *Sidecar) bindAdmin(ctx context.Context) ([]net.Listener, error) {
	var config net.ListenConfig
	private, err := config.Listen(ctx, "tcp", s.config.Admin)
	if err != nil {
		return nil, fmt.Errorf("--admin: listening on %s: %w", s.config.Admin, err)
	}
	at, ok := private.Addr().(*net.TCPAddr)
	if !ok || at.IP.IsLoopback() || at.IP.IsUnspecified() {
		return []net.Listener{private}, nil
	}
	address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.AddrPort().Port()).String()
	local, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		_ = private.Close() // it was only just opened
		return nil, fmt.Errorf("--admin: listening on %s: %w", address, err)
	}
	return []net.Listener{private, local}, nil
}

// newAdminServer serves what is not for the agent's clients: one request per
// connection, because those who ask, ask rarely.
func (s *Sidecar) newAdminServer() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.MetricsHandler(s.registry))
	mux.HandleFunc("GET /healthz", s.health.ServeAlive)
	mux.HandleFunc("GET /readyz", s.health.ServeReady)
	mux.HandleFunc("GET /state", s.serveState)
	mux.HandleFunc("GET /decisions", s.serveDecisions)
	mux.HandleFunc("POST /drain", s.serveDrain)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: s.httpLog,
	}
	server.SetKeepAlivesEnabled(false)
	return server
}

// maxNonce is how long a nonce of /state may be in bytes.
const maxNonce = 128

// serveState answers which policy and keys are in force and which keys were
// lately used, signed for the one who asks (decision 18).
func (s *Sidecar) serveState(w http.ResponseWriter, r *http.Request) {
	in := s.current.Load()
	nonce := r.URL.Query().Get("nonce")
	switch {
	case in == nil:
		http.Error(w, "not loaded", http.StatusServiceUnavailable)
		return
	case len(nonce) > maxNonce || strings.Contains(nonce, "|"):
		http.Error(w, "nonce: at most 128 bytes, no |", http.StatusBadRequest)
		return
	}
	state := bundle.State{
		PodUID: s.config.PodUID, Revision: in.Revision, Generations: in.Generations,
		LastAccepted: s.ledger.lastAccepted(in.signing), KIDs: in.KIDs, Revoked: in.Revoked,
	}
	if state.Generations == nil {
		state.Generations = map[string]int64{}
	}
	var err error
	if len(in.AckKey) > 0 {
		err = state.Sign(in.AckKey, nonce)
	}
	body, encodeErr := json.Marshal(state)
	if err = errors.Join(err, encodeErr); err != nil {
		s.log.ErrorContext(r.Context(), "state was not written", "error", err.Error())
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	writeJSON(w, body)
}

// serveDrain turns readiness off, so that no new requests are sent here while
// those under way go on. Only the pod itself may ask for it.
func (s *Sidecar) serveDrain(w http.ResponseWriter, r *http.Request) {
	if !s.mayAsk(w, r) {
		return
	}
	s.health.Drain()
	s.log.InfoContext(r.Context(), "not ready any more: draining was asked for")
	w.WriteHeader(http.StatusNoContent)
}

// mayAsk answers everybody but the pod itself, and pages that a browser on the
// same machine shows: they too come from loopback, under a name of their own or
// with what a browser says of them.
func (*Sidecar) mayAsk(w http.ResponseWriter, r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	switch {
	case err != nil || !from.Addr().Unmap().IsLoopback():
		http.NotFound(w, r)
		return false
	case !isLoopbackHost(r.Host) || isOfPage(r.Header):
		http.Error(w, "ask as localhost or a loopback address, not from a page", http.StatusForbidden)
		return false
	}
	return true
}

// isLoopbackHost reports whether a Host is localhost or a loopback address, with
// or without a port: a name that was made to resolve to one is not.
func isLoopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	address, err := netip.ParseAddr(name)
	return strings.EqualFold(name, "localhost") || err == nil && address.Unmap().IsLoopback()
}

// isOfPage reports whether a browser says that a page of another origin, or a
// script, asks.
func isOfPage(h http.Header) bool {
	_, ok := h["Origin"]
	return ok || slices.ContainsFunc(h["Sec-Fetch-Site"], func(site string) bool { return site != "none" && site != "same-origin" })
}

// Drain asks the sidecar whose admin port is at address, on loopback, to turn
// its readiness off.
func Drain(ctx context.Context, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/drain", nil)
	if err != nil {
		return fmt.Errorf("asking %s to drain: %w", address, err)
	}
	r.Host = "localhost" // whatever stands for it in the address
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("asking to drain: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("asking %s to drain: answered %s", address, res.Status)
	}
	return nil
}
