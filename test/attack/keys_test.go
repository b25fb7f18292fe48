package attack

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"gatepost.dev/gatepost/apikey"
)

// ring is the key material of one run, the same in every run, so that a failure
// can be played again. Names that begin with "foreign" are the attacker's own.
type ring struct {
	secrets map[string][]byte
	rsa     map[string]*rsa.PrivateKey
	ec      map[string]*ecdsa.PrivateKey
	ed      map[string]ed25519.PrivateKey
}

// keyFacts are what is known of a key by its name.
type keyFacts struct{ alg, kid, issuer string }

const (
	sharedIssuer = "https://shared.example"
	publicIssuer = "https://public.example"
)

var facts = map[string]keyFacts{
	"hs":    {"HS256", "current", sharedIssuer},
	"open":  {"HS512", "current", ""},
	"rs":    {"RS256", "r1", publicIssuer},
	"ps":    {"PS256", "p1", publicIssuer},
	"es":    {"ES256", "e1", publicIssuer},
	"ed":    {"EdDSA", "d1", publicIssuer},
	"es384": {"ES384", "e1", publicIssuer},
}

func newRing(t testing.TB) *ring {
	t.Helper()
	made := &ring{secrets: map[string][]byte{}, rsa: map[string]*rsa.PrivateKey{}, ec: map[string]*ecdsa.PrivateKey{}, ed: map[string]ed25519.PrivateKey{}}
	for _, owner := range []string{"", "foreign-"} {
		short, long := sha256.Sum256([]byte(owner+"shared")), sha512.Sum512([]byte(owner+"open"))
		made.secrets[owner+"hs"], made.secrets[owner+"open"] = short[:], long[:]
		private := primePair(t, owner)
		made.rsa[owner+"rs"], made.rsa[owner+"ps"] = private, private
		made.ec[owner+"es"] = scalar(t, elliptic.P256(), owner, 32)
		made.ec[owner+"es384"] = scalar(t, elliptic.P384(), owner, 48)
		seed := sha256.Sum256([]byte(owner + "ed"))
		made.ed[owner+"ed"] = ed25519.NewKeyFromSeed(seed[:])
	}
	return made
}

// primePair makes the RSA key that belongs to a name.
func primePair(t testing.TB, name string) *rsa.PrivateKey {
	t.Helper()
	source := rand.NewChaCha8(sha256.Sum256([]byte("rsa" + name)))
	one, e := big.NewInt(1), big.NewInt(65537)
	prime := func() *big.Int {
		buffer := make([]byte, 128)
		for {
			_, _ = source.Read(buffer)
			buffer[0] |= 0xc0
			buffer[127] |= 1
			p := new(big.Int).SetBytes(buffer)
			rest := new(big.Int).Sub(p, one)
			if p.ProbablyPrime(20) && new(big.Int).GCD(nil, nil, rest, e).Cmp(one) == 0 {
				return p
			}
		}
	}
	p, q := prime(), prime()
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
		D:         new(big.Int).ModInverse(e, phi),
		Primes:    []*big.Int{p, q},
	}
	key.Precompute()
	if err := key.Validate(); err != nil {
		t.Fatal(err)
	}
	return key
}

func scalar(t testing.TB, curve elliptic.Curve, name string, size int) *ecdsa.PrivateKey {
	t.Helper()
	sum := sha512.Sum512([]byte("ec" + name))
	sum[0] = 0 // below the order of either curve
	key, err := ecdsa.ParseRawPrivateKey(curve, sum[:size])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// apiKey is the API key with a name; any name has one.
func (k *ring) apiKey(name string) string {
	seed := sha256.Sum256([]byte("api key " + name))
	key, err := apikey.Generate(bytes.NewReader(seed[:]))
	if err != nil {
		return "" // 32 bytes are enough
	}
	return key.Reveal()
}

// hashed puts the hashes of API keys in the places <name> of a policy.
func (k *ring) hashed(policy string) string {
	return hashPlace.ReplaceAllStringFunc(policy, func(place string) string {
		sum := sha256.Sum256([]byte(k.apiKey(strings.Trim(place, "<>"))))
		return hex.EncodeToString(sum[:])
	})
}

var hashPlace = regexp.MustCompile(`<[a-z]+>`)

// files are the sidecar's directory of keys.
func (k *ring) files(t testing.TB) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"shared/current": k.secrets["hs"],
		"open/current":   k.secrets["open"],
		"public/jwks":    k.jwks(t),
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwks is the public provider's key set.
func (k *ring) jwks(t testing.TB) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": []any{
		k.jwk("rs"), k.jwk("ps"), k.jwk("es"), k.jwk("ed"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// jwk is the public half of a key.
func (k *ring) jwk(name string) map[string]any {
	about := facts[strings.TrimPrefix(name, "foreign-")]
	jwk := map[string]any{"kid": about.kid, "alg": about.alg, "use": "sig"}
	switch {
	case k.rsa[name] != nil:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", b64(k.rsa[name].N.Bytes()), "AQAB"
	case k.ec[name] != nil:
		point, _ := k.ec[name].PublicKey.Bytes() // fails for no key of ours
		half := len(point) / 2
		jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", k.ec[name].Curve.Params().Name, b64(point[1:1+half]), b64(point[1+half:])
	default:
		public, _ := k.ed[name].Public().(ed25519.PublicKey)
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", b64(public)
	}
	return jwk
}

// publicForms are what an attacker may know of the RSA key, for use as a secret.
func (k *ring) publicForms(t testing.TB) map[string][]byte {
	t.Helper()
	public := &k.rsa["rs"].PublicKey
	pkix, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	text, pkcs1 := encode("PUBLIC KEY", pkix), x509.MarshalPKCS1PublicKey(public)
	jwk, err := json.Marshal(k.jwk("rs"))
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.ec["es"].PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"pem": []byte(text), "pem-trimmed": []byte(strings.TrimSpace(text)), "pem-crlf": []byte(strings.ReplaceAll(text, "\n", "\r\n")),
		"pkcs1-pem": []byte(encode("RSA PUBLIC KEY", pkcs1)), "pkcs1-der": pkcs1, "der": pkix,
		"ssh": ssh(public), "jwk": jwk, "jwks": k.jwks(t), "modulus": public.N.Bytes(), "point": point,
		"x5c": []byte(base64.StdEncoding.EncodeToString(pkix)), "empty": {}, "zeros": make([]byte, 32), "word": []byte("secret"),
		"base64": []byte(base64.StdEncoding.EncodeToString(k.secrets["hs"])), "newline": append(append([]byte{}, k.secrets["hs"]...), '\n'),
	}
}

// ssh is the key as authorized_keys holds it.
func ssh(public *rsa.PublicKey) []byte {
	var wire []byte
	part := func(b []byte) {
		wire = append(wire, byte(len(b)>>24), byte(len(b)>>16), byte(len(b)>>8), byte(len(b)))
		wire = append(wire, b...)
	}
	part([]byte("ssh-rsa"))
	part([]byte{1, 0, 1})
	part(append([]byte{0}, public.N.Bytes()...))
	return []byte("ssh-rsa " + base64.StdEncoding.EncodeToString(wire) + " agent")
}

// hashes of the algorithms.
var hashes = map[string]crypto.Hash{
	"HS256": crypto.SHA256, "HS384": crypto.SHA384, "HS512": crypto.SHA512,
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384,
}
