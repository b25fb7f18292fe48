package keyring

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
		"a bundle that came later and lacks the key is waited for": func(b *bench) {
			b.plan().after(24 * time.Hour).want("Active Published")
			b.obs.Distributed = b.state.Generation - 1
			b.after(time.Hour).want("Active Published").wantProgress(PrePublishing)
			b.obs.Distributed = b.state.Generation
			b.plan().want("Retiring Active")
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
			b.obs.Verifiers = []Verifier{{Name: "chat-0", Acked: b.state.Generation}, {Name: "chat-1", Acked: b.state.Generation}}
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
		"but not over the head of those whom nobody asked": func(b *bench) {
			b.spec.WaitForVerifiers, b.spec.Proceed = true, true
			b.plan()
			b.obs.Verifiers = []Verifier{{Name: "chat-0", Acked: 0}, {Name: "chat-1", Unasked: true}}
			b.after(24 * time.Hour).after(70 * time.Minute).want("Active Published").wantFinding(VerifiersLagging)
			b.obs.Verifiers[1].Unasked = false
			b.plan().want("Retiring Active")
		},
		"where nobody verifies any more, old keys go once what was seen of them is old": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.obs.Verifiers = []Verifier{{Name: "chat-0", Acked: Everywhere}}
			b.plan().after(10 * time.Minute)
			old := b.active()
			b.after(24 * time.Hour).after(10 * time.Minute).after(time.Hour).want("Retiring Active")
			b.obs.Accepted[old] = b.now
			b.obs.Verifiers, b.obs.Unneeded = nil, true
			b.after(20*time.Minute - time.Second).want("Retiring Active").after(time.Second).want("Active")
		},
		"with proof asked for, an external signer holds the old key until the new one is in use and the old one quiet": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.obs.Verifiers = []Verifier{{Name: "chat-0", Acked: Everywhere}}
			b.plan().after(10 * time.Minute)
			old := b.active()
			b.after(24 * time.Hour).after(10 * time.Minute).want("Retiring Active")
			b.obs.Accepted[old] = b.now
			b.after(20*time.Minute - time.Second)
			b.obs.Accepted[b.active()] = b.now
			b.want("Retiring Active").after(time.Second).want("Active")
		},
		"a successor that was accepted only before it took over is not in use": func(b *bench) {
			b.spec.Imported, b.spec.WaitForVerifiers, b.obs.Import.Current = true, true, Octets("first")
			b.obs.Verifiers = []Verifier{{Name: "chat-0", Acked: Everywhere}}
			b.plan()
			first := b.active()
			b.obs.Accepted = map[string]time.Time{}
			b.obs.Import.Current = Octets("second")
			b.after(time.Minute).want("Retiring Active")
			b.obs.Import.Current = Octets("first")
			b.after(time.Minute).want("Active Retiring")
			b.obs.Accepted[first] = b.now.Add(15*time.Minute - time.Second)
			b.after(time.Hour).want("Active Retiring").wantProgress(WaitingForSigner)
			b.obs.Accepted[first] = b.now
			b.plan().want("Active")
		},
		"an external signer that is silent proves nothing, and can be confirmed": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.plan().after(24 * time.Hour).after(10 * time.Minute)
			b.after(100 * time.Minute).want("Retiring Active").wantProgress(WaitingForSigner)
			b.spec.ConfirmSigner = b.active()
			b.plan()
			for !b.last.Wake.IsZero() && b.phases() != "Active" {
				b.after(b.last.Wake.Sub(b.now))
			}
			if waited := b.now.Sub(b.state.Keys[0].Confirmed); waited != 17*time.Minute {
				b.t.Errorf("the old key went %s after the confirmation, not when its last tokens had died", waited)
			}
		},
		"confirming the old key confirms nothing": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.plan()
			b.spec.ConfirmSigner = b.active()
			b.after(24 * time.Hour).after(10 * time.Minute)
			b.after(100 * time.Minute).want("Retiring Active")
		},
		"a confirmation counts once, and again when it was taken back": func(b *bench) {
			b.spec.Imported, b.spec.WaitForVerifiers, b.obs.Import.Current = true, true, Octets("first")
			b.obs.Accepted = map[string]time.Time{}
			b.plan()
			first := b.active()
			b.spec.ConfirmSigner = first
			b.plan()
			b.obs.Import.Current = Octets("second")
			b.after(time.Minute)
			b.obs.Import.Current = Octets("first")
			b.after(time.Minute).after(100 * time.Hour).want("Active Retiring")
			b.spec.ConfirmSigner = ""
			b.plan()
			b.spec.ConfirmSigner = first
			b.plan().after(17*time.Minute - time.Second).want("Active Retiring").after(time.Second).want("Active")
		},
		"confirming a key that does not sign yet confirms nothing before it does": func(b *bench) {
			b.plan().after(24 * time.Hour).want("Active Published")
			b.spec.ConfirmSigner = b.state.Keys[1].KID
			if b.plan(); !b.state.Keys[1].Confirmed.IsZero() {
				b.t.Error("confirmed")
			}
		},
		"a confirmation overrides tokens of the old key that keep coming, and silent verifiers": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.plan()
			old := b.active()
			b.after(24 * time.Hour).after(10 * time.Minute)
			b.spec.ConfirmSigner, b.obs.Verifiers = b.active(), []Verifier{{Name: "chat-0", Acked: Everywhere, Silent: true}}
			b.plan().after(20*time.Minute - time.Second).want("Retiring Active")
			b.obs.Accepted[old] = b.now
			b.after(time.Second).want("Active")
		},
		"with proof asked for, a verifier that is silent holds the old key and is named": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.plan().after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Accepted[b.active()] = b.now
			b.obs.Verifiers = []Verifier{{Name: "chat-0", Acked: Everywhere}, {Name: "chat-1", Acked: Everywhere, Silent: true}}
			b.after(20 * time.Minute).want("Retiring Active").wantProgress(WaitingForVerifiers).wantLagging("chat-1").wantNoFinding(VerifiersLagging)
			b.after(time.Hour - time.Second).wantNoFinding(VerifiersLagging)
			if wait := b.last.Wake.Sub(b.now); wait != time.Second {
				b.t.Errorf("it wakes in %s", wait)
			}
			b.after(time.Second).want("Retiring Active").wantFinding(VerifiersLagging)
			b.obs.Verifiers[1].Silent = false
			b.plan().want("Active")
		},
		"with proof asked for, a time without verifiers proves nothing": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.plan().after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Accepted[b.active()] = b.now
			b.after(20 * time.Hour).want("Retiring Active").wantProgress(WaitingForSigner)
		},
		"silent verifiers are named while the next key is on its way too": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.plan().after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Verifiers = []Verifier{{Name: "chat-1", Acked: Everywhere, Silent: true}}
			b.spec.RotateNow = "again"
			b.after(20 * time.Minute).want("Retiring Active Published").wantProgress(PrePublishing).wantLagging("chat-1")
		},
		"without proof, old keys go by the clock, whoever is silent": func(b *bench) {
			b.obs.Accepted = map[string]time.Time{}
			b.plan().after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Verifiers = []Verifier{{Name: "chat-0", Silent: true}}
			b.after(20*time.Minute - time.Second).want("Retiring Active").after(time.Second).want("Active")
		},
		"without proof, a key that was used lately is kept all the same": func(b *bench) {
			b.obs.Accepted = map[string]time.Time{}
			b.plan()
			b.obs.Accepted[b.active()] = b.now.Add(24*time.Hour + 20*time.Minute)
			b.after(24 * time.Hour).after(10 * time.Minute).after(20 * time.Minute).want("Retiring Active").wantProgress(WaitingForSigner)
			b.after(b.last.Wake.Sub(b.now) - time.Second).want("Retiring Active")
			b.after(time.Second).want("Active")
		},
		"where acceptances may have gone unseen, every old key counts as used": func(b *bench) {
			b.obs.Accepted = map[string]time.Time{}
			b.plan().after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Doubt = b.now.Add(15 * time.Minute)
			b.after(35*time.Minute - time.Second).want("Retiring Active").wantNoFinding(RetiredKeyStillUsed)
			b.after(time.Second).want("Active")
		},
		"doubt is no proof that a key was taken up, nor that the old one is used": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.plan().after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Doubt = b.now.Add(50 * time.Minute)
			b.after(60 * time.Minute).want("Retiring Active").wantNoFinding(RetiredKeyStillUsed)
			b.after(60 * time.Minute).want("Retiring Active").wantProgress(WaitingForSigner)
		},
		"an issuer's old key counts down once every issuer signs with the new one": func(b *bench) {
			b.spec.External = false
			b.plan().after(24 * time.Hour)
			b.obs.Signers = []Signer{{Name: "issuer-0", KID: b.active()}, {Name: "issuer-1"}}
			b.after(10*time.Minute).want("Retiring Active").wantProgress(WaitingForSigner).wantLagging("issuer-0", "issuer-1")
			b.obs.Signers[0].KID = b.active()
			b.after(time.Hour).want("Retiring Active").wantLagging("issuer-1")
			b.obs.Signers[1].KID = b.active()
			b.plan().wantProgress(WaitingForRetiring).after(20*time.Minute - time.Second).want("Retiring Active")
			b.after(time.Second).want("Active")
		},
		"an issuer that signs with the old key again begins its countdown anew": func(b *bench) {
			b.spec.External = false
			b.plan().after(24 * time.Hour)
			old := b.active()
			b.after(10 * time.Minute).after(19 * time.Minute).want("Retiring Active")
			b.obs.Signers = []Signer{{Name: "issuer-0", KID: old}}
			b.after(time.Hour).want("Retiring Active")
			b.obs.Signers[0].KID = b.active()
			b.plan().after(20*time.Minute - time.Second).want("Retiring Active").after(time.Second).want("Active")
		},
		"an issuer that comes late and has proved nothing yet holds the old key, without a new countdown": func(b *bench) {
			b.spec.External = false
			b.plan().after(24 * time.Hour).after(10 * time.Minute).after(19 * time.Minute).want("Retiring Active")
			b.obs.Signers = []Signer{{Name: "issuer-9"}}
			b.after(time.Hour).want("Retiring Active").wantProgress(WaitingForSigner).wantLagging("issuer-9")
			b.obs.Signers[0].KID = b.active()
			b.plan().want("Active")
		},
		"what an issuer signed before it was first heard dies before the old key": func(b *bench) {
			b.spec.External = false
			b.plan().after(24 * time.Hour).after(10 * time.Minute).after(19 * time.Minute).want("Retiring Active")
			b.obs.Signers = []Signer{{Name: "issuer-9"}}
			b.after(3 * time.Hour).want("Retiring Active").wantLagging("issuer-9")
			b.obs.Signers[0].KID, b.obs.Signers[0].Since = b.active(), b.now
			alive := b.spec.MaxTokenLifetime + 2*time.Minute
			b.plan().want("Retiring Active").wantProgress(WaitingForRetiring)
			if wake := b.last.Wake.Sub(b.now); wake != alive {
				b.t.Errorf("wakes in %s, want %s", wake, alive)
			}
			b.after(alive - time.Second).want("Retiring Active").after(time.Second).want("Active")
		},
		"an issuer that is gone holds nothing": func(b *bench) {
			b.spec.External = false
			b.plan().after(24 * time.Hour)
			b.obs.Signers = []Signer{{Name: "issuer-0", KID: b.active()}}
			b.after(10 * time.Minute).after(time.Hour).want("Retiring Active").wantLagging("issuer-0")
			b.obs.Signers = nil
			b.plan().after(20*time.Minute - time.Second).want("Retiring Active").after(time.Second).want("Active")
		},
		"an issuer that signs with nothing after a revocation holds no older key for ever": func(b *bench) {
			b.spec.External = false
			b.plan().after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Signers = []Signer{{Name: "issuer-0", KID: b.active()}}
			b.spec.RevokeKey = b.active()
			b.plan().after(time.Minute)
			b.obs.Signers[0].KID = ""
			b.after(time.Hour).want("Retiring Active").wantLagging("issuer-0")
			b.obs.Signers[0].KID = b.active()
			b.plan().after(20 * time.Minute).want("Active")
		},
		"an exported Secret that holds the old key again begins its countdown anew": func(b *bench) {
			b.spec.Exported = true
			b.plan().after(24 * time.Hour)
			old := b.active()
			b.after(10 * time.Minute)
			b.obs.ExportedKID = b.active()
			b.plan().after(19 * time.Minute)
			b.obs.ExportedKID = old
			b.after(time.Hour).want("Retiring Active")
			b.obs.ExportedKID = b.active()
			b.plan().after(20*time.Minute - time.Second).want("Retiring Active").after(time.Second).want("Active")
		},
		"what issuers sign with does not matter to external signers": func(b *bench) {
			b.obs.Signers = []Signer{{Name: "issuer-0", KID: "other"}}
			b.plan().after(24 * time.Hour).after(10 * time.Minute).wantProgress(WaitingForRetiring).after(20 * time.Minute).want("Active")
		},
		"a retired key that keeps being used is kept and reported": func(b *bench) {
			b.plan()
			old := b.active()
			b.after(24 * time.Hour).after(10 * time.Minute)
			b.obs.Accepted = map[string]time.Time{b.active(): b.now}
			b.now = b.now.Add(31 * time.Minute)
			b.obs.Accepted[old] = b.now
			b.plan().want("Retiring Active").wantNoFinding(RetiredKeyStillUsed)
			b.now = b.now.Add(9 * time.Minute)
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
		"nor for a bundle that cannot be written": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.plan().after(10 * time.Minute)
			b.spec.RevokeKey, b.obs.Distributed = b.active(), 0
			b.plan().after(30*time.Second - time.Millisecond).want("Published")
			if !b.state.Keys[0].Published.IsZero() {
				b.t.Error("it counts as published before its time")
			}
			b.after(time.Millisecond).want("Published").after(30*time.Second - time.Millisecond).want("Published").after(time.Millisecond).want("Active")
			b.spec.RotateNow = "1" // nobody else hurries
			b.plan().after(time.Hour).want("Active Published")
		},
		"nor for a bundle that came later": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.plan().after(10 * time.Minute)
			b.spec.RevokeKey = b.active()
			b.plan()
			b.obs.Verifiers[0].Acked, b.obs.Distributed = b.state.Generation, 0
			b.after(30*time.Second - time.Millisecond).want("Published").after(time.Millisecond).want("Active")
		},
		"nor then for verifiers that acknowledged it": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.plan().after(10 * time.Minute)
			b.spec.RevokeKey, b.obs.Distributed = b.active(), 0
			b.plan()
			b.obs.Verifiers[0].Acked = b.state.Generation
			b.after(30*time.Second - time.Millisecond).want("Published").after(time.Millisecond).want("Active")
		},
		"revoking the active key while the next is published hands over to that one": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.plan().after(10 * time.Minute).after(24 * time.Hour).want("Active Published")
			b.spec.RevokeKey = b.active()
			b.plan().want("Published").after(30 * time.Second).want("Active")
		},
		"revoking the successor of a revoked key leaves its hurry to the next": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.plan().after(10 * time.Minute)
			b.spec.RevokeKey = b.active()
			b.plan().want("Published")
			b.spec.RevokeKey = b.state.Keys[0].KID
			b.plan().want("Published").after(30 * time.Second).want("Active")
		},
		"a key that signed in haste once makes nobody else hurry": func(b *bench) {
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.plan().after(10 * time.Minute)
			b.spec.RevokeKey = b.active()
			b.plan().after(30 * time.Second).want("Active")
			hasty := b.active()
			b.spec.RotateNow = "1"
			b.plan().after(10 * time.Minute).want("Retiring Active")
			b.spec.RotateNow, b.spec.RevokeKey = "2", hasty
			b.plan().want("Active Published").after(10*time.Minute - time.Second).want("Active Published")
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
