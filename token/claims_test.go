package token_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// is writes a claim as it stands.
func is(text string) json.RawMessage { return json.RawMessage(text) }

type claimCase struct {
	change map[string]any
	want   policy.Reason
}

// runClaims mints the honest token with each change and judges it.
func runClaims(t *testing.T, change func(*token.Provider), cases map[string]claimCase) {
	t.Helper()
	key := generate(t, "HS256", "")
	v := verifier(t, provider(t, "s", change, key))
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			wantReason(t, verify(t, v, mint(t, key, nil, claims(tc.change))), tc.want)
		})
	}
}

// TestDates is C1 and C3 with the default leeway of 10 s.
func TestDates(t *testing.T) {
	runClaims(t, nil, map[string]claimCase{
		"an honest token is accepted":               {nil, policy.OK},
		"exp missing":                               {map[string]any{"exp": nil}, policy.ClaimInvalid},
		"exp a string":                              {map[string]any{"exp": "9999999999"}, policy.ClaimInvalid},
		"exp an ISO string":                         {map[string]any{"exp": "2099-01-01T00:00:00Z"}, policy.ClaimInvalid},
		"exp null":                                  {map[string]any{"exp": is("null")}, policy.ClaimInvalid},
		"exp true":                                  {map[string]any{"exp": true}, policy.ClaimInvalid},
		"exp an array":                              {map[string]any{"exp": []int64{at(60)}}, policy.ClaimInvalid},
		"exp zero":                                  {map[string]any{"exp": 0}, policy.Expired},
		"exp negative":                              {map[string]any{"exp": -1}, policy.ClaimInvalid},
		"exp negative with a fraction":              {map[string]any{"exp": is("-1.5")}, policy.ClaimInvalid},
		"exp 1e400":                                 {map[string]any{"exp": is("1e400")}, policy.ClaimInvalid},
		"exp 1e-400, which is zero":                 {map[string]any{"exp": is("1e-400")}, policy.Expired},
		"exp minus zero, which is zero":             {map[string]any{"exp": is("-0")}, policy.Expired},
		"exp beyond 2^53":                           {map[string]any{"exp": is("9007199254740993")}, policy.ClaimInvalid},
		"exp that wraps 64 bits":                    {map[string]any{"exp": is("18446744075500000000")}, policy.ClaimInvalid},
		"exp that wraps as a negative":              {map[string]any{"exp": is("9223372036854775807")}, policy.ClaimInvalid},
		"exp with a fraction is accepted":           {map[string]any{"exp": is(jsonNumber(at(60)) + ".5")}, policy.OK},
		"exp with an exponent is accepted":          {map[string]any{"exp": is("1.795348860e9")}, policy.OK},
		"exp ten seconds ago is expired":            {map[string]any{"exp": at(-10)}, policy.Expired},
		"exp nine seconds ago is within leeway":     {map[string]any{"exp": at(-9)}, policy.OK},
		"nbf in ten seconds is within leeway":       {map[string]any{"nbf": at(10)}, policy.OK},
		"nbf in eleven seconds is too early":        {map[string]any{"nbf": at(11)}, policy.NotYetValid},
		"nbf a string":                              {map[string]any{"nbf": "0"}, policy.ClaimInvalid},
		"nbf null":                                  {map[string]any{"nbf": is("null")}, policy.ClaimInvalid},
		"nbf negative":                              {map[string]any{"nbf": -5}, policy.ClaimInvalid},
		"nbf in the past is accepted":               {map[string]any{"nbf": at(-100)}, policy.OK},
		"iat in ten seconds is within leeway":       {map[string]any{"iat": at(10)}, policy.OK},
		"iat in eleven seconds is too early":        {map[string]any{"iat": at(11)}, policy.NotYetValid},
		"iat a string":                              {map[string]any{"iat": "0"}, policy.ClaimInvalid},
		"iat null":                                  {map[string]any{"iat": is("null")}, policy.ClaimInvalid},
		"iat missing is accepted":                   {map[string]any{"iat": nil}, policy.OK},
		"a token bound to a key is no bearer token": {map[string]any{"cnf": map[string]any{"jkt": "x"}}, policy.ClaimInvalid},
	})
}

