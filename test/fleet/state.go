package fleet

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// connKey is the context key under which a handler finds its connection.
type connKey struct{}

// serveStates makes the one server that answers for all pods, on each pod's own
// listener.
func (f *Fleet) serveStates() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", f.serveState)
	f.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		BaseContext: func(net.Listener) context.Context { return f.ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn.LocalAddr().String())
		},
	}
}

// serveState answers for the pod whose address was asked.
func (f *Fleet) serveState(w http.ResponseWriter, r *http.Request) {
	at, _ := r.Context().Value(connKey{}).(string)
	pod := f.at(at)
	if pod == nil || pod.verifier.silent.Load() {
		panic(http.ErrAbortHandler) // hangs up without an answer
	}
	state, key := pod.verifier.state(string(pod.UID), f.latest(v1alpha1.BundleName(pod.Policy)))
	if state == nil {
		http.Error(w, "not loaded", http.StatusServiceUnavailable)
		return
	}
	f.ledger.asked()
	if len(key) > 0 {
		if err := state.Sign(key, r.URL.Query().Get("nonce")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	body, err := json.Marshal(state)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// at finds the pod with an address, which begins with its number.
func (f *Fleet) at(address string) *Pod {
	local, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byAddress[local]
}
