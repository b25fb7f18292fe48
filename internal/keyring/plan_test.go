package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
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

func (b *bench) active() string {
	k, _ := b.state.ActiveKey()
	return k.KID
}

func TestPlans(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(b *bench){
		"the first key signs at once when nobody verifies yet": func(b *bench) {
			b.plan().want("Active").wantProgress(Idle)
			if diff := cmp.Diff([]EventKind{EventCreated, EventPublished, EventActivated}, kinds(b.events)); diff != "" {
				b.t.Error(diff)
			}
		},
		"the first key waits where pods verify already": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.plan().want("Published").wantProgress(PrePublishing).after(10 * time.Minute).want("Active")
		},
		"a key id tells its generation and nothing else": func(b *bench) {
			b.plan()
			if !regexp.MustCompile(`^1-[a-z2-7]{10}$`).MatchString(b.active()) {
				b.t.Errorf("kid %q", b.active())
			}
		},
		"a key is published, signs, retires and goes by the clock": func(b *bench) {
			b.plan().after(24*time.Hour - time.Second).want("Active")
			b.after(time.Second).want("Active Published").wantProgress(PrePublishing)
			b.after(10*time.Minute - time.Second).want("Active Published")
			b.after(time.Second).want("Retiring Active").wantProgress(WaitingForRetiring)
			b.after(20*time.Minute - time.Second).want("Retiring Active")
			b.after(time.Second).want("Active").wantProgress(Idle)
		},
		"wake names the next time at which anything happens": func(b *bench) {
			b.plan()
			var waits []time.Duration
			for range 4 {
				waits = append(waits, b.last.Wake.Sub(b.now))
				b.after(b.last.Wake.Sub(b.now))
			}
			want := []time.Duration{24 * time.Hour, 10 * time.Minute, 20 * time.Minute, 24*time.Hour - 20*time.Minute}
			if diff := cmp.Diff(want, waits); diff != "" {
				b.t.Error(diff)
			}
		},
		"prePublish counts from when every bundle holds the key": func(b *bench) {
			b.plan()
			b.obs.Distributed = b.state.Generation
			b.after(24 * time.Hour).want("Active Published")
			b.after(time.Hour).want("Active Published").wantProgress(PrePublishing)
			b.obs.Distributed = b.state.Generation
			b.plan().after(10*time.Minute - time.Second).want("Active Published")
			b.after(time.Second).want("Retiring Active")
		},
		"retireAfter counts from when the exported Secret has the successor": func(b *bench) {
			b.spec.Exported, b.spec.RotateNow = true, "1"
			b.plan()
			b.obs.ExportedKID = b.active()
			b.spec.RotateNow = "2"
			b.plan().after(10 * time.Minute).want("Retiring Active").wantProgress(WaitingForSigner)
			b.after(9 * time.Hour).want("Retiring Active").wantProgress(WaitingForSigner)
			b.obs.ExportedKID = b.active()
			b.plan().wantProgress(WaitingForRetiring).after(20*time.Minute - time.Second).want("Retiring Active")
			b.after(time.Second).want("Active")
		},
		"rotate-now rotates once for each value": func(b *bench) {
			b.spec.Interval, b.spec.RotateNow = 0, "at creation"
			b.plan().want("Active").after(time.Hour).want("Active")
			b.spec.RotateNow = "monday"
			b.plan().want("Active Published").after(10 * time.Minute).want("Retiring Active")
			b.after(time.Hour).want("Active")
			b.spec.RotateNow = ""
			b.plan().want("Active")
			b.spec.RotateNow = "monday"
			b.plan().want("Active")
		},
		"without an interval no rotation begins by itself": func(b *bench) {
			b.spec.Interval = 0
			b.plan().after(10000 * time.Hour).want("Active")
			if !b.last.Wake.IsZero() || !b.last.NextRotation.IsZero() {
				b.t.Errorf("wake %v, next rotation %v", b.last.Wake, b.last.NextRotation)
			}
		},
		"suspend stops what is due and not what is under way": func(b *bench) {
			b.plan().after(24 * time.Hour).want("Active Published")
			b.spec.Suspend = true
			b.after(10 * time.Minute).want("Retiring Active").after(20 * time.Minute).want("Active")
			b.spec.RotateNow = "please"
			b.after(100 * time.Hour).want("Active").wantProgress(Suspended)
			b.spec.Suspend = false
			b.plan().want("Active Published")
		},
		"a key waits for verifiers, names those that lag, and is never forced": func(b *bench) {
			b.spec.WaitForVerifiers = true
			b.plan()
			b.obs.Verifiers = []Verifier{{"chat-0", b.state.Generation}, {"chat-1", b.state.Generation}}
			b.after(24 * time.Hour).after(10 * time.Minute).want("Active Published").wantProgress(WaitingForVerifiers)
			b.obs.Verifiers[0].Acked = b.state.Generation
			b.plan()
			if diff := cmp.Diff([]string{"chat-1"}, b.last.Lagging); diff != "" {
				b.t.Error(diff)
			}
			b.after(time.Hour).want("Active Published").wantFinding(VerifiersLagging).after(100 * time.Hour).want("Active Published")
			b.obs.Verifiers[1].Acked = b.state.Generation
			b.plan().want("Retiring Active")
		},
		"onTimeout: Proceed uses the key although verifiers lag": func(b *bench) {
			b.spec.WaitForVerifiers, b.spec.Proceed = true, true
			b.plan()
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.after(24 * time.Hour).after(70*time.Minute - time.Second).want("Active Published")
			b.after(time.Second).want("Retiring Active").wantFinding(VerifiersLagging)
		},
		"an external signer that is observed holds the old key until the new one is in use and the old one quiet": func(b *bench) {
			b.plan()
			old := b.active()
			b.after(24 * time.Hour).after(10 * time.Minute).want("Retiring Active")
			b.obs.Accepted = map[string]time.Time{old: b.now}
			b.after(20 * time.Minute).want("Retiring Active").wantProgress(WaitingForSigner)
			b.obs.Accepted[b.active()] = b.now
			b.plan().want("Active")
		},
		"an external signer that is silent proves nothing": func(b *bench) {
			b.plan().after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Accepted = map[string]time.Time{}
			b.after(100 * time.Minute).want("Retiring Active").wantProgress(WaitingForSigner)
			b.spec.ConfirmSigner = b.active()
			b.plan().want("Active")
		},
		"confirming the old key confirms nothing": func(b *bench) {
			b.plan()
			b.spec.ConfirmSigner = b.active()
			b.after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Accepted = map[string]time.Time{}
			b.after(100 * time.Minute).want("Retiring Active")
		},
		"a retired key that keeps being used is kept and reported": func(b *bench) {
			b.plan()
			old := b.active()
			b.after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Accepted = map[string]time.Time{b.active(): b.now}
			b.now = b.now.Add(41 * time.Minute)
			b.obs.Accepted[old] = b.now
			b.plan().want("Retiring Active").wantFinding(RetiredKeyStillUsed)
		},
		"no more than four keys retire; the next rotation waits": func(b *bench) {
			b.spec.Exported = true
			b.plan()
			for i := range 5 {
				b.spec.RotateNow = fmt.Sprint(i)
				b.plan().after(10 * time.Minute)
			}
			b.want("Retiring Retiring Retiring Retiring Active").wantProgress(WaitingForRoom).wantFinding(TooManyLiveKeys)
			b.obs.ExportedKID = b.active()
			b.plan().after(20 * time.Minute).want("Active Published")
		},
		"revoking the active key hands over to a fresh one after 30 seconds": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.plan().after(10 * time.Minute)
			b.spec.RevokeKey = b.active()
			b.plan().want("Published")
			if export, err := b.state.Export(); err != nil || len(export.Current) > 0 || export.Hold {
				b.t.Errorf("the revoked value must leave the exported Secret at once: %+v, %v", export, err)
			}
			b.after(30*time.Second - time.Millisecond).want("Published").after(time.Millisecond).want("Active")
			b.after(time.Hour).want("Active")
		},
		"the successor of a revoked key signs as soon as every verifier has it": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}, {Name: "chat-1"}}
			b.plan().after(10 * time.Minute)
			b.spec.RevokeKey, b.spec.WaitForVerifiers = b.active(), true
			b.plan().want("Published")
			b.obs.Verifiers[0].Acked = b.state.Generation
			b.after(time.Second).want("Published")
			b.obs.Verifiers[1].Acked = b.state.Generation
			b.plan().want("Active")
		},
		"revocation does not wait for pods that lag": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0", Acked: Everywhere}}
			b.spec.WaitForVerifiers = true
			b.plan().after(10 * time.Minute)
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.spec.RevokeKey = b.active()
			b.plan().after(30 * time.Second).want("Active")
		},
		"revoking the active key while the next is published hands over to that one": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.plan().after(10 * time.Minute).after(24 * time.Hour).want("Active Published")
			b.spec.RevokeKey = b.active()
			b.plan().want("Published").after(30 * time.Second).want("Active")
		},
		"revoking while suspended still hands over": func(b *bench) {
			b.plan()
			b.spec.Suspend, b.spec.RevokeKey = true, b.active()
			b.plan().want("Active")
		},
		"revoking a retiring key leaves the active one alone": func(b *bench) {
			b.plan()
			old := b.active()
			b.after(24 * time.Hour).after(10 * time.Minute).want("Retiring Active")
			b.spec.RevokeKey = old
			b.plan().want("Active")
		},
		"a revocation is carried out once and remembered": func(b *bench) {
			b.plan()
			b.spec.RevokeKey = b.active()
			b.plan()
			generation := b.state.Generation
			b.after(time.Hour)
			if b.state.Generation != generation || len(b.state.Revoked) != 1 {
				b.t.Errorf("generation %d after %d, %d revocations", b.state.Generation, generation, len(b.state.Revoked))
			}
		},
		"revoking a key that is not ours is reported": func(b *bench) {
			b.plan()
			b.spec.RevokeKey = "9-zzzzzzzzzz"
			b.plan().want("Active").wantFinding(UnknownKeyToRevoke)
		},
		"stamps of a clock that was a year ahead do not stop the rotation for a year": func(b *bench) {
			b.now = day.AddDate(1, 0, 0)
			b.plan().after(24 * time.Hour).after(10 * time.Minute).want("Retiring Active")
			b.now = day
			b.plan().want("Retiring Active").after(20*time.Minute - time.Second).want("Retiring Active")
			b.after(time.Second).want("Active").after(24*time.Hour - 20*time.Minute).want("Active Published")
		},
		"a clock that steps back a minute changes nothing": func(b *bench) {
			b.plan().after(24 * time.Hour)
			before := b.state
			b.after(-time.Minute)
			if diff := cmp.Diff(before, b.state); diff != "" {
				b.t.Error(diff)
			}
		},
		"keys of an imported source give way to generated ones when the source changes": func(b *bench) {
			b.spec.Imported, b.obs.Import.Current, b.obs.Import.Next = true, Octets("theirs"), Octets("theirs too")
			b.plan().want("Active Published")
			b.spec.Imported = false
			b.plan().want("Active Published").after(10 * time.Minute).want("Retiring Active")
			if k, _ := b.state.ActiveKey(); len(k.Imported) > 0 {
				b.t.Error("the imported next value became a key of our own")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newBench(t, hs256()))
		})
	}
}

