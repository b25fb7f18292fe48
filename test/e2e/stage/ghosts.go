package stage

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Ghosts are clients who present fresh tokens of keys that were removed: of each
// key ever and again, at each pod by its own address.
type Ghosts struct {
	Watch *Watch
	Every time.Duration // between two requests

	mu       sync.Mutex // guards what follows
	requests int        // to pods that had said that they dropped the key
	before   int        // accepted by pods that had not
	accepted []string   // by pods that had
}

// Run haunts until ctx ends. Every second request is for the last of the keys, the
// others go through all of them.
func (g *Ghosts) Run(ctx context.Context) {
	turn := 0
	again(ctx, g.Every, func(ctx context.Context) {
		gone, pods := g.Watch.Ledger.Gone(), g.Watch.Serving()
		if len(gone) == 0 || len(pods) == 0 {
			return
		}
		turn++
		kid := gone[len(gone)-1]
		if turn%2 == 0 {
			kid = gone[turn/2%len(gone)]
		}
		if key, known := g.Watch.agent.Signer.Past(kid); known { // else it was removed before anybody signed with it
			g.try(ctx, aimAt(pods[turn/2%len(pods)]), key, turn%4 < 2)
		}
	})
}

func (g *Ghosts) try(ctx context.Context, aim Aim, key Key, withKID bool) {
	token, err := key.Sign(Teacher(), time.Now(), shortestLife, withKID)
	if err != nil {
		return
	}
	sent := time.Now()
	must := g.Watch.Ledger.MustRefuse(aim.Name, key.KID, sent)
	got, err := present(ctx, g.Watch.agent.Pod, aim.URL, token.Text, false)
	if err != nil || got.status >= http.StatusInternalServerError {
		return
	}
	g.note(aim.Name, key.KID, sent, must, got)
}

func (g *Ghosts) note(pod, kid string, sent time.Time, must bool, got answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case must:
		g.requests++
		if got.status != http.StatusUnauthorized {
			g.accepted = append(g.accepted, fmt.Sprintf("%s: pod %s, key %s: %d", sent.Format(time.TimeOnly), pod, kid, got.status))
		}
	case got.status == http.StatusOK:
		g.before++
	}
}

// Findings judges what the ghosts got.
func (g *Ghosts) Findings() []Finding {
	g.mu.Lock()
	defer g.mu.Unlock()
	return []Finding{
		found(g.requests > 0, "requests with tokens of removed keys, after the pod had said so", strconv.Itoa(g.requests)),
		found(len(g.accepted) == 0, "of them not refused", fmt.Sprintf("%d %q", len(g.accepted), head(g.accepted))),
	}
}

// Figures are the numbers of the ghosts, their names with a prefix.
func (g *Ghosts) Figures(prefix string) []Figure {
	g.mu.Lock()
	defer g.mu.Unlock()
	return []Figure{
		{prefix + "_removed_key_requests", float64(g.requests), "requests"},
		{prefix + "_removed_key_accepted_after_acknowledgement", float64(len(g.accepted)), "requests"},
		{prefix + "_removed_key_accepted_before", float64(g.before), "requests"},
	}
}

// Spread are the median and the worst of durations.
func Spread(all []time.Duration) (median, worst time.Duration) {
	if len(all) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2], sorted[len(sorted)-1]
}
