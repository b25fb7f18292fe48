package token_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// TestEdgeSignatures is T6.
func TestEdgeSignatures(t *testing.T) {
	rsaKey, ecKey, edKey := generate(t, "RS256", "r"), generate(t, "ES256", "e"), generate(t, "EdDSA", "d")
	secret := generate(t, "HS256", "")
	v := verifier(t, provider(t, "public", nil, rsaKey, ecKey, edKey))
	hs := verifier(t, provider(t, "secret", nil, secret))
	rsaToken, ecToken := mint(t, rsaKey, nil, claims(nil)), mint(t, ecKey, nil, claims(nil))
	edToken, hsToken := mint(t, edKey, nil, claims(nil)), mint(t, secret, nil, claims(nil))
	modulus := modulusOf(t, rsaKey)
	rsaSignature, ecSignature := signatureOf(t, rsaToken), signatureOf(t, ecToken)
	edSignature, hsSignature := signatureOf(t, edToken), signatureOf(t, hsToken)
	size := len(rsaSignature)
	n := elliptic.P256().Params().N
	r, s := new(big.Int).SetBytes(ecSignature[:32]), new(big.Int).SetBytes(ecSignature[32:])
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	fixed := func(a, b *big.Int) []byte {
		return append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
	}
	more := new(big.Int).Add(s, n)

	for name, tc := range map[string]struct {
		v         *token.Verifier
		token     string
		signature []byte
		want      policy.Reason
	}{
		"the RSA twin is accepted":      {v, rsaToken, rsaSignature, policy.OK},
		"the ECDSA twin is accepted":    {v, ecToken, ecSignature, policy.OK},
		"the Ed25519 twin is accepted":  {v, edToken, edSignature, policy.OK},
		"the HMAC twin is accepted":     {hs, hsToken, hsSignature, policy.OK},
		"ECDSA zero and zero (psychic)": {v, ecToken, make([]byte, 64), policy.SignatureInvalid},
		"ECDSA r zero":                  {v, ecToken, fixed(new(big.Int), s), policy.SignatureInvalid},
		"ECDSA order and order":         {v, ecToken, fixed(n, n), policy.SignatureInvalid},
		"ECDSA in DER":                  {v, ecToken, der, policy.SignatureInvalid},
		"ECDSA with a byte more":        {v, ecToken, append(bytes.Clone(ecSignature), 0), policy.SignatureInvalid},
		"ECDSA with s + n":              {v, ecToken, append(r.FillBytes(make([]byte, 32)), more.Bytes()...), policy.SignatureInvalid},
		"ECDSA swapped":                 {v, ecToken, fixed(s, r), policy.SignatureInvalid},
		"ECDSA empty":                   {v, ecToken, nil, policy.SignatureInvalid},
		"RSA zero":                      {v, rsaToken, make([]byte, size), policy.SignatureInvalid},
		"RSA one":                       {v, rsaToken, big.NewInt(1).FillBytes(make([]byte, size)), policy.SignatureInvalid},
		"RSA n - 1":                     {v, rsaToken, new(big.Int).Sub(modulus, big.NewInt(1)).FillBytes(make([]byte, size)), policy.SignatureInvalid},
		"RSA n":                         {v, rsaToken, modulus.FillBytes(make([]byte, size)), policy.SignatureInvalid},
		"RSA s + n":                     {v, rsaToken, new(big.Int).Add(new(big.Int).SetBytes(rsaSignature), modulus).Bytes(), policy.SignatureInvalid},
		"RSA with a leading zero byte":  {v, rsaToken, append([]byte{0}, rsaSignature...), policy.SignatureInvalid},
		"RSA with a byte less":          {v, rsaToken, rsaSignature[:size-1], policy.SignatureInvalid},
		"RSA empty":                     {v, rsaToken, nil, policy.SignatureInvalid},
		"Ed25519 with a byte more":      {v, edToken, append(bytes.Clone(edSignature), 0), policy.SignatureInvalid},
		"Ed25519 with s + order":        {v, edToken, edPlusOrder(edSignature), policy.SignatureInvalid},
		"HMAC cut to half":              {hs, hsToken, hsSignature[:16], policy.SignatureInvalid},
		"HMAC with a byte more":         {hs, hsToken, append(bytes.Clone(hsSignature), 0), policy.SignatureInvalid},
		"HMAC empty":                    {hs, hsToken, nil, policy.SignatureInvalid},
		"HMAC with one bit turned":      {hs, hsToken, flip(hsSignature), policy.SignatureInvalid},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, verify(t, tc.v, resigned(tc.token, tc.signature)), tc.want) })
	}
}

