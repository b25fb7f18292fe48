package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// SignerVersion is the only version of signer.json there is.
const SignerVersion = 1

// maxPublished is how many keys one SigningKey shows at most.
const maxPublished = maxKeys

// SignerFile is signer.json: what one issuer signs with. It holds a private key
// or an HMAC secret, and it is printed by nothing.
type SignerFile struct {
	// SigningKey is the name of the SigningKey.
	SigningKey string
	// Algorithm is its JWS algorithm (RFC 7518 section 3.1, RFC 8037).
	Algorithm string
	// MaxTokenLifetime caps the lifetime of the issuer's tokens. It is positive.
	MaxTokenLifetime time.Duration
	// KID is the id of the key that signs; empty: nobody may sign now, because the
	// last key was revoked and its successor has not reached every verifier.
	KID string
	// Value is the HMAC secret, or the private key in PEM; empty when KID is.
	Value Octets
	// Publish are the public keys for the issuer's JWKS: those that verifiers
	// accept and those they will. None for HMAC.
	Publish []VerifyKey
}

// String names the key without its material.
func (f SignerFile) String() string {
	return fmt.Sprintf("signer of %s: key %q (%s)", f.SigningKey, f.KID, f.Algorithm)
}

// Signer is what an issuer may have of the state: the active key with its
// private half, and the public halves of all live ones.
func (s *State) Signer(name string, maxTokenLifetime time.Duration) SignerFile {
	f := SignerFile{SigningKey: name, Algorithm: s.Algorithm, MaxTokenLifetime: maxTokenLifetime}
	if active, ok := s.ActiveKey(); ok && len(active.Value) > 0 {
		f.KID, f.Value = active.KID, active.Value
	}
	if !isHMAC(s.Algorithm) {
		f.Publish = s.VerifyKeys()
	}
	return f
}

// signerJSON is SignerFile on the wire.
type signerJSON struct {
	Version          int         `json:"version"`
	SigningKey       string      `json:"signingKey"`
	Algorithm        string      `json:"algorithm"`
	MaxTokenLifetime string      `json:"maxTokenLifetime"`
	KID              string      `json:"kid,omitempty"`
	Value            Octets      `json:"value,omitempty"`
	Publish          []VerifyKey `json:"publish"`
}

// Marshal writes the file: equal files are equal bytes. It refuses what
// ParseSigner would.
func (f SignerFile) Marshal() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("writing signer.json: %w", err)
	}
	out := signerJSON{
		Version: SignerVersion, SigningKey: f.SigningKey, Algorithm: f.Algorithm,
		MaxTokenLifetime: f.MaxTokenLifetime.String(), KID: f.KID, Value: f.Value,
		Publish: append([]VerifyKey{}, f.Publish...),
	}
	data, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("writing signer.json: %w", err)
	}
	return data, nil
}

// ParseSigner reads signer.json. Whatever is not exactly version 1 is an error:
// unknown and duplicate fields, a private key among those to show, text after
// the document. Errors quote no key.
func ParseSigner(data []byte) (SignerFile, error) {
	var in signerJSON
	if err := decodeStrict(data, &in); err != nil {
		return SignerFile{}, fmt.Errorf("reading signer.json: %w", err)
	}
	if in.Version != SignerVersion {
		return SignerFile{}, fmt.Errorf("reading signer.json: version is %d, this issuer reads %d: use images of one release", in.Version, SignerVersion)
	}
	lifetime, err := parseLifetime(in.MaxTokenLifetime)
	if err != nil {
		return SignerFile{}, fmt.Errorf("reading signer.json: maxTokenLifetime: %w", err)
	}
	f := SignerFile{SigningKey: in.SigningKey, Algorithm: in.Algorithm, MaxTokenLifetime: lifetime, KID: in.KID, Value: in.Value}
	if len(in.Publish) > 0 {
		f.Publish = in.Publish
	}
	if err := f.check(); err != nil {
		return SignerFile{}, fmt.Errorf("reading signer.json: %w", err)
	}
	return f, nil
}

func (f SignerFile) check() error {
	switch {
	case f.SigningKey == "" || len(f.SigningKey) > maxKID:
		return fmt.Errorf("signingKey: wants a name of up to %d characters", maxKID)
	case !slices.Contains(algorithms, f.Algorithm):
		return fmt.Errorf("algorithm: %.16q is none of %v", f.Algorithm, algorithms)
	case f.MaxTokenLifetime <= 0:
		return errors.New("maxTokenLifetime: must be positive")
	case (f.KID == "") != (len(f.Value) == 0):
		return errors.New("kid, value: either both or neither: without them nobody may sign")
	case len(f.KID) > maxKID:
		return fmt.Errorf("kid: wants up to %d characters", maxKID)
	case len(f.Publish) > maxPublished:
		return fmt.Errorf("publish: %d keys are more than %d", len(f.Publish), maxPublished)
	}
	return f.checkPublish()
}

// checkPublish refuses keys that the issuer must not show, and a signing key that
// verifiers could not find.
func (f SignerFile) checkPublish() error {
	seen := map[string]bool{}
	for i, key := range f.Publish {
		switch err := checkKey(key); {
		case len(key.K) > 0 || isHMAC(f.Algorithm):
			return fmt.Errorf("publish[%d]: secrets are shown to nobody", i)
		case err != nil:
			return fmt.Errorf("publish[%d]%w", i, err)
		case key.KID == "" || seen[key.KID]:
			return fmt.Errorf("publish[%d].kid: must be set and occur once", i)
		}
		seen[key.KID] = true
	}
	if f.KID != "" && !isHMAC(f.Algorithm) && !seen[f.KID] {
		return errors.New("publish: lacks the key that signs: verifiers would refuse its tokens")
	}
	return nil
}

// JWKS is the keys to show as a JSON Web Key Set (RFC 7517 section 5), each with
// kid, alg and use; empty for HMAC.
func (f SignerFile) JWKS() (json.RawMessage, error) {
	keys := []json.RawMessage{}
	for _, k := range f.Publish {
		if k.Alg == "" {
			k.Alg = f.Algorithm
		}
		jwk, err := named(k)
		if err != nil {
			return nil, err
		}
		keys = append(keys, jwk)
	}
	set, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		return nil, fmt.Errorf("writing the key set: %w", err)
	}
	return set, nil
}