// TestDatesOfOtherTypes is C1: a date is a JSON number and nothing that somebody
// could take for one.
func TestDatesOfOtherTypes(t *testing.T) {
	runClaims(t, nil, map[string]claimCase{
		"exp 1e300":         {map[string]any{"exp": is("1e300")}, policy.ClaimInvalid},
		"exp an object":     {map[string]any{"exp": is("{}")}, policy.ClaimInvalid},
		"exp false":         {map[string]any{"exp": false}, policy.ClaimInvalid},
		"nbf 1e400":         {map[string]any{"nbf": is("1e400")}, policy.ClaimInvalid},
		"exp 2^53 and more": {map[string]any{"exp": is("9007199254740994.0")}, policy.ClaimInvalid},
		"nbf an object":     {map[string]any{"nbf": is("{}")}, policy.ClaimInvalid},
		"nbf -1e400":        {map[string]any{"nbf": is("-1e400")}, policy.ClaimInvalid},
		"iat an object":     {map[string]any{"iat": is("{}")}, policy.ClaimInvalid},
		"cnf null":          {map[string]any{"cnf": is("null")}, policy.ClaimInvalid},
		"nbf true":          {map[string]any{"nbf": true}, policy.ClaimInvalid},
		"nbf an array":      {map[string]any{"nbf": []int64{at(-100)}}, policy.ClaimInvalid},
		"iat 1e400":         {map[string]any{"iat": is("1e400")}, policy.ClaimInvalid},
		"iat true":          {map[string]any{"iat": true}, policy.ClaimInvalid},
		"iat negative":      {map[string]any{"iat": -5}, policy.ClaimInvalid},
		"iat an array":      {map[string]any{"iat": []int64{at(-100)}}, policy.ClaimInvalid},
	})
}

func jsonNumber(value int64) string {
	text, _ := json.Marshal(value)
	return string(text)
}

// TestLifetime is C2.
func TestLifetime(t *testing.T) {
	runClaims(t, nil, map[string]claimCase{
		"a day from iat is accepted by default":          {map[string]any{"exp": at(-10 + 86400)}, policy.OK},
		"a second more is too long":                      {map[string]any{"exp": at(-10 + 86401)}, policy.LifetimeExceeded},
		"exp in milliseconds is too long":                {map[string]any{"exp": noon.UnixMilli()}, policy.LifetimeExceeded},
		"without iat a day from now is accepted":         {map[string]any{"iat": nil, "exp": at(86400)}, policy.OK},
		"without iat a day and more than leeway is not":  {map[string]any{"iat": nil, "exp": at(86411)}, policy.LifetimeExceeded},
		"a long one that has expired is still too long":  {map[string]any{"iat": at(-200000), "exp": at(-20)}, policy.LifetimeExceeded},
		"an iat far in the future does not lift the cap": {map[string]any{"iat": at(1 << 40), "exp": at(1<<40 + 60)}, policy.NotYetValid},
	})
	minute := func(p *token.Provider) { p.MaxTokenLifetime = time.Minute }
	runClaims(t, minute, map[string]claimCase{
		"a provider's own minute holds":  {map[string]any{"iat": at(0), "exp": at(60)}, policy.OK},
		"a provider's own minute is cap": {map[string]any{"iat": at(0), "exp": at(61)}, policy.LifetimeExceeded},
	})
}

// TestLeeway is C3 with other leeways.
func TestLeeway(t *testing.T) {
	none := func(p *token.Provider) { p.ClockSkew = &policy.Duration{} }
	runClaims(t, none, map[string]claimCase{
		"without leeway a second to live is enough": {map[string]any{"exp": at(1)}, policy.OK},
		"without leeway exp now is expired":         {map[string]any{"exp": at(0)}, policy.Expired},
		"without leeway nbf in a second is early":   {map[string]any{"nbf": at(1)}, policy.NotYetValid},
	})
	minute := func(p *token.Provider) { p.ClockSkew = &policy.Duration{Duration: time.Minute} }
	runClaims(t, minute, map[string]claimCase{
		"with a minute 59 seconds late is accepted": {map[string]any{"exp": at(-59), "iat": at(-90)}, policy.OK},
		"with a minute 60 seconds late is expired":  {map[string]any{"exp": at(-60), "iat": at(-90)}, policy.Expired},
	})
}