func kinds(events []Event) []EventKind {
	list := make([]EventKind, len(events))
	for i, e := range events {
		list[i] = e.Kind
	}
	return list
}

func TestImportedSecrets(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(b *bench){
		"the value signs at once": func(b *bench) { b.plan().want("Active") },
		"a changed value signs at once, and its predecessor retires": func(b *bench) {
			b.plan()
			b.obs.Import.Current = Octets("second")
			b.after(time.Hour).want("Retiring Active").after(20*time.Minute - time.Second).want("Retiring Active")
			b.after(time.Second).want("Active")
		},
		"the stamp of publication says when every bundle had the value": func(b *bench) {
			b.obs.Distributed = 0
			b.plan().want("Active")
			b.obs.Distributed = b.state.Generation
			b.after(3 * time.Second)
			if k := b.state.Keys[0]; k.Published.Sub(k.Created) != 3*time.Second {
				b.t.Errorf("published %s after it was imported", k.Published.Sub(k.Created))
			}
		},
		"a value that cannot be read changes nothing": func(b *bench) {
			b.plan()
			b.obs.Import.Current = nil
			b.after(1000 * time.Hour).want("Active")
		},
		"nothing is imported before the value can be read": func(b *bench) {
			b.obs.Import.Current = nil
			b.plan().want("")
		},
		"a value that comes back is the key it was": func(b *bench) {
			b.plan()
			first := b.active()
			b.obs.Import.Current = Octets("second")
			b.after(time.Minute)
			b.obs.Import.Current = Octets("first")
			b.after(time.Minute).want("Active Retiring")
			if b.active() != first {
				b.t.Errorf("kid %s became %s", first, b.active())
			}
		},
		"the next value is published, and signs once it is the current one": func(b *bench) {
			b.obs.Import.Next = Octets("second")
			b.plan().want("Active Published").after(100 * time.Hour).want("Active Published")
			next := b.state.Keys[1].KID
			b.obs.Import = Import{Current: Octets("second"), Next: Octets("third")}
			b.plan().want("Retiring Active Published")
			if b.active() != next {
				b.t.Errorf("%s was published, %s signs", next, b.active())
			}
		},
		"a next value that is withdrawn is no longer accepted": func(b *bench) {
			b.obs.Import.Next = Octets("second")
			b.plan()
			b.obs.Import.Next = nil
			b.plan().want("Active")
		},
		"a next value equal to the current one is nothing new": func(b *bench) {
			b.obs.Import.Next = Octets("first")
			b.plan().want("Active")
		},
		"a revoked value is refused however often it is read": func(b *bench) {
			b.plan()
			b.spec.RevokeKey = b.active()
			b.plan().want("").wantFinding(SecretRevoked)
			b.spec.RevokeKey = ""
			b.after(time.Hour).want("").wantFinding(SecretRevoked)
			b.obs.Import.Current = Octets("second")
			b.plan().want("Active")
			b.obs.Import.Next = Octets("first")
			b.plan().want("Active").wantFinding(SecretRevoked)
		},
		"the value in use pushes out the oldest of too many": func(b *bench) {
			b.plan()
			for i := range 5 {
				b.obs.Import.Current = Octets(fmt.Sprintf("value %d", i))
				b.after(time.Minute)
			}
			b.want("Retiring Retiring Retiring Retiring Active").wantFinding(TooManyLiveKeys)
			if slices.ContainsFunc(b.state.Keys, func(k Key) bool { return bytes.Equal(k.Value, Octets("first")) }) {
				b.t.Error("the oldest key is still there")
			}
		},
		"the state recognises values without holding anything that tests a guess": func(b *bench) {
			b.plan()
			k := b.state.Keys[0]
			if strings.Contains(k.KID, "first") || len(k.Imported) != 32 || bytes.Contains(k.Imported, []byte("first")) {
				b.t.Errorf("kid %s, mark of %d bytes", k.KID, len(k.Imported))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, hs256())
			b.spec.Imported = true
			b.obs.Import.Current = Octets("first")
			test(b)
		})
	}
}

