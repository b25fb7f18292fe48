package token_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/token"
)

// TestForm is T10 to T14 and T16: what is not exactly one compact JWS of strict
// base64url and strict JSON is malformed.
func TestForm(t *testing.T) {
	key := generate(t, "HS256", "")
	v := verifier(t, provider(t, "s", nil, key))
	head, body := raw64(`{"alg":"HS256"}`), raw64(payload(t))
	good := signedParts(t, key, head, body)
	part := strings.Split(good, ".")
	jsonJWS := fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, body, head, part[2])
	tildes := strings.Replace(payload(t), "{", `{"x":"~~~?>>>???",`, 1) // both letters that the alphabets differ in
	general := fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, body, head, part[2])

	for name, tc := range map[string]struct {
		token string
		want  policy.Reason
	}{
		"the twin is accepted":                   {good, policy.OK},
		"a JWE of five parts":                    {raw64(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`) + "..AAAA.AAAA.AAAA", policy.MalformedToken},
		"a JWE with p2c":                         {raw64(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AA"}`) + ".AA.AA.AA.AA", policy.MalformedToken},
		"a flattened JSON JWS":                   {raw64(jsonJWS), policy.MalformedToken},
		"a general JSON JWS":                     {raw64(general), policy.MalformedToken},
		"a bare JSON JWS":                        {jsonJWS, policy.AmbiguousCredentials},
		"two parts":                              {head + "." + body, policy.MalformedToken},
		"four parts":                             {good + ".", policy.MalformedToken},
		"four parts, one in front":               {"." + good, policy.MalformedToken},
		"an empty payload":                       {head + ".." + part[2], policy.MalformedToken},
		"an empty header":                        {"." + body + "." + part[2], policy.MalformedToken},
		"dots alone":                             {"..", policy.MalformedToken},
		"no dots":                                {"agno_pat_0123456789", policy.MalformedToken},
		"sixteen thousand dots":                  {strings.Repeat(".", 16000), policy.MalformedToken},
		"a million dots":                         {strings.Repeat(".", 1<<20), policy.TokenTooLarge},
		"a megabyte":                             {strings.Repeat("a", 1<<20), policy.TokenTooLarge},
		"padding on the signature":               {good + "=", policy.MalformedToken},
		"padding on the header":                  {signedParts(t, key, base64.URLEncoding.EncodeToString([]byte(`{"alg":"HS256" }`)), body), policy.MalformedToken},
		"its twin without padding":               {signedParts(t, key, raw64(`{"alg":"HS256" }`), body), policy.OK},
		"the standard alphabet in the signature": {head + "." + body + "." + standard(part[2]), policy.MalformedToken},
		"spare bits in the signature":            {spareBits(good), policy.MalformedToken},
		"spare bits in the header, signed":       {signedParts(t, key, spareBits(raw64(`{"alg":"HS256" }`)), body), policy.MalformedToken},
		"spare bits in the payload, signed":      {signedParts(t, key, head, spareBits(raw64(payload(t)+spare(payload(t))))), policy.MalformedToken},
		"their twin without spare bits":          {signedParts(t, key, head, raw64(payload(t)+spare(payload(t)))), policy.OK},
		"the standard alphabet in the payload":   {signedParts(t, key, head, strings.NewReplacer("-", "+", "_", "/").Replace(raw64(tildes))), policy.MalformedToken},
		"its twin in base64url":                  {signedParts(t, key, head, raw64(tildes)), policy.OK},
		"padding on the payload, signed":         {signedParts(t, key, head, raw64(payload(t)+spare(payload(t)))+"="), policy.MalformedToken},
		"a tab within":                           {good[:10] + "\t" + good[10:], policy.MalformedToken},
		"a carriage return behind":               {good + "\r", policy.MalformedToken},
		"a payload that is an array":             {signed(t, key, `{"alg":"HS256"}`, `[`+payload(t)+`]`), policy.MalformedToken},
		"a payload that is null":                 {signed(t, key, `{"alg":"HS256"}`, `null`), policy.MalformedToken},
		"a signature of one letter":              {head + "." + body + ".A", policy.MalformedToken},
		"a blank within":                         {good[:10] + " " + good[10:], policy.MalformedToken},
		"a blank in front":                       {" " + good, policy.MalformedToken},
		"a line feed in the payload":             {signedParts(t, key, head, body[:8]+"\n"+body[8:]), policy.MalformedToken},
		"a header that is an array":              {signed(t, key, `["HS256"]`, payload(t)), policy.MalformedToken},
		"a header that is no JSON":               {signed(t, key, `alg: HS256`, payload(t)), policy.MalformedToken},
		"a payload that is a string":             {signed(t, key, `{"alg":"HS256"}`, `"sub"`), policy.MalformedToken},
		"a payload that is nothing but blanks":   {signed(t, key, `{"alg":"HS256"}`, `  `), policy.MalformedToken},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, verify(t, v, tc.token), tc.want) })
	}
}

// standard writes the part in the standard alphabet; it makes sure that there is
// something to see.
func standard(part string) string { return "+/" + part[2:] }

