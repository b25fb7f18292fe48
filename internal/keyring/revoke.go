package keyring

import "slices"

// revoke carries out the annotation: the key is gone by this plan, and stays so.
func (r *run) revoke() {
	kid := r.spec.RevokeKey
	if kid == "" || r.state.revoked(kid) {
		return
	}
	if !slices.ContainsFunc(r.state.Keys, func(k Key) bool { return k.KID == kid }) {
		r.find(UnknownKeyToRevoke, kid)
		return
	}
	r.remember(kid)
}

// remember drops the key if it is live, and remembers it as revoked.
func (r *run) remember(kid string) {
	if r.state.revoked(kid) && !slices.ContainsFunc(r.state.Keys, func(k Key) bool { return k.KID == kid }) {
		return
	}
	revocation := Revocation{KID: kid, Time: r.now}
	r.state.Keys = slices.DeleteFunc(r.state.Keys, func(k Key) bool {
		if k.KID != kid {
			return false
		}
		revocation.Imported = k.Imported
		r.urgent = r.urgent || k.Phase == Active
		r.event(EventRevoked, kid)
		return true
	})
	generation := r.change()
	if r.state.revoked(kid) {
		return
	}
	revocation.Generation = generation
	r.state.Revoked = append(r.state.Revoked, revocation)
	if extra := len(r.state.Revoked) - MaxRevoked; extra > 0 {
		r.state.Revoked = slices.Delete(r.state.Revoked, 0, extra)
	}
}
