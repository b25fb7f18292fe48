package token

import (
	"crypto"
	"crypto/elliptic"
	_ "crypto/sha256" // makes crypto.SHA256 available
	_ "crypto/sha512" // makes crypto.SHA384 and crypto.SHA512 available
)

// family is what kind of key an algorithm needs.
type family uint8

const (
	familyHMAC family = iota + 1
	familyRSA
	familyEC
	familyEdwards
)

// algorithm is an index into algorithms; noAlgorithm is none of them.
type algorithm uint8

const noAlgorithm = algorithm(len(algorithms))

// algorithms are the accepted signature algorithms: RFC 7518 section 3.1
// without none and ES256K, and EdDSA of RFC 8037 (Ed25519 alone).
var algorithms = [...]struct {
	name   string
	family family
	hash   crypto.Hash
	curve  string
}{
	{name: "HS256", family: familyHMAC, hash: crypto.SHA256},
	{name: "HS384", family: familyHMAC, hash: crypto.SHA384},
	{name: "HS512", family: familyHMAC, hash: crypto.SHA512},
	{name: "RS256", family: familyRSA, hash: crypto.SHA256},
	{name: "RS384", family: familyRSA, hash: crypto.SHA384},
	{name: "RS512", family: familyRSA, hash: crypto.SHA512},
	{name: "PS256", family: familyRSA, hash: crypto.SHA256},
	{name: "PS384", family: familyRSA, hash: crypto.SHA384},
	{name: "PS512", family: familyRSA, hash: crypto.SHA512},
	{name: "ES256", family: familyEC, hash: crypto.SHA256, curve: "P-256"},
	{name: "ES384", family: familyEC, hash: crypto.SHA384, curve: "P-384"},
	{name: "ES512", family: familyEC, hash: crypto.SHA512, curve: "P-521"},
	{name: "EdDSA", family: familyEdwards, curve: "Ed25519"},
}

// algorithmNamed finds an algorithm by its exact name.
func algorithmNamed(name string) algorithm {
	for i := range algorithms {
		if algorithms[i].name == name {
			return algorithm(i)
		}
	}
	return noAlgorithm
}

// curveNamed is the elliptic curve of an EC key (RFC 7518 section 6.2.1.1), or nil.
func curveNamed(name string) elliptic.Curve {
	switch name {
	case "P-256":
		return elliptic.P256()
	case "P-384":
		return elliptic.P384()
	case "P-521":
		return elliptic.P521()
	default:
		return nil
	}
}

// algorithmSet is a set of algorithms, one bit each.
type algorithmSet uint16

func (s algorithmSet) has(alg algorithm) bool { return alg < noAlgorithm && s&(1<<alg) != 0 }

func (s algorithmSet) with(alg algorithm) algorithmSet { return s | 1<<alg }