// TestAudience is C4.
func TestAudience(t *testing.T) {
	chat := func(p *token.Provider) { p.Audiences = []string{"https://chat.example", "second"} }
	runClaims(t, chat, map[string]claimCase{
		"the audience":                       {map[string]any{"aud": "https://chat.example"}, policy.OK},
		"another accepted one":               {map[string]any{"aud": "second"}, policy.OK},
		"one of an array":                    {map[string]any{"aud": []string{"x", "second"}}, policy.OK},
		"missing":                            {nil, policy.AudienceMismatch},
		"null":                               {map[string]any{"aud": is("null")}, policy.AudienceMismatch},
		"an empty array":                     {map[string]any{"aud": is("[]")}, policy.AudienceMismatch},
		"an array of an empty string":        {map[string]any{"aud": []string{""}}, policy.AudienceMismatch},
		"a prefix":                           {map[string]any{"aud": "https://chat"}, policy.AudienceMismatch},
		"longer":                             {map[string]any{"aud": "https://chat.example/"}, policy.AudienceMismatch},
		"another case":                       {map[string]any{"aud": "https://Chat.example"}, policy.AudienceMismatch},
		"with NUL":                           {map[string]any{"aud": "second\x00"}, policy.AudienceMismatch},
		"an object":                          {map[string]any{"aud": map[string]any{"second": true}}, policy.ClaimInvalid},
		"a nested array":                     {map[string]any{"aud": is(`[["second"]]`)}, policy.ClaimInvalid},
		"an array with a number beside ours": {map[string]any{"aud": is(`["second",1]`)}, policy.ClaimInvalid},
		"a number":                           {map[string]any{"aud": 7}, policy.ClaimInvalid},
		"expired and for another audience: a refresh would not help": {map[string]any{"aud": "x", "exp": at(-30)}, policy.AudienceMismatch},
	})
	runClaims(t, nil, map[string]claimCase{
		"without audiences any is accepted":   {map[string]any{"aud": "whatever"}, policy.OK},
		"without audiences its type is still": {map[string]any{"aud": is("{}")}, policy.ClaimInvalid},
	})
}

// TestIssuer is C5.
func TestIssuer(t *testing.T) {
	named := func(p *token.Provider) { p.Issuers = []string{"https://id.example", "https://id.example/v2"} }
	runClaims(t, named, map[string]claimCase{
		"the issuer":       {map[string]any{"iss": "https://id.example"}, policy.OK},
		"the other":        {map[string]any{"iss": "https://id.example/v2"}, policy.OK},
		"missing":          {nil, policy.IssuerMismatch},
		"null":             {map[string]any{"iss": is("null")}, policy.IssuerMismatch},
		"a trailing slash": {map[string]any{"iss": "https://id.example/"}, policy.IssuerMismatch},
		"another case":     {map[string]any{"iss": "https://ID.example"}, policy.IssuerMismatch},
		"a suffix":         {map[string]any{"iss": "https://id.example.evil"}, policy.IssuerMismatch},
		"an array":         {map[string]any{"iss": []string{"https://id.example"}}, policy.IssuerMismatch},
		"an empty string":  {map[string]any{"iss": ""}, policy.IssuerMismatch},
	})
	runClaims(t, nil, map[string]claimCase{
		"without issuers any is accepted":     {map[string]any{"iss": "https://any.example"}, policy.OK},
		"without issuers null is as absent":   {map[string]any{"iss": is("null")}, policy.OK},
		"without issuers an array is refused": {map[string]any{"iss": []string{"a"}}, policy.ClaimInvalid},
	})
}