func TestRebuildingWhatWasLost(t *testing.T) {
	t.Parallel()
	memory := func(b *bench) Memory {
		m := Memory{Generation: b.state.Generation, ActiveKID: b.active(), Bundled: b.state.VerifyKeys()}
		for _, k := range b.state.Keys {
			m.Live = append(m.Live, k.KID)
		}
		for _, r := range b.state.Revoked {
			m.Revoked = append(m.Revoked, r.KID)
		}
		return m
	}
	for name, test := range map[string]func(b *bench){
		"a lost state is rebuilt from bundles: old keys stay accepted while a fresh one comes": func(b *bench) {
			b.plan()
			old := b.active()
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.obs.Memory, b.state = memory(b), nil
			b.plan().want("Retiring Published").wantFinding(StateLost)
			if export, err := b.state.Export(); err != nil || !export.Hold {
				b.t.Errorf("the exported Secret must be left alone: %+v, %v", export, err)
			}
			b.after(10*time.Minute - time.Second).want("Retiring Published").wantFinding(StateLost)
			b.after(time.Second).want("Retiring Active").wantFinding(StateLost)
			b.after(20*time.Minute - time.Second).want("Retiring Active")
			b.after(time.Second).want("Active")
			if len(b.last.Findings) > 0 || b.active() == old {
				b.t.Errorf("findings %v, active %s", b.last.Findings, b.active())
			}
		},
		"a lost state goes on counting its generations": func(b *bench) {
			b.plan().after(24 * time.Hour).after(10 * time.Minute)
			generation := b.state.Generation
			b.obs.Memory, b.state = memory(b), nil
			if b.plan(); b.state.Generation <= generation {
				b.t.Errorf("generation %d after %d", b.state.Generation, generation)
			}
		},
		"a lost state keeps its revocations": func(b *bench) {
			b.plan()
			revoked := b.active()
			b.spec.RevokeKey = revoked
			b.plan()
			b.spec.RevokeKey = ""
			b.obs.Memory, b.state = memory(b), nil
			b.obs.Memory.Bundled = append(b.obs.Memory.Bundled, VerifyKey{KID: revoked, Alg: "HS256", K: Octets("secret number 1")})
			b.plan()
			if slices.ContainsFunc(b.state.Keys, func(k Key) bool { return k.KID == revoked }) || !b.state.revoked(revoked) {
				b.t.Errorf("%s is live again: %s", revoked, b.phases())
			}
		},
		"a lost state without verifiers has a key that signs at once": func(b *bench) {
			b.plan()
			b.obs.Memory, b.state = Memory{Generation: b.state.Generation}, nil
			b.plan().want("Active")
		},
		"a lost imported key is found again by its value": func(b *bench) {
			b.spec.Imported, b.obs.Import.Current = true, Octets("first")
			b.plan()
			kid := b.active()
			b.obs.Memory, b.state = memory(b), nil
			b.plan().want("Active")
			if b.active() != kid {
				b.t.Errorf("kid %s became %s", kid, b.active())
			}
		},
		"an old state brings neither a removed nor a revoked key back": func(b *bench) {
			b.plan()
			removed := b.active()
			b.after(24 * time.Hour).want("Active Published")
			restored := b.state
			b.after(10 * time.Minute).after(20 * time.Minute).want("Active")
			revoked := b.active()
			b.spec.RevokeKey = revoked
			b.plan().want("Active")
			b.spec.RevokeKey = ""
			now := b.active()
			b.obs.Memory, b.state = memory(b), restored
			b.plan().wantFinding(Regressed)
			for _, k := range b.state.Keys {
				if k.KID == removed || k.KID == revoked {
					b.t.Errorf("%s is back", k.KID)
				}
			}
			if !slices.ContainsFunc(b.state.Keys, func(k Key) bool { return k.KID == now }) {
				b.t.Error("the key in use is no longer accepted")
			}
		},
		"an old state whose active key still signs goes on with it": func(b *bench) {
			b.plan().after(24 * time.Hour).after(10 * time.Minute).want("Retiring Active")
			restored, active := b.state, b.active()
			b.after(20 * time.Minute).want("Active")
			b.obs.Memory, b.state = memory(b), restored
			b.plan().want("Active").wantFinding(Regressed)
			if b.active() != active || b.state.Generation <= restored.Generation {
				b.t.Errorf("active %s, generation %d", b.active(), b.state.Generation)
			}
		},
		"a memory of the present changes nothing": func(b *bench) {
			b.plan()
			b.obs.Memory = memory(b)
			b.after(time.Minute)
			if b.last.Changed {
				b.t.Error("changed")
			}
		},
		"keys of bundles that do not fit are left out": func(b *bench) {
			b.obs.Memory = Memory{Generation: 3, Bundled: []VerifyKey{
				{KID: "a", Alg: "HS512", K: Octets("x")}, {KID: "", Alg: "HS256", K: Octets("x")}, {KID: "b", Alg: "HS256"},
			}}
			b.plan().want("Active")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newBench(t, hs256()))
		})
	}
}

