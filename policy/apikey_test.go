package policy_test

import (
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy"
)

// What carries a key carries nothing else, and what tells the agent of the
// client tells it nothing else: two readers could take it differently.
func TestCompileKeepsTheHeadersOfAPIKeysApart(t *testing.T) {
	const jwt = "jwt: {providers: [{name: a, algorithms: [HS256], secretRef: {name: s, keys: [k]}}], extractFrom: {headers: [{name: X-Token}]}, claimToHeaders: [{claim: team, header: X-Team}]}\n"
	const from, to = "spec.apiKeyAuth.extractFrom[0].header: ", "spec.apiKeyAuth.forwardClientIDHeader: "
	for sentence, test := range map[string]struct {
		from         []string
		client, want string
	}{
		"the defaults":                             {nil, "", ""},
		"two headers of its own":                   {[]string{"X-CRM-Key", "X-API-Key"}, "X-Caller", ""},
		"a header of the reserved prefix":          {[]string{"X-Auth-Key"}, "", from + `"X-Auth-Key" cannot carry a key`},
		"the Authorization header":                 {[]string{"authorization"}, "", from + `"authorization" carries the token`},
		"a header of tokens":                       {[]string{"X-TOKEN"}, "", from + `"X-TOKEN" carries the token`},
		"one header twice":                         {[]string{"X-Key", "x-key"}, "", `spec.apiKeyAuth.extractFrom[1].header: "x-key" is in the list twice`},
		"cookies":                                  {[]string{"Cookie"}, "", from + `"Cookie" cannot carry a key`},
		"a header of HTTP itself":                  {[]string{"Content-Type"}, "", from + `"Content-Type" cannot carry a key`},
		"a hop-by-hop header":                      {[]string{"Connection"}, "", from + `"Connection" cannot carry a key`},
		"the sidecar's own":                        {[]string{"X-Gatepost-Key"}, "", from + `"X-Gatepost-Key" cannot carry a key`},
		"a name that is none":                      {[]string{"X Key"}, "", from + `"X Key" is no header name`},
		"the client id in the key's header":        {nil, "x-api-key", to + `"x-api-key" carries a credential`},
		"the client id in another key's header":    {[]string{"X-Key"}, "X-KEY", to + `"X-KEY" carries a credential`},
		"the client id in a token's header":        {nil, "X-Token", to + `"X-Token" carries a credential`},
		"the client id as the subject":             {nil, "X-Auth-Subject", to + `"X-Auth-Subject" tells the agent something else`},
		"the client id in a claim's header":        {nil, "x-team", to + `"x-team" is set by spec.jwt.claimToHeaders`},
		"the client id as the host":                {nil, "Host", to + `"Host" belongs to HTTP itself`},
		"the client id as an address":              {nil, "X-Forwarded-For", to + `"X-Forwarded-For" is not for identities`},
		"the default client header carries tokens": {[]string{"X-Auth-Client"}, "", to + `"X-Auth-Client" carries a credential`},
	} {
		t.Run(sentence, func(t *testing.T) {
			spec := parse(t, jwt+"apiKeyAuth: {credentialSelector: {}}\n")
			for _, header := range test.from {
				spec.APIKeyAuth.ExtractFrom = append(spec.APIKeyAuth.ExtractFrom, policy.APIKeySource{Header: header})
			}
			spec.APIKeyAuth.ForwardClientIDHeader = test.client
			_, err := policy.Compile(spec)
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("Compile = %v, want %q", err, test.want)
			}
		})
	}
}

func TestCheckAPIKeyQuotesNoKey(t *testing.T) {
	const key = "gpk_aaaqeaye_audaocajbifqydiob4ibceqtcqkrmfyyd4d24rf"
	good := func() policy.APIKeySpec {
		return policy.APIKeySpec{
			ClientID: "crm", Scopes: []string{"a"}, Claims: map[string]policy.ClaimText{"c": "v"},
			Values: []policy.APIKeyValue{{Name: "v", KeyHash: "sha256:" + strings.Repeat("0", 64)}},
		}
	}
	if err := policy.CheckAPIKey(good()); err != nil {
		t.Fatal(err)
	}
	for field, edit := range map[string]func(*policy.APIKeySpec){
		"spec.clientID":            func(s *policy.APIKeySpec) { s.ClientID = key },
		"spec.values[0].name":      func(s *policy.APIKeySpec) { s.Values[0].Name = key },
		"spec.values[0].keyHash":   func(s *policy.APIKeySpec) { s.Values[0].KeyHash = key },
		"spec.values[0].expiresAt": func(s *policy.APIKeySpec) { s.Values[0].ExpiresAt = new(key) },
		"spec.scopes[0]":           func(s *policy.APIKeySpec) { s.Scopes[0] = key },
		"spec.claims.c":            func(s *policy.APIKeySpec) { s.Claims["c"] = key },
		"spec.claims":              func(s *policy.APIKeySpec) { s.Claims[key] = "v" },
	} {
		s := good()
		edit(&s)
		err := policy.CheckAPIKey(s)
		if err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		} else if strings.Contains(err.Error(), key) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestAnAPIKeyExpiresInAYearThatCanBeWritten(t *testing.T) {
	for at, good := range map[string]bool{
		"2027-03-01T00:00:00Z":      true,
		"1970-01-01T00:00:00Z":      true,
		"9999-12-31T23:59:59Z":      true,
		"9999-12-31T23:59:59-01:00": false, // the year 10000 in UTC
		"1970-01-01T00:00:00+01:00": false,
		"0000-01-01T00:00:00+01:00": false,
	} {
		err := policy.CheckAPIKey(policy.APIKeySpec{
			ClientID: "crm", Values: []policy.APIKeyValue{{Name: "v", KeyHash: "sha256:" + strings.Repeat("0", 64), ExpiresAt: &at}},
		})
		if good != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), "spec.values[0].expiresAt: ") {
			t.Errorf("%s: %v", at, err)
		}
	}
}
