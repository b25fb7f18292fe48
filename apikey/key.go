package apikey

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"strings"
)

// The form of a key: prefix, id, "_", random part, checksum.
const (
	// Prefix begins every key.
	Prefix = "gpk_"
	// Length is the length of every key in bytes.
	Length = len(Prefix) + idLength + 1 + randomLength + sumLength

	idBytes, idLength         = 5, 8
	randomBytes, randomLength = 20, 32
	sumLength                 = 7 // of the CRC-32 in base 32
	sumAt                     = Length - sumLength
)

// alphabet is that of base 32 (RFC 4648 section 6) in lower case: no letter of
// it needs escaping anywhere, and no two differ in case alone.
const alphabet = "abcdefghijklmnopqrstuvwxyz234567"

// Key is the text of one well-formed API key. It prints as "redacted". The zero
// Key is no key.
type Key struct{ text string }

// Generate makes a new key of 25 bytes of random, which must be a source fit for
// secrets, such as crypto/rand.Reader.
func Generate(random io.Reader) (Key, error) {
	var raw [idBytes + randomBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return Key{}, fmt.Errorf("making an API key: %w", err)
	}
	encoding := base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)
	body := Prefix + encoding.EncodeToString(raw[:idBytes]) + "_" + encoding.EncodeToString(raw[idBytes:])
	sum := checksum(body)
	return Key{text: body + string(sum[:])}, nil
}

// errForm says what a key looks like; it never quotes what was there instead.
var errForm = errors.New("not an API key: one looks like gpk_<id>_<random><checksum>, 52 characters, as gatepost apikey create prints it")

// Parse recognises a key by its length, its form and its checksum. What it
// returns is well-formed; whether anybody has it, Set.Lookup knows. The error
// never quotes text. Parse allocates nothing.
func Parse(text string) (Key, error) {
	if len(text) != Length || text[:len(Prefix)] != Prefix || text[len(Prefix)+idLength] != '_' {
		return Key{}, errForm
	}
	for i := len(Prefix); i < Length; i++ {
		if i != len(Prefix)+idLength && !isDigit(text[i]) {
			return Key{}, errForm
		}
	}
	if sum := checksum(text[:sumAt]); string(sum[:]) != text[sumAt:] {
		return Key{}, errForm
	}
	return Key{text: text}, nil
}

func isDigit(c byte) bool { return 'a' <= c && c <= 'z' || '2' <= c && c <= '7' }

// checksum is the CRC-32 (IEEE) of the body in base 32, most significant digit
// first. It finds typing errors; it proves nothing. It is written out because
// crc32.Update would have every request's key copied to the heap.
func checksum(body string) [sumLength]byte {
	rest := ^uint32(0)
	for i := range len(body) {
		rest = crc32.IEEETable[(rest^uint32(body[i]))&0xff] ^ rest>>8
	}
	rest = ^rest
	var sum [sumLength]byte
	for i := sumLength - 1; i >= 0; i-- {
		sum[i] = alphabet[rest%32]
		rest /= 32
	}
	return sum
}

// Reveal is the text of the key: for the one who asked for a new key, once.
func (k Key) Reveal() string { return k.text }

// ID is the part of the key that may be spoken and shown. Empty for the zero Key.
func (k Key) ID() string {
	if k.text == "" {
		return ""
	}
	return k.text[len(Prefix) : len(Prefix)+idLength]
}

// Hash is the SHA-256 of the key's text. It allocates nothing.
func (k Key) Hash() Hash {
	var space [Length]byte
	return sha256.Sum256(space[:copy(space[:], k.text)])
}

const redacted = "redacted"

// String returns "redacted".
func (Key) String() string { return redacted }

// GoString returns "redacted".
func (Key) GoString() string { return redacted }

// Format writes "redacted" for every verb.
func (Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// LogValue is "redacted".
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes "redacted", so that no encoder can write a key either.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Hash is the SHA-256 of a key, by which alone a key is known.
type Hash [sha256.Size]byte

// hashPrefix names the hash function on the wire.
const hashPrefix = "sha256:"

// String is the hash as keyHash holds it: sha256: and lower-case hexadecimal.
func (h Hash) String() string { return hashPrefix + hex.EncodeToString(h[:]) }

// ParseHash reads what String writes, and nothing else. The error does not quote
// text: it may be a key that stands in the place of its hash.
func ParseHash(text string) (Hash, error) {
	var h Hash
	digits, ok := strings.CutPrefix(text, hashPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(h)) || digits != strings.ToLower(digits) {
		return Hash{}, errHash
	}
	if _, err := hex.Decode(h[:], []byte(digits)); err != nil {
		return Hash{}, errHash
	}
	return h, nil
}

var errHash = errors.New("not the hash of an API key: it is sha256: and 64 digits of lower-case hexadecimal")