// TestHeaderClaims is C6 and C7: what becomes a header can be one.
func TestHeaderClaims(t *testing.T) {
	change := func(p *token.Provider) { p.HeaderClaims = []string{"team", "/realm/roles"} }
	runClaims(t, change, map[string]claimCase{
		"a subject with CRLF":                     {map[string]any{"sub": "a\r\nX-Auth-Roles: admin"}, policy.ClaimInvalid},
		"a subject with a line feed":              {map[string]any{"sub": "a\nb"}, policy.ClaimInvalid},
		"a subject with NUL":                      {map[string]any{"sub": "a\x00"}, policy.ClaimInvalid},
		"a name with DEL":                         {map[string]any{"name": "a\x7f"}, policy.ClaimInvalid},
		"a tenant with a tab":                     {map[string]any{"tenant_id": "a\tb"}, policy.ClaimInvalid},
		"a role with a control character":         {map[string]any{"roles": []string{"ok", "a\x01"}}, policy.ClaimInvalid},
		"a scope with a line feed":                {map[string]any{"scope": "a\nb"}, policy.ClaimInvalid},
		"a forwarded claim with CR":               {map[string]any{"team": "a\rb"}, policy.ClaimInvalid},
		"a forwarded nested claim with LF":        {map[string]any{"realm": map[string]any{"roles": []string{"a\n"}}}, policy.ClaimInvalid},
		"a forwarded object with LF in a name":    {map[string]any{"team": map[string]any{"a\n": 1}}, policy.ClaimInvalid},
		"its twin, a claim that is not forwarded": {map[string]any{"note": "a\r\nb"}, policy.OK},
		"a role with a comma stays one role":      {map[string]any{"roles": []string{"x,admin"}}, policy.OK},
		"letters beyond ASCII are encoded later":  {map[string]any{"name": "Zoë 名"}, policy.OK},
		"six kilobytes of subject":                {map[string]any{"sub": strings.Repeat("a", 6000)}, policy.OK},
		"roles as a string":                       {map[string]any{"roles": "admin"}, policy.OK},
		"null claims are normal":                  {map[string]any{"tenant_id": is("null"), "roles": is("null"), "email": is("null")}, policy.OK},
	})
}

// TestSubject: a string, or an integer as its decimal text.
func TestSubject(t *testing.T) {
	key := generate(t, "HS256", "")
	v := verifier(t, provider(t, "s", nil, key))
	for name, tc := range map[string]struct {
		sub     any
		want    policy.Reason
		subject string
	}{
		"a string":                     {"user-1", policy.OK, "user-1"},
		"an integer, as Laravel mints": {42, policy.OK, "42"},
		"an integer of twenty digits":  {is("18446744073709551616"), policy.OK, "18446744073709551616"},
		"a negative integer":           {-7, policy.OK, "-7"},
		"absent":                       {nil, policy.OK, ""},
		"null is as absent":            {is("null"), policy.OK, ""},
		"minus zero":                   {is("-0"), policy.ClaimInvalid, ""},
		"a number with a fraction":     {is("1.0"), policy.ClaimInvalid, ""},
		"a number with an exponent":    {is("1e3"), policy.ClaimInvalid, ""},
		"a number with a capital E":    {is("1E3"), policy.ClaimInvalid, ""},
		"true":                         {true, policy.ClaimInvalid, ""},
		"an array":                     {[]string{"a"}, policy.ClaimInvalid, ""},
		"an object":                    {map[string]any{"id": 1}, policy.ClaimInvalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := verify(t, v, mint(t, key, nil, claims(map[string]any{"sub": tc.sub})))
			wantReason(t, got, tc.want)
			wantEqual(t, "subject", got.Verified.Subject(), tc.subject)
		})
	}
}

// TestRequiredClaims is the token's part of C8.
func TestRequiredClaims(t *testing.T) {
	change := func(p *token.Provider) { p.RequiredClaims = []string{"sub", "https://x.example/tenant"} }
	runClaims(t, change, map[string]claimCase{
		"all there":                {map[string]any{"https://x.example/tenant": "t"}, policy.OK},
		"false is there":           {map[string]any{"https://x.example/tenant": false}, policy.OK},
		"one absent":               {nil, policy.ClaimInvalid},
		"one null":                 {map[string]any{"https://x.example/tenant": is("null")}, policy.ClaimInvalid},
		"one only in another case": {map[string]any{"HTTPS://x.example/tenant": "t"}, policy.ClaimInvalid},
		"one only deeper":          {map[string]any{"x": map[string]any{"https://x.example/tenant": "t"}}, policy.ClaimInvalid},
	})
}

