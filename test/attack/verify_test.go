package attack

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"time"
)

// providers of corpus/policies/main.yaml: key names by issuer.
var providers = map[string]struct {
	name string
	keys []string
	aud  string
}{
	sharedIssuer: {"shared", []string{"hs"}, "agent"},
	publicIssuer: {"public", []string{"rs", "ps", "es", "ed"}, "agent"},
	"":           {"open", []string{"open"}, ""},
}

// leeway is a little more than the sidecar's, whose clock is read earlier.
const leeway = 12 * time.Second

// verify judges a token by the standard library alone, as main.yaml says.
func (k *ring) verify(text string, now time.Time) (identity, bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return identity{}, false
	}
	header, claims := object(parts[0]), object(parts[1])
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if header == nil || claims == nil || err != nil || header["crit"] != nil || header["b64"] != nil {
		return identity{}, false
	}
	issuer, _ := claims["iss"].(string)
	provider, known := providers[issuer]
	if !known {
		provider = providers[""]
	}
	for _, key := range provider.keys {
		about := facts[key]
		if header["alg"] != about.alg || header["kid"] != nil && header["kid"] != about.kid {
			continue
		}
		if k.signed(key, about.alg, parts[0]+"."+parts[1], signature) {
			return identity{provider: provider.name, claims: claims}, fitting(header, claims, provider.aud, now)
		}
	}
	return identity{}, false
}

// object reads one segment; nil if it is no JSON object in base64url.
func object(segment string) map[string]any {
	text, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var made map[string]any
	if decoder.Decode(&made) != nil || decoder.More() {
		return nil
	}
	return made
}

func (k *ring) signed(key, alg, text string, signature []byte) bool {
	if secret := k.secrets[key]; secret != nil {
		return hmac.Equal(mac(alg, secret, []byte(text)), signature)
	}
	if private := k.ed[key]; private != nil {
		public, _ := private.Public().(ed25519.PublicKey)
		return ed25519.Verify(public, []byte(text), signature)
	}
	h := hashes[alg].New()
	_, _ = h.Write([]byte(text))
	digest := h.Sum(nil)
	if private := k.ec[key]; private != nil {
		half := len(signature) / 2
		return len(signature) == 64 &&
			ecdsa.Verify(&private.PublicKey, digest, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	}
	public := &k.rsa[key].PublicKey
	if strings.HasPrefix(alg, "PS") {
		return rsa.VerifyPSS(public, crypto.SHA256, digest, signature, nil) == nil
	}
	return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest, signature) == nil
}

// fitting judges the type, the dates and the audience of a signed token.
func fitting(header, claims map[string]any, audience string, now time.Time) bool {
	typ, typed := header["typ"]
	name, _ := typ.(string)
	if typed && !strings.EqualFold(name, "JWT") && !strings.EqualFold(name, "at+jwt") {
		return false
	}
	exp, ok := seconds(claims["exp"])
	if !ok || exp <= float64(now.Add(-leeway).Unix()) {
		return false
	}
	for _, name := range []string{"nbf", "iat"} {
		if at, there := claims[name]; there {
			if from, ok := seconds(at); !ok || from > float64(now.Add(leeway).Unix()) {
				return false
			}
		}
	}
	if claims["cnf"] != nil {
		return false
	}
	list, _ := claims["aud"].([]any)
	for _, one := range append(list, claims["aud"]) {
		if one == audience {
			return true
		}
	}
	return audience == ""
}

func seconds(value any) (float64, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := number.Float64()
	return f, err == nil && f >= 0
}
