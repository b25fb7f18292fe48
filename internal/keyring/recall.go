package keyring

import (
	"cmp"
	"slices"
	"strings"
)

// maxClaim is the highest generation that is believed of a witness. A set that
// changes every second needs longer than the earth has; a liar must not be able
// to make the counter run over.
const maxClaim = 1 << 52

// maxOwnKID is the longest key id that the status of a SigningKey holds.
const maxOwnKID = 64

// Witness is one that remembers a key set: the object's status, a bundle, or a
// sidecar that is ahead of the cluster.
type Witness struct {
	// Generation is the set's when the witness learned of it.
	Generation int64
	// ActiveKID is the key that signed then; empty: not known.
	ActiveKID string
	// Live are the ids of the keys that were accepted then.
	Live []string
	// Keys are keys that the witness has, in Live or not.
	Keys []VerifyKey
	// Revoked are the ids of revoked keys, of a witness that only we write to.
	Revoked []string
	// Claimed are the ids of keys that a sidecar calls revoked.
	Claimed []string
	// Ahead: a sidecar whose bundle's revision is above that of the bundle in the
	// cluster, which was restored. Its word counts more than the cluster's of the
	// same generation.
	Ahead bool
}

// Recall is what all witnesses together remember. Those of the highest
// generation say which keys are live, and any may have the keys themselves; a
// revocation counts whoever tells of it.
func Recall(witnesses ...Witness) Memory {
	m := Memory{}
	for _, w := range witnesses {
		if w.Generation <= maxClaim {
			m.Generation = max(m.Generation, w.Generation)
		}
	}
	m.Ahead = slices.ContainsFunc(witnesses, func(w Witness) bool { return w.Ahead && w.Generation == m.Generation })
	m.recallRevoked(witnesses)
	live := map[string]bool{}
	for _, w := range witnesses {
		if w.Generation != m.Generation || m.Generation == 0 || w.Ahead != m.Ahead {
			continue
		}
		for _, kid := range w.Live {
			live[kid] = true
		}
	}
	for kid := range live {
		m.Live = append(m.Live, kid)
	}
	slices.Sort(m.Live)
	m.recallKeys(witnesses, live)
	return m
}

// recallRevoked takes the revocations, each once, without ids that no key of
// ours can have: no bundle and no status could hold them.
func (m *Memory) recallRevoked(witnesses []Witness) {
	taken := map[string]bool{}
	take := func(into *[]string, kids []string) {
		for _, kid := range kids {
			if !taken[kid] && plausible(kid) {
				taken[kid] = true
				*into = append(*into, kid)
			}
		}
	}
	for _, w := range witnesses {
		take(&m.Revoked, w.Revoked)
	}
	for _, w := range witnesses {
		take(&m.Claimed, w.Claimed)
	}
}

// plausible reports whether a key id may be one of newKID.
func plausible(kid string) bool {
	return kid != "" && len(kid) <= maxOwnKID && !strings.ContainsFunc(kid, func(c rune) bool {
		return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z')
	})
}

// recallKeys takes the live keys from whoever has them, and the active one from
// who learned of it last.
func (m *Memory) recallKeys(witnesses []Witness, live map[string]bool) {
	newest := slices.Clone(witnesses)
	slices.SortStableFunc(newest, func(a, b Witness) int { return cmp.Compare(b.Generation, a.Generation) })
	taken := map[string]bool{}
	for _, w := range newest {
		if m.ActiveKID == "" && live[w.ActiveKID] {
			m.ActiveKID = w.ActiveKID
		}
		for _, k := range w.Keys {
			if live[k.KID] && !taken[k.KID] {
				taken[k.KID] = true
				m.Bundled = append(m.Bundled, k)
			}
		}
	}
}

// Behind reports whether a sidecar that is ahead of the cluster knows a later
// state, or one of the same generation with other keys. Nobody may be shown the
// state before Plan has rebuilt it.
func (s *State) Behind(generation int64, kids []string) bool {
	if generation != s.Generation {
		return generation > s.Generation
	}
	return len(kids) != len(s.Keys) || slices.ContainsFunc(kids, func(kid string) bool { return !s.live(kid) })
}

// Revives reports whether a key is live in this state that others remember as
// revoked, as one may be that was put back, whatever its generation is. Nobody may
// be shown it before Plan has dropped the key.
func (s *State) Revives(revoked []string) bool { return slices.ContainsFunc(revoked, s.live) }

// Acknowledged is the highest generation of the set that a sidecar proves to
// have loaded when it answers with a generation and the ids of the keys that it
// accepts. A generation alone proves little: after a restore or for an object
// that was made anew it may count the changes of another set. So it proves no
// key that is missing from kids, and no revocation of one that is there.
func (s *State) Acknowledged(generation int64, kids []string) int64 {
	for _, k := range s.Keys {
		if k.Generation <= generation && !slices.Contains(kids, k.KID) {
			generation = k.Generation - 1
		}
	}
	for _, r := range s.Revoked {
		if r.Generation > 0 && r.Generation <= generation && slices.Contains(kids, r.KID) {
			generation = r.Generation - 1
		}
	}
	return max(generation, 0)
}
