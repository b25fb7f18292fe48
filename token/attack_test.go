package token_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// TestHonestTokens: one token of each algorithm, with and without kid.
func TestHonestTokens(t *testing.T) {
	for _, alg := range []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
		"ES256", "ES384", "ES512", "EdDSA",
	} {
		t.Run("a token of "+alg+" is accepted with and without kid", func(t *testing.T) {
			key := generate(t, alg, "1-aaaaaaaaaa")
			v := verifier(t, provider(t, "own", nil, key))
			got := verify(t, v, mint(t, key, nil, claims(nil)))
			wantReason(t, got, policy.OK)
			if got.KID != key.KID || got.Provider != "own" || got.Verified.Subject() != "user-1" {
				t.Errorf("outcome = %+v, want kid %q of provider own", got, key.KID)
			}
			wantReason(t, verify(t, v, mint(t, key, map[string]any{"kid": nil}, claims(nil))), policy.OK)
		})
	}
}

// TestAlgorithmConfusion is T1 and T5: the algorithm is the configuration's, not
// the token's.
func TestAlgorithmConfusion(t *testing.T) {
	secret := generate(t, "HS256", "s")
	long := generate(t, "HS512", "s")
	rsaKey := generate(t, "RS256", "r")
	ecKey := generate(t, "ES256", "e")
	both := verifier(t, provider(t, "public", nil, rsaKey, ecKey))
	one := verifier(t, provider(t, "secret", nil, secret))
	wide := verifier(t, provider(t, "wide", func(p *token.Provider) {
		p.Algorithms = []policy.Algorithm{"RS256", "RS384", "PS256", "ES256", "ES384"}
	}, rsaKey, ecKey))

	body := payload(t)
	for name, tc := range map[string]struct {
		v     *token.Verifier
		token string
		want  policy.Reason
	}{
		"the twin, RS256, is accepted":                {both, signed(t, rsaKey, `{"alg":"RS256","kid":"r"}`, body), policy.OK},
		"the twin, HS256, is accepted":                {one, signed(t, secret, `{"alg":"HS256"}`, body), policy.OK},
		"alg none with an empty signature":            {one, raw64(`{"alg":"none"}`) + "." + raw64(body) + ".", policy.AlgNotAllowed},
		"alg None with a good signature":              {one, signed(t, secret, `{"alg":"None"}`, body), policy.AlgNotAllowed},
		"alg empty":                                   {one, signed(t, secret, `{"alg":""}`, body), policy.AlgNotAllowed},
		"alg missing":                                 {one, signed(t, secret, `{"typ":"JWT"}`, body), policy.AlgNotAllowed},
		"alg null":                                    {one, signed(t, secret, `{"alg":null}`, body), policy.AlgNotAllowed},
		"alg a number":                                {one, signed(t, secret, `{"alg":256}`, body), policy.AlgNotAllowed},
		"alg an array":                                {one, signed(t, secret, `{"alg":["HS256"]}`, body), policy.AlgNotAllowed},
		"alg in lower case":                           {one, signed(t, secret, `{"alg":"hs256"}`, body), policy.AlgNotAllowed},
		"alg of another library's making":             {one, signed(t, secret, `{"alg":"HMAC"}`, body), policy.AlgNotAllowed},
		"alg with a trailing blank":                   {one, signed(t, secret, `{"alg":"HS256 "}`, body), policy.AlgNotAllowed},
		"HS512 where HS256 is pinned":                 {one, signed(t, long, `{"alg":"HS512"}`, body), policy.AlgNotAllowed},
		"HS256 where public keys are":                 {both, signed(t, secret, `{"alg":"HS256","kid":"r"}`, body), policy.AlgNotAllowed},
		"RS256 where secrets are":                     {one, signed(t, rsaKey, `{"alg":"RS256"}`, body), policy.AlgNotAllowed},
		"RS384 by a key pinned to RS256":              {wide, signedAs(t, rsaKey, "RS384", `{"alg":"RS384","kid":"r"}`, body), policy.AlgNotAllowed},
		"PS256 by a key pinned to RS256":              {wide, signedAs(t, rsaKey, "PS256", `{"alg":"PS256","kid":"r"}`, body), policy.AlgNotAllowed},
		"PS256 without kid by a key pinned to RS256":  {wide, signedAs(t, rsaKey, "PS256", `{"alg":"PS256"}`, body), policy.AlgNotAllowed},
		"ES384 naming a key on P-256":                 {wide, signed(t, generate(t, "ES384", "e"), `{"alg":"ES384","kid":"e"}`, body), policy.AlgNotAllowed},
		"ES256 naming an RSA key":                     {both, signed(t, ecKey, `{"alg":"ES256","kid":"r"}`, body), policy.AlgNotAllowed},
		"an RS256 signature declared as PS256's twin": {wide, signed(t, rsaKey, `{"alg":"RS256","kid":"r"}`, body), policy.OK},
		"a PS256 signature declared as RS256":         {wide, signedAs(t, rsaKey, "PS256", `{"alg":"RS256","kid":"r"}`, body), policy.SignatureInvalid},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, verify(t, tc.v, tc.token), tc.want) })
	}
}

