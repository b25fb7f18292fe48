package keyring

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var day = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// counter is a source of bytes that never repeat.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		c.n += 37
		p[i] = c.n
	}
	return len(p), nil
}

func hs256() Spec {
	return Spec{
		Algorithm: "HS256", External: true, MaxTokenLifetime: 15 * time.Minute, Interval: 24 * time.Hour,
		PrePublish: 10 * time.Minute, VerifierTimeout: time.Hour, RetireAfter: 20 * time.Minute,
	}
}

// bench holds one key set on the test's table: each step plans and keeps the state.
type bench struct {
	t       *testing.T
	planner Planner
	spec    Spec
	obs     Observations
	state   *State
	now     time.Time
	last    Result
	events  []Event
}

func newBench(t *testing.T, spec Spec) *bench {
	made := 0
	return &bench{
		t: t, spec: spec, now: day, obs: Observations{Distributed: Everywhere},
		planner: Planner{Rand: &counter{}, NewKey: func() (Material, error) {
			made++
			return Material{Value: Octets(fmt.Sprintf("secret number %d", made))}, nil
		}},
	}
}

// plan plans at the bench's time, checks what is true of every plan, and keeps the state.
func (b *bench) plan() *bench {
	b.t.Helper()
	res, err := b.planner.Plan(b.spec, b.state, b.obs, b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	data, err := res.State.Marshal()
	if err != nil {
		b.t.Fatal(err)
	}
	if b.state, err = ParseState(data); err != nil {
		b.t.Fatal(err)
	}
	again, err := b.planner.Plan(b.spec, b.state, b.obs, b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	if again.Changed {
		b.t.Errorf("planning again at once changes something (-first +second):\n%s", cmp.Diff(res.State, again.State))
	}
	b.last = res
	b.events = append(b.events, res.Events...)
	return b
}

// after lets time pass and plans.
func (b *bench) after(d time.Duration) *bench {
	b.t.Helper()
	b.now = b.now.Add(d)
	return b.plan()
}

// phases shows the set as "Active Retiring", oldest key first.
func (b *bench) phases() string {
	parts := make([]string, len(b.state.Keys))
	for i, k := range b.state.Keys {
		parts[i] = string(k.Phase)
	}
	return strings.Join(parts, " ")
}

func (b *bench) want(phases string) *bench {
	b.t.Helper()
	if got := b.phases(); got != phases {
		b.t.Fatalf("at +%s want the keys %q, got %q (%s)", b.now.Sub(day), phases, got, b.last.Progress)
	}
	return b
}

func (b *bench) wantProgress(want Progress) *bench {
	b.t.Helper()
	if b.last.Progress != want {
		b.t.Fatalf("at +%s want %s, got %s", b.now.Sub(day), want, b.last.Progress)
	}
	return b
}

func (b *bench) wantFinding(want FindingKind) *bench {
	b.t.Helper()
	if !slices.ContainsFunc(b.last.Findings, func(f Finding) bool { return f.Kind == want }) {
		b.t.Fatalf("want the finding %s, got %v", want, b.last.Findings)
	}
	return b
}

func (b *bench) wantNoFinding(unwanted FindingKind) {
	b.t.Helper()
	if slices.ContainsFunc(b.last.Findings, func(f Finding) bool { return f.Kind == unwanted }) {
		b.t.Fatalf("at +%s want no finding %s, got %v", b.now.Sub(day), unwanted, b.last.Findings)
	}
}

func (b *bench) wantLagging(names ...string) *bench {
	b.t.Helper()
	if diff := cmp.Diff(names, b.last.Lagging); diff != "" {
		b.t.Fatalf("lagging (-want +got):\n%s", diff)
	}
	return b
}

func (b *bench) active() string {
	k, _ := b.state.ActiveKey()
	return k.KID
}

func kinds(events []Event) []EventKind {
	list := make([]EventKind, len(events))
	for i, e := range events {
		list[i] = e.Kind
	}
	return list
}
