package attack

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recipe says how a token is made; corpus/README.md explains its members.
type recipe struct {
	Key        string         `json:"key"`
	Alg        string         `json:"alg"`
	Secret     string         `json:"secret"`
	Header     map[string]any `json:"header"`
	Claims     map[string]any `json:"claims"`
	Without    []string       `json:"without"`
	HeaderText string         `json:"header_text"`
	ClaimsText string         `json:"claims_text"`
	Signature  string         `json:"signature"`
	Form       string         `json:"form"`
}

// mint makes tokens of recipes at one time.
type mint struct {
	keys  *ring
	forms map[string][]byte
	now   time.Time
}

func newMint(t testing.TB, keys *ring, now time.Time) *mint {
	t.Helper()
	return &mint{keys: keys, forms: keys.publicForms(t), now: now}
}

// token makes one from the text between "<token" and ">".
func (m *mint) token(text string) (string, error) {
	r := recipe{Key: "hs"}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	if err := decoder.Decode(&r); err != nil {
		return "", fmt.Errorf("reading recipe %s: %w", text, err)
	}
	about, ok := facts[strings.TrimPrefix(r.Key, "foreign-")]
	if !ok {
		return "", fmt.Errorf("recipe %s: no key %q", text, r.Key)
	}
	if r.Alg == "" {
		r.Alg = about.alg
	}
	header, err := m.part(r.HeaderText, m.header(&r, about))
	if err != nil {
		return "", err
	}
	payload, err := m.part(r.ClaimsText, m.claims(&r, about))
	if err != nil {
		return "", err
	}
	signed := b64(header) + "." + b64(payload)
	signature, err := m.sign(&r, signed)
	if err != nil {
		return "", fmt.Errorf("recipe %s: %w", text, err)
	}
	return shape(r.Form, signed, signature)
}

func (m *mint) header(r *recipe, about keyFacts) map[string]any {
	made := map[string]any{"alg": r.Alg, "kid": about.kid, "typ": "JWT"}
	maps.Copy(made, r.Header)
	for name, value := range made {
		if text, ok := value.(string); ok && strings.HasPrefix(text, "@jwk ") {
			made[name] = m.keys.jwk(strings.TrimPrefix(text, "@jwk "))
		}
	}
	return without(made, r.Without)
}

func (m *mint) claims(r *recipe, about keyFacts) map[string]any {
	made := map[string]any{
		"aud": "agent", "sub": "u-1", "iat": m.now.Unix(), "exp": m.now.Unix() + 3600,
		"role": "user", "scope": "notes:read", "tenant_id": "t1", "org": "o1",
	}
	if about.issuer != "" {
		made["iss"] = about.issuer
	}
	for name, value := range r.Claims {
		made[name] = m.dated(value)
	}
	return without(made, r.Without)
}

func without(members map[string]any, names []string) map[string]any {
	for _, name := range names {
		delete(members, name)
	}
	return members
}

// dated turns "@+60" into the time in a minute.
func (m *mint) dated(value any) any {
	text, ok := value.(string)
	if !ok || !strings.HasPrefix(text, "@") {
		return value
	}
	offset, err := strconv.ParseFloat(text[1:], 64)
	if err != nil {
		return value
	}
	return json.Number(strconv.FormatFloat(float64(m.now.Unix())+offset, 'f', -1, 64))
}

var (
	datePlace   = regexp.MustCompile(`@[+-][0-9]+@`)
	repeatPlace = regexp.MustCompile(`@[0-9]+x [^@]+@`)
)

// part is a segment's JSON: the text as it is, with @+60@ for a time and @5x a@
// for aaaaa, or the members.
func (m *mint) part(text string, members map[string]any) ([]byte, error) {
	if text == "" {
		return json.Marshal(members)
	}
	dated := datePlace.ReplaceAllStringFunc(text, func(place string) string {
		offset, _ := strconv.ParseInt(strings.Trim(place, "@"), 10, 64)
		return strconv.FormatInt(m.now.Unix()+offset, 10)
	})
	dated = repeatPlace.ReplaceAllStringFunc(dated, func(place string) string {
		times, what, _ := strings.Cut(strings.Trim(place, "@"), "x ")
		n, _ := strconv.Atoi(times)
		return strings.Repeat(what, n)
	})
	if raw, ok := strings.CutPrefix(dated, "hex:"); ok { // what JSON strings cannot hold
		return unescape(raw)
	}
	return []byte(dated), nil
}

// sign makes the signature, and breaks it where the recipe says so.
func (m *mint) sign(r *recipe, signed string) ([]byte, error) {
	signature, err := m.keys.signature(r.Key, r.Alg, []byte(signed))
	if r.Secret != "" {
		secret, ok := m.forms[r.Secret]
		if !ok {
			return nil, fmt.Errorf("no secret %q", r.Secret)
		}
		signature, err = mac("HS256", secret, []byte(signed)), nil
	}
	if err != nil {
		return nil, err
	}
	return m.spoil(r, signature)
}

