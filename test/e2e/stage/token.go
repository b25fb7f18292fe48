package stage

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// Key is what a back end signs with: a secret, and the name that Gatepost gave it.
type Key struct {
	KID    string
	Secret []byte
}

// Token is a signed token, as a client carries it.
type Token struct {
	Text    string
	KID     string // of the key that signed it, whether the token names it or not
	Expires time.Time
}

// Claims are the claims of a token; iat and exp are set by Sign.
type Claims map[string]any

// Teacher are the claims of a user who may talk to the example agent. The subject
// is a number, as Laravel mints it.
func Teacher() Claims {
	return Claims{"sub": 42, "name": "Ada", "role": "teacher"}
}

// Sign returns a token that is issued at now and expires after lifetime, which is
// negative for a token that has expired. Small back ends mint tokens without kid.
func (k Key) Sign(claims Claims, now time.Time, lifetime time.Duration, withKID bool) (Token, error) {
	header := map[string]string{"alg": "HS256", "typ": "JWT"}
	if withKID {
		header["kid"] = k.KID
	}
	expires := now.Add(lifetime).Truncate(time.Second)
	issued := now
	if lifetime < 0 {
		issued = expires.Add(-time.Second)
	}
	payload := maps.Clone(claims)
	payload["iat"], payload["exp"] = issued.Unix(), expires.Unix()
	head, err := segment(header)
	if err != nil {
		return Token{}, err
	}
	body, err := segment(payload)
	if err != nil {
		return Token{}, err
	}
	signed := head + "." + body
	mac := hmac.New(sha256.New, k.Secret)
	mac.Write([]byte(signed))
	text := signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	return Token{Text: text, KID: k.KID, Expires: expires}, nil
}

func segment(value any) (string, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("encoding a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(data), nil
}
