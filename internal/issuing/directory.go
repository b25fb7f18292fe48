package issuing

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/bundle"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/token"
)

// Directory takes an issuer from its document and from files by the name
// "name/key", as bundle.Directory does. What signs is read from the files that an
// exported Secret has: NAME/current is the HMAC secret or the private key in PEM,
// NAME/current.kid its id (else "current" for a secret, a
// thumbprint for a private key), NAME/jwks.json the public keys (else
// the current one's alone). The users are NAME/KEY as the document's
// usersSecretRef names them, or the content of a file of their own. The cluster's
// keys are serviceaccounts.json. The label, usually the directory's path, is for
// errors.
func Directory(document []byte, label string, files map[string][]byte, users []byte) Source {
	return directory{text: document, label: label, files: files, own: users}
}

type directory struct {
	text  []byte
	label string
	files map[string][]byte
	own   []byte // users; nil: among files
}

func (d directory) document() (manifest.IssuerDocument, error) {
	return manifest.ParseIssuer(d.text)
}

func (d directory) keys() (bundle.Keys, error) { return bundle.Directory(d.label, d.files), nil }

func (d directory) users(ref grant.UsersSecretRef) ([]byte, error) {
	if d.own != nil {
		return d.own, nil
	}
	data, ok := d.files[path.Join(ref.Name, ref.Key)]
	if !ok {
		return nil, fmt.Errorf("no users found: create %s with lines of htpasswd -nB -C 12, or name a file with --users", path.Join(d.label, ref.Name, ref.Key))
	}
	return data, nil
}

func (d directory) serviceAccounts() (keyring.ServiceAccountsFile, error) {
	data, ok := d.files[ServiceAccountsKey]
	if !ok {
		return keyring.ServiceAccountsFile{}, fmt.Errorf(`no keys of a cluster found: create %s with {"issuer": ..., "jwks": ...} of the cluster's /.well-known/openid-configuration`,
			path.Join(d.label, ServiceAccountsKey))
	}
	return keyring.ParseServiceAccounts(data)
}

func (d directory) signer(name string) (keyring.SignerFile, error) {
	at := path.Join(d.label, name, "current")
	f := keyring.SignerFile{SigningKey: name, MaxTokenLifetime: grant.MaxTokenLifetime, KID: "current"}
	value, ok := d.files[path.Join(name, "current")]
	if !ok || len(value) == 0 {
		return f, fmt.Errorf("spec.signingKeyRef: no key found: create %s with the secret's bytes, or with a private key in PEM", at)
	}
	f.Value = value
	if id := strings.TrimSpace(string(d.files[path.Join(name, "current.kid")])); id != "" {
		f.KID = id
	}
	var err error
	if block, _ := pem.Decode(value); block == nil {
		f.Algorithm = "HS256"
		err = token.CheckSecret(f.Algorithm, value, false)
	} else {
		err = d.private(name, &f, block)
	}
	if err != nil {
		return f, fmt.Errorf("spec.signingKeyRef: %s: %w", at, err)
	}
	return f, nil
}

// private fills in what goes with a private key. Without a file for it its id is
// made of the key itself: another key must never have the same, because verifiers
// ask for a key set again only when they do not know an id.
func (d directory) private(name string, f *keyring.SignerFile, block *pem.Block) error {
	var err error
	if f.Algorithm, err = d.algorithm(name, f.KID, block); err != nil {
		return err
	}
	key, err := token.ParsePrivate(f.Algorithm, f.Value)
	if err != nil {
		return err
	}
	if d.files[path.Join(name, "current.kid")] == nil {
		if f.KID, err = thumbprint(key); err != nil {
			return err
		}
	}
	key.KID = f.KID
	f.Publish, err = d.shown(name, key)
	return err
}

// thumbprint is half of the SHA-256 of RFC 7638, in small letters and digits.
func thumbprint(key token.Key) (string, error) {
	public, err := token.PublicJWK(key)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(publicMembers(public))
	if err != nil {
		return "", fmt.Errorf("writing the public key: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:sha256.Size/2]), nil
}

// members are those of a JWK that are looked at here.
type members struct {
	KID string `json:"kid"`
	Alg string `json:"alg"`
}

// set are the public keys that lie beside the private one; none if there is no
// such file.
func (d directory) set(name string) ([]json.RawMessage, error) {
	data, ok := d.files[path.Join(name, "jwks.json")]
	if !ok {
		return nil, nil
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("reading jwks.json beside it: %w", err)
	}
	return set.Keys, nil
}

// algorithm is the one that jwks.json names for the key, else the usual one of
// its kind.
func (d directory) algorithm(name, kid string, block *pem.Block) (string, error) {
	keys, err := d.set(name)
	if err != nil {
		return "", err
	}
	for _, text := range keys {
		var m members
		if json.Unmarshal(text, &m) == nil && m.KID == kid && m.Alg != "" {
			return m.Alg, nil
		}
	}
	return usualAlgorithm(block)
}

// usualAlgorithm is ES* by the curve, EdDSA, or RS256.
func usualAlgorithm(block *pem.Block) (string, error) {
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		switch key := key.(type) {
		case *ecdsa.PrivateKey:
			return curveAlgorithm(key)
		case ed25519.PrivateKey:
			return "EdDSA", nil
		default:
			return "RS256", nil
		}
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return curveAlgorithm(key)
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return "RS256", nil
	}
	return "", errors.New("is no private key in PEM (PKCS #8, PKCS #1 or SEC 1)")
}

func curveAlgorithm(key *ecdsa.PrivateKey) (string, error) {
	alg := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[key.Curve.Params().Name]
	if alg == "" {
		return "", errors.New("is a key on a curve that is not used for tokens: use P-256")
	}
	return alg, nil
}

// shown are the public keys: those of jwks.json, and the signing key's where that
// is not among them.
func (d directory) shown(name string, key token.Key) ([]keyring.VerifyKey, error) {
	keys, err := d.set(name)
	if err != nil {
		return nil, err
	}
	var shown []keyring.VerifyKey
	for _, text := range keys {
		var m members
		if err := json.Unmarshal(text, &m); err != nil {
			return nil, fmt.Errorf("reading jwks.json beside it: %w", err)
		}
		public, err := json.Marshal(publicMembers(text)) // whatever else stands there is shown to nobody
		if err != nil {
			return nil, fmt.Errorf("reading jwks.json beside it: %w", err)
		}
		shown = append(shown, keyring.VerifyKey{KID: m.KID, Alg: m.Alg, JWK: public})
	}
	if slices.ContainsFunc(shown, func(k keyring.VerifyKey) bool { return k.KID == key.KID }) {
		return shown, nil
	}
	public, err := token.PublicJWK(key)
	if err != nil {
		return nil, err
	}
	return append([]keyring.VerifyKey{{KID: key.KID, Alg: key.Alg, JWK: public}}, shown...), nil
}
