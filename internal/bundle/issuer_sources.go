package bundle

import (
	"fmt"
	"strings"
	"time"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/internal/password"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

func isSecretAlgorithm(alg string) bool { return strings.HasPrefix(alg, "HS") }

// takeSessions finds the keys of the session providers and where their tokens
// are.
func (i *Issuer) takeSessions(from sources) error {
	session := i.Plan.Spec().Session
	if session == nil || len(session.Providers) == 0 {
		return nil
	}
	providers, warnings, err := from.resolveAll("spec.session.providers", i.Plan.Providers(), nil)
	if err != nil {
		return err
	}
	i.Warnings = append(i.Warnings, warnings...)
	if i.Sessions, err = token.NewVerifier(providers); err != nil {
		return fmt.Errorf("spec.session.providers: %w", err)
	}
	for name, kids := range loadedKIDs(providers) {
		for _, kid := range kids {
			i.noteKID(name, kid)
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
		i.Places = append(i.Places, Place{SessionSource: source, Verifier: verifier})
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
func (i *Issuer) takeClients(doc manifest.IssuerDocument, keys Keys, now time.Time) error {
	var auth *policy.APIKeyAuth
	if clients := i.Plan.Spec().Clients; clients != nil {
		auth = &policy.APIKeyAuth{CredentialSelector: clients.CredentialSelector}
	}
	set, warnings, err := resolveClients(manifest.Document{Name: doc.Name, APIKeys: doc.APIKeys}, auth, keys, now)
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		i.Warnings = append(i.Warnings, strings.ReplaceAll(warning, "spec.apiKeyAuth", "spec.clients"))
	}
	i.Clients = set
	return nil
}

// takeUsers reads the users' hashes. One bad line refuses the file: the others
// stay in force as they were.
func (i *Issuer) takeUsers(source IssuerSource) error {
	spec := i.Plan.Spec()
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
	i.Users = users
	if mixed := users.Mixed(); len(mixed) > 0 {
		i.Warnings = append(i.Warnings, "spec.password.usersSecretRef: the hashes are of several kinds, and each login computes one of each: "+strings.Join(mixed, ", "))
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
func (i *Issuer) takeServiceAccounts(source IssuerSource) error {
	spec := i.Plan.Spec()
	if len(spec.Exchanged()) == 0 {
		return nil
	}
	cluster, err := source.serviceAccounts()
	if err != nil {
		return fmt.Errorf("spec.tokenExchange.serviceAccounts: %w", err)
	}
	got, err := parseSet("serviceaccounts.json: jwks", cluster.JWKS)
	if err != nil {
		return err
	}
	i.Warnings = append(i.Warnings, got.warnings...)
	i.ServiceAccounts, err = token.NewVerifier([]token.Provider{{
		Provider: policy.Provider{
			Name: "kubernetes", Issuers: []string{cluster.Issuer}, RequiredClaims: []string{"sub", "aud"},
			Algorithms: []policy.Algorithm{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
		},
		MaxTokenLifetime: serviceAccountLifetime, Keys: got.set,
	}})
	if err != nil {
		return fmt.Errorf("serviceaccounts.json: %w", err)
	}
	return nil
}

// The data keys of an issuer's bundle, the Secret <name>.gatepost-issuer.
const (
	// IssuerDocumentKey holds the TokenIssuer (manifest.ParseIssuer).
	IssuerDocumentKey = "issuer.json"
	// IssuerKeysKey holds the keys of session providers and the OAuth clients
	// (keyring.File).
	IssuerKeysKey = "keys.json"
	// IssuerSignerKey holds what signs (keyring.SignerFile).
	IssuerSignerKey = "signer.json"
	// IssuerUsersKey holds the users in htpasswd form, where the issuer has the
	// grant Password.
	IssuerUsersKey = "users"
	// IssuerServiceAccountsKey holds the cluster's keys
	// (keyring.ServiceAccountsFile), where tokens of service accounts are exchanged.
	IssuerServiceAccountsKey = "serviceaccounts.json"
)

// IssuerFiles takes an issuer from the data of its bundle, as the controller
// mounts it; other data keys do not matter.
func IssuerFiles(data map[string][]byte) IssuerSource { return issuerFiles(data) }

type issuerFiles map[string][]byte

func (f issuerFiles) document() (manifest.IssuerDocument, error) {
	doc, err := manifest.ParseIssuer(f[IssuerDocumentKey])
	if err != nil {
		return manifest.IssuerDocument{}, fmt.Errorf("reading %s: %w", IssuerDocumentKey, err)
	}
	return doc, nil
}

func (f issuerFiles) keys() (Keys, error) { return File(f[IssuerKeysKey]) }

func (f issuerFiles) signer(string) (keyring.SignerFile, error) {
	return keyring.ParseSigner(f[IssuerSignerKey])
}

func (f issuerFiles) users(grant.UsersSecretRef) ([]byte, error) {
	data, ok := f[IssuerUsersKey]
	if !ok {
		return nil, fmt.Errorf("the bundle has no %s: document and keys are of different editions", IssuerUsersKey)
	}
	return data, nil
}

func (f issuerFiles) serviceAccounts() (keyring.ServiceAccountsFile, error) {
	return keyring.ParseServiceAccounts(f[IssuerServiceAccountsKey])
}