func TestPlanReportsWhatItCouldNotMake(t *testing.T) {
	t.Parallel()
	broken := errors.New("no entropy")
	working := &counter{}
	for name, planner := range map[string]Planner{
		"no key material":   {Rand: working, NewKey: func() (Material, error) { return Material{}, broken }},
		"no random bytes":   {Rand: io.MultiReader(), NewKey: func() (Material, error) { return Material{}, nil }},
		"no bytes for a id": {Rand: io.LimitReader(working, saltBytes), NewKey: func() (Material, error) { return Material{Value: Octets("x")}, nil }},
	} {
		if _, err := planner.Plan(hs256(), nil, Observations{}, day); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	b := newBench(t, hs256()).plan()
	b.spec.Algorithm = "HS512"
	if _, err := b.planner.Plan(b.spec, b.state, b.obs, b.now); err == nil || !strings.Contains(err.Error(), "the algorithm cannot be changed") {
		t.Errorf("got %v", err)
	}
}

func TestExportedSecret(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256())
	b.plan().after(24 * time.Hour).after(10 * time.Minute)
	b.spec.RotateNow = "again"
	b.after(time.Minute).want("Retiring Active Published")
	got, err := b.state.Export()
	if err != nil {
		t.Fatal(err)
	}
	show := map[string]string{
		"current": string(got.Current), "previous": string(got.Previous), "next": string(got.Next), "jwks": string(got.JWKS),
	}
	want := map[string]string{"current": "secret number 2", "previous": "secret number 1", "next": "secret number 3", "jwks": `{"keys":[]}`}
	if diff := cmp.Diff(want, show); diff != "" || got.CurrentKID != b.active() {
		t.Errorf("kid %s (-want +got):\n%s", got.CurrentKID, diff)
	}
}

