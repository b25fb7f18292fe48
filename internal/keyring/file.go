package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy"
)

// FileVersion is the only version of keys.json there is.
const FileVersion = 1

// Bounds of a File.
const (
	maxProviders       = 8
	maxKeysPerProvider = 100
	maxSigningKeys     = 64
	maxKID             = 253
	maxCABundle        = 256 << 10 // bytes
	// MaxAPIKeys is how many clients with API keys one policy may have.
	MaxAPIKeys = 1000
)

// File is keys.json: the keys of one policy, as its bundle carries them to the
// sidecars. For asymmetric keys it holds the public half only.
type File struct {
	// Revision counts the bundle's changes and never goes down.
	Revision int64
	// AckKey authenticates the sidecar's acknowledgements; empty: none are made.
	AckKey Octets
	// SigningKeys holds, by SigningKey name, the generation of the keys below.
	SigningKeys map[string]int64
	// Revoked holds, by SigningKey name, the ids of revoked keys: a sidecar refuses
	// them and tells them back, should the cluster have forgotten (decision 22).
	Revoked map[string][]string
	// Providers holds the keys by provider name.
	Providers map[string]FileProvider
	// APIKeys are the clients that the policy selects, known by the hashes of
	// their keys; no two have one client id or one key.
	APIKeys []policy.APIKeySpec
}

// FileProvider is the keys of one provider.
type FileProvider struct {
	// MaxTokenLifetime caps the tokens' lifetime where a SigningKey says so; zero:
	// the policy's own cap holds.
	MaxTokenLifetime time.Duration
	// Keys are tried in this order for tokens without kid.
	Keys []VerifyKey
	// CABundle is the PEM of the certificates that the server of a remote key set
	// must chain to; empty: the system's.
	CABundle string
}

// VerifyKey is what a verifier needs of one key: a secret or a public JWK.
type VerifyKey struct {
	// KID is the key id. It may be empty for a JWK only.
	KID string `json:"kid"`
	// Alg pins the algorithm; empty: the provider's algorithms do.
	Alg string `json:"alg"`
	// K is the HMAC secret.
	K Octets `json:"k,omitempty"`
	// JWK is a public key (RFC 7517).
	JWK json.RawMessage `json:"jwk,omitempty"`
}

// String names the key without its material.
func (k VerifyKey) String() string { return fmt.Sprintf("key %q (%s)", k.KID, k.Alg) }

// fileJSON is File on the wire.
type fileJSON struct {
	Version     int                       `json:"version"`
	Revision    int64                     `json:"revision"`
	AckKey      Octets                    `json:"ackKey"`
	SigningKeys map[string]fileSigningKey `json:"signingKeys"`
	Revoked     map[string][]string       `json:"revoked,omitempty"`
	Providers   map[string]fileProvider   `json:"providers"`
	APIKeys     []policy.APIKeySpec       `json:"apiKeys"`
}

type fileSigningKey struct {
	Generation int64 `json:"generation"`
}

type fileProvider struct {
	MaxTokenLifetime string      `json:"maxTokenLifetime,omitempty"`
	Keys             []VerifyKey `json:"keys"`
	CABundle         string      `json:"caBundle,omitempty"`
}

// Marshal writes the file: equal files are equal bytes. It refuses what
// ParseFile would.
func (f File) Marshal() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("writing keys.json: %w", err)
	}
	out := fileJSON{
		Version: FileVersion, Revision: f.Revision, AckKey: f.AckKey,
		SigningKeys: map[string]fileSigningKey{}, Revoked: sortedRevoked(f.Revoked),
		Providers: map[string]fileProvider{}, APIKeys: sortedClients(f.APIKeys),
	}
	for name, generation := range f.SigningKeys {
		out.SigningKeys[name] = fileSigningKey{generation}
	}
	for name, p := range f.Providers {
		provider := fileProvider{Keys: slices.Clone(p.Keys), CABundle: p.CABundle}
		if p.MaxTokenLifetime > 0 {
			provider.MaxTokenLifetime = p.MaxTokenLifetime.String()
		}
		if provider.Keys == nil {
			provider.Keys = []VerifyKey{}
		}
		out.Providers[name] = provider
	}
	data, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("writing keys.json: %w", err)
	}
	return data, nil
}

