package token

import "encoding/json"

// Size is how many bytes of memory v holds at most, about: a claim takes many
// times the memory of its text. It looks at every claim.
func (v *Verified) Size() int {
	if !v.Valid() {
		return 0
	}
	const self = 128
	guessed := mapSize(guessedMembers) - mapSize(len(v.claims))
	return self + v.text + sizeOfValue(v.claims) + max(0, guessed)
}

// sizeOfValue is what a value of decodeObject holds beside the interface that it
// is in. Strings with escapes do not share the memory of the text.
func sizeOfValue(value any) int {
	const header, slot = 24, 16
	switch value := value.(type) {
	case json.Number:
		return slot // it has no escapes
	case string:
		return header + 8 + len(value)
	case []any:
		size := header + slot*cap(value)
		for _, one := range value {
			size += sizeOfValue(one)
		}
		return size
	case map[string]any:
		size := mapSize(len(value))
		for name, one := range value {
			size += 8 + len(name) + sizeOfValue(one)
		}
		return size
	default:
		return 0 // the runtime keeps one true and one false
	}
}

// mapSize is what a map of so many members takes: up to eight are one group, more
// are a table with a power of two of slots, of which seven in eight are used.
func mapSize(members int) int {
	const group, slot = 352, 36
	if members <= 8 {
		return group
	}
	slots := 16
	for slots*7 < members*8 {
		slots *= 2
	}
	return group + slot*slots
}