// signedAs signs by another algorithm of the key's family.
func signedAs(t *testing.T, key token.Key, alg, header, body string) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(key.JWK, &members); err != nil {
		t.Fatal(err)
	}
	key.Alg = alg
	return signed(t, key, header, body)
}

// TestPublicKeyAsSecret is T2: no form of a public key is an HMAC secret for it.
func TestPublicKeyAsSecret(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.ParsePrivate("RS256", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	key.KID = "r"
	jwk, err := token.PublicJWK(key)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := token.PublicJWKS([]token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	pkix, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix})
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(t, err)
	v := verifier(t, provider(t, "public", nil, key))
	wantReason(t, verify(t, v, mint(t, key, nil, claims(nil))), policy.OK)

	for name, secret := range map[string][]byte{
		"PEM":                     block,
		"PEM without its newline": bytes.TrimSpace(block),
		"PEM with CRLF":           bytes.ReplaceAll(block, []byte("\n"), []byte("\r\n")),
		"PKIX DER":                pkix,
		"PKCS #1 DER":             x509.MarshalPKCS1PublicKey(&private.PublicKey),
		"PKCS #1 PEM":             pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&private.PublicKey)}),
		"JWK":                     jwk,
		"JWKS":                    jwks,
		"certificate in DER":      certificate,
		"x5c":                     []byte(base64.StdEncoding.EncodeToString(certificate)),
		"SSH":                     sshKey(&private.PublicKey),
		"modulus":                 private.N.Bytes(),
	} {
		for _, alg := range []string{"HS256", "RS256"} {
			t.Run("HMAC with the "+name+" declared as "+alg+" is refused", func(t *testing.T) {
				text := raw64(fmt.Sprintf(`{"alg":%q,"kid":"r"}`, alg)) + "." + raw64(payload(t))
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(text))
				got := verify(t, v, text+"."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
				want := policy.AlgNotAllowed
				if alg == "RS256" {
					want = policy.SignatureInvalid
				}
				wantReason(t, got, want)
			})
		}
		if name == "modulus" || name == "x5c" { // they look like any bytes
			continue
		}
		t.Run("the "+name+" is refused as a secret", func(t *testing.T) {
			if err := token.CheckSecret("HS256", secret, true); err == nil {
				t.Error("CheckSecret accepted a public key as a secret")
			}
		})
	}
}

// sshKey is the key in a line of authorized_keys (RFC 4253 section 6.6).
func sshKey(key *rsa.PublicKey) []byte {
	var blob []byte
	for _, field := range [][]byte{[]byte("ssh-rsa"), big.NewInt(int64(key.E)).Bytes(), append([]byte{0}, key.N.Bytes()...)} {
		blob = append(binary.BigEndian.AppendUint32(blob, uint32(len(field))), field...)
	}
	return []byte("ssh-rsa " + base64.StdEncoding.EncodeToString(blob) + " someone@example")
}

// TestPointAsSecret is T2 for a curve: neither the point nor its JWK is a secret.
func TestPointAsSecret(t *testing.T) {
	key := generate(t, "ES256", "e")
	jwk := jwkWith(t, key, nil)
	x, y := base64Bytes(t, jwk["x"]), base64Bytes(t, jwk["y"])
	v := verifier(t, provider(t, "public", nil, key))
	wantReason(t, verify(t, v, mint(t, key, nil, claims(nil))), policy.OK)
	for name, secret := range map[string][]byte{
		"point":            append(append([]byte{4}, x...), y...),
		"compressed point": append([]byte{2 + y[31]&1}, x...),
		"coordinate":       x,
		"JWK":              public(t, key).JWK,
	} {
		t.Run("HMAC with the "+name, func(t *testing.T) {
			text := raw64(`{"alg":"HS256","kid":"e"}`) + "." + raw64(payload(t))
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(text))
			wantReason(t, verify(t, v, text+"."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil))), policy.AlgNotAllowed)
		})
	}
}

func base64Bytes(t *testing.T, value any) []byte {
	t.Helper()
	text, _ := value.(string)
	data, err := base64.RawURLEncoding.DecodeString(text)
	must(t, err)
	return data
}

// TestSecretReadTwoWays is T4: the bytes of the data key are the secret.
func TestSecretReadTwoWays(t *testing.T) {
	stored := []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 48)) + "\n")
	v := verifier(t, provider(t, "s", nil, token.Key{Alg: "HS256", K: stored}))
	decoded := bytes.Repeat([]byte{7}, 48)
	for name, tc := range map[string]struct {
		secret []byte
		want   policy.Reason
	}{
		"the bytes as stored sign":        {stored, policy.OK},
		"without the trailing newline":    {bytes.TrimSpace(stored), policy.SignatureInvalid},
		"base64-decoded":                  {decoded, policy.SignatureInvalid},
		"base64-encoded once more":        {[]byte(base64.StdEncoding.EncodeToString(stored)), policy.SignatureInvalid},
		"with another trailing line feed": {append(bytes.Clone(stored), '\n'), policy.SignatureInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			wantReason(t, verify(t, v, mint(t, token.Key{Alg: "HS256", K: tc.secret}, nil, claims(nil))), tc.want)
		})
	}
}

