package keyring

import (
	"slices"
	"testing"
	"time"
)

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
			if b.active() != kid || b.state.Incident != "" {
				b.t.Errorf("kid %s became %s, incident %q", kid, b.active(), b.state.Incident)
			}
		},
		"a lost state does not bring a revoked value back, whenever it can be read": func(b *bench) {
			b.spec.Imported, b.obs.Import.Current = true, Octets("first")
			b.plan()
			b.spec.RevokeKey = b.active()
			b.plan().want("").wantFinding(SecretRevoked)
			b.spec.RevokeKey = ""
			b.obs.Memory, b.state = memory(b), nil
			b.obs.Import.Current = nil
			b.plan().want("").wantFinding(StateLost)
			b.obs.Import.Current = Octets("first")
			b.plan().want("").wantFinding(SecretRevoked)
			b.obs.Import.Current = Octets("second")
			b.plan().want("Active")
		},
		"a lost state is told of a revocation by the annotation that asked for it": func(b *bench) {
			b.spec.Imported, b.obs.Import.Current = true, Octets("first")
			b.plan()
			b.spec.RevokeKey = b.active()
			b.plan().want("")
			b.obs.Memory, b.state = Memory{Generation: b.state.Generation}, nil
			if b.plan().want("").wantFinding(SecretRevoked).wantFinding(StateLost); !b.state.revoked(b.spec.RevokeKey) {
				b.t.Error("forgotten")
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
		"sidecars that are ahead tell a state of the same generation from theirs": func(b *bench) {
			b.plan().after(24 * time.Hour).want("Active Published")
			generation, lost := b.state.Generation, b.state.Keys[1].KID
			b.obs.Memory = Memory{Generation: generation, Live: []string{b.active(), "2-another"}, Ahead: true}
			b.plan().wantFinding(Regressed)
			if b.state.live(lost) || b.state.Generation <= generation {
				b.t.Errorf("generation %d after %d, keys %s", b.state.Generation, generation, b.phases())
			}
		},
		"a key that others remember as live stays although no bundle has it": func(b *bench) {
			b.plan()
			kid := b.active()
			b.obs.Memory = Memory{Generation: 9, ActiveKID: kid, Live: []string{kid, "8-elsewhere"}}
			if b.plan().want("Active").wantFinding(Regressed); b.active() != kid {
				b.t.Errorf("%s signs", b.active())
			}
		},
		"a confirmation from before, in the old state or since, says nothing about the rebuilt set": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.plan()
			first := b.active()
			unconfirmed := b.state
			b.spec.ConfirmSigner = first
			confirmed := b.plan().state
			b.after(24 * time.Hour).after(10 * time.Minute).want("Retiring Active")
			m := memory(b)
			m.ActiveKID = first
			m.Generation++
			for _, old := range []*State{unconfirmed, confirmed} {
				b.state, b.obs.Memory = old, m
				if b.after(time.Hour).want("Active Retiring").wantFinding(Regressed); !b.state.Keys[0].Activated.Equal(b.now) {
					b.t.Error("the key signs again from now on")
				}
				b.obs.Memory = Memory{}
				b.after(20 * time.Minute).after(20 * time.Minute).want("Active Retiring")
			}
		},
		"an adopted key is succeeded by the active one alone": func(b *bench) {
			b.spec.WaitForVerifiers, b.obs.Accepted = true, map[string]time.Time{}
			b.obs.Verifiers = []Verifier{{Name: "chat-0", Acked: Everywhere}}
			b.plan().after(10 * time.Minute)
			first, old := b.active(), b.state
			b.after(24 * time.Hour).after(10 * time.Minute).want("Retiring Active")
			b.obs.Memory, b.state = memory(b), old
			b.obs.Memory.ActiveKID = ""
			b.plan().want("Retiring Retiring Published").after(10 * time.Minute).want("Retiring Retiring Active")
			b.obs.Memory = Memory{}
			b.obs.Accepted[first] = b.now.Add(time.Hour)
			b.after(time.Hour).want("Retiring Retiring Active").after(time.Second).want("Retiring Retiring Active")
			b.obs.Accepted[b.active()] = b.now
			b.plan().want("Retiring Active")
		},
		"a public key that signed cannot sign": func(b *bench) {
			b.spec.Algorithm = "ES256"
			b.planner.NewKey = func() (Material, error) { return Material{Value: Octets("PEM"), Public: []byte(`{"kty":"EC"}`)}, nil }
			b.plan()
			m := memory(b)
			b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
			b.obs.Memory, b.state = m, nil
			b.plan().want("Retiring Published")
			m.Generation = b.state.Generation + 1
			b.obs.Memory = m
			b.plan().want("Retiring Published")
		},
		"a revoked value that a bundle still has is recognised from then on": func(b *bench) {
			b.spec.Imported, b.obs.Import.Current = true, Octets("first")
			b.plan()
			b.spec.RevokeKey = b.active()
			b.obs.Import.Current = Octets("second")
			b.obs.Memory, b.state = memory(b), nil
			b.obs.Memory.Revoked = nil
			b.plan()
			b.obs.Memory, b.spec.RevokeKey = Memory{}, ""
			b.obs.Import.Current = Octets("third")
			b.plan().want("Retiring Active")
			b.obs.Import.Current = Octets("first")
			b.plan().want("Retiring Active").wantFinding(SecretRevoked)
		},
		"a bundle does not bring a revoked value back under another id": func(b *bench) {
			b.spec.Imported, b.obs.Import.Current = true, Octets("first")
			b.plan()
			b.spec.RevokeKey = b.active()
			b.plan().want("")
			b.obs.Memory = Memory{Generation: 9, Live: []string{"9-x"}, Bundled: []VerifyKey{{KID: "9-x", Alg: "HS256", K: Octets("first")}}}
			b.plan().want("").wantFinding(SecretRevoked)
		},
		"a lost value that no bundle could have shown is trusted when the status knows of one that signed": func(b *bench) {
			b.spec.Imported, b.obs.Import.Current = true, Octets("first")
			b.obs.Memory = Memory{Generation: 9, ActiveKID: "9-x", Live: []string{"9-x"}, Revoked: []string{"5-y"}}
			b.plan().want("Active").wantFinding(StateLost)
		},
		"a lost value that is to be the next is adopted as that, and has signed": func(b *bench) {
			b.spec.Imported, b.obs.Import = true, Import{Current: Octets("first")}
			b.plan()
			b.obs.Import.Current = Octets("second")
			b.after(time.Minute).want("Retiring Active")
			b.obs.Import.Next = Octets("first")
			b.obs.Memory, b.state = memory(b), nil
			if b.plan().want("Active Published"); b.state.Incident != "" {
				b.t.Errorf("incident %s", b.state.Incident)
			}
			b.obs.Memory, b.obs.Import.Next = Memory{}, nil
			b.plan().want("Active Retiring")
		},
		"of too many adopted values the one that signed stays": func(b *bench) {
			b.spec.Imported, b.obs.Import.Current = true, Octets("new")
			b.obs.Memory = Memory{Generation: 9, ActiveKID: "9-e"}
			for _, id := range []string{"a", "b", "c", "d", "e"} {
				b.obs.Memory.Live = append(b.obs.Memory.Live, "9-"+id)
				b.obs.Memory.Bundled = append(b.obs.Memory.Bundled, VerifyKey{KID: "9-" + id, Alg: "HS256", K: Octets(id)})
			}
			if b.plan().want("Retiring Retiring Retiring Retiring Active").wantFinding(TooManyLiveKeys); !b.state.live("9-e") || b.state.live("9-d") {
				b.t.Errorf("%v", b.last.Findings)
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
