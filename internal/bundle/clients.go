package bundle

import (
	"errors"
	"fmt"
	"time"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
)

// clients are those that the policy's credentialSelector selects among the
// APIKeys beside it. Nobody judged them before, so how many of their values are
// live is judged here.
func (d directory) clients(doc manifest.Document, a *policy.APIKeyAuth, now time.Time) ([]policy.APIKeySpec, error) {
	var specs []policy.APIKeySpec
	var errs []error
	for i := range doc.APIKeys {
		key := &doc.APIKeys[i]
		if !selects(a.CredentialSelector, key.Labels) {
			continue
		}
		if err := apikey.CheckLive(key.Spec, now); err != nil {
			errs = append(errs, fmt.Errorf("APIKey %s: %w", key.Name, err))
		}
		specs = append(specs, key.Spec)
	}
	return specs, errors.Join(errs...)
}

// selects reports whether labels match the selector; an empty one selects all.
func selects(selector policy.CredentialSelector, labels map[string]string) bool {
	for name, want := range selector.MatchLabels {
		if got, ok := labels[name]; !ok || got != want {
			return false
		}
	}
	return true
}

// clients are those in keys.json: the controller selected and judged them. How
// many of their values are live is not judged again: by a clock that is a little
// behind the controller's, a bundle that revokes a key could be refused.
func (f file) clients(doc manifest.Document, _ *policy.APIKeyAuth, _ time.Time) ([]policy.APIKeySpec, error) {
	if len(doc.APIKeys) > 0 {
		return nil, errors.New("the policy file holds APIKey documents, and keys.json holds clients: remove the documents, or use a directory of keys")
	}
	return f.APIKeys, nil
}

// Clients makes the Set of the clients that a document's apiKeyAuth lets in; nil
// without apiKeyAuth. The warnings and errors name it spec.apiKeyAuth.
func Clients(doc manifest.Document, a *policy.APIKeyAuth, keys Keys, now time.Time) (*apikey.Set, []string, error) {
	if a == nil {
		if len(doc.APIKeys) > 0 {
			return nil, []string{"spec.apiKeyAuth: is absent, though there are APIKeys: none of their keys is let in"}, nil
		}
		return nil, nil, nil
	}
	specs, err := keys.clients(doc, a, now)
	if err != nil {
		return nil, nil, err
	}
	set, err := apikey.NewSet(specs)
	if err != nil {
		return nil, nil, err
	}
	if len(set.Clients()) == 0 {
		return set, []string{"spec.apiKeyAuth.credentialSelector: selects no client that is not suspended: no key is let in"}, nil
	}
	return set, nil, nil
}
