package rollcall

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/token"
)

// question is everything that an answer is judged by.
type question struct {
	uid     types.UID
	address string
	key     token.Secret
}

// reply is what became of a question.
type reply struct {
	state   bundle.State // when problem is empty
	problem string
	slow    bool // it kept a place for long
}

// judge decides whether the body answers the question. Whose pod it is comes
// first: an address that was reused is worth telling from a forgery.
func judge(body []byte, q question, nonce string) reply {
	state, err := bundle.ParseState(body)
	switch {
	case err != nil:
		return reply{problem: Malformed}
	case state.PodUID != string(q.uid):
		return reply{problem: WrongPod}
	case !state.Verify(q.key, nonce):
		return reply{problem: BadMAC}
	}
	state.PodUID, state.MAC = string(q.uid), ""
	return reply{state: state}
}

// confine leaves out of a state what is of none of the SigningKeys that its
// sidecar is heard on, or may sign with, and returns the ids of their live keys.
func confine(state *bundle.State, keys map[string][]string, signs []string) map[string]bool {
	keepOnly(state.Generations, keys)
	keepOnly(state.KIDs, keys)
	keepOnly(state.Revoked, keys)
	maps.DeleteFunc(state.Signs, func(name, _ string) bool { return !slices.Contains(signs, name) })
	named, own := idsIn(keys), idsIn(state.KIDs)
	maps.DeleteFunc(state.LastAccepted, func(kid string, _ time.Time) bool { return !named[kid] && !own[kid] })
	return named
}

func keepOnly[V any](of map[string]V, keys map[string][]string) {
	maps.DeleteFunc(of, func(name string, _ V) bool {
		_, heard := keys[name]
		return !heard
	})
}

func idsIn(keys map[string][]string) map[string]bool {
	ids := map[string]bool{}
	for _, kids := range keys {
		for _, kid := range kids {
			ids[kid] = true
		}
	}
	return ids
}

// share replaces the maps of a state that equal those of the one before it, of
// whichever pod, by those: thousands of pods say the same.
func share(state, like bundle.State) bundle.State {
	if maps.Equal(state.Generations, like.Generations) {
		state.Generations = like.Generations
	}
	if maps.EqualFunc(state.LastAccepted, like.LastAccepted, time.Time.Equal) {
		state.LastAccepted = like.LastAccepted
	}
	if maps.EqualFunc(state.KIDs, like.KIDs, slices.Equal) {
		state.KIDs = like.KIDs
	}
	if maps.EqualFunc(state.Revoked, like.Revoked, slices.Equal) {
		state.Revoked = like.Revoked
	}
	if maps.Equal(state.Signs, like.Signs) {
		state.Signs = like.Signs
	}
	return state
}

// same reports whether two states say the same but for when keys were used.
func same(a, b bundle.State) bool {
	return a.Revision == b.Revision && maps.Equal(a.Generations, b.Generations) && maps.Equal(a.Signs, b.Signs) &&
		maps.EqualFunc(a.KIDs, b.KIDs, slices.Equal) && maps.EqualFunc(a.Revoked, b.Revoked, slices.Equal)
}

// precision is what a sidecar cuts times to.
const precision = time.Second

// acceptedAt is the latest time at which the token may have been accepted that a
// sidecar's answer at `at` speaks of, which it cuts to the second: the end of
// that second, but not after the answer. Where the answer before (zero: none)
// spoke of another second, it was after that answer, whatever the pod's clock says.
func acceptedAt(second, secondBefore, at, before time.Time) time.Time {
	end := second.Add(precision)
	if !before.IsZero() && !second.Equal(secondBefore) && end.Before(before) {
		end = before
	}
	if end.After(at) {
		return at
	}
	return end
}

// maxAccepted bounds the key ids that are remembered of one bundle, besides
// those of the keys that are live now.
const maxAccepted = 1024

// forgettable is how old a last acceptance is at least that makes room for
// another when there are maxAccepted.
const forgettable = 48 * time.Hour

// accept notes what the answer says of the use of keys, and reports whether a
// key was used for the first time. For those that are named there is always room.
func accept(accepted map[string]time.Time, named map[string]bool, state bundle.State, last Answer, now time.Time) bool {
	var first bool
	for kid, second := range state.LastAccepted {
		at := acceptedAt(second, last.State.LastAccepted[kid], now, last.At)
		known, found := accepted[kid]
		switch {
		case !found && !named[kid] && len(accepted) >= maxAccepted && !makeRoom(accepted, now):
			continue
		case found && !at.After(known):
			continue
		}
		accepted[kid], first = at, first || !found
	}
	return first
}

// makeRoom forgets keys that nobody has used for long.
func makeRoom(accepted map[string]time.Time, now time.Time) bool {
	maps.DeleteFunc(accepted, func(_ string, at time.Time) bool { return now.Sub(at) > forgettable })
	return len(accepted) < maxAccepted
}
