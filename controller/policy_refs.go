package controller

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// sources are the live objects that a policy's providers refer to, by name.
// What was not found has no entry.
type sources struct {
	secrets    map[string]*corev1.Secret
	configMaps map[string]*corev1.ConfigMap
	keys       map[string]signingSource
	clients    []apiClient // all of the namespace, the oldest first
}

// signingSource is a SigningKey and its keys.
type signingSource struct {
	key    *v1alpha1.SigningKey
	state  *keyring.State // nil: there is none, or it cannot be read, or it is older than what others remember
	behind bool           // it is older than what sidecars have in force
}

// behind reports whether a SigningKey is older than what sidecars have in force.
func (s sources) behind() bool {
	for _, source := range s.keys {
		if source.behind {
			return true
		}
	}
	return false
}

// resolution is what the providers of one policy come to.
type resolution struct {
	providers   map[string]keyring.FileProvider
	signingKeys map[string]int64
	revoked     map[string][]string // by SigningKey
	clients     []policy.APIKeySpec
	problems    []refProblem
	warnings    []string
}

// resolver turns references into keys. A reference that leads nowhere keeps the
// keys it last led to, except revoked ones, so that a Secret that was deleted
// by mistake refuses nobody.
type resolver struct {
	from sources
	last written // the bundle in force
	done resolution
}

// resolve finds the keys of every provider of spec.
func resolve(spec policy.Spec, from sources, last written) resolution {
	r := resolver{from: from, last: last, done: resolution{
		providers: map[string]keyring.FileProvider{}, signingKeys: map[string]int64{}, revoked: map[string][]string{},
	}}
	r.clients(spec.APIKeyAuth)
	if spec.JWT == nil {
		return r.done
	}
	for i := range spec.JWT.Providers {
		provider := &spec.JWT.Providers[i]
		field := fmt.Sprintf("spec.jwt.providers[%d]", i)
		switch {
		case provider.SigningKeyRef != nil:
			r.signingKey(field+".signingKeyRef", provider)
		case provider.SecretRef != nil:
			r.secret(field+".secretRef", provider)
		case provider.LocalJWKS != nil && provider.LocalJWKS.ConfigMapRef != nil:
			r.configMap(field+".localJWKS.configMapRef", provider)
		case caBundleRef(provider) != nil:
			r.caBundle(field+".remoteJWKS.caBundleRef", provider)
		}
	}
	return r.done
}

// fail keeps the provider's last keys and says why there are no new ones.
func (r *resolver) fail(provider *policy.Provider, reason, format string, args ...any) {
	kept, found := r.last.lastOf(provider)
	outcome := "has no key yet"
	if found {
		r.done.providers[provider.Name] = kept
		outcome = "keeps its last keys"
	}
	r.done.problems = append(r.done.problems, refProblem{
		provider: provider.Name, reason: reason, kept: found, keyless: !found,
		message: fmt.Sprintf(format, args...) + fmt.Sprintf("; provider %s %s", provider.Name, outcome),
	})
}

// failKey is fail for a provider of a SigningKey: of the last keys those go on
// that were not revoked, under the generation that sidecars know.
func (r *resolver) failKey(provider *policy.Provider, revoked []string, reason, message string) {
	name := provider.SigningKeyRef.Name
	kept, found := r.last.lastOf(provider)
	if !found {
		r.fail(provider, reason, "%s", message)
		return
	}
	if generation, known := r.last.file.SigningKeys[name]; known && r.done.signingKeys[name] == 0 {
		r.done.signingKeys[name] = generation
	}
	had := len(kept.Keys)
	kept.Keys = slices.DeleteFunc(slices.Clone(kept.Keys), func(key keyring.VerifyKey) bool { return slices.Contains(revoked, key.KID) })
	r.done.providers[provider.Name] = kept
	outcome := "keeps its last keys"
	switch {
	case len(kept.Keys) == 0 && had > 0:
		outcome = "has no key left, because all it had were revoked: tokens are answered 503 until it has one"
	case len(kept.Keys) == 0:
		outcome = "has no key: tokens are answered 503 until it has one"
	}
	r.done.problems = append(r.done.problems, refProblem{
		provider: provider.Name, reason: reason, kept: len(kept.Keys) > 0,
		message: fmt.Sprintf("%s; provider %s %s", message, provider.Name, outcome),
	})
}