// TestMalformedPaddings is T6: encodings of PKCS #1 that are nearly right, made
// with the private key.
func TestMalformedPaddings(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.ParsePrivate("RS256", pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private),
	}))
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, provider(t, "public", nil, key))
	text := mint(t, key, nil, claims(nil))
	digest := sha256.Sum256([]byte(text[:strings.LastIndexByte(text, '.')]))
	info := []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	encode := func(head []byte, padding int, body []byte) []byte {
		block := append(bytes.Clone(head), bytes.Repeat([]byte{0xff}, padding)...)
		block = append(append(block, 0), body...)
		block = append(block, make([]byte, max(0, 256-len(block)))...)
		return new(big.Int).Exp(new(big.Int).SetBytes(block[:256]), private.D, private.N).FillBytes(make([]byte, 256))
	}
	good := append(bytes.Clone(info), digest[:]...)
	noNull := append([]byte{0x30, 0x2f, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x04, 0x20}, digest[:]...)
	full := 256 - 3 - len(good)
	for name, tc := range map[string]struct {
		signature []byte
		want      policy.Reason
	}{
		"the right encoding is accepted":       {encode([]byte{0, 1}, full, good), policy.OK},
		"block type 2":                         {encode([]byte{0, 2}, full, good), policy.SignatureInvalid},
		"a first byte that is not zero":        {encode([]byte{1, 1}, full, good), policy.SignatureInvalid},
		"short padding, rubbish behind (2006)": {encode([]byte{0, 1}, 8, good), policy.SignatureInvalid},
		"no padding":                           {encode([]byte{0, 1}, 0, good), policy.SignatureInvalid},
		"the digest without its algorithm":     {encode([]byte{0, 1}, 256-3-32, digest[:]), policy.SignatureInvalid},
		"the algorithm without its NULL":       {encode([]byte{0, 1}, 256-3-len(noNull), noNull), policy.SignatureInvalid},
		"a digest of another length":           {encode([]byte{0, 1}, full+1, good[:len(good)-1]), policy.SignatureInvalid},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, verify(t, v, resigned(text, tc.signature)), tc.want) })
	}
}

// TestSaltLength is T6 for PS*: RFC 7518 section 3.5 wants a salt as long as the
// hash.
func TestSaltLength(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	der := x509.MarshalPKCS1PrivateKey(private)
	for alg, hash := range map[string]crypto.Hash{"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512} {
		key, err := token.ParsePrivate(alg, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: der}))
		must(t, err)
		v := verifier(t, provider(t, "public", nil, key))
		text := mint(t, key, nil, claims(nil))
		digest := hash.New()
		digest.Write([]byte(text[:strings.LastIndexByte(text, '.')]))
		for salt, want := range map[int]policy.Reason{
			hash.Size(): policy.OK, hash.Size() - 1: policy.SignatureInvalid, hash.Size() + 1: policy.SignatureInvalid,
			20: policy.SignatureInvalid, 1: policy.SignatureInvalid,
		} {
			t.Run(fmt.Sprintf("%s with a salt of %d bytes", alg, salt), func(t *testing.T) {
				signature, err := rsa.SignPSS(rand.Reader, private, hash, digest.Sum(nil), &rsa.PSSOptions{SaltLength: salt})
				must(t, err)
				wantReason(t, verify(t, v, resigned(text, signature)), want)
			})
		}
	}
}

func modulusOf(t *testing.T, key token.Key) *big.Int {
	t.Helper()
	var members struct{ N string }
	if err := json.Unmarshal(key.JWK, &members); err != nil {
		t.Fatal(err)
	}
	data, err := base64.RawURLEncoding.DecodeString(members.N)
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(data)
}

func flip(data []byte) []byte {
	turned := bytes.Clone(data)
	turned[0] ^= 1
	return turned
}

// edPlusOrder adds the group's order to s, which RFC 8032 forbids.
func edPlusOrder(signature []byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	little := bytes.Clone(signature[32:])
	for i, j := 0, len(little)-1; i < j; i, j = i+1, j-1 {
		little[i], little[j] = little[j], little[i]
	}
	sum := new(big.Int).Add(new(big.Int).SetBytes(little), order).FillBytes(make([]byte, 32))
	for i, j := 0, len(sum)-1; i < j; i, j = i+1, j-1 {
		sum[i], sum[j] = sum[j], sum[i]
	}
	return append(bytes.Clone(signature[:32]), sum...)
}
