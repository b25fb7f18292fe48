package keyring

import (
	"crypto/hmac"
	"slices"
	"time"
)

// countDown begins the countdown of old keys once every signer that can be seen
// has the active one, and takes it back when one is seen with the old key again.
func (r *run) countDown() {
	active, isActive := r.state.ActiveKey()
	taken := isActive && (!r.spec.Exported || r.obs.ExportedKID == active.KID) && len(r.late(active.KID)) == 0
	for i := range r.state.Keys {
		k := &r.state.Keys[i]
		switch {
		case k.Phase != Retiring:
		case r.handedOut(k.KID):
			k.Retiring = time.Time{}
		case taken && k.Retiring.IsZero():
			k.Retiring = r.now
		}
	}
}

// late are our issuers that do not sign with the key yet.
func (r *run) late(kid string) []string {
	var names []string
	for _, s := range r.obs.Signers {
		if !r.spec.External && s.KID != kid {
			names = append(names, s.Name)
		}
	}
	return names
}

// removal is the earliest time at which a retiring key goes.
func (r *run) removal(k Key) time.Time {
	end := k.Retiring.Add(r.spec.RetireAfter)
	if last := r.switched(); !r.spec.External && last.After(end) {
		return last
	}
	return end
}

// switched is when tokens have died that our issuers signed with older keys before
// they were first heard to sign with the one that they have.
func (r *run) switched() time.Time {
	var last time.Time
	for _, s := range r.obs.Signers {
		if s.Since.After(last) {
			last = s.Since
		}
	}
	return last.Add(r.tokensDie())
}

// handedOut reports whether a signer can be seen to have the key.
func (r *run) handedOut(kid string) bool {
	return r.spec.Exported && r.obs.ExportedKID == kid ||
		!r.spec.External && slices.ContainsFunc(r.obs.Signers, func(s Signer) bool { return s.KID == kid })
}

// retire removes the keys whose time is over. While no key is active, the signer
// may still use any of them.
func (r *run) retire() {
	_, isActive := r.state.ActiveKey()
	r.state.Keys = slices.DeleteFunc(r.state.Keys, func(k Key) bool {
		if k.Phase != Retiring || !isActive || !r.over(k) {
			return false
		}
		r.change()
		r.event(EventRemoved, k.KID)
		return true
	})
}

// over reports whether a retiring key is no longer needed. The clock alone tells
// for our own issuers, while all that there are have acknowledged its successor,
// long enough ago that what they signed unheard has died, and where nobody ever
// verified. An external signer acknowledges nothing: a token of the key that was
// accepted lately is evidence that it is needed, and always counts. Where proof
// is asked for (WaitForVerifiers), silence is none: a successor must have been
// seen in use, and every verifier, of at least one, must answer; where nobody
// verifies any more, the last evidence must be old. Somebody who knows may confirm
// instead.
func (r *run) over(k Key) bool {
	end := k.Retiring.Add(r.spec.RetireAfter)
	if k.Retiring.IsZero() || r.now.Before(r.removal(k)) || r.returns(k) {
		return false
	}
	if !r.spec.External {
		active, _ := r.state.ActiveKey()
		return len(r.late(active.KID)) == 0 // one may have come since with an old mount
	}
	if r.obs.Accepted == nil || r.confirmed(k) {
		return true
	}
	if r.now.Before(r.quiet(k)) {
		if used := r.obs.Accepted[k.KID]; r.now.Before(used.Add(r.spec.RetireAfter)) && !r.now.Before(end.Add(r.spec.RetireAfter)) {
			r.find(RetiredKeyStillUsed, k.KID)
		}
		return false
	}
	return !r.spec.WaitForVerifiers || r.obs.Unneeded || r.proven(k, end)
}

// proven reports whether it is known, and not only not known otherwise, that
// nobody needs a key whose clock was over at end.
func (r *run) proven(k Key, end time.Time) bool {
	if len(r.silent()) > 0 {
		r.held = true
		if !r.now.Before(end.Add(r.spec.VerifierTimeout)) {
			r.find(VerifiersLagging, k.KID)
		}
		return false
	}
	return len(r.obs.Verifiers) > 0 && r.takenUp(k)
}

// returns reports whether an imported key signs again by now, or will; it may
// while its Secret cannot be read.
func (r *run) returns(k Key) bool {
	current, next := r.obs.Import.Current, r.obs.Import.Next
	return r.spec.Imported &&
		(len(current) == 0 || hmac.Equal(k.Imported, r.mark(current)) || len(next) > 0 && hmac.Equal(k.Imported, r.mark(next)))
}

// quiet is when the key has been unused for as long as the overlap.
func (r *run) quiet(k Key) time.Time {
	last := r.obs.Accepted[k.KID]
	if r.obs.Doubt.After(last) {
		last = r.obs.Doubt
	}
	return last.Add(r.spec.RetireAfter)
}

func (r *run) silent() []string {
	var names []string
	for _, v := range r.obs.Verifiers {
		if v.Silent {
			names = append(names, v.Name)
		}
	}
	return names
}

// takenUp reports whether a successor of k was seen in use. Tokens of a key that
// signed before k did, as an imported value may that comes back, prove it only
// once those of its earlier time have died.
func (r *run) takenUp(k Key) bool {
	return slices.ContainsFunc(r.state.Keys, func(other Key) bool {
		since := other.Activated
		if other.Created.Before(k.Activated) {
			since = since.Add(r.spec.MaxTokenLifetime)
		}
		used := r.obs.Accepted[other.KID]
		return succeeds(other, k) && !used.IsZero() && !used.Before(since)
	})
}

// succeeds reports whether other took over from k, at once or in the end. When an
// adopted key signed is not known, so only the active one succeeds it for sure.
func succeeds(other, k Key) bool {
	return other.Phase == Active || other.Phase == Retiring && !k.Activated.IsZero() && other.Activated.After(k.Activated)
}

// confirm notes when somebody says that every signer uses a key. The annotation
// stays where it is, so it counts once: not for a key that signs again later.
func (r *run) confirm() {
	if r.spec.ConfirmSigner == "" {
		r.state.Confirm = ""
	}
	for i := range r.state.Keys {
		k := &r.state.Keys[i]
		if k.KID == r.spec.ConfirmSigner && k.KID != r.state.Confirm && k.Phase != Published {
			k.Confirmed, r.state.Confirm = r.now, k.KID
		}
	}
}

// confirmed reports whether a successor of k was confirmed, long enough ago that
// the last tokens which k signed before have died.
func (r *run) confirmed(k Key) bool {
	return slices.ContainsFunc(r.state.Keys, func(other Key) bool {
		return succeeds(other, k) && !other.Confirmed.IsZero() && !r.now.Before(r.settled(other))
	})
}

// settled is when tokens from before the confirmation of a key have died.
func (r *run) settled(k Key) time.Time {
	return k.Confirmed.Add(r.tokensDie())
}

// tokensDie is how long a token may live, by a clock that steps.
func (r *run) tokensDie() time.Duration {
	return min(r.spec.RetireAfter, r.spec.MaxTokenLifetime+maxStep)
}

// closeIncident forgets a rebuilt state when the last adopted key is gone.
func (r *run) closeIncident() {
	_, isActive := r.state.ActiveKey()
	if isActive && !slices.ContainsFunc(r.state.Keys, func(k Key) bool { return k.Adopted }) {
		r.state.Incident = ""
	}
}