// secret takes every data key that exists as one HMAC secret. A value that may
// not be used keeps the last one under its name.
func (r *resolver) secret(field string, provider *policy.Provider) {
	ref := provider.SecretRef
	secret := r.from.secrets[ref.Name]
	if reserved(ref.Name) {
		r.fail(provider, v1alpha1.ReasonSecretNotFound, "%s: Secret %s is Gatepost's own: use signingKeyRef", field, ref.Name)
		return
	}
	if secret == nil {
		r.fail(provider, v1alpha1.ReasonSecretNotFound, "%s: there is no Secret %s: create it with one of the keys %s", field, ref.Name, strings.Join(ref.Keys, ", "))
		return
	}
	keys, flaws, found := r.secretKeys(field, provider, secret)
	switch {
	case !found && isExport(secret) && r.knows(provider):
		r.done.providers[provider.Name] = keyring.FileProvider{}
		r.done.problems = append(r.done.problems, refProblem{
			provider: provider.Name, reason: v1alpha1.ReasonSecretKeyNotFound,
			message: fmt.Sprintf("%s: Secret %s, which a SigningKey exports, has none of the keys %s any more; provider %s has no key: tokens are answered 503 until it has one: use signingKeyRef",
				field, ref.Name, strings.Join(ref.Keys, ", "), provider.Name),
		})
	case !found:
		r.fail(provider, v1alpha1.ReasonSecretKeyNotFound, "%s: Secret %s has none of the keys %s", field, ref.Name, strings.Join(ref.Keys, ", "))
	case len(keys) == 0:
		for _, flaw := range flaws {
			r.fail(provider, flaw.reason, "%s", flaw.message)
		}
	default:
		for i := range flaws {
			flaws[i].message += keptOrLeftOut(provider.Name, flaws[i].kept)
		}
		r.done.problems = append(r.done.problems, flaws...)
		r.settle(field, provider, keys)
	}
}

// secretKeys are the provider's data keys that exist; found tells whether any
// does. Flaws are those that may not be used.
func (r *resolver) secretKeys(field string, provider *policy.Provider, secret *corev1.Secret) (keys []keyring.VerifyKey, flaws []refProblem, found bool) {
	for _, name := range provider.SecretRef.Keys {
		value, exists := secret.Data[name]
		if !exists {
			continue
		}
		found = true
		if err := usableFor(provider.Algorithms, value, false); err != nil {
			last := r.lastKey(provider, kidOf(secret, name))
			flaws = append(flaws, refProblem{
				provider: provider.Name, reason: secretReason(err), kept: len(last) > 0,
				message: fmt.Sprintf("%s: key %s of Secret %s: %v", field, name, secret.Name, err),
			})
			keys = append(keys, last...)
			continue
		}
		if strings.HasSuffix(string(value), "\n") {
			r.done.warnings = append(r.done.warnings, fmt.Sprintf("%s: key %s of Secret %s ends in a line break, which is part of the secret", field, name, secret.Name))
		}
		keys = append(keys, keyring.VerifyKey{KID: kidOf(secret, name), K: value})
	}
	return keys, flaws, found
}

// isExport reports whether a SigningKey writes the Secret. What it takes out, as
// it does with revoked keys, is not accepted any more.
func isExport(secret *corev1.Secret) bool {
	owner := metav1.GetControllerOf(secret)
	return owner != nil && owner.Kind == v1alpha1.KindSigningKey && secret.Labels[v1alpha1.LabelComponent] == v1alpha1.ComponentExport
}

// knows reports whether the bundle in force has an entry of the provider's source.
func (r *resolver) knows(provider *policy.Provider) bool {
	_, found := r.last.lastOf(provider)
	return found
}

func keptOrLeftOut(provider string, kept bool) string {
	if kept {
		return fmt.Sprintf("; provider %s keeps its last keys", provider)
	}
	return fmt.Sprintf("; provider %s goes on without this one", provider)
}

// settle accepts the provider's keys if keys.json can hold them and a sidecar
// would load them.
func (r *resolver) settle(field string, provider *policy.Provider, keys []keyring.VerifyKey) {
	entry := keyring.FileProvider{Keys: keys}
	if err := loadsAlone(provider, entry); err != nil {
		r.fail(provider, v1alpha1.ReasonInvalidKeySet, "%s: %v: mend or remove what is named", field, err)
		return
	}
	r.done.providers[provider.Name] = entry
}

