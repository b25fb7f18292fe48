package keyring

import (
	"crypto/hmac"
	"slices"
)

// revoke carries out the annotation: the key is gone by this plan, and stays so.
func (r *run) revoke() {
	kid := r.spec.RevokeKey
	if kid == "" || r.state.revoked(kid) {
		return
	}
	if !r.state.live(kid) {
		r.find(UnknownKeyToRevoke, kid)
		return
	}
	r.remember(kid)
}

// recallRevoked drops live keys that are revoked, as an old or edited state may
// have some, and remembers the revocations that others tell of while there is
// room: they protect from a state that is older still. What a sidecar claims of
// keys that nobody knows takes up a part of the room only.
func (r *run) recallRevoked() {
	known := make(map[string]bool, len(r.state.Revoked))
	for _, v := range r.state.Revoked {
		known[v.KID] = true
	}
	var again []string
	for _, k := range r.state.Keys {
		if known[k.KID] {
			again = append(again, k.KID)
		}
	}
	for _, kid := range r.obs.Memory.Revoked {
		if !known[kid] && kid != "" && (r.state.live(kid) || len(known) < MaxRevoked) {
			known[kid] = true
			again = append(again, kid)
		}
	}
	confirmed, mere := r.sortClaims(known)
	for _, kid := range append(again, confirmed...) {
		r.remember(kid)
	}
	for _, kid := range mere {
		r.state.Revoked = append(r.state.Revoked, Revocation{KID: kid, Time: r.now, Generation: r.change(), Claimed: true})
	}
	r.forgetRevoked()
}

// sortClaims tells what sidecars claim of keys that somebody knows from mere
// claims, of which as many are taken as there is room for.
func (r *run) sortClaims(known map[string]bool) (confirmed, mere []string) {
	claimed := 0
	for _, v := range r.state.Revoked {
		if v.Claimed {
			claimed++
		}
	}
	for _, kid := range r.obs.Memory.Claimed {
		switch {
		case known[kid]:
			continue
		case r.knows(kid):
			confirmed = append(confirmed, kid)
		case len(known) < MaxRevoked && claimed < maxClaimed:
			mere = append(mere, kid)
			claimed++
		default:
			continue
		}
		known[kid] = true
	}
	return confirmed, mere
}

// knows reports whether it is the id of a live key, here or in a bundle.
func (r *run) knows(kid string) bool {
	return r.state.live(kid) || slices.ContainsFunc(r.obs.Memory.Bundled, func(k VerifyKey) bool { return k.KID == kid })
}

// remember drops the key if it is live, and remembers it as revoked.
func (r *run) remember(kid string) {
	revocation := Revocation{KID: kid, Time: r.now, Generation: r.change()}
	r.state.Keys = slices.DeleteFunc(r.state.Keys, func(k Key) bool {
		if k.KID != kid {
			return false
		}
		revocation.Imported = k.Imported
		r.urgent = r.urgent || k.Phase == Active || k.Urgent
		r.event(EventRevoked, kid)
		return true
	})
	i := slices.IndexFunc(r.state.Revoked, func(v Revocation) bool { return v.KID == kid })
	if i >= 0 { // it had come back: whoever knew of the first time may have loaded it again
		r.state.Revoked[i].Generation = revocation.Generation
		return
	}
	r.state.Revoked = append(r.state.Revoked, revocation)
	r.forgetRevoked()
}

// forgetRevoked makes room. Mere claims go first, the oldest before the rest. A generated key that is gone can only come back with
// a state that is older than everything else, so the oldest of those is
// forgotten first; an imported value can be put into its Secret again by anybody
// at any time, and one that is in there now is never forgotten.
func (r *run) forgetRevoked() {
	for len(r.state.Revoked) > MaxRevoked {
		i := slices.IndexFunc(r.state.Revoked, func(v Revocation) bool { return v.Claimed })
		if i < 0 {
			i = slices.IndexFunc(r.state.Revoked, func(v Revocation) bool { return len(v.Imported) == 0 })
		}
		if i < 0 || i == len(r.state.Revoked)-1 {
			current, next := r.mark(r.obs.Import.Current), r.mark(r.obs.Import.Next)
			i = slices.IndexFunc(r.state.Revoked, func(v Revocation) bool {
				return !hmac.Equal(v.Imported, current) && !hmac.Equal(v.Imported, next)
			})
		}
		i = max(i, 0)
		r.state.Revoked = slices.Delete(r.state.Revoked, i, i+1)
	}
}
