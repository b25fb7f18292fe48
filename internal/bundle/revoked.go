package bundle

import (
	"slices"

	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/token"
)

// remember adds to the revocations that keys.json names those that were known
// before, of the SigningKeys that it still names: key ids never come again, so
// nobody is refused who should not be. No more are kept of one SigningKey than
// the controller keeps.
func remember(f Facts, before map[string][]string) map[string][]string {
	var all map[string][]string
	for name := range f.Generations {
		kids := slices.Clone(f.Revoked[name])
		for _, kid := range before[name] {
			if len(kids) < keyring.MaxRevoked && !slices.Contains(kids, kid) {
				kids = append(kids, kid)
			}
		}
		if len(kids) == 0 {
			continue
		}
		if all == nil {
			all = map[string][]string{}
		}
		slices.Sort(kids)
		all[name] = kids
	}
	return all
}

// LoadedKIDs are the ids of the loaded keys, ascending, by the SigningKey that
// they are of.
func LoadedKIDs(providers []token.Provider) map[string][]string {
	var loaded map[string][]string
	for i := range providers {
		ref := providers[i].SigningKeyRef
		set, ok := providers[i].Keys.(*token.KeySet)
		if ref == nil || !ok {
			continue
		}
		if loaded == nil {
			loaded = map[string][]string{}
		}
		kids := append(loaded[ref.Name], set.KIDs()...)
		slices.Sort(kids)
		loaded[ref.Name] = slices.Compact(kids)
	}
	return loaded
}
