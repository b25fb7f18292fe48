package bundle

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// Directory takes keys from files by the name "name/key": the Secret or
// SigningKey name, then the data key. A secretRef reads its keys, byte for byte;
// a signingKeyRef reads current, previous and next (or jwks.json for public
// keys), as the Secret that a SigningKey exports holds them; a ConfigMap
// reference and a caBundleRef read their key. The label, usually the directory's path, is for
// errors.
func Directory(label string, files map[string][]byte) Keys {
	return directory{label: label, files: files}
}

type directory struct {
	label string
	files map[string][]byte
}

func (d directory) facts() Facts { return Facts{} }

func (d directory) provider(field string, p *policy.Provider, _ []string) (found, error) {
	switch {
	case p.SecretRef != nil:
		return d.secrets(field+".secretRef", p, p.SecretRef.Name, p.SecretRef.Keys)
	case p.SigningKeyRef != nil && isHMAC(p):
		return d.secrets(field+".signingKeyRef", p, p.SigningKeyRef.Name, []string{"current", "previous", "next"})
	case p.SigningKeyRef != nil:
		return d.keySet(field+".signingKeyRef", p.SigningKeyRef.Name, "jwks.json")
	case p.LocalJWKS != nil && p.LocalJWKS.ConfigMapRef != nil:
		return d.keySet(field+".localJWKS.configMapRef", p.LocalJWKS.ConfigMapRef.Name, p.LocalJWKS.ConfigMapRef.Key)
	}
	return found{}, fmt.Errorf("%s: names no keys: set one of signingKeyRef, secretRef, localJWKS, remoteJWKS", field)
}

// isHMAC reports whether the provider's tokens are signed with secrets; the
// compiled policy holds that all algorithms are of one kind.
func isHMAC(p *policy.Provider) bool {
	return len(p.Algorithms) > 0 && strings.HasPrefix(string(p.Algorithms[0]), "HS")
}

// secrets reads the HMAC secrets that exist among keys; one must. The key's name
// is its id, unless a file beside it, name.kid, says otherwise.
func (d directory) secrets(field string, p *policy.Provider, name string, keys []string) (found, error) {
	var made []token.Key
	for _, key := range keys {
		secret, ok := d.files[path.Join(name, key)]
		if !ok {
			continue
		}
		for _, alg := range p.Algorithms {
			if err := token.CheckSecret(string(alg), secret, false); err != nil {
				return found{}, fmt.Errorf("%s: %s: %w", field, d.at(name, key), err)
			}
		}
		kid := key
		if id := strings.TrimSpace(string(d.files[path.Join(name, key+".kid")])); id != "" {
			kid = id
		}
		made = append(made, token.Key{KID: kid, K: secret})
	}
	if len(made) == 0 {
		return found{}, fmt.Errorf("%s: no key found: create %s with the secret's bytes", field, d.at(name, keys[0]))
	}
	set, errs := token.NewKeySet(made)
	if len(errs) > 0 {
		return found{}, fmt.Errorf("%s: %s: %w", field, d.at(name, ""), errors.Join(errs...))
	}
	return found{set: set, warnings: d.newlines(field, name, keys)}, nil
}

// newlines warns of secrets that end in a line break, which belongs to the
// secret and is rarely meant.
func (d directory) newlines(field, name string, keys []string) []string {
	var warnings []string
	for _, key := range keys {
		if strings.HasSuffix(string(d.files[path.Join(name, key)]), "\n") {
			warnings = append(warnings, fmt.Sprintf("%s: %s ends in a line break, which is part of the secret: write it without (printf, not echo) unless the signer has it too", field, d.at(name, key)))
		}
	}
	return warnings
}

func (d directory) keySet(field, name, key string) (found, error) {
	data, ok := d.files[path.Join(name, key)]
	if !ok {
		return found{}, fmt.Errorf("%s: no key set found: create %s", field, d.at(name, key))
	}
	set, warnings, err := ParseSet(fmt.Sprintf("%s: %s", field, d.at(name, key)), data)
	return found{set: set, warnings: warnings}, err
}

func (d directory) certificates(field string, p *policy.Provider) ([]byte, error) {
	ref := p.RemoteJWKS.CABundleRef
	data, ok := d.files[path.Join(ref.Name, ref.Key)]
	if !ok {
		return nil, fmt.Errorf("%s: no certificates found: create %s with the PEM of the certificate authority", field, d.at(ref.Name, ref.Key))
	}
	return data, nil
}

func (d directory) at(name, key string) string { return path.Join(d.label, name, key) }
