package stage

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// rereadEvery is how old what a Signer knows of the Secret may be.
const rereadEvery = time.Second

// Signer is a back end outside Gatepost: it reads the Secret that a SigningKey is
// exported to, again and again, and signs with the key it finds there. One that
// has the key from its environment (Keep) reads it when it starts, and never again.
type Signer struct {
	API       client.Reader
	Namespace string
	Secret    string
	ValueKey  string // the data key that the back end was told, such as JWT_SECRET

	mu   sync.Mutex // guards what follows
	key  Key
	read time.Time
	keep bool
	past map[string]Key // all that it ever signed with
}

// Keep makes the signer stay with the key that it has, as if from its environment.
func (s *Signer) Keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = true
}

// Restart makes a signer that keeps its key read it once more.
func (s *Signer) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = time.Time{}
}

// Key returns the key to sign with now. While the Secret cannot be read it is the
// last one: a back end goes on with what it has.
func (s *Signer) Key(ctx context.Context) (Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fresh := time.Since(s.read) < rereadEvery || s.keep; fresh && !s.read.IsZero() {
		return s.key, nil
	}
	key, err := s.reread(ctx)
	if err != nil && s.key.Secret == nil {
		return Key{}, err
	}
	if err == nil {
		s.key, s.read = key, time.Now()
		if s.past == nil {
			s.past = map[string]Key{}
		}
		s.past[key.KID] = key
	}
	return s.key, nil
}

// Past returns a key that the signer once signed with.
func (s *Signer) Past(kid string) (Key, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok := s.past[kid]
	return key, ok
}

func (s *Signer) reread(ctx context.Context) (Key, error) {
	var secret corev1.Secret
	if err := s.API.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.Secret}, &secret); err != nil {
		return Key{}, fmt.Errorf("reading the exported Secret: %w", err)
	}
	key := Key{KID: string(secret.Data[v1alpha1.ExportCurrentKID]), Secret: secret.Data[s.ValueKey]}
	if key.KID == "" || len(key.Secret) == 0 {
		return Key{}, fmt.Errorf("exported Secret %s/%s: no %s, or nothing under %s", s.Namespace, s.Secret, v1alpha1.ExportCurrentKID, s.ValueKey)
	}
	return key, nil
}

// Sign signs a token with the key to sign with now.
func (s *Signer) Sign(ctx context.Context, claims Claims, lifetime time.Duration, withKID bool) (Token, error) {
	key, err := s.Key(ctx)
	if err != nil {
		return Token{}, err
	}
	return key.Sign(claims, time.Now(), lifetime, withKID)
}
