package refresh

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// A token is `gpr_` and, in base64url, the family's id, the generation as four bytes
// and the MAC of both. The prefix lets scanners of repositories find it.
const (
	prefix     = "gpr_"
	named      = len(id{}) + 4
	tokenBytes = named + sha256.Size
)

// token is the token of a family's generation; there is only one.
func (s *Store[G]) token(of id, generation uint32) string {
	content := binary.BigEndian.AppendUint32(of[:], generation)
	return prefix + base64.RawURLEncoding.EncodeToString(s.mac(content))
}

// mac appends the MAC of a content to it.
func (s *Store[G]) mac(content []byte) []byte {
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write(content)
	return mac.Sum(content)
}

// read returns what a token names, if it is one of ours.
func (s *Store[G]) read(token string) (of id, generation uint32, ok bool) {
	text, found := strings.CutPrefix(token, prefix)
	if !found || len(text) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return of, 0, false
	}
	content, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !hmac.Equal(s.mac(content[:named:named]), content) {
		return of, 0, false
	}
	return id(content), binary.BigEndian.Uint32(content[len(id{}):]), true
}