func mac(alg string, secret, signed []byte) []byte {
	h := hmac.New(func() hash.Hash { return hashes[alg].New() }, secret)
	_, _ = h.Write(signed)
	return h.Sum(nil)
}

// signature signs as alg says, whatever the key was meant for.
func (k *ring) signature(key, alg string, signed []byte) ([]byte, error) {
	hash := hashes[alg]
	digest := func() []byte {
		h := hash.New()
		_, _ = h.Write(signed)
		return h.Sum(nil)
	}
	switch {
	case strings.HasPrefix(alg, "HS") && k.secrets[key] != nil:
		return mac(alg, k.secrets[key], signed), nil
	case strings.HasPrefix(alg, "RS") && k.rsa[key] != nil:
		return rsa.SignPKCS1v15(nil, k.rsa[key], hash, digest())
	case strings.HasPrefix(alg, "PS") && k.rsa[key] != nil:
		return rsa.SignPSS(bytes.NewReader(make([]byte, 64)), k.rsa[key], hash, digest(), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case strings.HasPrefix(alg, "ES") && k.ec[key] != nil:
		return k.ecSignature(key, hash, digest())
	case alg == "EdDSA" && k.ed[key] != nil:
		return k.ed[key].Sign(nil, signed, crypto.Hash(0))
	}
	return nil, fmt.Errorf("key %q does not sign %q", key, alg)
}

// ecSignature is r and s side by side; without randomness it is the same each
// time (RFC 6979).
func (k *ring) ecSignature(key string, hash crypto.Hash, digest []byte) ([]byte, error) {
	der, err := k.ec[key].Sign(nil, digest, hash)
	if err != nil {
		return nil, err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return nil, err
	}
	size := (k.ec[key].Params().BitSize + 7) / 8
	return append(pair.R.FillBytes(make([]byte, size)), pair.S.FillBytes(make([]byte, size))...), nil
}

// spoil does to a signature what the recipe says.
func (m *mint) spoil(r *recipe, s []byte) ([]byte, error) {
	number := func(n *big.Int) []byte { return n.FillBytes(make([]byte, len(s))) }
	modulus := m.keys.rsa["rs"].N
	half := len(s) / 2
	switch r.Signature {
	case "":
		return s, nil
	case "empty":
		return nil, nil
	case "flipped":
		s[len(s)-1] ^= 1
	case "flipped-first":
		s[0] ^= 0x80
	case "zeros":
		clear(s)
	case "ones":
		return number(big.NewInt(1)), nil
	case "n-1":
		return number(new(big.Int).Sub(modulus, big.NewInt(1))), nil
	case "plus-n":
		return new(big.Int).Add(new(big.Int).SetBytes(s), modulus).Bytes(), nil
	case "one-more":
		return append(s, 0), nil
	case "one-less":
		return s[:len(s)-1], nil
	case "leading-zero":
		return append([]byte{0}, s...), nil
	case "r-zero":
		clear(s[:half])
	case "s-zero":
		clear(s[half:])
	case "order":
		n := m.keys.ec["es"].Params().N.Bytes()
		return append(append([]byte{}, n...), n...), nil
	case "s-plus-n":
		sum := new(big.Int).Add(new(big.Int).SetBytes(s[half:]), m.keys.ec["es"].Params().N)
		return append(append([]byte{}, s[:half]...), sum.Bytes()...), nil
	case "der":
		return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(s[:half]), new(big.Int).SetBytes(s[half:])})
	default:
		return nil, fmt.Errorf("no signature %q", r.Signature)
	}
	return s, nil
}

// shape puts the three parts together as form says.
func shape(form, signed string, signature []byte) (string, error) {
	third := b64(signature)
	head, payload, _ := strings.Cut(signed, ".")
	quote := strconv.Quote
	switch form {
	case "":
		return signed + "." + third, nil
	case "two-parts":
		return signed, nil
	case "padded":
		return signed + "." + base64.URLEncoding.EncodeToString(signature), nil
	case "standard-alphabet":
		return strings.NewReplacer("-", "+", "_", "/").Replace(signed + "." + third), nil
	case "spare-bits":
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := strings.IndexByte(digits, third[len(third)-1])
		return signed + "." + third[:len(third)-1] + digits[last+1:last+2], nil
	case "no-payload":
		return head + ".." + third, nil
	case "json":
		return `{"payload":` + quote(payload) + `,"protected":` + quote(head) + `,"signature":` + quote(third) + `}`, nil
	case "general-json":
		return `{"payload":` + quote(payload) + `,"signatures":[{"protected":` + quote(head) + `,"signature":` + quote(third) + `}]}`, nil
	case "encoded-json":
		flat, err := shape("json", signed, signature)
		return b64([]byte(flat)), err
	case "five-parts":
		return signed + "." + third + ".AAAA.AAAA", nil
	}
	return "", fmt.Errorf("no form %q", form)
}
