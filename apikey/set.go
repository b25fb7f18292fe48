package apikey

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy"
)

// Client is who a key belongs to. It is immutable.
type Client struct {
	// ID is the client id.
	ID string
	// Claims are the client's claims as policy.Who wants them: texts, and its
	// scopes as the claim scopes.
	Claims map[string]any
}

// Outcome is what became of a key. The zero Outcome is nobody's.
type Outcome struct {
	// Client is who asks; nil unless Reason is policy.OK.
	Client *Client
	// Owner is the client id the key belongs to, also when it has expired; empty
	// when nobody has it. It is for metrics and logs, never for a decision.
	Owner string
	// Expires is when the key will be, or was, refused from; zero: never.
	Expires time.Time
	// Reason is policy.OK, policy.APIKeyInvalid or policy.APIKeyExpired.
	Reason policy.Reason
}

// Set is the keys of any number of clients. It is immutable; nil holds none.
type Set struct {
	values  map[Hash]*value
	clients []*Client
}

// value is one key of a client.
type value struct {
	hash    Hash
	client  *Client
	expires time.Time // zero: never
}

// NewSet makes a Set of clients that were checked against each other: two of
// one id, or two that have one key, are an error, because nobody could say who
// asks. A suspended client has its id and no keys. Errors name the client and
// the field, and wrap policy.Errors where a spec is wrong.
func NewSet(specs []policy.APIKeySpec) (*Set, error) {
	set := &Set{values: map[Hash]*value{}}
	var errs []error
	owners := map[string]bool{}
	for i := range specs {
		spec := &specs[i]
		if owners[spec.ClientID] {
			errs = append(errs, fmt.Errorf("API key of client %s: spec.clientID: another client has this id: choose another", spec.ClientID))
			continue
		}
		owners[spec.ClientID] = true
		if err := set.add(spec); err != nil {
			errs = append(errs, fmt.Errorf("API key of client %.63s: %w", spec.ClientID, err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	slices.SortFunc(set.clients, func(a, b *Client) int { return strings.Compare(a.ID, b.ID) })
	return set, nil
}

func (s *Set) add(spec *policy.APIKeySpec) error {
	if err := policy.CheckAPIKey(*spec); err != nil {
		return err
	}
	if spec.Suspend {
		return nil
	}
	client := &Client{ID: spec.ClientID, Claims: claimsOf(spec)}
	s.clients = append(s.clients, client)
	for i := range spec.Values {
		field := fmt.Sprintf("spec.values[%d]", i)
		hash, err := ParseHash(spec.Values[i].KeyHash)
		if err != nil {
			return fmt.Errorf("%s.keyHash: %w", field, err)
		}
		expires, err := expiry(&spec.Values[i])
		if err != nil {
			return fmt.Errorf("%s.expiresAt: %w", field, err)
		}
		if _, taken := s.values[hash]; taken {
			return fmt.Errorf("%s.keyHash: client %s has this key too: make a key for each", field, s.values[hash].client.ID)
		}
		s.values[hash] = &value{hash: hash, client: client, expires: expires}
	}
	return nil
}

func claimsOf(spec *policy.APIKeySpec) map[string]any {
	claims := make(map[string]any, len(spec.Claims)+1)
	for name, text := range spec.Claims {
		claims[name] = string(text)
	}
	if len(spec.Scopes) > 0 {
		scopes := make([]any, len(spec.Scopes))
		for i, scope := range spec.Scopes {
			scopes[i] = scope
		}
		claims["scopes"] = scopes
	}
	return claims
}

// expiry is when a key of the value is refused from; zero: never.
func expiry(v *policy.APIKeyValue) (time.Time, error) {
	if v.ExpiresAt == nil {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, *v.ExpiresAt)
}

// Clients are the clients that have keys, in the order of their ids. The slice
// is shared: do not change it.
func (s *Set) Clients() []*Client {
	if s == nil {
		return nil
	}
	return s.clients
}

// Lookup says whose key it is. The set is searched by the key's hash, and what
// was found is compared in constant time, so that an answer's time tells nothing
// about the hashes. Lookup allocates nothing.
func (s *Set) Lookup(key Key, now time.Time) Outcome {
	if s == nil || key.text == "" {
		return Outcome{Reason: policy.APIKeyInvalid}
	}
	hash := key.Hash()
	found := s.values[hash]
	if found == nil || subtle.ConstantTimeCompare(found.hash[:], hash[:]) != 1 {
		return Outcome{Reason: policy.APIKeyInvalid}
	}
	if !found.expires.IsZero() && !now.Before(found.expires) {
		return Outcome{Owner: found.client.ID, Expires: found.expires, Reason: policy.APIKeyExpired}
	}
	return Outcome{Client: found.client, Owner: found.client.ID, Expires: found.expires, Reason: policy.OK}
}

// Live is how many values of spec have not expired, and when the next of them
// will; zero: none will. A value whose time cannot be read counts as expired.
func Live(spec policy.APIKeySpec, now time.Time) (live int, next time.Time) {
	for i := range spec.Values {
		expires, err := expiry(&spec.Values[i])
		if err != nil || !expires.IsZero() && !now.Before(expires) {
			continue
		}
		live++
		if !expires.IsZero() && (next.IsZero() || expires.Before(next)) {
			next = expires
		}
	}
	return live, next
}

// CheckLive refuses a spec of which more values are live now than may be, so
// that old keys do not pile up. The error is of type policy.Errors.
func CheckLive(spec policy.APIKeySpec, now time.Time) error {
	if live, _ := Live(spec, now); live > policy.MaxLiveAPIKeyValues {
		return policy.Errors{{
			Field:  "spec.values",
			Detail: fmt.Sprintf("%d values are live: at most %d may be at once; remove the oldest, or give it an expiresAt that is over", live, policy.MaxLiveAPIKeyValues),
		}}
	}
	return nil
}
