package bundle

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// Snapshot is everything that judging requests depends on, at one moment. It is
// immutable.
type Snapshot struct {
	// Name and Namespace are the policy's; both label metrics or logs.
	Name, Namespace string
	// Policy judges routes and principals.
	Policy *policy.Policy
	// Verifier judges tokens.
	Verifier *token.Verifier
	// APIKeys judges API keys; nil where the policy accepts none.
	APIKeys *apikey.Set
	// Facts say which edition of the keys this is.
	Facts
	// Warnings are things that work and are probably not meant: a policy's own,
	// and keys of a set that were left out.
	Warnings []string
}

// Facts say which edition of the keys was loaded: what `/state` acknowledges.
type Facts struct {
	// Revision counts the editions of keys.json; 0 for a directory.
	Revision int64
	// Generations are the generations of SigningKeys by name.
	Generations map[string]int64
	// KIDs are the ids of the loaded keys by SigningKey, ascending.
	KIDs map[string][]string
	// Revoked are the ids of revoked keys by SigningKey, ascending: those that
	// keys.json names, and those of Options.InForce that it does not name any more.
	// None of them is among the loaded keys.
	Revoked map[string][]string
	// AckKey signs acknowledgements; empty for a directory.
	AckKey token.Secret
}

// Keys is where the keys of a policy's providers come from: Directory or File.
type Keys interface {
	// provider returns the keys of one provider. The field is where the policy
	// names the provider, for errors. Keys that are revoked are left out.
	provider(field string, p *policy.Provider, revoked []string) (found, error)
	// certificates returns the PEM that the provider's caBundleRef names.
	certificates(field string, p *policy.Provider) ([]byte, error)
	// clients returns the clients with API keys that the policy selects.
	clients(doc manifest.Document, a *policy.APIKeyAuth, now time.Time) ([]policy.APIKeySpec, error)
	facts() Facts
}

// found are the keys of one provider.
type found struct {
	set      *token.KeySet
	lifetime time.Duration // of the SigningKey; zero: the provider's own
	warnings []string
}

// Options are what a Snapshot depends on besides policy and keys.
type Options struct {
	// Probes are exempt, each on its own port.
	Probes []policy.Probe
	// Remotes fetches remote key sets; nil only checks them.
	Remotes *token.Remotes
	// Now is the time at which values of API keys are counted as live.
	Now time.Time
	// InForce are the Facts of the Snapshot that this one would replace; zero:
	// there is none.
	InForce Facts
	// MinRevision is the least revision there may be, whatever was in force.
	MinRevision int64
}

// ErrNotSupportedYet is wrapped by errors about policies that use what no code
// stands behind yet.
var ErrNotSupportedYet = errors.New("NotSupportedYet")

// Load makes a Snapshot of a policy and its keys. Errors name the field and the
// fix, never a secret; they wrap policy.Errors, ErrNotSupportedYet,
// ErrOlderRevision, token.ErrSecretTooShort or token.ErrSecretLooksLikeKey where
// one of them is the reason.
func Load(doc manifest.Document, keys Keys, options Options) (*Snapshot, error) {
	facts, err := FactsOf(keys, options)
	if err != nil {
		return nil, err
	}
	if missing := policy.Unsupported(doc.Spec); len(missing) > 0 {
		return nil, fmt.Errorf("policy %s: %w: %s", doc.Name, ErrNotSupportedYet, strings.Join(missing, "; "))
	}
	compiled, err := policy.Compile(doc.Spec, options.Probes...)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", doc.Name, err)
	}
	spec := compiled.Spec()
	snapshot := &Snapshot{
		Name: doc.Name, Namespace: doc.Namespace, Policy: compiled, Facts: facts, Warnings: compiled.Warnings(),
	}
	sources := Sources{Keys: keys, Remotes: options.Remotes, Revoked: facts.Revoked}
	providers, warnings, err := sources.resolve(spec.JWT)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", doc.Name, err)
	}
	snapshot.Warnings = append(snapshot.Warnings, warnings...)
	if snapshot.Verifier, err = token.NewVerifier(providers); err != nil {
		return nil, fmt.Errorf("policy %s: spec.jwt.providers: %w", doc.Name, err)
	}
	snapshot.KIDs = LoadedKIDs(providers)
	if snapshot.APIKeys, warnings, err = Clients(doc, spec.APIKeyAuth, keys, options.Now); err != nil {
		return nil, fmt.Errorf("policy %s: %w", doc.Name, err)
	}
	snapshot.Warnings = append(snapshot.Warnings, warnings...)
	return snapshot, nil
}