// spareBits sets an unused low bit of the last letter of a part that has some.
func spareBits(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + string(alphabet[last|1])
}

// spare is as many blanks as make the encoded text end in a letter with spare
// bits.
func spare(text string) string { return strings.Repeat(" ", (3-len(text)%3+2)%3) }

// TestStrictJSON is T13 and the JSON of T14.
func TestStrictJSON(t *testing.T) {
	key := generate(t, "HS256", "")
	v := verifier(t, provider(t, "s", nil, key))
	with := func(members string) string {
		return fmt.Sprintf(`{"sub":"user-1","iat":%d,"exp":%d%s}`, at(-10), at(60), members)
	}
	plain := `{"alg":"HS256"}`
	for name, tc := range map[string]struct {
		header, payload string
		want            policy.Reason
	}{
		"the twin is accepted":                       {plain, with(``), policy.OK},
		"exp twice":                                  {plain, with(`,"exp":1`), policy.MalformedToken},
		"sub twice, once escaped":                    {plain, with(`,"s\u0075b":"admin"`), policy.MalformedToken},
		"a name twice in a nested object":            {plain, with(`,"x":{"a":1,"a":2}`), policy.MalformedToken},
		"its twin, the name in two objects":          {plain, with(`,"x":{"a":1},"y":{"a":2}`), policy.OK},
		"alg twice":                                  {`{"alg":"none","alg":"HS256"}`, with(``), policy.MalformedToken},
		"Alg beside alg":                             {`{"alg":"HS256","Alg":"none"}`, with(``), policy.MalformedToken},
		"Sub beside sub":                             {plain, with(`,"Sub":"admin"`), policy.MalformedToken},
		"EXP beside exp":                             {plain, with(`,"EXP":99999999999`), policy.MalformedToken},
		"sub with the long s":                        {plain, with(`,"ſub":"admin"`), policy.MalformedToken},
		"kid with the Kelvin sign":                   {"{\"alg\":\"HS256\",\"\u212aid\":\"x\"}", with(``), policy.MalformedToken},
		"NBF beside nbf":                             {plain, with(`,"nbf":1,"NBF":99999999999`), policy.MalformedToken},
		"Iat for the second time":                    {plain, with(`,"Iat":99999999999`), policy.MalformedToken},
		"ISS without iss":                            {plain, with(`,"ISS":"https://id.example"`), policy.MalformedToken},
		"iss with the long s":                        {plain, with(`,"i\u017fs":"https://id.example"`), policy.MalformedToken},
		"Aud without aud":                            {plain, with(`,"Aud":"chat"`), policy.MalformedToken},
		"CNF without cnf":                            {plain, with(`,"CNF":{"jkt":"x"}`), policy.MalformedToken},
		"Typ without typ":                            {`{"alg":"HS256","Typ":"refresh+jwt"}`, with(``), policy.MalformedToken},
		"B64 without b64":                            {`{"alg":"HS256","B64":false}`, with(``), policy.MalformedToken},
		"KID beside kid":                             {`{"alg":"HS256","KID":"x"}`, with(``), policy.MalformedToken},
		"EXP instead of exp":                         {plain, fmt.Sprintf(`{"sub":"a","EXP":%d}`, at(60)), policy.MalformedToken},
		"its twin, an unregistered name in capitals": {plain, with(`,"ROLE":"x","Name":"y"`), policy.OK},
		"text after the object":                      {plain, with(``) + `{}`, policy.MalformedToken},
		"NUL after the object":                       {plain, with(``) + "\x00", policy.MalformedToken},
		"its twin, blanks around the object":         {plain, " \r\n\t" + with(``) + "\n", policy.OK},
		"a byte order mark":                          {plain, "\ufeff" + with(``), policy.MalformedToken},
		"bad UTF-8 in a value":                       {plain, with(",\"x\":\"\xff\""), policy.MalformedToken},
		"bad UTF-8 in a name":                        {plain, with(",\"\xc0\xaf\":1"), policy.MalformedToken},
		"an encoded surrogate":                       {plain, with(",\"x\":\"\xed\xa0\x80\""), policy.MalformedToken},
		"a lone surrogate escape":                    {plain, with(`,"x":"\ud800"`), policy.MalformedToken},
		"a high surrogate before another letter":     {plain, with(`,"x":"\ud800\u0041"`), policy.MalformedToken},
		"its twin, a pair":                           {plain, with(`,"x":"\ud83d\ude00"`), policy.OK},
		"a raw control character":                    {plain, with(",\"x\":\"a\nb\""), policy.MalformedToken},
		"a comment":                                  {plain, with(`/**/`), policy.MalformedToken},
		"a trailing comma":                           {plain, with(`,`), policy.MalformedToken},
		"single quotes":                              {plain, `{'sub':1}`, policy.MalformedToken},
		"NaN":                                        {plain, with(`,"x":NaN`), policy.MalformedToken},
		"a number with a leading zero":               {plain, with(`,"x":01`), policy.MalformedToken},
		"a number with a plus":                       {plain, with(`,"x":+1`), policy.MalformedToken},
		"a number in hex":                            {plain, with(`,"x":0x1`), policy.MalformedToken},
		"a number without an integer part":           {plain, with(`,"x":.5`), policy.MalformedToken},
		"a number of six thousand digits":            {plain, with(`,"x":` + strings.Repeat("9", 6000)), policy.MalformedToken},
		"its twin of twenty digits":                  {plain, with(`,"x":18446744073709551616`), policy.OK},
		"five thousand levels":                       {plain, with(`,"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), policy.MalformedToken},
		"a level too many":                           {plain, with(`,"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32)), policy.MalformedToken},
		"its twin, as deep as allowed":               {plain, with(`,"x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31)), policy.OK},
		"nine hundred claims are no harm":            {plain, with(manyClaims(900)), policy.OK},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, verify(t, v, signed(t, key, tc.header, tc.payload)), tc.want) })
	}
}

func manyClaims(count int) string {
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, `,"c%d":%d`, i, i)
	}
	return text.String()
}

// TestTypes is T15.
func TestTypes(t *testing.T) {
	key := generate(t, "HS256", "")
	v := verifier(t,
		provider(t, "s", nil, key))
	own := verifier(t, provider(t, "s", func(p *token.Provider) { p.Types = []string{"secevent+jwt"} }, key))
	for name, tc := range map[string]struct {
		v      *token.Verifier
		header string
		want   policy.Reason
	}{
		"an absent typ passes":                     {v, `{"alg":"HS256"}`, policy.OK},
		"JWT passes":                               {v, `{"alg":"HS256","typ":"JWT"}`, policy.OK},
		"jwt in lower case passes":                 {v, `{"alg":"HS256","typ":"jwt"}`, policy.OK},
		"at+jwt passes":                            {v, `{"alg":"HS256","typ":"at+jwt"}`, policy.OK},
		"application/at+jwt passes":                {v, `{"alg":"HS256","typ":"application/at+jwt"}`, policy.OK},
		"a refresh token is refused":               {v, `{"alg":"HS256","typ":"refresh+jwt"}`, policy.TypeNotAllowed},
		"a logout token is refused":                {v, `{"alg":"HS256","typ":"logout+jwt"}`, policy.TypeNotAllowed},
		"a security event is refused":              {v, `{"alg":"HS256","typ":"secevent+jwt"}`, policy.TypeNotAllowed},
		"a DPoP proof is refused":                  {v, `{"alg":"HS256","typ":"dpop+jwt"}`, policy.TypeNotAllowed},
		"an empty typ is refused":                  {v, `{"alg":"HS256","typ":""}`, policy.TypeNotAllowed},
		"a null typ is refused":                    {v, `{"alg":"HS256","typ":null}`, policy.TypeNotAllowed},
		"a typ that is an array is refused":        {v, `{"alg":"HS256","typ":["JWT"]}`, policy.TypeNotAllowed},
		"where types are named they pass":          {own, `{"alg":"HS256","typ":"secevent+jwt"}`, policy.OK},
		"where types are named, JWT does not pass": {own, `{"alg":"HS256","typ":"JWT"}`, policy.TypeNotAllowed},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, verify(t, tc.v, signed(t, key, tc.header, payload(t))), tc.want) })
	}
}

// TestLongToken is T16: group claims make tokens of 7 KB that must work.
func TestLongToken(t *testing.T) {
	key := generate(t, "RS256", "r")
	groups := make([]string, 130)
	for i := range groups {
		groups[i] = fmt.Sprintf("9b2f6f2e-0000-4000-8000-%012d", i)
	}
	text := mint(t, key, nil, claims(map[string]any{"groups": groups}))
	if len(text) < 7000 {
		t.Fatalf("the token has %d bytes, want 7 KB", len(text))
	}
	wantReason(t, verify(t, verifier(t, provider(t, "s", nil, key)), text), policy.OK)
}

// TestClaimTypesReachThePolicy: the types that Claims promises.
func TestClaimTypesReachThePolicy(t *testing.T) {
	key := generate(t, "HS256", "")
	text := signed(t, key, `{"alg":"HS256"}`,
		fmt.Sprintf(`{"exp":%d,"sub":42,"n":1.50,"b":true,"z":null,"l":["a",1,null],"o":{"p":"q"},"u":"\u00e9\n"}`, at(60)))
	got := verify(t, verifier(t, provider(t, "s", nil, key)), text)
	wantReason(t, got, policy.OK)
	want := map[string]any{
		"exp": json.Number(fmt.Sprint(at(60))), "sub": json.Number("42"), "n": json.Number("1.50"), "b": true, "z": nil,
		"l": []any{"a", json.Number("1"), nil}, "o": map[string]any{"p": "q"}, "u": "é\n",
	}
	wantEqual(t, "claims", got.Verified.Claims(), want)
	wantEqual(t, "subject", got.Verified.Subject(), "42")
	wantEqual(t, "expires", got.Verified.Expires().Unix(), at(60))
}
