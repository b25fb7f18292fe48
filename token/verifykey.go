package token

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// verifyKey is a key made ready: one check for each algorithm it is pinned to.
type verifyKey struct {
	kid       string
	symmetric bool
	dear      bool // a verification costs dearTrials
	checks    [len(algorithms)]signatureCheck
}

// signatureCheck verifies a signature by one algorithm with one key.
type signatureCheck interface {
	verify(signed, signature []byte) bool
}

// check returns the check for alg, or nil: the key is not for that algorithm.
func (k *verifyKey) check(alg algorithm) signatureCheck {
	if alg >= noAlgorithm {
		return nil
	}
	return k.checks[alg]
}

// trials is what one verification by this key counts.
func (k *verifyKey) trials() int {
	if k.dear {
		return dearTrials
	}
	return 1
}

// newVerifyKey makes a stored key ready.
func newVerifyKey(key Key) (*verifyKey, error) {
	if len(key.K) > 0 && len(key.JWK) > 0 {
		return nil, fmt.Errorf("%.64q: %w", key.KID, errKeyMaterial)
	}
	made, err := readStored(key)
	if err != nil {
		return nil, fmt.Errorf("%.64q: %w", key.KID, err)
	}
	return made, nil
}

var (
	errKeyMaterial = errors.New("a key is a secret or a JSON Web Key, not both")
	errKeyAlg      = errors.New("the algorithm is not one this key can be used with")
	errKIDDiffers  = errors.New("the kid differs from that of the JSON Web Key")
	errAlgDiffers  = errors.New("the algorithm differs from that of the JSON Web Key")
)

func readStored(key Key) (*verifyKey, error) {
	if len(key.JWK) == 0 {
		return newSecretKey(key)
	}
	document, err := decodeObject(string(key.JWK))
	if err != nil {
		return nil, fmt.Errorf("reading JSON Web Key: %w", err)
	}
	if key.KID != "" {
		if kid, present := document["kid"]; present && kid != key.KID {
			return nil, errKIDDiffers
		}
		document["kid"] = key.KID
	}
	if key.Alg != "" {
		if alg, present := document["alg"]; present && alg != key.Alg {
			return nil, errAlgDiffers
		}
		document["alg"] = key.Alg
	}
	return newPublicKey(document)
}

// newSecretKey makes an HMAC secret ready: for its algorithm, or without one for
// each HS* that it is long enough for.
func newSecretKey(key Key) (*verifyKey, error) {
	made := &verifyKey{kid: key.KID, symmetric: true}
	var refused error
	usable := false
	for i, alg := range algorithms {
		if alg.family != familyHMAC || (key.Alg != "" && key.Alg != alg.name) {
			continue
		}
		if err := CheckSecret(alg.name, key.K, key.AllowShort); err != nil {
			refused = firstError(refused, err)
			continue
		}
		usable = true
		made.checks[i] = newHMACCheck(alg.hash, key.K)
	}
	if usable {
		return made, nil
	}
	return nil, firstError(refused, errKeyAlg)
}

// firstError returns the first error that is not nil.
func firstError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// hmacCheck keeps keyed hash states: making one costs more than the hash of a
// short token.
type hmacCheck struct {
	size   int
	states sync.Pool
}

func newHMACCheck(function crypto.Hash, secret Secret) *hmacCheck {
	own := append([]byte(nil), secret...)
	check := &hmacCheck{size: function.Size()}
	check.states.New = func() any {
		return &hmacState{mac: hmac.New(function.New, own)}
	}
	return check
}

type hmacState struct {
	mac hash.Hash
	sum [64]byte
}

func (c *hmacCheck) verify(signed, signature []byte) bool {
	if len(signature) != c.size {
		return false
	}
	state, ok := c.states.Get().(*hmacState)
	if !ok {
		return false
	}
	defer c.states.Put(state)
	state.mac.Reset()
	state.mac.Write(signed)
	return hmac.Equal(state.mac.Sum(state.sum[:0]), signature)
}

// publicCheck leaves the signature to jwx, after what jwx does not look at: the
// length, and for PS* that of the salt.
type publicCheck struct {
	verifier jws.Verifier
	key      any
	size     int
	salted   crypto.Hash // of PS*; 0: another algorithm
}

func newPublicCheck(alg string, key any, size int) (*publicCheck, error) {
	verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(alg))
	if err != nil {
		return nil, fmt.Errorf("making verifier: %w", err)
	}
	check := &publicCheck{verifier: verifier, key: key, size: size}
	if strings.HasPrefix(alg, "PS") {
		check.salted = algorithms[algorithmNamed(alg)].hash
	}
	return check, nil
}

func (c *publicCheck) verify(signed, signature []byte) bool {
	if len(signature) != c.size {
		return false
	}
	if c.salted != 0 {
		return c.verifyPSS(signed, signature)
	}
	return c.verifier.Verify(signed, signature, c.key) == nil
}

// verifyPSS wants a salt as long as the hash (RFC 7518 section 3.5); jwx takes
// one of any length.
func (c *publicCheck) verifyPSS(signed, signature []byte) bool {
	key, ok := c.key.(*rsa.PublicKey)
	if !ok {
		return false
	}
	digest := c.salted.New()
	digest.Write(signed)
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return rsa.VerifyPSS(key, c.salted, digest.Sum(nil), signature, options) == nil
}
