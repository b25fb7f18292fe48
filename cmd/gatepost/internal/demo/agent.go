package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// events is how many events a run of the agent has, one each second: the run is
// longer than a token lives.
const events = 12

// newAgent is the agent that is guarded. It knows nothing of tokens: who asks is
// in the headers that the sidecar sets.
func newAgent() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /agents/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{ // a client that has gone needs no answer
			"agent": r.PathValue("id"), "you_are": r.Header.Get("X-Auth-Subject"), "roles": r.Header.Get("X-Auth-Roles"),
		})
	})
	mux.HandleFunc("POST /agents/{id}/runs", run)
	return mux
}

// run streams events (Server-Sent Events) until it is done or nobody listens.
func run(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	flush := http.NewResponseController(w)
	for i := range events {
		if _, err := fmt.Fprintf(w, "event: RunContent\ndata: {\"n\":%d}\n\n", i+1); err != nil || flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
	_, _ = fmt.Fprint(w, "event: RunCompleted\ndata: {}\n\n")
}