// loadsAlone judges one provider's keys as a sidecar would.
func loadsAlone(provider *policy.Provider, entry keyring.FileProvider) error {
	if err := entry.Check(); err != nil {
		return err
	}
	keys := make([]token.Key, len(entry.Keys))
	for i, key := range entry.Keys {
		keys[i] = token.Key{KID: key.KID, Alg: key.Alg, K: token.Secret(key.K), JWK: key.JWK, AllowShort: true}
	}
	set, errs := token.NewKeySet(keys)
	if len(errs) > 0 && set.Len() == 0 {
		return joined(errs)
	}
	_, err := token.NewVerifier([]token.Provider{{Provider: *provider, Keys: set}})
	return err
}

// kidOf is the id that tokens name a secret by: its data key, unless a data key
// beside it, name.kid, says otherwise (as in the Secrets that we export).
func kidOf(secret *corev1.Secret, name string) string {
	if kid := strings.TrimSpace(string(secret.Data[name+".kid"])); kid != "" {
		return kid
	}
	return name
}

func (r *resolver) lastKey(provider *policy.Provider, kid string) []keyring.VerifyKey {
	kept, _ := r.last.lastOf(provider)
	return slices.DeleteFunc(slices.Clone(kept.Keys), func(key keyring.VerifyKey) bool { return key.KID != kid })
}

// usableFor checks a secret against every HMAC algorithm it may be used with.
func usableFor(algorithms []policy.Algorithm, secret []byte, allowShort bool) error {
	for _, algorithm := range algorithms {
		if err := token.CheckSecret(string(algorithm), secret, allowShort); err != nil {
			return fmt.Errorf("%s: %w", algorithm, err)
		}
	}
	return nil
}

func secretReason(err error) string {
	if errors.Is(err, token.ErrSecretLooksLikeKey) {
		return v1alpha1.ReasonSecretLooksLikeKey
	}
	return v1alpha1.ReasonSecretTooShort
}

// signingKey takes the live keys of a SigningKey: the public half, or the
// secret of an HMAC key. Revoked keys are gone at once, even if that leaves none.
func (r *resolver) signingKey(field string, provider *policy.Provider) {
	name := provider.SigningKeyRef.Name
	source, found := r.from.keys[name]
	if !found {
		r.done.revoked[name] = r.last.revoked(name)
		r.failKey(provider, r.done.revoked[name], v1alpha1.ReasonSigningKeyNotFound, fmt.Sprintf("%s: there is no SigningKey %s: create it", field, name))
		return
	}
	r.done.revoked[name] = source.revoked()
	usable := slices.Contains(provider.Algorithms, source.key.Spec.Algorithm)
	if !usable || source.state == nil {
		reason, message := v1alpha1.ReasonSigningKeyNotReady, "has no keys yet: look at its conditions"
		if !usable {
			reason, message = v1alpha1.ReasonAlgorithmMismatch, fmt.Sprintf("signs with %s: add it to the provider's algorithms", source.key.Spec.Algorithm)
		}
		r.failKey(provider, r.done.revoked[name], reason, fmt.Sprintf("%s: SigningKey %s %s", field, name, message))
		return
	}
	keys, generation := source.state.VerifyKeys(), source.state.Generation
	if last, found := r.last.lastOf(provider); found && source.state.OnlySwitched(r.last.generation(name), last.Keys) {
		keys, generation = last.Keys, r.last.generation(name) // the order alone is worth no revision
	}
	r.done.providers[provider.Name] = keyring.FileProvider{MaxTokenLifetime: source.lifetime(), Keys: keys}
	r.done.signingKeys[name] = generation
	if len(keys) == 0 {
		r.done.problems = append(r.done.problems, refProblem{
			provider: provider.Name, reason: v1alpha1.ReasonSigningKeyNotReady,
			message: fmt.Sprintf("%s: SigningKey %s has no live key: tokens are answered 503 until it has one", field, name),
		})
	}
}

// revoked are the ids of the SigningKey's revoked keys, the latest ones if there
// are more than keys.json holds.
func (s signingSource) revoked() []string {
	all := slices.Clone(s.key.Status.RevokedKeyIDs)
	if s.state != nil {
		for _, revocation := range s.state.Revoked {
			if !slices.Contains(all, revocation.KID) {
				all = append(all, revocation.KID)
			}
		}
	}
	return all[max(0, len(all)-keyring.MaxRevoked):]
}

// lifetime is the longest life of the SigningKey's tokens.
func (s signingSource) lifetime() time.Duration { return keySpec(s.key).MaxTokenLifetime }
