package fleet

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/token"
)

// exported is what an exported Secret tells its signer.
type exported struct {
	signingKey string // the owner
	kid        string
	current    []byte
}

// Signer is a back end that signs with an exported Secret: it takes up a new key
// some time after the Secret changed.
type Signer struct {
	// SigningKey is the name of the key set's object.
	SigningKey string

	algorithm string
	lag       Span
	fleet     *Fleet

	mu     sync.Mutex
	stuck  bool
	inUse  token.Key
	former []token.Key // keys that it used before, oldest first
}

// Signed is a token and what the one who made it knows of it.
type Signed struct {
	JWS, KID string
	Expires  time.Time
}

// Signer returns a signer over an exported Secret, once that holds a key. It
// takes up a new key lag after it was exported.
func (f *Fleet) Signer(ctx context.Context, secret, algorithm string, lag Span) (*Signer, error) {
	err := f.until(ctx, func() bool { return len(f.export(secret).current) > 0 })
	if err != nil {
		return nil, fmt.Errorf("waiting for a key in secret %s: %w", secret, err)
	}
	first := f.export(secret)
	s := &Signer{SigningKey: first.signingKey, algorithm: algorithm, lag: lag, fleet: f}
	if err := s.use(first); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.signers[secret] = append(f.signers[secret], s)
	f.mu.Unlock()
	return s, nil
}

func (f *Fleet) export(secret string) exported {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exports[secret]
}

// exportChanged lets the signers of a Secret take it up at their own pace.
func (f *Fleet) exportChanged(secret *corev1.Secret) {
	now := exported{kid: string(secret.Data[v1alpha1.ExportCurrentKID]), current: secret.Data[v1alpha1.ExportCurrent]}
	if owner := metav1.GetControllerOf(secret); owner != nil {
		now.signingKey = owner.Name
	}
	f.mu.Lock()
	f.exports[secret.Name] = now
	signers := f.signers[secret.Name]
	f.tellWaiters()
	f.mu.Unlock()
	for _, signer := range signers {
		f.after(f.pick(signer.lag), func() { signer.restart(secret.Name) })
	}
}

// restart takes up what the Secret holds now.
func (s *Signer) restart(secret string) {
	if err := s.use(s.fleet.export(secret)); err != nil {
		s.fleet.ledger.violate("signer of "+s.SigningKey, err.Error())
	}
}

// use signs with an exported key from now on. A signer without a key goes on
// with none.
func (s *Signer) use(now exported) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck || now.kid == s.inUse.KID {
		return nil
	}
	if s.inUse.KID != "" {
		s.former = append(s.former, s.inUse)
		s.former = s.former[max(0, len(s.former)-formerKeys):]
	}
	s.inUse = token.Key{}
	if len(now.current) == 0 {
		return nil
	}
	key, err := token.ParsePrivate(s.algorithm, now.current)
	if err != nil {
		return fmt.Errorf("reading the exported key: %w", err)
	}
	key.KID = now.kid
	s.inUse = key
	return nil
}

// formerKeys is how many keys a signer remembers, to try what they are still
// good for.
const formerKeys = 8

// Stick makes the signer go on with the key it has, or lets it follow the Secret
// again from its next change.
func (s *Signer) Stick(stuck bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = stuck
}

// KID is the id of the key in use; empty: it has none.
func (s *Signer) KID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inUse.KID
}

// Mint signs a token with the key in use. It reports false when there is none.
func (s *Signer) Mint(now time.Time, lifetime time.Duration) (Signed, bool, error) {
	s.mu.Lock()
	key := s.inUse
	s.mu.Unlock()
	if key.KID == "" {
		return Signed{}, false, nil
	}
	signed, err := mint(key, now, lifetime)
	return signed, err == nil, err
}

// forge signs tokens with the keys that were in use before.
func (s *Signer) forge(now time.Time, lifetime time.Duration) ([]Signed, error) {
	s.mu.Lock()
	former := append([]token.Key(nil), s.former...)
	s.mu.Unlock()
	var all []Signed
	for _, key := range former {
		signed, err := mint(key, now, lifetime)
		if err != nil {
			return nil, err
		}
		all = append(all, signed)
	}
	return all, nil
}

func mint(key token.Key, now time.Time, lifetime time.Duration) (Signed, error) {
	issued := now.Truncate(time.Second)
	expires := issued.Add(lifetime)
	jws, err := token.Mint(key, nil, map[string]any{
		"sub": "fleet", "jti": rand.Text(), "iat": issued.Unix(), "exp": expires.Unix(),
	})
	if err != nil {
		return Signed{}, fmt.Errorf("signing a token: %w", err)
	}
	return Signed{JWS: jws, KID: key.KID, Expires: expires}, nil
}
