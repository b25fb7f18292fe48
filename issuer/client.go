package issuer

import (
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/policy"
)

// secretOf is what a request says of its client (RFC 6749 section 2.3.1).
type secretOf struct {
	id, secret string
	given      bool // a secret was given, if perhaps a wrong one
}

// The texts go over the wire as error_description.
const (
	describeTwoWays   = "A client authenticates in one way only: by the Authorization header or in the body"
	describeNoBasic   = "The Authorization header is not of the scheme Basic, or not one that can be read"
	describeBadClient = "Unknown client, or not its secret"
	describeNoClient  = "The client must authenticate"
)

// clientSecret finds the one way in which a client authenticates itself: HTTP
// Basic or parameters of the body, never both.
func clientSecret(r *http.Request, body form) (secretOf, *grant.Refusal) {
	headers := r.Header["Authorization"]
	id, secret := body.get("client_id"), body.get("client_secret")
	switch {
	case len(headers) == 0 && secret != "" && id == "":
		return secretOf{}, &grant.Refusal{Code: grant.InvalidClient, Description: describeBadClient}
	case len(headers) == 0:
		return secretOf{id: id, secret: secret, given: secret != ""}, nil
	case len(headers) > 1 || secret != "":
		return secretOf{}, &grant.Refusal{Code: grant.InvalidRequest, Description: describeTwoWays}
	}
	basic, ok := parseBasic(headers[0])
	switch {
	case !ok:
		return secretOf{}, &grant.Refusal{Code: grant.InvalidClient, Description: describeNoBasic}
	case id != "" && id != basic.id: // RFC 6749 allows naming it again, not naming another
		return secretOf{}, &grant.Refusal{Code: grant.InvalidRequest, Description: describeTwoWays}
	}
	return basic, nil
}

// parseBasic reads HTTP Basic (RFC 7617) whose parts are escaped like a form's
// values (RFC 6749 section 2.3.1).
func parseBasic(header string) (secretOf, bool) {
	const prefix = "Basic "
	if len(header) < len(prefix) || !policy.EqualFoldASCII(header[:len(prefix)], prefix) || len(header) > maxForm {
		return secretOf{}, false
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(header[len(prefix):], " "))
	if err != nil {
		return secretOf{}, false
	}
	id, secret, found := strings.Cut(string(plain), ":")
	if !found {
		return secretOf{}, false
	}
	id, idErr := url.QueryUnescape(id)
	secret, secretErr := url.QueryUnescape(secret)
	if idErr != nil || secretErr != nil || id == "" || !utf8.ValidString(id) || !utf8.ValidString(secret) {
		return secretOf{}, false
	}
	return secretOf{id: id, secret: secret, given: true}, true
}

// client is the OAuth client of a request: nil where it did not name a secret and
// none is needed. A client that has a secret must show it: its id alone is no
// proof (RFC 6749 section 3.2.1).
func (i *Issuer) client(x *exchange, body form) (*grant.Client, *grant.Refusal) {
	said, refused := clientSecret(x.r, body)
	if refused != nil {
		return nil, refused
	}
	if !said.given {
		if said.id != "" && x.in.knows(said.id) {
			return nil, &grant.Refusal{Code: grant.InvalidClient, Description: describeNoClient}
		}
		return nil, nil
	}
	found, ok := x.in.lookup(said, x.start)
	if !ok {
		return nil, &grant.Refusal{Code: grant.InvalidClient, Description: describeBadClient}
	}
	x.client = found.ID
	return found, nil
}

// knows reports whether a client has this id.
func (s *site) knows(id string) bool {
	for _, client := range s.Clients.Clients() {
		if client.ID == id {
			return true
		}
	}
	return false
}

// lookup finds the client that has this secret, under its own id.
func (s *site) lookup(said secretOf, now time.Time) (*grant.Client, bool) {
	key, err := apikey.Parse(said.secret)
	if err != nil {
		return nil, false
	}
	outcome := s.Clients.Lookup(key, now)
	if outcome.Client == nil || subtle.ConstantTimeCompare([]byte(outcome.Client.ID), []byte(said.id)) != 1 {
		return nil, false
	}
	return clientOf(outcome.Client), true
}

// clientOf is an API key's client as package grant knows it.
func clientOf(c *apikey.Client) *grant.Client {
	made := &grant.Client{ID: c.ID, Claims: map[string]string{}}
	for name, value := range c.Claims {
		switch value := value.(type) {
		case string:
			made.Claims[name] = value
		case []any: // its scopes
			for _, scope := range value {
				if text, ok := scope.(string); ok {
					made.Scopes = append(made.Scopes, text)
				}
			}
		}
	}
	return made
}
