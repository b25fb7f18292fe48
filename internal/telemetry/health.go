package telemetry

import (
	"net/http"
	"sync/atomic"
)

// Health is what /healthz and /readyz answer. The zero Health is alive and not
// ready; a program that drains is never ready again.
type Health struct {
	loaded   atomic.Bool
	draining atomic.Bool
}

// SetLoaded says whether the program has all it needs to do its work.
func (h *Health) SetLoaded(loaded bool) { h.loaded.Store(loaded) }

// Drain makes the program not ready for good.
func (h *Health) Drain() { h.draining.Store(true) }

// Draining reports whether Drain was called.
func (h *Health) Draining() bool { return h.draining.Load() }

// Ready reports whether the program should be sent work.
func (h *Health) Ready() bool { return h.loaded.Load() && !h.draining.Load() }

// ServeReady answers 200 when ready, else 503, with one word why.
func (h *Health) ServeReady(w http.ResponseWriter, _ *http.Request) {
	switch {
	case h.Draining():
		answer(w, http.StatusServiceUnavailable, "draining\n")
	case !h.loaded.Load():
		answer(w, http.StatusServiceUnavailable, "not loaded\n")
	default:
		answer(w, http.StatusOK, "ok\n")
	}
}

// ServeAlive answers 200 as long as the program can answer at all.
func (h *Health) ServeAlive(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, "ok\n")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a probe that has gone needs no answer
}
