package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"time"
)

// follow makes the set follow the imported Secret: the signer outside has the
// value already, so it is active at once, and its predecessor retires.
func (r *run) follow() error {
	if len(r.obs.Import.Current) == 0 {
		return nil
	}
	r.noteRotateNow() // the value is somebody else's to rotate
	if err := r.followCurrent(); err != nil {
		return err
	}
	return r.followNext()
}

func (r *run) followCurrent() error {
	mark := r.mark(r.obs.Import.Current)
	if r.isRevoked(mark) {
		r.find(SecretRevoked, "")
		return nil
	}
	if i := r.indexOf(mark); i >= 0 {
		if r.state.Keys[i].Phase != Active {
			r.switchTo(i)
			r.makeRoom()
		}
		return nil
	}
	key, err := r.add(Published, Material{Value: r.obs.Import.Current})
	if err != nil {
		return err
	}
	key.Imported = mark
	r.event(EventImported, key.KID)
	r.switchTo(len(r.state.Keys) - 1)
	r.makeRoom()
	return nil
}

// followNext publishes the value that comes next, and withdraws one that no
// longer does: nobody has signed with it.
func (r *run) followNext() error {
	next := r.obs.Import.Next
	mark := r.mark(next)
	r.withdraw(func(k Key) bool { return len(next) == 0 || !hmac.Equal(k.Imported, mark) })
	if i := r.indexOf(mark); len(next) == 0 || i >= 0 {
		r.keepForReturn(i)
		return nil
	}
	if r.isRevoked(mark) {
		r.find(SecretRevoked, "")
		return nil
	}
	key, err := r.add(Published, Material{Value: next})
	if err != nil {
		return err
	}
	key.Imported = mark
	r.event(EventImported, key.KID)
	return nil
}

// keepForReturn keeps an old value that is to sign again from being removed meanwhile.
func (r *run) keepForReturn(i int) {
	if i < 0 || r.state.Keys[i].Phase != Retiring {
		return
	}
	r.change()
	k := &r.state.Keys[i]
	k.Phase, k.Retiring = Published, time.Time{}
	if k.Adopted {
		k.Adopted, k.Activated = false, r.now // when it signed is not known, but it did
	}
}

// makeRoom drops the oldest retiring keys beyond the limit. A value that the
// signer uses now cannot wait; the oldest has the fewest tokens left. Adopted
// keys are there in the order of bundles, the oldest last.
func (r *run) makeRoom() {
	for r.state.retiring() > MaxRetiring {
		oldest := -1
		for i, k := range r.state.Keys {
			if k.Phase == Retiring && (oldest < 0 || !activatedBefore(r.state.Keys[oldest], k)) {
				oldest = i
			}
		}
		r.find(TooManyLiveKeys, r.state.Keys[oldest].KID)
		r.event(EventRemoved, r.state.Keys[oldest].KID)
		r.state.Keys = slices.Delete(r.state.Keys, oldest, oldest+1)
	}
}

func activatedBefore(a, b Key) bool {
	if a.Activated.Equal(b.Activated) {
		return a.Generation < b.Generation
	}
	return a.Activated.Before(b.Activated)
}

// mark recognises a value without holding it: its HMAC under the set's salt.
func (r *run) mark(value Octets) Octets {
	mac := hmac.New(sha256.New, r.state.Salt)
	mac.Write(value)
	return mac.Sum(nil)
}

func (r *run) indexOf(mark Octets) int {
	return slices.IndexFunc(r.state.Keys, func(k Key) bool { return hmac.Equal(k.Imported, mark) })
}

func (r *run) isRevoked(mark Octets) bool {
	return slices.ContainsFunc(r.state.Revoked, func(v Revocation) bool { return hmac.Equal(v.Imported, mark) })
}
