package keyring

import (
	"slices"
	"time"
)

// rebuild makes a set of what others remember when the state is gone or older
// than that. Keys that nobody remembers as live stay out, the key that was
// active goes on if its private half is here, and the rest is accepted until a
// key has taken over and their time is up.
func (r *run) rebuild(incident FindingKind) {
	memory := r.obs.Memory
	live := map[string]bool{}
	for _, k := range memory.Bundled {
		live[k.KID] = true
	}
	for _, kid := range memory.Live {
		live[kid] = true
	}
	r.state.Keys = slices.DeleteFunc(r.state.Keys, func(k Key) bool { return !live[k.KID] })
	for i := range r.state.Keys {
		r.demote(&r.state.Keys[i])
	}
	for _, k := range memory.Bundled {
		r.adopt(k)
	}
	r.base = max(r.base, memory.Generation)
	r.state.Incident = incident
	r.find(incident, "")
	r.change()
}

// demote makes a key of an old state one that is on its way out, unless it is
// the one that signs.
func (r *run) demote(k *Key) {
	if k.KID == r.obs.Memory.ActiveKID && len(k.Value) > 0 {
		k.Phase = Active
		if k.Activated.IsZero() {
			k.Activated = r.now
		}
		return
	}
	k.Phase, k.Adopted, k.Urgent, k.Retiring = Retiring, true, false, time.Time{}
}

// adopt takes over a key of a bundle that the state lacks.
func (r *run) adopt(v VerifyKey) {
	known := slices.ContainsFunc(r.state.Keys, func(k Key) bool { return k.KID == v.KID })
	if known || v.KID == "" || v.Alg != r.state.Algorithm || checkKey(v) != nil || len(r.state.Keys) >= maxKeys/2 {
		return
	}
	k := Key{
		KID: v.KID, Phase: Retiring, Generation: r.obs.Memory.Generation, Adopted: true, Created: r.now, Published: r.now,
		Material: Material{Value: v.K, Public: v.JWK},
	}
	if r.spec.Imported {
		k.Imported = r.mark(v.K)
	}
	r.state.Keys = append(r.state.Keys, k)
	r.event(EventAdopted, k.KID)
}
