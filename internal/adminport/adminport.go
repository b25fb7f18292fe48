// Package adminport is the private address of a Gatepost program in a pod: where
// it is asked for metrics, health and what it has loaded. Everybody in the
// cluster's network reaches it, so nothing secret is there, and what only the pod
// itself may ask is answered on loopback alone. The sidecar and the issuer share
// it.
package adminport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/crowd"
	"gatepost.dev/gatepost/internal/telemetry"
	"gatepost.dev/gatepost/token"
)

// Listen listens on the private address and, where that is an address of the
// pod, on loopback too, for what only the pod itself may ask.
func Listen(ctx context.Context, address string) ([]net.Listener, error) {
	var config net.ListenConfig
	private, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--admin: listening on %s: %w", address, err)
	}
	at, ok := private.Addr().(*net.TCPAddr)
	if !ok || at.IP.IsLoopback() || at.IP.IsUnspecified() {
		return []net.Listener{private}, nil
	}
	loopback := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.AddrPort().Port()).String()
	local, err := config.Listen(ctx, "tcp", loopback)
	if err != nil {
		_ = private.Close() // it was only just opened
		return nil, fmt.Errorf("--admin: listening on %s: %w", loopback, err)
	}
	return []net.Listener{private, local}, nil
}

// MaxConnections bounds the connections of one admin address. Everybody in the
// cluster's network may open them, and they take memory from the program's work.
const MaxConnections = 256

// Crowded bounds the connections of a listener to MaxConnections; the oldest give
// way.
func Crowded(l net.Listener) net.Listener { return crowd.Bound(l, MaxConnections) }

// NewServer makes the server of the private address: one request per connection,
// because those who ask, ask rarely.
func NewServer(handler http.Handler, errors *log.Logger) *http.Server {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: errors,
	}
	server.SetKeepAlivesEnabled(false)
	return server
}

// MaxNonce is how long a nonce of /state may be in bytes.
const MaxNonce = 128

// Nonce is the nonce of a question for the state. Unless it may be one, the
// question is answered here.
func Nonce(w http.ResponseWriter, r *http.Request) (nonce string, ok bool) {
	nonce = r.URL.Query().Get("nonce")
	if len(nonce) > MaxNonce || strings.Contains(nonce, "|") {
		http.Error(w, "nonce: at most 128 bytes, no |", http.StatusBadRequest)
		return "", false
	}
	return nonce, true
}

// WriteState answers with the state, signed for the one who asks with this nonce;
// without a key it is not signed. The error is why it could not be written, and was
// answered 500.
func WriteState(w http.ResponseWriter, state bundle.State, key token.Secret, nonce string) error {
	if state.Generations == nil {
		state.Generations = map[string]int64{}
	}
	var err error
	if len(key) > 0 {
		err = state.Sign(key, nonce)
	}
	body, encodeErr := json.Marshal(state)
	if err = errors.Join(err, encodeErr); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return err
	}
	WriteJSON(w, body)
	return nil
}

// WriteJSON answers with a document that nobody keeps.
func WriteJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n')) // a client that has gone needs no answer
}

// DrainHandler turns readiness off, so that no new requests are sent here while
// those under way go on. Only the pod itself may ask for it.
func DrainHandler(health *telemetry.Health, logger *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !OwnPod(w, r) {
			return
		}
		health.Drain()
		logger.InfoContext(r.Context(), "not ready any more: draining was asked for")
		w.WriteHeader(http.StatusNoContent)
	}
}

// OwnPod answers everybody but the pod itself, and pages that a browser on the
// same machine shows: they too come from loopback, under a name of their own or
// with what a browser says of them. It reports whether the pod asks.
func OwnPod(w http.ResponseWriter, r *http.Request) bool {
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

// Drain asks the program whose admin port is at address, on loopback, to turn
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
