package keyring

import (
	"bytes"
	"slices"
	"time"
)

// rebuild makes a set of what others remember when the state is gone, older than
// that, or edited. Keys that nobody remembers as live stay out, the key that was
// active goes on if its private half is here, and the rest is accepted until a
// key has taken over and their time is up. Of an edited state only secrets that a
// bundle has too are believed: no private key, which may fit no public one.
func (r *run) rebuild(incident FindingKind, edited bool) {
	memory := r.obs.Memory
	if kid := r.spec.RevokeKey; kid != "" && !r.state.revoked(kid) {
		r.remember(kid) // who asked for it remembers too
	}
	bundled := map[string]VerifyKey{}
	for _, k := range memory.Bundled {
		bundled[k.KID] = k
	}
	r.state.Keys = slices.DeleteFunc(r.state.Keys, func(k Key) bool {
		in, has := bundled[k.KID]
		believed := has && len(in.K) > 0 && bytes.Equal(in.K, k.Value)
		return edited && !believed || !has && !slices.Contains(memory.Live, k.KID)
	})
	for i := range r.state.Keys {
		r.demote(&r.state.Keys[i])
	}
	for _, k := range memory.Bundled {
		r.recognise(k)
		r.adopt(k)
	}
	r.state.Incident, r.state.Confirm = incident, r.spec.ConfirmSigner
	r.state.Doubtful = slices.ContainsFunc(r.state.Revoked, func(v Revocation) bool { return len(v.Imported) == 0 })
	r.unshown = len(memory.Bundled) == 0 && memory.ActiveKID != ""
	r.find(incident, "")
	r.change()
}

// demote makes a key of an old state one that is on its way out, unless it is
// the one that signs.
func (r *run) demote(k *Key) {
	k.Urgent, k.Retiring, k.Confirmed = false, time.Time{}, time.Time{}
	if k.KID == r.obs.Memory.ActiveKID && len(k.Value) > 0 {
		k.Phase, k.Adopted, k.Activated = Active, false, r.now // others may have signed since it began
		return
	}
	k.Phase, k.Adopted = Retiring, true
}

// recognise notes the value of a revoked imported key that a bundle still has.
func (r *run) recognise(v VerifyKey) {
	i := slices.IndexFunc(r.state.Revoked, func(known Revocation) bool { return known.KID == v.KID })
	if i >= 0 && r.spec.Imported && len(v.K) > 0 && len(r.state.Revoked[i].Imported) == 0 {
		r.state.Revoked[i].Imported = r.mark(v.K)
	}
}

// adopt takes over a key of a bundle that the state lacks.
func (r *run) adopt(v VerifyKey) {
	known := r.state.live(v.KID) || r.state.revoked(v.KID)
	if known || v.KID == "" || v.Alg != r.state.Algorithm || checkKey(v) != nil || len(r.state.Keys) >= maxKeys/2 {
		return
	}
	k := Key{
		KID: v.KID, Phase: Retiring, Generation: r.obs.Memory.Generation, Adopted: true, Created: r.now, Published: r.now,
		Material: Material{Value: v.K, Public: v.JWK},
	}
	if v.KID == r.obs.Memory.ActiveKID {
		k.Activated = r.now // when it began is not known, but it signed till now
	}
	if r.spec.Imported {
		k.Imported = r.mark(v.K)
		if r.isRevoked(k.Imported) {
			return
		}
	}
	r.state.Keys = append(r.state.Keys, k)
	r.event(EventAdopted, k.KID)
}

// distrustImport revokes an imported value that may be a revoked one. Others
// remember ids only: which value a revoked id had was known to the state that
// was lost, so the first value that is read after that is trusted only if it was
// in force.
func (r *run) distrustImport() error {
	current, next := r.obs.Import.Current, r.obs.Import.Next
	if !r.state.Doubtful || r.spec.Imported && len(current) == 0 {
		return nil
	}
	r.state.Doubtful = false
	for i, value := range []Octets{current, next} {
		mark := r.mark(value)
		if len(value) == 0 || !r.spec.Imported || i == 0 && r.unshown || r.indexOf(mark) >= 0 || r.isRevoked(mark) {
			continue
		}
		kid, err := r.newKID(r.change())
		if err != nil {
			return err
		}
		r.state.Revoked = append(r.state.Revoked, Revocation{KID: kid, Time: r.now, Generation: r.state.Generation, Imported: mark})
		r.forgetRevoked()
		r.event(EventRevoked, kid)
	}
	return nil
}
