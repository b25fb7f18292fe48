package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Bounds of RSA keys (threats D7): bits of the modulus, and the only exponent. A
// larger one makes each verification up to twice as dear and nothing safer.
const (
	minRSABits  = 2048
	maxRSABits  = 8192
	dearRSABits = 4096 // more: each trial counts as dearTrials
	rsaExponent = 65537
)

// Why a JSON Web Key is refused.
var (
	errNotJWK       = errors.New("not a JSON Web Key object")
	errPrivateJWK   = errors.New("holds private or symmetric material: publish the public half only")
	errKeyUse       = errors.New(`"use" must be "sig" and "key_ops" must contain "verify", where present`)
	errKeyMembers   = errors.New(`"kid" and "alg" must be strings, where present`)
	errKeyType      = errors.New(`"kty" must be RSA, EC (P-256, P-384, P-521) or OKP (Ed25519)`)
	errKeyEncoding  = errors.New("a number of the key is not base64url of the right length")
	errRSASize      = fmt.Errorf("an RSA modulus must have %d to %d bits", minRSABits, maxRSABits)
	errRSAExponent  = fmt.Errorf("an RSA exponent must be %d", rsaExponent)
	errRSAWeak      = errors.New("the RSA modulus was made by a generator whose keys can be factored (CVE-2017-15361): make a new key")
	errPointOffside = errors.New("the point is not on the curve")
)

// newPublicKey reads one entry of a key set.
func newPublicKey(entry any) (*verifyKey, error) {
	document, ok := entry.(map[string]any)
	if !ok {
		return nil, errNotJWK
	}
	kid, pinned, err := checkMembers(document)
	if err != nil {
		return nil, err
	}
	public, err := readPublic(document)
	if err != nil {
		return nil, nameKey(kid, err)
	}
	made := &verifyKey{kid: strings.Clone(kid), dear: public.dear} // the document is large and need not live on
	fits := false
	for i, alg := range algorithms {
		if (pinned != "" && pinned != alg.name) || alg.family != public.family || alg.curve != public.curve {
			continue
		}
		check, err := newPublicCheck(alg.name, public.key, public.signature)
		if err != nil {
			return nil, nameKey(kid, err)
		}
		made.checks[i] = check
		fits = true
	}
	if !fits {
		return nil, nameKey(kid, errKeyAlg)
	}
	return made, nil
}

func nameKey(kid string, err error) error {
	if kid == "" {
		return err
	}
	return fmt.Errorf("%.64q: %w", kid, err)
}

// checkMembers reads the members that say what the key is for (RFC 7517 section 4).
func checkMembers(document map[string]any) (kid, alg string, err error) {
	for _, name := range []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth"} {
		if _, present := document[name]; present {
			return "", "", errPrivateJWK
		}
	}
	if document["kty"] == "oct" {
		return "", "", errPrivateJWK
	}
	kid, kidOK := stringMember(document, "kid")
	alg, algOK := stringMember(document, "alg")
	if !kidOK || !algOK {
		return "", "", errKeyMembers
	}
	if use, present := document["use"]; present && use != "sig" {
		return "", "", nameKey(kid, errKeyUse)
	}
	if operations, present := document["key_ops"]; present && !contains(operations, "verify") {
		return "", "", nameKey(kid, errKeyUse)
	}
	return kid, alg, nil
}

// stringMember returns a member that is absent or a string that is not empty.
func stringMember(document map[string]any, name string) (string, bool) {
	value, present := document[name]
	if !present {
		return "", true
	}
	text, ok := value.(string)
	return text, ok && text != ""
}

func contains(list any, wanted string) bool {
	elements, _ := list.([]any)
	for _, element := range elements {
		if element == wanted {
			return true
		}
	}
	return false
}

// publicKey is a key as crypto knows it, and what its algorithms must agree with.
type publicKey struct {
	key       any
	family    family
	curve     string
	signature int
	dear      bool
}

func readPublic(document map[string]any) (publicKey, error) {
	switch document["kty"] {
	case "RSA":
		return readRSA(document)
	case "EC":
		return readEC(document)
	case "OKP":
		return readOKP(document)
	default:
		return publicKey{}, errKeyType
	}
}

func readRSA(document map[string]any) (publicKey, error) {
	exponent, exponentOK := octets(document, "e")
	modulus, modulusOK := octets(document, "n")
	switch {
	case !exponentOK || !modulusOK:
		return publicKey{}, errKeyEncoding
	case len(exponent) > 4:
		return publicKey{}, errRSAExponent
	case len(modulus) > maxRSABits/8+1: // before jwx makes a number of it; some put a zero in front
		return publicKey{}, errRSASize
	}
	var key rsa.PublicKey
	if err := parseInto(document, &key, "n", "e"); err != nil {
		return publicKey{}, err
	}
	return publicKey{key: &key, family: familyRSA, signature: key.Size(), dear: key.N.BitLen() > dearRSABits}, checkRSA(&key)
}

func checkRSA(key *rsa.PublicKey) error {
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits || key.N.Bit(0) == 0 {
		return errRSASize
	}
	if isROCA(key.N) {
		return errRSAWeak
	}
	if key.E != rsaExponent {
		return errRSAExponent
	}
	return nil
}

func readEC(document map[string]any) (publicKey, error) {
	name, _ := document["crv"].(string)
	curve := curveNamed(name)
	if curve == nil {
		return publicKey{}, errKeyType
	}
	size := (curve.Params().BitSize + 7) / 8
	for _, coordinate := range []string{"x", "y"} {
		if data, ok := octets(document, coordinate); !ok || len(data) != size {
			return publicKey{}, errKeyEncoding
		}
	}
	var key ecdsa.PublicKey
	if err := parseInto(document, &key, "crv", "x", "y"); err != nil {
		return publicKey{}, err
	}
	if _, err := key.ECDH(); err != nil {
		return publicKey{}, errPointOffside
	}
	return publicKey{key: &key, family: familyEC, curve: name, signature: 2 * size}, nil
}

func readOKP(document map[string]any) (publicKey, error) {
	if document["crv"] != "Ed25519" {
		return publicKey{}, errKeyType
	}
	if data, ok := octets(document, "x"); !ok || len(data) != ed25519.PublicKeySize {
		return publicKey{}, errKeyEncoding
	}
	var key ed25519.PublicKey
	if err := parseInto(document, &key, "crv", "x"); err != nil {
		return publicKey{}, err
	}
	return publicKey{key: key, family: familyEdwards, curve: "Ed25519", signature: ed25519.SignatureSize}, nil
}

// octets decodes a base64url member.
func octets(document map[string]any, name string) ([]byte, bool) {
	text, ok := document[name].(string)
	if !ok {
		return nil, false
	}
	return decodeBase64(text)
}

// parseInto lets jwx read the named members, and nothing else of the document,
// into a key of package crypto.
func parseInto(document map[string]any, key any, members ...string) error {
	chosen := map[string]any{"kty": document["kty"]}
	for _, name := range members {
		chosen[name] = document[name]
	}
	text, err := json.Marshal(chosen)
	if err != nil {
		return fmt.Errorf("writing JSON Web Key: %w", err)
	}
	parsed, err := jwk.ParseKey(text)
	if err != nil {
		return fmt.Errorf("parsing JSON Web Key: %w", err)
	}
	if err := parsed.Raw(key); err != nil {
		return fmt.Errorf("reading JSON Web Key: %w", err)
	}
	return nil
}
