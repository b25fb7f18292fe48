package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// generatedRSABits: crypto/rsa verifies 2048 bits in about 30 us and 3072 in about
// 270 (Go 1.26), and anybody may make a sidecar verify. Keys rotate; whoever
// needs more than 112 bits of strength is better off with ES256 or EdDSA.
const generatedRSABits = 2048

// Generate makes a fresh key for alg, without a KID: for HS* the base64url text
// of as many random bytes as the hash has (text, so that it survives environment
// variables and .env files), RSA 2048, the curve of ES*, Ed25519.
func Generate(alg string, rand io.Reader) (Key, error) {
	chosen := algorithmNamed(alg)
	if chosen == noAlgorithm {
		return Key{}, ErrUnknownAlg
	}
	if algorithms[chosen].family == familyHMAC {
		random := make([]byte, algorithms[chosen].hash.Size())
		if _, err := io.ReadFull(rand, random); err != nil {
			return Key{}, fmt.Errorf("reading random bytes: %w", err)
		}
		return Key{Alg: alg, K: []byte(base64.RawURLEncoding.EncodeToString(random))}, nil
	}
	private, err := generatePrivate(chosen, rand)
	if err != nil {
		return Key{}, fmt.Errorf("generating %s key: %w", alg, err)
	}
	return keyOf(alg, private)
}

func generatePrivate(alg algorithm, rand io.Reader) (any, error) {
	switch algorithms[alg].family {
	case familyRSA:
		return rsa.GenerateKey(rand, generatedRSABits)
	case familyEC:
		return ecdsa.GenerateKey(curveNamed(algorithms[alg].curve), rand)
	case familyEdwards:
		_, private, err := ed25519.GenerateKey(rand)
		return private, err
	default:
		return nil, ErrUnknownAlg
	}
}

// keyOf stores a private key of package crypto as a JWK.
func keyOf(alg string, private any) (Key, error) {
	made, err := jwk.FromRaw(private)
	if err != nil {
		return Key{}, fmt.Errorf("making JSON Web Key: %w", err)
	}
	text, err := json.Marshal(made)
	if err != nil {
		return Key{}, fmt.Errorf("writing JSON Web Key: %w", err)
	}
	return Key{Alg: alg, JWK: text}, nil
}

// ParsePrivate reads a private key for alg as PEM (PKCS #8, PKCS #1, SEC 1) or
// as a private JWK; for HS* data is the secret itself, checked by CheckSecret.
func ParsePrivate(alg string, data []byte) (Key, error) {
	chosen := algorithmNamed(alg)
	if chosen == noAlgorithm {
		return Key{}, ErrUnknownAlg
	}
	if algorithms[chosen].family == familyHMAC {
		if err := CheckSecret(alg, data, false); err != nil {
			return Key{}, err
		}
		return Key{Alg: alg, K: bytes.Clone(data)}, nil
	}
	var private any
	var err error
	if block, _ := pem.Decode(data); block != nil {
		private, err = parseDER(block)
	} else {
		private, err = readPrivate(data, chosen)
	}
	if err != nil || checkPrivate(private, chosen) != nil {
		return Key{}, errNotPrivate
	}
	return keyOf(alg, private)
}

func parseDER(block *pem.Block) (any, error) {
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, errNotPrivate
	}
}

// PublicJWK is the public half as a JWK with kid, alg and use. It wraps
// ErrNoPublicHalf for HMAC secrets.
func PublicJWK(key Key) (json.RawMessage, error) {
	private, err := privateOf(key)
	if err != nil {
		return nil, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errNotPrivate
	}
	return publicDocument(signer.Public(), key.KID, key.Alg)
}

// publicDocument writes a public key of package crypto as a JWK; kid and alg are
// left out where they are empty.
func publicDocument(key any, kid, alg string) (json.RawMessage, error) {
	public, err := jwk.FromRaw(key)
	if err != nil {
		return nil, fmt.Errorf("making JSON Web Key: %w", err)
	}
	members := map[string]any{jwk.AlgorithmKey: alg, jwk.KeyUsageKey: "sig", jwk.KeyIDKey: kid}
	for name, value := range members {
		if value == "" {
			continue
		}
		if err := public.Set(name, value); err != nil {
			return nil, fmt.Errorf("setting %s of JSON Web Key: %w", name, err)
		}
	}
	text, err := json.Marshal(public)
	if err != nil {
		return nil, fmt.Errorf("writing JSON Web Key: %w", err)
	}
	return text, nil
}

// PublicJWKS is a JSON Web Key Set of the public halves.
func PublicJWKS(keys []Key) ([]byte, error) {
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{Keys: []json.RawMessage{}}
	for _, key := range keys {
		public, err := PublicJWK(key)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, public)
	}
	return json.Marshal(set)
}

// PrivatePEM is the private half as PKCS #8 PEM, for signers outside. It wraps
// ErrNoPublicHalf for HMAC secrets.
func PrivatePEM(key Key) ([]byte, error) {
	private, err := privateOf(key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("writing PKCS #8: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// privateOf is the private half of a key pair.
func privateOf(key Key) (any, error) {
	alg := algorithmNamed(key.Alg)
	if alg == noAlgorithm {
		return nil, ErrUnknownAlg
	}
	if algorithms[alg].family == familyHMAC {
		return nil, fmt.Errorf("%v: %w", key, ErrNoPublicHalf)
	}
	return readPrivate(key.JWK, alg)
}