// ParseFile reads keys.json. Whatever is not exactly version 1 is an error:
// unknown and duplicate fields, private keys, text after the document.
func ParseFile(data []byte) (File, error) {
	var in fileJSON
	if err := decodeStrict(data, &in); err != nil {
		return File{}, fmt.Errorf("reading keys.json: %w", err)
	}
	if in.Version != FileVersion {
		return File{}, fmt.Errorf("reading keys.json: version is %d, this sidecar reads %d: use images of one release", in.Version, FileVersion)
	}
	f := File{
		Revision: in.Revision, AckKey: in.AckKey, SigningKeys: map[string]int64{},
		Revoked: in.Revoked, Providers: map[string]FileProvider{},
	}
	if len(in.APIKeys) > 0 {
		f.APIKeys = in.APIKeys
	}
	for name, key := range in.SigningKeys {
		f.SigningKeys[name] = key.Generation
	}
	for name, p := range in.Providers {
		lifetime, err := parseLifetime(p.MaxTokenLifetime)
		if err != nil {
			return File{}, fmt.Errorf("reading keys.json: providers.%s.maxTokenLifetime: %w", name, err)
		}
		f.Providers[name] = FileProvider{MaxTokenLifetime: lifetime, Keys: p.Keys, CABundle: p.CABundle}
	}
	if err := f.check(); err != nil {
		return File{}, fmt.Errorf("reading keys.json: %w", err)
	}
	f.Revoked = sortedRevoked(in.Revoked)
	return f, nil
}

func parseLifetime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	lifetime, err := time.ParseDuration(text)
	if err != nil || lifetime <= 0 {
		return 0, fmt.Errorf("%.40q is not a positive duration", text)
	}
	return lifetime, nil
}

func (f File) check() error {
	if f.Revision < 0 {
		return fmt.Errorf("revision: %d is negative", f.Revision)
	}
	if len(f.Providers) > maxProviders || len(f.SigningKeys) > maxSigningKeys {
		return fmt.Errorf("providers, signingKeys: at most %d and %d", maxProviders, maxSigningKeys)
	}
	for _, name := range slices.Sorted(maps.Keys(f.SigningKeys)) {
		if name == "" || len(name) > maxKID || f.SigningKeys[name] < 0 {
			return fmt.Errorf("signingKeys.%.64s: wants a name of up to %d characters and a generation that is not negative", name, maxKID)
		}
	}
	if err := checkRevoked(f.Revoked); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(f.Providers)) {
		if err := checkProvider(f.Providers[name]); err != nil {
			return fmt.Errorf("providers.%.64s.%w", name, err)
		}
	}
	return checkClients(f.APIKeys)
}

// checkRevoked refuses revocations that no SigningKey can have.
func checkRevoked(revoked map[string][]string) error {
	if len(revoked) > maxSigningKeys {
		return fmt.Errorf("revoked: %d are more than %d", len(revoked), maxSigningKeys)
	}
	for _, name := range slices.Sorted(maps.Keys(revoked)) {
		kids := revoked[name]
		if name == "" || len(name) > maxKID || len(kids) > MaxRevoked {
			return fmt.Errorf("revoked.%.64s: wants a name of up to %d characters and at most %d key ids", name, maxKID, MaxRevoked)
		}
		seen := map[string]bool{}
		for i, kid := range kids {
			if kid == "" || len(kid) > maxKID || seen[kid] {
				return fmt.Errorf("revoked.%.64s[%d]: wants 1 to %d characters that occur once", name, i, maxKID)
			}
			seen[kid] = true
		}
	}
	return nil
}

// sortedRevoked is a copy in one order, without SigningKeys that have none; nil
// when nothing is left.
func sortedRevoked(revoked map[string][]string) map[string][]string {
	var out map[string][]string
	for name, kids := range revoked {
		if len(kids) == 0 {
			continue
		}
		if out == nil {
			out = map[string][]string{}
		}
		out[name] = slices.Sorted(slices.Values(kids))
	}
	return out
}

