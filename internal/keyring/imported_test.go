package keyring

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

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
		"while the value cannot be read, old ones stay": func(b *bench) {
			b.plan()
			b.obs.Import.Current = Octets("second")
			b.after(time.Minute)
			b.obs.Import.Current = nil
			b.after(1000 * time.Hour).want("Retiring Active")
			b.obs.Import.Current = Octets("first")
			b.plan().want("Active Retiring")
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
			if k, _ := b.state.ActiveKey(); k.Generation != b.state.Generation {
				b.t.Errorf("it signs since generation %d, the set has %d", k.Generation, b.state.Generation)
			}
			if b.active() != first {
				b.t.Errorf("kid %s became %s", first, b.active())
			}
		},
		"a value that came back counts down anew when it goes again": func(b *bench) {
			b.plan()
			for _, value := range []string{"second", "first", "third"} {
				b.obs.Import.Current = Octets(value)
				b.after(15 * time.Minute)
			}
			b.want("Retiring Retiring Active").after(19 * time.Minute)
			if !slices.ContainsFunc(b.state.Keys, func(k Key) bool { return bytes.Equal(k.Value, Octets("first")) }) {
				b.t.Error("it went by its first countdown")
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
		"a next value that comes into use pushes out the oldest of too many": func(b *bench) {
			b.plan()
			for i := range 4 {
				b.obs.Import.Current = Octets(fmt.Sprintf("value %d", i))
				b.after(time.Minute)
			}
			b.obs.Import.Next = Octets("last")
			b.plan()
			b.obs.Import = Import{Current: Octets("last")}
			b.plan().want("Retiring Retiring Retiring Retiring Active").wantFinding(TooManyLiveKeys)
		},
		"an old value that is to be the next is not removed, and retires again when it is not": func(b *bench) {
			b.plan()
			b.obs.Import = Import{Current: Octets("second"), Next: Octets("first")}
			b.after(time.Minute).want("Published Active").after(100 * time.Hour).want("Published Active")
			b.obs.Import.Next = nil
			b.plan().want("Retiring Active").after(20*time.Minute - time.Second).want("Retiring Active").after(time.Second).want("Active")
		},
		"a next value that is withdrawn and was used all the same retires": func(b *bench) {
			b.obs.Import.Next = Octets("second")
			b.plan()
			b.obs.Accepted = map[string]time.Time{b.state.Keys[1].KID: b.now}
			b.obs.Import.Next = nil
			b.plan().want("Active Retiring").after(20*time.Minute - time.Second).want("Active Retiring").after(time.Second).want("Active")
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
