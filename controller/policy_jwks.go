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
	r.settle(provider, keys)
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
		key := named(raw)
		if _, errs := token.NewKeySet([]token.Key{{KID: key.KID, Alg: key.Alg, JWK: raw}}); len(errs) > 0 {
			warnings = append(warnings, errs...)
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

// named reads a JWK's own kid and alg; what is none has neither, and is refused
// by token.NewKeySet.
func named(raw json.RawMessage) keyring.VerifyKey {
	var names struct {
		KID string `json:"kid"`
		Alg string `json:"alg"`
	}
	if err := json.Unmarshal(raw, &names); err != nil {
		return keyring.VerifyKey{JWK: raw}
	}
	return keyring.VerifyKey{KID: names.KID, Alg: names.Alg, JWK: raw}
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
