package issuing

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/internal/password"
	"gatepost.dev/gatepost/token"
)

// Snapshot is everything that issuing tokens depends on, at one moment. It is
// immutable.
type Snapshot struct {
	// Name and Namespace are the issuer's. The namespace is that of the service
	// accounts whose tokens are exchanged.
	Name, Namespace string
	// Plan decides who gets which token.
	Plan *grant.Plan
	// Signer signs.
	Signer Signer
	// JWKS is the key set to show (RFC 7517 section 5).
	JWKS json.RawMessage
	// Sessions judges session tokens of all providers; nil without any. Remote key
	// sets are fetched for it.
	Sessions *token.Verifier
	// Places are where session tokens may be, each with the providers that take
	// theirs from there.
	Places []Place
	// ServiceAccounts judges tokens of the cluster; nil without them.
	ServiceAccounts *token.Verifier
	// Clients are the OAuth clients by their keys; nil without any.
	Clients *apikey.Set
	// Users are those with a password; nil without any.
	Users *password.Users
	// Facts say which edition of the keys this is. KIDs holds the keys that are
	// shown too.
	bundle.Facts
	// Warnings are things that work and are probably not meant.
	Warnings []string
}

// Signer is the key that signs.
type Signer struct {
	// SigningKey is its name.
	SigningKey string
	// Algorithm is its JWS algorithm.
	Algorithm string
	// Key signs; without a KID nobody may sign now.
	Key token.Key
}

// CanSign reports whether there is a key that may sign.
func (s *Signer) CanSign() bool { return s.Key.KID != "" }

// Place is where session tokens of some providers are.
type Place struct {
	grant.SessionSource

	// Verifier judges the tokens that are there.
	Verifier *token.Verifier
}

// Source is where an issuer's document and keys come from: Files or Directory.
type Source interface {
	document() (manifest.IssuerDocument, error)
	keys() (bundle.Keys, error)
	// signer is what signs; the name is the document's SigningKey.
	signer(name string) (keyring.SignerFile, error)
	// users is the content of the password file that the document refers to.
	users(ref grant.UsersSecretRef) ([]byte, error)
	serviceAccounts() (keyring.ServiceAccountsFile, error)
}

// Load makes a Snapshot of an issuer's document and keys: whole, or an error that
// names the field and the fix and no secret. It wraps what bundle.Load wraps.
// Without bundle.Options.Remotes nothing is fetched, now or later.
func Load(source Source, options bundle.Options) (*Snapshot, error) {
	doc, err := source.document()
	if err != nil {
		return nil, err
	}
	keys, err := source.keys()
	if err != nil {
		return nil, err
	}
	facts, err := bundle.FactsOf(keys, options)
	if err != nil {
		return nil, err
	}
	plan, err := grant.Compile(doc.Spec)
	if err != nil {
		return nil, fmt.Errorf("issuer %s: %w", doc.Name, err)
	}
	made := &Snapshot{Name: doc.Name, Namespace: doc.Namespace, Plan: plan, Facts: facts, Warnings: plan.Warnings()}
	for _, step := range []func() error{
		func() error { return made.takeSigner(source) },
		func() error {
			return made.takeSessions(bundle.Sources{Keys: keys, Remotes: options.Remotes, Revoked: made.Revoked})
		},
		func() error { return made.takeClients(doc, keys, options.Now) },
		func() error { return made.takeUsers(source) },
		func() error { return made.takeServiceAccounts(source) },
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("issuer %s: %w", doc.Name, err)
		}
	}
	return made, nil
}

// takeSigner reads the key that signs and those that are shown.
func (s *Snapshot) takeSigner(source Source) error {
	spec := s.Plan.Spec()
	name := spec.SigningKeyRef.Name
	file, err := source.signer(name)
	switch lifetime := spec.TokenLifetime.Duration; {
	case err != nil:
		return err
	case file.SigningKey != name:
		return fmt.Errorf("spec.signingKeyRef: names %s, and signer.json is of %.64s: document and keys are of different editions", name, file.SigningKey)
	case lifetime > file.MaxTokenLifetime:
		return fmt.Errorf("spec.tokenLifetime: %s is more than the %s of SigningKey %s (spec.maxTokenLifetime): verifiers would refuse the tokens; shorten it, or raise the key's",
			lifetime, file.MaxTokenLifetime, name)
	}
	s.Signer = Signer{SigningKey: name, Algorithm: file.Algorithm}
	if s.JWKS, err = file.JWKS(); err != nil {
		return err
	}
	shown := make([]token.Key, len(file.Publish))
	for k, key := range file.Publish {
		shown[k] = token.Key{KID: key.KID, Alg: file.Algorithm, JWK: key.JWK}
		s.noteKID(name, key.KID)
	}
	if _, errs := token.NewKeySet(shown); len(errs) > 0 {
		return fmt.Errorf("signer.json: publish: %w", errors.Join(errs...))
	}
	if slices.Contains(s.Revoked[name], file.KID) {
		s.Warnings = append(s.Warnings, fmt.Sprintf("signer.json: key %q was revoked: nobody signs until there is another", file.KID))
		return nil
	}
	if file.KID == "" {
		s.Warnings = append(s.Warnings, "signer.json: there is no key to sign with now: requests are answered 503 until there is")
		return nil
	}
	return s.Signer.read(file)
}

func (s *Snapshot) noteKID(name, kid string) {
	if s.KIDs == nil {
		s.KIDs = map[string][]string{}
	}
	s.KIDs[name] = slices.Compact(slices.Sorted(slices.Values(append(s.KIDs[name], kid))))
}

// read makes the key ready: one whose tokens its own public half does not verify
// must never come into force.
func (s *Signer) read(file keyring.SignerFile) error {
	key := token.Key{KID: file.KID, Alg: file.Algorithm, K: token.Secret(file.Value), AllowShort: true}
	if !isSecretAlgorithm(file.Algorithm) {
		var err error
		if key, err = token.ParsePrivate(file.Algorithm, file.Value); err != nil {
			return fmt.Errorf("signer.json: value: reading the private key of %q: %w", file.KID, err)
		}
		key.KID = file.KID
		if err := isShown(key, file.Publish); err != nil {
			return fmt.Errorf("signer.json: key %q: %w", file.KID, err)
		}
	}
	if _, err := token.Mint(key, nil, nil); err != nil {
		return fmt.Errorf("signer.json: key %q: %w", file.KID, err)
	}
	s.Key = key
	return nil
}

// isShown checks that the public half of a key is what is shown under its id.
func isShown(key token.Key, publish []keyring.VerifyKey) error {
	public, err := token.PublicJWK(key)
	if err != nil {
		return err
	}
	for _, shown := range publish {
		if shown.KID == key.KID && publicMembers(shown.JWK) == publicMembers(public) {
			return nil
		}
	}
	return errors.New("the public key that is shown under its id is another's: verifiers would refuse its tokens")
}

// publicKey is what makes one public key another than the next, in the order of
// RFC 7638 section 3.3.
type publicKey struct {
	Crv string `json:"crv,omitempty"`
	E   string `json:"e,omitempty"`
	Kty string `json:"kty"`
	N   string `json:"n,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

func publicMembers(jwk json.RawMessage) publicKey {
	var k publicKey
	if err := json.Unmarshal(jwk, &k); err != nil {
		return publicKey{}
	}
	return k
}