func TestExportedSecretOfPublicKeys(t *testing.T) {
	t.Parallel()
	spec := hs256()
	spec.Algorithm = "ES256"
	b := newBench(t, spec)
	n := 0
	b.planner.NewKey = func() (Material, error) {
		n++
		return Material{Value: Octets(fmt.Sprintf("PEM %d", n)), Public: fmt.Appendf(nil, `{"kty":"EC","x":"%d","kid":"other"}`, n)}, nil
	}
	b.plan().after(24 * time.Hour).after(10 * time.Minute).want("Retiring Active")
	got, err := b.state.Export()
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Current) != "PEM 2" || len(got.Previous)+len(got.Next) > 0 {
		t.Errorf("only the private key that signs may leave: %q %q %q", []byte(got.Current), []byte(got.Previous), []byte(got.Next))
	}
	want := fmt.Sprintf(`{"keys":[{"alg":"ES256","kid":%q,"kty":"EC","use":"sig","x":"2"},{"alg":"ES256","kid":%q,"kty":"EC","use":"sig","x":"1"}]}`, b.state.Keys[1].KID, b.state.Keys[0].KID)
	if diff := cmp.Diff(want, string(got.JWKS)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, k := range b.state.VerifyKeys() {
		if len(k.K) > 0 || len(k.JWK) == 0 {
			t.Errorf("a verifier gets a private key: %v", k)
		}
	}
}

