package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gatepost.dev/gatepost/token"
)

// signingKey is the name of the key's directory, as that of a SigningKey.
const signingKey = "agent-jwt"

// keyFiles are the files by which the issuer signs and the sidecar verifies. In
// a cluster a controller writes them as Secrets.
type keyFiles struct {
	dir    string
	random io.Reader
	made   int
}

// make makes a key with an id of its own.
func (k *keyFiles) make() (token.Key, error) {
	key, err := token.Generate("ES256", k.random)
	if err != nil {
		return token.Key{}, fmt.Errorf("making a key: %w", err)
	}
	k.made++
	key.KID = fmt.Sprintf("key-%d", k.made)
	return key, nil
}

// verifyWith shows public keys to the sidecar, and no others.
func (k *keyFiles) verifyWith(keys ...token.Key) error {
	set, err := token.PublicJWKS(keys)
	if err != nil {
		return err
	}
	return k.write(filepath.Join("verify", signingKey, "jwks.json"), set)
}

// signWith makes a key the issuer's; the others are shown beside it.
func (k *keyFiles) signWith(key token.Key, others ...token.Key) error {
	set, err := token.PublicJWKS(append([]token.Key{key}, others...))
	if err != nil {
		return err
	}
	private, err := token.PrivatePEM(key)
	if err != nil {
		return err
	}
	return errors.Join(
		k.write(filepath.Join("sign", signingKey, "jwks.json"), set),
		k.write(filepath.Join("sign", signingKey, "current.kid"), []byte(key.KID)),
		k.write(filepath.Join("sign", signingKey, "current"), private),
	)
}

// write replaces a file in one step.
func (k *keyFiles) write(name string, content []byte) error {
	path := filepath.Join(k.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
