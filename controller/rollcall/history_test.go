package rollcall

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/token"
)

// history is a random course of events: bundles, pods and revisions that come
// and go while questions are under way and clocks go on.
type history struct {
	t      *testing.T
	random *rand.Rand
	table  *table
	now    time.Time
	calls  map[types.NamespacedName]Call
	under  []errand
}

const historyPlaces = 7

func newHistory(t *testing.T, seed uint64) *history {
	t.Helper()
	return &history{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), now: noon, calls: map[types.NamespacedName]Call{},
		table: newTable(Options{Concurrency: historyPlaces}.complete()),
	}
}

func (h *history) name() types.NamespacedName {
	return types.NamespacedName{Namespace: "agents", Name: fmt.Sprint("bundle-", h.random.IntN(4))}
}

// step lets one thing happen.
func (h *history) step() {
	name := h.name()
	switch h.random.IntN(12) {
	case 0:
		h.table.forget(name)
		delete(h.calls, name)
	case 1, 2:
		h.expect(name)
	case 3:
		if g, known := h.table.groups[name]; known && len(h.calls[name].Pods) > 0 {
			pods := h.calls[name].Pods
			g.told(pods[h.random.IntN(len(pods))].UID, h.calls[name].Revision, h.now)
		}
	case 4:
		h.now = h.now.Add(time.Duration(h.random.IntN(20_000)) * time.Millisecond)
	case 5:
		h.table.notices(h.now)
	default:
		h.now = h.now.Add(time.Duration(h.random.IntN(300)) * time.Millisecond)
		errands, _ := h.table.take(h.now)
		h.under = append(h.under, errands...)
		for n := h.random.IntN(len(h.under) + 1); n > 0; n-- {
			h.settle(h.random.IntN(len(h.under)))
		}
	}
}

// expect changes a few things about who is expected.
func (h *history) expect(name types.NamespacedName) {
	call, known := h.calls[name]
	if !known || h.random.IntN(30) == 0 {
		call.AckKey = token.Secret(fmt.Sprint("key ", h.random.IntN(3)))
	}
	if h.random.IntN(40) == 0 {
		call.AckKey = nil
	}
	if h.random.IntN(3) == 0 {
		call.Revision++
	}
	call.Every = []time.Duration{time.Second, time.Minute, 0}[h.random.IntN(3)]
	call.Pods = nil
	for n := range 12 {
		if h.random.IntN(4) == 0 {
			continue
		}
		pod := Pod{UID: types.UID(fmt.Sprint(name.Name, "-", n)), Address: "10.0.0.1:1", Told: h.random.IntN(2) == 0}
		switch h.random.IntN(20) {
		case 0:
			pod.Address = ""
		case 1:
			pod.Address = "10.0.0.2:1"
		}
		call.Pods = append(call.Pods, pod)
	}
	h.calls[name] = call
	h.table.expect(name, call, h.now)
}

func (h *history) settle(i int) {
	e := h.under[i]
	h.under = append(h.under[:i], h.under[i+1:]...)
	r := reply{problem: []string{"", "", Unreachable, NotLoaded, BadMAC}[h.random.IntN(5)], slow: h.random.IntN(5) == 0}
	if r.problem == "" {
		r.state = stateOf(string(e.uid), e.group.revision-int64(h.random.IntN(3))+1)
		r.state.LastAccepted[fmt.Sprint("kid-", h.random.IntN(3))] = h.now.Add(-time.Duration(h.random.IntN(600)) * time.Second).Truncate(precision)
	}
	h.table.settle(e, r, h.now)
}

// check holds what is always so.
func (h *history) check() {
	h.t.Helper()
	suspects := 0
	for _, e := range h.under {
		if e.suspect {
			suspects++
		}
	}
	if h.table.busy != len(h.under) || h.table.busy > historyPlaces || h.table.suspected != suspects {
		h.t.Fatalf("%d places taken (%d by suspects), %d questions under way (%d of suspects)", h.table.busy, h.table.suspected, len(h.under), suspects)
	}
	if len(h.table.ring) != len(h.table.groups) || len(h.table.groups) != len(h.calls) {
		h.t.Fatalf("%d groups take turns, %d are known, %d expected", len(h.table.ring), len(h.table.groups), len(h.calls))
	}
	for name, g := range h.table.groups {
		h.checkGroup(g, h.calls[name])
	}
}

func (h *history) checkGroup(g *group, call Call) {
	h.t.Helper()
	acked := 0
	for uid, m := range g.members {
		if m.acknowledges(g.revision) {
			acked++
		}
		waits := !m.asking && m.pod.Address != "" && len(call.AckKey) > 0
		q := *g.queueOf(m)
		switch {
		case waits && (m.place == nowhere || q[m.place] != m):
			h.t.Fatalf("%s waits for a question and is in no queue", uid)
		case !waits && m.place != nowhere:
			h.t.Fatalf("%s is in a queue and must not be asked", uid)
		case waits && m.due.After(h.now.Add(6*time.Minute)):
			h.t.Fatalf("%s is asked in %v only", uid, m.due.Sub(h.now))
		case m.gone:
			h.t.Fatalf("%s is gone and a member", uid)
		}
	}
	if g.acked != acked || len(g.members) != len(call.Pods) {
		h.t.Fatalf("%d of %d acknowledge, counted %d of %d", acked, len(g.members), g.acked, len(call.Pods))
	}
	report := g.report(h.now)
	for kid, at := range report.Accepted {
		if at.After(h.now) {
			h.t.Fatalf("%s was accepted in the future, %v", kid, at.Sub(h.now))
		}
	}
	if report.Lost.After(h.now) || report.Since.After(h.now) {
		h.t.Fatalf("report of the future: %+v", report)
	}
}

func TestNoHistoryConfusesTheTable(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		h := newHistory(t, seed)
		for range 400 {
			h.step()
			h.check()
		}
		for len(h.under) > 0 {
			h.settle(0)
		}
		h.check()
	}
}