// TestRevokedBefore: a token issued before the moment is refused.
func TestRevokedBefore(t *testing.T) {
	before := noon.Add(-5 * time.Second).Format(time.RFC3339)
	change := func(p *token.Provider) { p.RevokedBefore = &before }
	runClaims(t, change, map[string]claimCase{
		"issued at the moment":                     {map[string]any{"iat": at(-5)}, policy.OK},
		"issued a second before":                   {map[string]any{"iat": at(-6)}, policy.Revoked},
		"without iat":                              {map[string]any{"iat": nil}, policy.Revoked},
		"issued before and expired: refresh helps": {map[string]any{"exp": at(-11), "iat": at(-60)}, policy.Expired},
	})
}

// TestOutcomeFacts: what metrics need to know.
func TestOutcomeFacts(t *testing.T) {
	key := generate(t, "HS256", "k1")
	v := verifier(t, provider(t, "own", nil, key))
	for name, tc := range map[string]struct {
		change map[string]any
		want   token.Outcome
	}{
		"a fresh token has a minute left":                   {nil, token.Outcome{Reason: policy.OK, Remaining: time.Minute}},
		"an expired one knows since when":                   {map[string]any{"exp": at(-30), "iat": at(-90)}, token.Outcome{Reason: policy.Expired, ExpiredFor: 30 * time.Second}},
		"one saved by the leeway says so":                   {map[string]any{"exp": at(-3), "iat": at(-90)}, token.Outcome{Reason: policy.OK, Remaining: -3 * time.Second, Leeway: "exp"}},
		"one exactly at its end is saved":                   {map[string]any{"exp": at(0)}, token.Outcome{Reason: policy.OK, Leeway: "exp"}},
		"one not yet valid is saved for nbf":                {map[string]any{"nbf": at(4)}, token.Outcome{Reason: policy.OK, Remaining: time.Minute, Leeway: "nbf"}},
		"a signer whose clock is ahead":                     {map[string]any{"iat": at(4)}, token.Outcome{Reason: policy.OK, Remaining: time.Minute, Leeway: "iat"}},
		"a claim refused after the signature knows the key": {map[string]any{"cnf": 1}, token.Outcome{Reason: policy.ClaimInvalid, Claim: "cnf"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := verify(t, v, mint(t, key, nil, claims(tc.change)))
			got.Verified = nil
			tc.want.Provider, tc.want.KID = "own", "k1"
			wantEqual(t, "outcome", got, tc.want)
		})
	}
}

// TestInvalidClaimIsNamed: by a name of the standards or the policy, never one
// that only the token knows.
func TestInvalidClaimIsNamed(t *testing.T) {
	key := generate(t, "HS256", "")
	v := verifier(t, provider(t, "s", func(p *token.Provider) {
		p.RequiredClaims, p.HeaderClaims = []string{"org"}, []string{"/realm/roles"}
	}, key))
	for want, change := range map[string]map[string]any{
		"":             {"org": "o"},
		"exp":          {"exp": "soon", "org": "o"},
		"nbf":          {"nbf": is("null"), "org": "o"},
		"iat":          {"iat": true, "org": "o"},
		"sub":          {"sub": 1.5, "org": "o"},
		"iss":          {"iss": 7, "org": "o"},
		"aud":          {"aud": 7, "org": "o"},
		"cnf":          {"cnf": map[string]any{"secret-name": 1}, "org": "o"},
		"org":          {},
		"email":        {"email": "a\nb", "org": "o"},
		"/realm/roles": {"realm": map[string]any{"roles": map[string]any{"evil\n": 1}}, "org": "o"},
	} {
		if got := verify(t, v, mint(t, key, nil, claims(change))); got.Claim != want {
			t.Errorf("claim = %q (%s), want %q", got.Claim, got.Reason, want)
		}
	}
}
