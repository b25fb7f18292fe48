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
	facts := keys.facts()
	if err := facts.follow(options); err != nil {
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
	snapshot.Revoked = remember(facts, options.InForce.Revoked)
	sources := sources{keys: keys, remotes: options.Remotes, revoked: snapshot.Revoked}
	providers, warnings, err := sources.resolve(spec.JWT)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", doc.Name, err)
	}
	snapshot.Warnings = append(snapshot.Warnings, warnings...)
	if snapshot.Verifier, err = token.NewVerifier(providers); err != nil {
		return nil, fmt.Errorf("policy %s: spec.jwt.providers: %w", doc.Name, err)
	}
	snapshot.KIDs = loadedKIDs(providers)
	if snapshot.APIKeys, warnings, err = resolveClients(doc, spec.APIKeyAuth, keys, options.Now); err != nil {
		return nil, fmt.Errorf("policy %s: %w", doc.Name, err)
	}
	snapshot.Warnings = append(snapshot.Warnings, warnings...)
	return snapshot, nil
}

// sources are where the keys of a policy come from.
type sources struct {
	keys    Keys
	remotes *token.Remotes
	revoked map[string][]string // by SigningKey
}

// resolve finds the keys of every provider of a policy.
func (s sources) resolve(jwt *policy.JWT) ([]token.Provider, []string, error) {
	if jwt == nil {
		return nil, nil, nil
	}
	claims := make([]string, len(jwt.ClaimToHeaders))
	for i, to := range jwt.ClaimToHeaders {
		claims[i] = to.Claim
	}
	return s.resolveAll("spec.jwt.providers", jwt.Providers, claims)
}

// resolveAll finds the keys of providers. The list is where they are named, for
// errors; the claims become headers.
func (s sources) resolveAll(list string, wire []policy.Provider, claims []string) ([]token.Provider, []string, error) {
	var providers []token.Provider
	var warnings []string
	var errs []error
	for i := range wire {
		ready := token.Provider{Provider: wire[i], HeaderClaims: claims}
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
func (s sources) fill(ready *token.Provider, field string) ([]string, error) {
	if ready.RemoteJWKS != nil {
		return nil, s.fillRemote(ready, field+".remoteJWKS")
	}
	if local := ready.LocalJWKS; local != nil && local.Inline != "" {
		got, err := parseSet(field+".localJWKS.inline", []byte(local.Inline))
		ready.Keys = got.set
		return got.warnings, err
	}
	var revoked []string
	if ref := ready.SigningKeyRef; ref != nil {
		revoked = s.revoked[ref.Name]
	}
	got, err := s.keys.provider(field, &ready.Provider, revoked)
	if err != nil {
		return nil, err
	}
	ready.Keys, ready.MaxTokenLifetime = got.set, got.lifetime
	return got.warnings, nil
}

// fillRemote gives a provider keys that are fetched.
func (s sources) fillRemote(ready *token.Provider, field string) error {
	var ca *token.CABundle
	if ready.RemoteJWKS.CABundleRef != nil {
		data, err := s.keys.certificates(field+".caBundleRef", &ready.Provider)
		if err != nil {
			return err
		}
		if ca, err = token.ParseCABundle(data); err != nil {
			return fmt.Errorf("%s.caBundleRef: %w", field, err)
		}
	}
	source, err := s.remotes.Source(ready.Name, *ready.RemoteJWKS, ca)
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	ready.Keys = source
	return nil
}

// parseSet reads a JSON Web Key Set. Bad keys are left out as long as a good
// one remains.
func parseSet(field string, data []byte) (found, error) {
	set, errs := token.ParseJWKS(data)
	if set.Len() == 0 {
		if len(errs) == 0 {
			errs = append(errs, errors.New("the key set is empty: put a public key into it"))
		}
		return found{}, fmt.Errorf("%s: %w", field, errors.Join(errs...))
	}
	got := found{set: set}
	for _, err := range errs {
		got.warnings = append(got.warnings, fmt.Sprintf("%s: left out: %v", field, err))
	}
	return got, nil
}
