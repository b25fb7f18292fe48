package keyring

import (
	"fmt"
	"slices"
	"time"
)

// rotate makes the next generated key when one is due.
func (r *run) rotate() error {
	r.withdraw(func(k Key) bool { return len(k.Imported) > 0 }) // the source was SecretRef before
	active, isActive := r.state.ActiveKey()
	next := r.state.index(Published)
	switch {
	case next >= 0: // a rotation is under way, which is what rotate-now asks for
		r.state.Keys[next].Urgent = r.state.Keys[next].Urgent || r.urgent
		r.noteRotateNow()
		return nil
	case isActive && !r.due(active):
		return nil
	case isActive && r.state.retiring() >= MaxRetiring:
		r.noRoom = true
		r.find(TooManyLiveKeys, "")
		return nil
	}
	material, err := r.planner.NewKey()
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	key, err := r.add(Published, material)
	if err != nil {
		return err
	}
	key.Urgent = r.urgent
	r.noteRotateNow()
	r.event(EventCreated, key.KID)
	return nil
}

// withdraw removes the published key if it is unwanted: nobody has signed with
// it. If somebody has, it retires like any other.
func (r *run) withdraw(unwanted func(Key) bool) {
	for i := range r.state.Keys {
		k := &r.state.Keys[i]
		signed := !k.Activated.IsZero() || !r.obs.Accepted[k.KID].IsZero()
		if k.Phase == Published && unwanted(*k) && signed {
			k.Phase = Retiring
			r.change()
			r.event(EventRetiring, k.KID)
			r.makeRoom()
			return // there is only one
		}
	}
	r.state.Keys = slices.DeleteFunc(r.state.Keys, func(k Key) bool {
		if k.Phase != Published || !unwanted(k) {
			return false
		}
		r.change()
		r.event(EventRemoved, k.KID)
		return true
	})
}

// due reports whether the active key is to be replaced.
func (r *run) due(active Key) bool {
	if r.spec.Suspend {
		return false
	}
	asked := r.spec.RotateNow != "" && r.spec.RotateNow != r.state.RotateNow
	old := r.spec.Interval > 0 && !r.now.Before(active.Activated.Add(r.spec.Interval))
	foreign := len(active.Imported) > 0
	return asked || old || foreign
}

func (r *run) noteRotateNow() {
	if r.spec.RotateNow != "" {
		r.state.RotateNow = r.spec.RotateNow
	}
}

// publish stamps the next key once every bundle was seen to hold it. One bundle
// that cannot be written does not keep the successor of a revoked key for ever.
func (r *run) publish() {
	for i := range r.state.Keys {
		k := &r.state.Keys[i]
		if k.Published.IsZero() && r.spread(*k) {
			k.Published = r.now
			r.event(EventPublished, k.KID)
		}
	}
}

// spread reports whether every bundle holds the key, or the successor of a revoked
// key waits for them no longer.
func (r *run) spread(k Key) bool {
	return r.obs.Distributed >= k.Generation || k.Urgent && !r.now.Before(k.Created.Add(urgentWait))
}

// activate lets the next key sign once it may. A bundle that came after the key was
// published, of a policy that is new, may have been made of what was before it.
func (r *run) activate() {
	i := r.state.index(Published)
	if i < 0 || r.spec.Imported || !r.spread(r.state.Keys[i]) || r.now.Before(r.activation(r.state.Keys[i])) {
		return
	}
	next := r.state.Keys[i]
	if len(r.lagging(next)) > 0 {
		timeout := r.activation(next).Add(r.spec.VerifierTimeout)
		if r.now.Before(timeout) {
			return
		}
		r.find(VerifiersLagging, next.KID)
		if !r.spec.Proceed || slices.ContainsFunc(r.obs.Verifiers, func(v Verifier) bool { return v.Unasked }) {
			return
		}
	}
	r.switchTo(i)
}

// never is later than every plan.
var never = time.Unix(1<<40, 0)

// activation is the earliest time at which a published key may sign.
func (r *run) activation(next Key) time.Time {
	_, isActive := r.state.ActiveKey()
	switch {
	case next.Published.IsZero():
		return never
	case !isActive && len(r.obs.Verifiers) == 0:
		return next.Published
	case next.Urgent && len(r.behind(next)) == 0:
		return next.Published
	case next.Urgent:
		return next.Published.Add(min(urgentWait, r.spec.PrePublish))
	}
	return next.Published.Add(r.spec.PrePublish)
}

// lagging are the verifiers that the key waits for. The successor of a revoked
// key waits for none.
func (r *run) lagging(key Key) []string {
	if !r.spec.WaitForVerifiers || key.Urgent {
		return nil
	}
	return r.behind(key)
}

// behind are the verifiers that have not proved to have the key.
func (r *run) behind(key Key) []string {
	var names []string
	for _, v := range r.obs.Verifiers {
		if v.Acked < key.Generation {
			names = append(names, v.Name)
		}
	}
	return names
}

// switchTo makes key i the active one. The countdown of its predecessor begins
// when the signer is seen to have it.
func (r *run) switchTo(i int) {
	generation := r.change()
	if old := r.state.index(Active); old >= 0 {
		r.state.Keys[old].Phase = Retiring
		r.event(EventRetiring, r.state.Keys[old].KID)
	}
	k := &r.state.Keys[i]
	k.Phase, k.Activated, k.Retiring, k.Confirmed, k.Urgent, k.Adopted = Active, r.now, time.Time{}, time.Time{}, false, false
	if r.spec.Imported {
		k.Generation = generation
	}
	r.event(EventActivated, k.KID)
}