func TestUnsafeRotationsAreRefused(t *testing.T) {
	t.Parallel()
	bounds := Bounds{MinPrePublish: 2 * time.Minute, RetireMargin: 2 * time.Minute, ClockSkew: 10 * time.Second}
	for name, test := range map[string]struct {
		change func(*Spec)
		says   string
	}{
		"the defaults are safe":                                  {func(*Spec) {}, ""},
		"an overlap of lifetime, skew and margin is just enough": {func(s *Spec) { s.RetireAfter = 17*time.Minute + 10*time.Second }, ""},
		"an overlap a second shorter is not": {
			func(s *Spec) { s.RetireAfter = 17*time.Minute + 9*time.Second },
			"rotation.retireAfter is 17m9s: set it to at least 17m10s (maxTokenLifetime 15m0s + clock skew 10s + margin 2m0s)",
		},
		"a short prePublish is refused":                {func(s *Spec) { s.PrePublish = time.Minute }, "rotation.prePublish is 1m0s: set it to at least 2m0s"},
		"prePublish does not matter for imported keys": {func(s *Spec) { s.PrePublish, s.Imported = 0, true }, ""},
		"an interval within the overlap is refused":    {func(s *Spec) { s.Interval = 30 * time.Minute }, "rotation.interval is 30m0s: set it to more than 30m0s"},
		"no interval is safe":                          {func(s *Spec) { s.Interval = 0 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := hs256()
			test.change(&spec)
			err := Check(spec, bounds)
			switch {
			case test.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.says != "" && (!errors.Is(err, ErrUnsafeRotation) || !strings.Contains(err.Error(), test.says)):
				t.Errorf("want %q, got %v", test.says, err)
			}
			safe := Safe(spec, bounds)
			safe.Interval = 0
			if err := Check(safe, bounds); err != nil {
				t.Errorf("Safe is not: %v", err)
			}
		})
	}
}
