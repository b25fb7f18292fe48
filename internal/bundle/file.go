package bundle

import (
	"errors"
	"fmt"
	"slices"

	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// File takes keys from a keys.json, as the controller mounts it beside a
// policy. Its keys were judged by the controller: whether a secret may be
// shorter than its hash is its SigningKey's to say. ConfigMaps are resolved in
// it too.
func File(data []byte) (Keys, error) {
	parsed, err := keyring.ParseFile(data)
	if err != nil {
		return nil, err
	}
	return file{parsed}, nil
}

type file struct{ keyring.File }

func (f file) facts() Facts {
	return Facts{Revision: f.Revision, Generations: f.SigningKeys, Revoked: f.Revoked, AckKey: token.Secret(f.AckKey)}
}

func (f file) certificates(field string, p *policy.Provider) ([]byte, error) {
	if pem := f.Providers[p.Name].CABundle; pem != "" {
		return []byte(pem), nil
	}
	return nil, fmt.Errorf("%s: keys.json has no certificates for provider %q: policy and keys are of different editions", field, p.Name)
}

func (f file) provider(field string, p *policy.Provider, revoked []string) (found, error) {
	entry, ok := f.Providers[p.Name]
	if !ok {
		return found{}, fmt.Errorf("%s: keys.json has no keys for provider %q: policy and keys are of different editions", field, p.Name)
	}
	got := found{lifetime: entry.MaxTokenLifetime}
	var keys []token.Key
	for _, key := range entry.Keys {
		if slices.Contains(revoked, key.KID) {
			got.warnings = append(got.warnings, fmt.Sprintf("%s: key %q is left out: it was revoked", field, key.KID))
			continue
		}
		keys = append(keys, token.Key{KID: key.KID, Alg: key.Alg, K: token.Secret(key.K), JWK: key.JWK, AllowShort: true})
	}
	set, errs := token.NewKeySet(keys)
	got.set = set
	if set.Len() == 0 && len(errs) > 0 {
		return found{}, fmt.Errorf("%s: %w", field, errors.Join(errs...))
	}
	for _, err := range errs {
		got.warnings = append(got.warnings, fmt.Sprintf("%s: left out: %v", field, err))
	}
	return got, nil
}