// checkClients refuses clients that could not be told apart.
func checkClients(clients []policy.APIKeySpec) error {
	if len(clients) > MaxAPIKeys {
		return fmt.Errorf("apiKeys: %d are more than %d", len(clients), MaxAPIKeys)
	}
	ids, hashes := map[string]bool{}, map[string]bool{}
	for i, client := range clients {
		if err := policy.CheckAPIKey(client); err != nil {
			return fmt.Errorf("apiKeys[%d]: %w", i, err)
		}
		if ids[client.ClientID] {
			return fmt.Errorf("apiKeys[%d].clientID: occurs twice", i)
		}
		ids[client.ClientID] = true
		for j, value := range client.Values {
			if hashes[value.KeyHash] {
				return fmt.Errorf("apiKeys[%d].values[%d].keyHash: occurs twice", i, j)
			}
			hashes[value.KeyHash] = true
		}
	}
	return nil
}

// sortedClients are the clients in the order of their ids; never nil.
func sortedClients(clients []policy.APIKeySpec) []policy.APIKeySpec {
	list := append([]policy.APIKeySpec{}, clients...)
	slices.SortFunc(list, func(a, b policy.APIKeySpec) int { return strings.Compare(a.ClientID, b.ClientID) })
	return list
}

// Check refuses what keys.json cannot hold of one provider.
func (p FileProvider) Check() error { return checkProvider(p) }

// Check refuses what keys.json cannot hold as a key. The error begins after the
// key's name.
func (k VerifyKey) Check() error { return checkKey(k) }

func checkProvider(p FileProvider) error {
	if p.MaxTokenLifetime < 0 {
		return errors.New("maxTokenLifetime: negative")
	}
	if len(p.Keys) > maxKeysPerProvider {
		return fmt.Errorf("keys: %d are more than %d", len(p.Keys), maxKeysPerProvider)
	}
	if p.CABundle != "" && (len(p.Keys) > 0 || len(p.CABundle) > maxCABundle || strings.Contains(p.CABundle, "PRIVATE KEY")) {
		return fmt.Errorf("caBundle: wants certificates alone, at most %d bytes, and a provider without keys", maxCABundle)
	}
	seen := map[string]bool{}
	for i, key := range p.Keys {
		if err := checkKey(key); err != nil {
			return fmt.Errorf("keys[%d]%w", i, err)
		}
		if key.KID != "" && seen[key.KID] {
			return fmt.Errorf("keys[%d].kid: occurs twice", i)
		}
		seen[key.KID] = true
	}
	return nil
}

// algorithms are those of RFC 7518 section 3.1 and RFC 8037; none is no algorithm.
var algorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
	"ES256", "ES384", "ES512", "EdDSA",
}

func checkKey(k VerifyKey) error {
	secret, public := len(k.K) > 0, len(k.JWK) > 0
	switch {
	case secret == public:
		return errors.New(": exactly one of k, jwk must be set")
	case len(k.KID) > maxKID || secret && k.KID == "":
		return fmt.Errorf(".kid: wants 1 to %d characters", maxKID)
	case k.Alg != "" && !slices.Contains(algorithms, k.Alg):
		return fmt.Errorf(".alg: %.16q is none of %v", k.Alg, algorithms)
	case k.Alg != "" && isHMAC(k.Alg) != secret:
		return fmt.Errorf(".alg: %s does not go with the kind of key", k.Alg)
	case public:
		return checkPublic(k.JWK)
	}
	return nil
}

func isHMAC(alg string) bool { return len(alg) > 2 && alg[:2] == "HS" }

// checkPublic refuses a JWK that holds more than a public key.
func checkPublic(jwk json.RawMessage) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(jwk, &members); err != nil || members == nil {
		return errors.New(".jwk: not a JSON object")
	}
	for _, private := range []string{"k", "d", "p", "q", "dp", "dq", "qi", "oth"} {
		if _, ok := members[private]; ok {
			return fmt.Errorf(".jwk: holds the private member %q; public keys only", private)
		}
	}
	return nil
}