// TestKeyFromToken is T7: a token never brings or fetches its own key.
func TestKeyFromToken(t *testing.T) {
	trusted, attacker := generate(t, "ES256", "ours"), generate(t, "ES256", "theirs")
	v := verifier(t, provider(t, "public", nil, trusted))
	jwk := string(public(t, attacker).JWK)
	body := payload(t)
	for name, tc := range map[string]struct {
		key    token.Key
		header string
		want   policy.Reason
	}{
		"the twin: our key with a foreign jwk beside it": {trusted, `{"alg":"ES256","kid":"ours","jwk":` + jwk + `}`, policy.OK},
		"an embedded jwk":                   {attacker, `{"alg":"ES256","jwk":` + jwk + `}`, policy.SignatureInvalid},
		"an embedded jwk under our kid":     {attacker, `{"alg":"ES256","kid":"ours","jwk":` + jwk + `}`, policy.SignatureInvalid},
		"an embedded jwk under its own kid": {attacker, `{"alg":"ES256","kid":"theirs","jwk":` + jwk + `}`, policy.UnknownKey},
		"a jku":                             {attacker, `{"alg":"ES256","kid":"theirs","jku":"https://evil.example/jwks"}`, policy.UnknownKey},
		"an x5u":                            {attacker, `{"alg":"ES256","kid":"theirs","x5u":"https://evil.example/x"}`, policy.UnknownKey},
		"an x5c":                            {attacker, `{"alg":"ES256","x5c":["MIIB"]}`, policy.SignatureInvalid},
		"a kid that climbs directories":     {attacker, `{"alg":"ES256","kid":"../../../dev/null"}`, policy.UnknownKey},
		"a kid that is SQL":                 {attacker, `{"alg":"ES256","kid":"x' UNION SELECT 'k"}`, policy.UnknownKey},
		"a kid with NUL":                    {attacker, `{"alg":"ES256","kid":"ours\u0000"}`, policy.UnknownKey},
		"a kid with CRLF":                   {attacker, `{"alg":"ES256","kid":"a\r\nb"}`, policy.UnknownKey},
		"a kid that is a URL":               {attacker, `{"alg":"ES256","kid":"https://evil.example/k"}`, policy.UnknownKey},
		"an empty kid":                      {trusted, `{"alg":"ES256","kid":""}`, policy.UnknownKey},
		"a kid that is a number":            {trusted, `{"alg":"ES256","kid":1}`, policy.MalformedToken},
		"a kid that is an array":            {trusted, `{"alg":"ES256","kid":["ours"]}`, policy.MalformedToken},
		"a kid that is null":                {trusted, `{"alg":"ES256","kid":null}`, policy.MalformedToken},
	} {
		t.Run(name, func(t *testing.T) {
			got := verify(t, v, signed(t, tc.key, tc.header, body))
			wantReason(t, got, tc.want)
			if got.KID != "" && got.KID != "ours" {
				t.Errorf("KID = %q: only our own may come out", got.KID)
			}
		})
	}
}

// TestCriticalHeaders is T9.
func TestCriticalHeaders(t *testing.T) {
	key := generate(t, "HS256", "")
	v := verifier(t, provider(t, "s", nil, key))
	for name, tc := range map[string]struct {
		header string
		want   policy.Reason
	}{
		"the twin with an unknown member that is not critical": {`{"alg":"HS256","x":1}`, policy.OK},
		"crit naming what nobody knows":                        {`{"alg":"HS256","x":1,"crit":["x"]}`, policy.MalformedToken},
		"crit empty":                                           {`{"alg":"HS256","crit":[]}`, policy.MalformedToken},
		"crit naming a registered member":                      {`{"alg":"HS256","crit":["alg"]}`, policy.MalformedToken},
		"crit with a name twice":                               {`{"alg":"HS256","crit":["b64","b64"],"b64":true}`, policy.MalformedToken},
		"crit that is no array":                                {`{"alg":"HS256","crit":"x"}`, policy.MalformedToken},
		"crit null":                                            {`{"alg":"HS256","crit":null}`, policy.MalformedToken},
		"b64 false":                                            {`{"alg":"HS256","b64":false,"crit":["b64"]}`, policy.MalformedToken},
		"b64 true":                                             {`{"alg":"HS256","b64":true}`, policy.MalformedToken},
		"crit in another case":                                 {`{"alg":"HS256","Crit":["x"]}`, policy.MalformedToken},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, verify(t, v, signed(t, key, tc.header, payload(t))), tc.want) })
	}
}
