package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// configMap takes the public keys of a JSON Web Key Set.
func (r *resolver) configMap(field string, provider *policy.Provider) {
	ref := provider.LocalJWKS.ConfigMapRef
	configMap := r.from.configMaps[ref.Name]
	if configMap == nil {
		r.fail(provider, v1alpha1.ReasonConfigMapNotFound, "%s: there is no ConfigMap %s: create it with the key set in %s", field, ref.Name, ref.Key)
		return
	}
	text, found := configMap.Data[ref.Key]
	if !found {
		r.fail(provider, v1alpha1.ReasonConfigMapKeyNotFound, "%s: ConfigMap %s has no key %s", field, ref.Name, ref.Key)
		return
	}
	keys, warnings, err := publicKeys(text)
	if err != nil {
		r.fail(provider, v1alpha1.ReasonInvalidKeySet, "%s: key %s of ConfigMap %s: %v", field, ref.Key, ref.Name, err)
		return
	}
	for _, warning := range warnings {
		r.done.warnings = append(r.done.warnings, fmt.Sprintf("%s: left out: %v", field, warning))
	}
	r.settle(field, provider, keys)
}

// publicKeys splits a JSON Web Key Set (RFC 7517 section 5) into its sound keys
// and one warning for each of the others. It fails when no sound one is left.
func publicKeys(text string) ([]keyring.VerifyKey, []error, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		return nil, nil, errors.New(`it is no JSON Web Key Set: write {"keys": [...]}`)
	}
	var keys []keyring.VerifyKey
	var warnings []error
	for _, raw := range set.Keys {
		key := publicPart(raw)
		if _, errs := token.NewKeySet([]token.Key{{KID: key.KID, Alg: key.Alg, JWK: raw}}); len(errs) > 0 {
			warnings = append(warnings, errs...)
			continue
		}
		if err := key.Check(); err != nil {
			warnings = append(warnings, fmt.Errorf("key %.64q%w", key.KID, err))
			continue
		}
		keys = append(keys, key)
	}
	keys, doubled := withoutDoubles(keys)
	warnings = append(warnings, doubled...)
	if len(keys) == 0 {
		return nil, nil, joined(append([]error{errors.New("it holds no usable public key")}, warnings...))
	}
	return keys, warnings, nil
}

// publicPart is what a verifier needs of a JWK: the members of a public key (RFC
// 7518 sections 6.2.1 and 6.3.1, RFC 8037 section 2), its kid and its alg. What
// else stands in it would only take room. What is no JWK has neither name, and
// is refused by token.NewKeySet.
func publicPart(raw json.RawMessage) keyring.VerifyKey {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return keyring.VerifyKey{JWK: raw}
	}
	members := map[string]string{}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e", "kid", "alg"} {
		var text string
		if json.Unmarshal(all[name], &text) == nil && text != "" {
			members[name] = text
		}
	}
	public, err := json.Marshal(members)
	if err != nil {
		return keyring.VerifyKey{JWK: raw}
	}
	return keyring.VerifyKey{KID: members["kid"], Alg: members["alg"], JWK: public}
}

// withoutDoubles drops keys whose id occurs twice: which one a token means
// cannot be known.
func withoutDoubles(keys []keyring.VerifyKey) ([]keyring.VerifyKey, []error) {
	count := map[string]int{}
	for _, key := range keys {
		count[key.KID]++
	}
	var errs []error
	single := slices.DeleteFunc(keys, func(key keyring.VerifyKey) bool {
		double := key.KID != "" && count[key.KID] > 1
		if double {
			errs = append(errs, fmt.Errorf("key id %q occurs twice", key.KID))
		}
		return double
	})
	return single, errs
}