// Sources are where the keys of providers come from.
type Sources struct {
	// Keys are those that are here.
	Keys Keys
	// Remotes fetches remote key sets; nil only checks them.
	Remotes *token.Remotes
	// Revoked are the ids of keys, by SigningKey, that are left out.
	Revoked map[string][]string
}

// resolve finds the keys of every provider of a policy.
func (s Sources) resolve(jwt *policy.JWT) ([]token.Provider, []string, error) {
	if jwt == nil {
		return nil, nil, nil
	}
	providers, warnings, err := s.Providers("spec.jwt.providers", jwt.Providers)
	claims := make([]string, len(jwt.ClaimToHeaders))
	for i, to := range jwt.ClaimToHeaders {
		claims[i] = to.Claim
	}
	for i := range providers {
		providers[i].HeaderClaims = claims
	}
	return providers, warnings, err
}

// Providers finds the keys of every provider of a list, with warnings about keys
// that were left out. The list is the field where they are named: errors and
// warnings begin with it.
func (s Sources) Providers(list string, wire []policy.Provider) ([]token.Provider, []string, error) {
	var providers []token.Provider
	var warnings []string
	var errs []error
	for i := range wire {
		ready := token.Provider{Provider: wire[i]}
		noted, err := s.fill(&ready, fmt.Sprintf("%s[%d]", list, i))
		if err != nil {
			errs = append(errs, err)
		}
		warnings = append(warnings, noted...)
		providers = append(providers, ready)
	}
	return providers, warnings, errors.Join(errs...)
}

// fill gives one provider its keys.
func (s Sources) fill(ready *token.Provider, field string) ([]string, error) {
	if ready.RemoteJWKS != nil {
		return nil, s.fillRemote(ready, field+".remoteJWKS")
	}
	if local := ready.LocalJWKS; local != nil && local.Inline != "" {
		set, warnings, err := ParseSet(field+".localJWKS.inline", []byte(local.Inline))
		ready.Keys = set
		return warnings, err
	}
	var revoked []string
	if ref := ready.SigningKeyRef; ref != nil {
		revoked = s.Revoked[ref.Name]
	}
	got, err := s.Keys.provider(field, &ready.Provider, revoked)
	if err != nil {
		return nil, err
	}
	ready.Keys, ready.MaxTokenLifetime = got.set, got.lifetime
	return got.warnings, nil
}

// fillRemote gives a provider keys that are fetched.
func (s Sources) fillRemote(ready *token.Provider, field string) error {
	var ca *token.CABundle
	if ready.RemoteJWKS.CABundleRef != nil {
		data, err := s.Keys.certificates(field+".caBundleRef", &ready.Provider)
		if err != nil {
			return err
		}
		if ca, err = token.ParseCABundle(data); err != nil {
			return fmt.Errorf("%s.caBundleRef: %w", field, err)
		}
	}
	source, err := s.Remotes.Source(ready.Name, *ready.RemoteJWKS, ca)
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	ready.Keys = source
	return nil
}

// ParseSet reads a JSON Web Key Set (RFC 7517 section 5). Bad keys are left out,
// each with a warning, as long as a good one remains. The field is where the set
// stands: errors and warnings begin with it.
func ParseSet(field string, data []byte) (*token.KeySet, []string, error) {
	set, errs := token.ParseJWKS(data)
	if set.Len() == 0 {
		if len(errs) == 0 {
			errs = append(errs, errors.New("the key set is empty: put a public key into it"))
		}
		return nil, nil, fmt.Errorf("%s: %w", field, errors.Join(errs...))
	}
	var warnings []string
	for _, err := range errs {
		warnings = append(warnings, fmt.Sprintf("%s: left out: %v", field, err))
	}
	return set, warnings, nil
}
