package password

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// The bounds of parameters. The lower ones are OWASP's; the upper ones keep a hash
// within a second and a half and within the memory of the issuer's pod.
const (
	minCost, maxCost           = 10, 14        // bcrypt
	minMemory, maxMemory       = 7168, 65536   // argon2id, in KiB
	minWork, maxWork           = 35840, 524288 // its memory in KiB times its passes
	maxThreads                 = 8
	minSalt, maxSalt           = 8, 64 // bytes
	minDigest, maxDigest       = 16, 64
	maxHashText                = 512
	bcryptMemory         int64 = 8 << 10 // bytes
)

// kind is what a hash costs: its function and parameters.
type kind struct {
	cost            int // bcrypt; 0: argon2id
	memory, passes  int // argon2id; memory in KiB
	threads, digest int // argon2id; digest in bytes
}

// String says the kind as the line of a user does.
func (k kind) String() string {
	if k.cost > 0 {
		return fmt.Sprintf("bcrypt with cost %d", k.cost)
	}
	return fmt.Sprintf("argon2id with m=%d,t=%d,p=%d", k.memory, k.passes, k.threads)
}

// bytes is the memory that a hash takes while it is computed.
func (k kind) bytes() int64 {
	if k.cost > 0 {
		return bcryptMemory
	}
	return int64(k.memory) << 10
}

// hash is a hashed password.
type hash struct {
	kind   kind
	text   string // as it stands in the file
	salt   []byte // argon2id
	digest []byte // argon2id

	nobodys bool // a dummy
}

// errForm is about what is neither bcrypt nor argon2id. The forms are read by hand:
// this package is linked into sidecars too, and a regular expression would cost each of
// them memory at its start.
const errForm errLine = "has no hash by bcrypt ($2a$, $2b$, $2y$) or argon2id ($argon2id$v=19$): write it with htpasswd -B -C 12"

func parseHash(text string) (hash, error) {
	if len(text) > maxHashText {
		return hash{}, errLine("has more after the colon than a hash")
	}
	if cost, ok := bcryptCost(text); ok {
		return parseBcrypt(text, cost)
	}
	if fields := strings.Split(text, "$"); len(fields) == 6 && strings.HasPrefix(text, "$argon2id$v=19$") {
		return parseArgon2(text, [3]string(fields[3:]))
	}
	return hash{}, errForm
}

// bcryptDigits are those of its base64.
const bcryptDigits = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// bcryptCost is the cost in a text of the form of bcrypt: $2b$, two digits, $, and 53
// digits of its base64.
func bcryptCost(text string) (cost int, ok bool) {
	const head = len("$2b$12$")
	if len(text) != head+53 || text[:2] != "$2" || !strings.Contains("aby", text[2:3]) || text[3] != '$' || text[6] != '$' {
		return 0, false
	}
	foreign := strings.ContainsFunc(text[head:], func(r rune) bool { return !strings.ContainsRune(bcryptDigits, r) })
	cost, err := strconv.Atoi(text[4:6])
	return cost, err == nil && cost >= 0 && !foreign
}

func parseBcrypt(text string, cost int) (hash, error) {
	if cost < minCost || cost > maxCost {
		return hash{}, fmt.Errorf("has bcrypt with cost %d; %d to %d are taken: write it with htpasswd -B -C 12", cost, minCost, maxCost)
	}
	return hash{kind: kind{cost: cost}, text: text}, nil
}

// parseArgon2 reads parameters, salt and digest.
func parseArgon2(text string, fields [3]string) (hash, error) {
	of, err := argon2Kind(fields[0])
	if err != nil {
		return hash{}, err
	}
	salt, errSalt := decode(fields[1])
	digest, errDigest := decode(fields[2])
	if errSalt != nil || errDigest != nil {
		return hash{}, errLine("has a salt or a digest that is no base64 without padding")
	}
	if len(salt) < minSalt || len(salt) > maxSalt || len(digest) < minDigest || len(digest) > maxDigest {
		return hash{}, fmt.Errorf("has a salt of %d and a digest of %d bytes; %d to %d and %d to %d are taken",
			len(salt), len(digest), minSalt, maxSalt, minDigest, maxDigest)
	}
	of.digest = len(digest)
	return hash{kind: of, text: text, salt: salt, digest: digest}, nil
}

// decode reads base64 of one spelling: the decoder would pass over line ends.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errForm
	}
	return base64.RawStdEncoding.Strict().DecodeString(text)
}

// argon2Kind reads m, t and p, in this order and of one spelling.
func argon2Kind(text string) (kind, error) {
	parameters := strings.Split(text, ",")
	if len(parameters) != 3 {
		return kind{}, errForm
	}
	var numbers [3]int
	for i, what := range []struct {
		name      string
		low, high int
	}{{"m=", minMemory, maxMemory}, {"t=", 1, maxWork / minMemory}, {"p=", 1, maxThreads}} {
		number, found := strings.CutPrefix(parameters[i], what.name)
		n, err := strconv.Atoi(number)
		if !found || err != nil || strconv.Itoa(n) != number {
			return kind{}, errForm
		}
		if n < what.low || n > what.high {
			return kind{}, fmt.Errorf("has argon2id with %s%d; %d to %d are taken", what.name, n, what.low, what.high)
		}
		numbers[i] = n
	}
	of := kind{memory: numbers[0], passes: numbers[1], threads: numbers[2]}
	if work := of.memory * of.passes; work < minWork || work > maxWork {
		return kind{}, fmt.Errorf("has argon2id with m=%d,t=%d; their product must be %d to %d: m=19456,t=2 will do", of.memory, of.passes, minWork, maxWork)
	}
	return of, nil
}

// dummy is a hash of a kind that no password has.
func dummy(of kind) hash {
	if of.cost > 0 {
		return hash{kind: of, nobodys: true, text: fmt.Sprintf("$2b$%02d$%053d", of.cost, 0)}
	}
	return hash{kind: of, nobodys: true, salt: make([]byte, minDigest), digest: make([]byte, of.digest)}
}

// matches computes the hash of a password and compares it.
func (h hash) matches(password string) bool {
	equal := h.equals(password)
	return equal && !h.nobodys
}

func (h hash) equals(password string) bool {
	if h.kind.cost > 0 {
		short := password[:min(len(password), MaxBcryptLength)]
		err := bcrypt.CompareHashAndPassword([]byte(h.text), []byte(short))
		return err == nil && len(short) == len(password)
	}
	of := h.kind
	got := argon2.IDKey([]byte(password), h.salt, uint32(of.passes), uint32(of.memory), uint8(of.threads), uint32(of.digest)) //nolint:gosec // argon2Kind bounds them
	return subtle.ConstantTimeCompare(got, h.digest) == 1
}
