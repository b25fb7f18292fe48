package issuing

import (
	"fmt"
	"strings"
	"time"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/internal/password"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

func isSecretAlgorithm(alg string) bool { return strings.HasPrefix(alg, "HS") }

// takeSessions finds the keys of the session providers and where their tokens
// are.
func (s *Snapshot) takeSessions(from bundle.Sources) error {
	session := s.Plan.Spec().Session
	if session == nil || len(session.Providers) == 0 {
		return nil
	}
	providers, warnings, err := from.Providers("spec.session.providers", s.Plan.Providers())
	if err != nil {
		return err
	}
	s.Warnings = append(s.Warnings, warnings...)
	if s.Sessions, err = token.NewVerifier(providers); err != nil {
		return fmt.Errorf("spec.session.providers: %w", err)
	}
	for name, kids := range bundle.LoadedKIDs(providers) {
		for _, kid := range kids {
			s.noteKID(name, kid)
		}
	}
	grouped := map[grant.SessionSource][]token.Provider{}
	var order []grant.SessionSource
	for k := range providers {
		source := sourceOf(&session.Providers[k])
		if grouped[source] == nil {
			order = append(order, source)
		}
		grouped[source] = append(grouped[source], providers[k])
	}
	for _, source := range order {
		verifier, err := token.NewVerifier(grouped[source])
		if err != nil {
			return fmt.Errorf("spec.session.providers: %w", err)
		}
		s.Places = append(s.Places, Place{SessionSource: source, Verifier: verifier})
	}
	return nil
}

// sourceOf is where a provider's tokens are, with the header's name written in
// one way.
func sourceOf(p *grant.SessionProvider) grant.SessionSource {
	if p.ExtractFrom == nil || *p.ExtractFrom == (grant.SessionSource{}) {
		return grant.SessionSource{Header: "authorization", ValuePrefix: "Bearer "}
	}
	source := *p.ExtractFrom
	source.Header = strings.ToLower(source.Header)
	return source
}

// takeClients finds the OAuth clients.
func (s *Snapshot) takeClients(doc manifest.IssuerDocument, keys bundle.Keys, now time.Time) error {
	var auth *policy.APIKeyAuth
	if clients := s.Plan.Spec().Clients; clients != nil {
		auth = &policy.APIKeyAuth{CredentialSelector: clients.CredentialSelector}
	}
	set, warnings, err := bundle.Clients(manifest.Document{Name: doc.Name, APIKeys: doc.APIKeys}, auth, keys, now)
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		s.Warnings = append(s.Warnings, strings.ReplaceAll(warning, "spec.apiKeyAuth", "spec.clients"))
	}
	s.Clients = set
	return nil
}

// takeUsers reads the users' hashes. One bad line refuses the file: the others
// stay in force as they were.
func (s *Snapshot) takeUsers(source Source) error {
	spec := s.Plan.Spec()
	ref := spec.Users()
	if ref == nil {
		return nil
	}
	data, err := source.users(*ref)
	if err != nil {
		return fmt.Errorf("spec.password.usersSecretRef: %w", err)
	}
	users, errs := password.Parse(data)
	if len(errs) > 0 {
		return fmt.Errorf("spec.password.usersSecretRef: %w", joinFew(errs))
	}
	s.Users = users
	if mixed := users.Mixed(); len(mixed) > 0 {
		s.Warnings = append(s.Warnings, "spec.password.usersSecretRef: the hashes are of several kinds, and each login computes one of each: "+strings.Join(mixed, ", "))
	}
	return nil
}

// joinFew joins errors, no more of them than a person reads.
func joinFew(errs []error) error {
	const most = 5
	if len(errs) > most {
		return fmt.Errorf("%w; and %d more", joinFew(errs[:most]), len(errs)-most)
	}
	var all []string
	for _, err := range errs[1:] {
		all = append(all, err.Error())
	}
	if len(all) == 0 {
		return errs[0]
	}
	return fmt.Errorf("%w; %s", errs[0], strings.Join(all, "; "))
}

// serviceAccountLifetime is the longest lifetime of a token of the cluster that is
// exchanged: the kubelet renews those that it projects long before.
const serviceAccountLifetime = 24 * time.Hour

// takeServiceAccounts makes the cluster's keys ready.
func (s *Snapshot) takeServiceAccounts(source Source) error {
	spec := s.Plan.Spec()
	if len(spec.Exchanged()) == 0 {
		return nil
	}
	cluster, err := source.serviceAccounts()
	if err != nil {
		return fmt.Errorf("spec.tokenExchange.serviceAccounts: %w", err)
	}
	set, warnings, err := bundle.ParseSet("serviceaccounts.json: jwks", cluster.JWKS)
	if err != nil {
		return err
	}
	s.Warnings = append(s.Warnings, warnings...)
	s.ServiceAccounts, err = token.NewVerifier([]token.Provider{{
		Provider: policy.Provider{
			Name: "kubernetes", Issuers: []string{cluster.Issuer}, RequiredClaims: []string{"sub", "aud"},
			Algorithms: []policy.Algorithm{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
		},
		MaxTokenLifetime: serviceAccountLifetime, Keys: set,
	}})
	if err != nil {
		return fmt.Errorf("serviceaccounts.json: %w", err)
	}
	return nil
}

// The data keys of an issuer's bundle, the Secret <name>.gatepost-issuer.
const (
	// DocumentKey holds the TokenIssuer (manifest.ParseIssuer).
	DocumentKey = "issuer.json"
	// KeysKey holds the keys of session providers and the OAuth clients
	// (keyring.File).
	KeysKey = "keys.json"
	// SignerKey holds what signs (keyring.SignerFile).
	SignerKey = "signer.json"
	// UsersKey holds the users in htpasswd form, where the issuer has the
	// grant Password.
	UsersKey = "users"
	// ServiceAccountsKey holds the cluster's keys
	// (keyring.ServiceAccountsFile), where tokens of service accounts are exchanged.
	ServiceAccountsKey = "serviceaccounts.json"
)

// Files takes an issuer from the data of its bundle, as the controller
// mounts it; other data keys do not matter.
func Files(data map[string][]byte) Source { return mounted(data) }

type mounted map[string][]byte

func (f mounted) document() (manifest.IssuerDocument, error) {
	doc, err := manifest.ParseIssuer(f[DocumentKey])
	if err != nil {
		return manifest.IssuerDocument{}, fmt.Errorf("reading %s: %w", DocumentKey, err)
	}
	return doc, nil
}

func (f mounted) keys() (bundle.Keys, error) { return bundle.File(f[KeysKey]) }

func (f mounted) signer(string) (keyring.SignerFile, error) {
	return keyring.ParseSigner(f[SignerKey])
}

func (f mounted) users(grant.UsersSecretRef) ([]byte, error) {
	data, ok := f[UsersKey]
	if !ok {
		return nil, fmt.Errorf("the bundle has no %s: document and keys are of different editions", UsersKey)
	}
	return data, nil
}

func (f mounted) serviceAccounts() (keyring.ServiceAccountsFile, error) {
	return keyring.ParseServiceAccounts(f[ServiceAccountsKey])
}
