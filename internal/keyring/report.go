package keyring

import "time"

// progress says how far a rotation is, and which verifiers hold it up.
func (r *run) progress(removal map[string]time.Time) (Progress, []string) {
	next, isNext := r.state.first(Published)
	switch {
	case isNext && r.spec.Imported:
		return PrePublishing, nil // until the value becomes the current one
	case isNext && (r.now.Before(r.activation(next)) || !r.spread(next)):
		return PrePublishing, nil
	case isNext:
		return WaitingForVerifiers, r.lagging(next)
	case r.noRoom:
		return WaitingForRoom, nil
	case r.state.retiring() > 0:
		return r.retiringProgress(removal)
	case r.spec.Suspend:
		return Suspended, nil
	}
	return Idle, nil
}

// retiringProgress tells a countdown from a key that is waited with for its
// signer, or for verifiers that are silent.
func (r *run) retiringProgress(removal map[string]time.Time) (Progress, []string) {
	if r.held {
		return WaitingForVerifiers, r.silent()
	}
	for _, k := range r.state.Keys {
		at, counting := removal[k.KID]
		if k.Phase == Retiring && (!counting || !r.now.Before(at)) {
			active, _ := r.state.ActiveKey()
			return WaitingForSigner, r.late(active.KID)
		}
	}
	return WaitingForRetiring, nil
}

// nextRotation is when the active key is due to be replaced by the schedule.
func (r *run) nextRotation() time.Time {
	active, ok := r.state.ActiveKey()
	if !ok || r.spec.Imported || r.spec.Suspend || r.spec.Interval <= 0 {
		return time.Time{}
	}
	return active.Activated.Add(r.spec.Interval)
}

// wake is the next time at which the clock alone may change something.
func (r *run) wake(res Result) time.Time {
	var times []time.Time
	for _, k := range r.state.Keys {
		if at, counting := res.Removal[k.KID]; counting {
			times = append(times, at, at.Add(r.spec.RetireAfter), at.Add(r.spec.VerifierTimeout),
				r.quiet(k), r.obs.Accepted[k.KID].Add(r.spec.RetireAfter))
		}
		if !k.Confirmed.IsZero() {
			times = append(times, r.settled(k))
		}
	}
	if next, ok := r.state.first(Published); ok {
		at := r.activation(next)
		times = append(times, at, at.Add(r.spec.VerifierTimeout))
		if next.Urgent {
			times = append(times, next.Created.Add(urgentWait))
		}
	} else if !r.noRoom {
		times = append(times, res.NextRotation)
	}
	return r.soonest(times)
}

// soonest is the first of the times that is still to come; zero: none is.
func (r *run) soonest(times []time.Time) time.Time {
	var first time.Time
	for _, at := range times {
		if at.After(r.now) && at.Before(never) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}
