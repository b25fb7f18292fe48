package sidecar

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"gatepost.dev/gatepost/token"
)

// persona is what follows from a verified token and is needed at each of its
// requests: the headers for the agent and the name in the log. It is immutable;
// nil is nobody.
type persona struct {
	headers []field
	subject string // hashed; empty without one
}

// field is one request header with its value.
type field struct {
	name   string
	values []string
}

// newPersona makes the persona of a verified token; nil for nobody.
func (s *site) newPersona(v *token.Verified) *persona {
	if !v.Valid() {
		return nil
	}
	made := &persona{subject: hashSubject(s.logKey, v.Subject()), headers: make([]field, 0, len(s.outputs))}
	values := make([]string, 0, len(s.outputs)) // of all headers: thousands of tokens are remembered
	for i := range s.outputs {
		if text := s.outputs[i].text(v); text != "" {
			n := len(values)
			values = append(values, escape(text))
			made.headers = append(made.headers, field{s.outputs[i].header, values[n : n+1 : n+1]})
		}
	}
	return made
}

// size is how many bytes p holds at most, about: a value that was escaped was
// written into memory that grew.
func (p *persona) size() int {
	const self, each = 128, 64
	size := self + each*cap(p.headers)
	for _, f := range p.headers {
		for _, value := range f.values {
			size += 2 * len(value)
		}
	}
	return size
}

// identify writes the verified values into h. The values are shared and must
// not be changed.
func (p *persona) identify(h http.Header) {
	if p == nil {
		return
	}
	for _, f := range p.headers {
		h[f.name] = f.values
	}
}

// hashSubject lets records of one principal be found without naming it.
func hashSubject(key []byte, subject string) string {
	if subject == "" {
		return ""
	}
	hash := hmac.New(sha256.New, key)
	_, _ = hash.Write([]byte("subject|" + subject)) // a hash never fails
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
