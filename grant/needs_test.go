package grant_test

import (
	"testing"

	"gatepost.dev/gatepost/grant"
)

// What a grant does not read is not needed, whatever the spec holds.
func TestWhatASpecNeeds(t *testing.T) {
	type needs struct{ users, accounts, state bool }
	for _, test := range []struct {
		sentence string
		grants   []grant.Grant
		want     needs
	}{
		{"nothing", nil, needs{}},
		{"a session", []grant.Grant{grant.GrantSession, grant.GrantClientCredentials}, needs{}},
		{"passwords", []grant.Grant{grant.GrantPassword}, needs{users: true, state: true}},
		{"refresh tokens", []grant.Grant{grant.GrantRefreshToken}, needs{state: true}},
		{"an exchange", []grant.Grant{grant.GrantTokenExchange}, needs{accounts: true}},
	} {
		s := parse(t, full)
		s.Grants = test.grants
		if got := (needs{s.Users() != nil, len(s.Exchanged()) > 0, s.IsStateful()}); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.sentence, got, test.want)
		}
	}
	s := grant.Spec{Grants: grant.Grants()}
	if s.Users() != nil || s.Exchanged() != nil {
		t.Error("a spec that is not valid needs what it does not name")
	}
}
