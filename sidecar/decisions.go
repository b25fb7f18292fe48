package sidecar

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatepost.dev/gatepost/internal/adminport"
	"gatepost.dev/gatepost/policy"
)

// denial is what is kept of a request that was refused, or under Audit would
// have been: what the log says of it too, though the log is sampled. No value
// of a token or a claim is in it.
type denial struct {
	ID       string        `json:"id"`
	Time     time.Time     `json:"time"`
	Decision string        `json:"decision"`
	Reason   policy.Reason `json:"reason"`
	Rule     string        `json:"rule,omitempty"`
	Policy   string        `json:"policy,omitempty"`
	Provider string        `json:"provider,omitempty"`
	KID      string        `json:"kid,omitempty"`    // of a loaded key
	Claim    string        `json:"claim,omitempty"`  // that made a token claim_invalid: our name for it, not the token's
	Client   string        `json:"client,omitempty"` // of a known API key
	Method   string        `json:"method,omitempty"`
	Path     string        `json:"path,omitempty"` // raw, at most maxLogged bytes
	Status   int           `json:"status"`
	Subject  string        `json:"subject_hash,omitempty"`
}

// maxDenials is how many are kept: decision 17.
const maxDenials = 1024

// denials are the latest of them. The zero value has none and takes no memory.
type denials struct {
	mu     sync.Mutex
	latest []denial
	next   int // where the next goes once there are maxDenials
}

// add keeps one, in the place of the oldest when there are too many.
func (d *denials) add(one denial) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.latest) < maxDenials {
		d.latest = append(d.latest, one)
		return
	}
	d.latest[d.next] = one
	d.next = (d.next + 1) % maxDenials
}

// list returns those that keep says yes to, the latest first.
func (d *denials) list(keep func(*denial) bool) []denial {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := []denial{}
	for i := range d.latest {
		one := &d.latest[(d.next+len(d.latest)-1-i)%len(d.latest)]
		if keep(one) {
			found = append(found, *one)
		}
	}
	return found
}

// denial is what is kept of the exchange, if it was refused.
func (x *exchange) denial(at time.Time) (denial, bool) {
	if x.decision != decisionDeny && x.decision != decisionAudit {
		return denial{}, false
	}
	kept := denial{
		ID: x.id(), Time: at.UTC(), Decision: x.decision, Reason: x.reason, Rule: x.rule,
		Provider: x.outcome.Provider, KID: x.outcome.KID, Claim: x.outcome.Claim, Client: x.client, Status: x.w.status,
		Method: strings.Clone(x.method()), Path: strings.Clone(x.path()), // not the whole head for a part of it
	}
	if in := x.site(); in != nil {
		kept.Policy = in.Name
	}
	if x.persona != nil {
		kept.Subject = x.persona.subject
	}
	return kept, true
}

// serveDecisions lists the latest denials, or the one that `id` names. Only the
// pod itself may ask: whoever reached the port by another way could watch who
// is refused.
func (s *Sidecar) serveDecisions(w http.ResponseWriter, r *http.Request) {
	if !adminport.OwnPod(w, r) {
		return
	}
	id := r.URL.Query().Get("id")
	found := s.denials.list(func(one *denial) bool { return id == "" || one.ID == id })
	var answer any = map[string][]denial{"decisions": found}
	if id != "" {
		if len(found) == 0 {
			http.Error(w, "not among the latest 1024 denials of this sidecar", http.StatusNotFound)
			return
		}
		answer = found[0]
	}
	body, err := json.Marshal(answer)
	if err != nil {
		s.log.ErrorContext(r.Context(), "decisions were not written", "error", err.Error())
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	adminport.WriteJSON(w, body)
}
