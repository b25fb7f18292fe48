package v1alpha1_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/policy"
)

// hash is a hash that ends in the digit.
func hash(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

func apiKeyCases() map[string]admission {
	values := func(list string) string { return `{clientID: crm, values: [` + list + `]}` }
	one := `{name: v1, keyHash: "` + hash("1") + `"}`
	with := func(field string) string { return `{clientID: crm, values: [` + one + `], ` + field + `}` }
	expiring := func(name, digit string) string {
		return `{name: ` + name + `, keyHash: "` + hash(digit) + `", expiresAt: "2027-03-01T00:00:00Z"}`
	}
	lasting := func(name, digit string) string { return `{name: ` + name + `, keyHash: "` + hash(digit) + `"}` }
	return map[string]admission{
		"a client with a key": {yaml: values(one)},
		"a client with everything": {
			yaml: `{clientID: crm.eu_1-a, values: [` + expiring("v1", "1") + `, ` + lasting("v2", "2") + `], scopes: ["agents:run", "a/b?c=d"], claims: {tenant_id: t-1, /odd: "x y"}, suspend: true}`,
		},
		"no client id":                      {yaml: `{values: [` + one + `]}`, refused: "clientID"},
		"an empty client id":                {yaml: `{clientID: "", values: [` + one + `]}`, refused: "clientID"},
		"a client id with a blank":          {yaml: `{clientID: "c rm", values: [` + one + `]}`, refused: "clientID"},
		"a client id with a line break":     {yaml: `{clientID: "crm\nx", values: [` + one + `]}`, refused: "clientID"},
		"a client id of 64 letters":         {yaml: `{clientID: ` + strings.Repeat("c", 64) + `, values: [` + one + `]}`, refused: "clientID"},
		"a client id that metrics use":      {yaml: `{clientID: unknown, values: [` + one + `]}`, refused: "clientID may not be unknown"},
		"another one":                       {yaml: `{clientID: other, values: [` + one + `]}`, refused: "clientID may not be unknown"},
		"a client id that looks like a key": {yaml: `{clientID: gpk_aaaqeaye_audaocajbifqydiob4ibceqtcqkrmfyyd4d24rf, values: [` + one + `]}`, refused: "clientID looks like a key"},
		"no values":                         {yaml: values(``), refused: "values"},
		"two lasting values":                {yaml: values(one + `, ` + lasting("v2", "2"))},
		"three lasting values":              {yaml: values(one + `, ` + lasting("v2", "2") + `, ` + lasting("v3", "3")), refused: "at most two values may be live"},
		"two lasting and expiring values":   {yaml: values(one + `, ` + lasting("v2", "2") + `, ` + expiring("v3", "3") + `, ` + expiring("v4", "4"))},
		"two values of one name":            {yaml: values(one + `, ` + lasting("v1", "2")), refused: "Duplicate value"},
		"two values of one key":             {yaml: values(one + `, ` + lasting("v2", "1")), refused: "two values have the same keyHash"},
		"a value without a name":            {yaml: values(`{keyHash: "` + hash("1") + `"}`), refused: "name"},
		"a value name with capitals":        {yaml: values(lasting("V1", "1")), refused: "name"},
		"a hash in capitals":                {yaml: values(lasting("v1", "A")), refused: "keyHash"},
		"a key in the place of its hash":    {yaml: values(`{name: v1, keyHash: gpk_aaaqeaye_audaocajbifqydiob4ibceqtcqkrmfyyd4d24rf}`), refused: "keyHash"},
		"a hash of another function":        {yaml: values(`{name: v1, keyHash: "sha512:` + strings.Repeat("1", 64) + `"}`), refused: "keyHash"},
		"an expiry that is no time":         {yaml: values(`{name: v1, keyHash: "` + hash("1") + `", expiresAt: tomorrow}`), refused: "expiresAt"},
		"an expiry without a zone":          {yaml: values(`{name: v1, keyHash: "` + hash("1") + `", expiresAt: "2027-03-01T00:00:00"}`), refused: "expiresAt"},
		"nine values":                       {yaml: values(one + strings.Join(expiringValues(8, expiring), "")), refused: "values"},
		"a scope with a blank":              {yaml: with(`scopes: ["a b"]`), refused: "scopes"},
		"a scope with a quote":              {yaml: with(`scopes: ['a"b']`), refused: "scopes"},
		"a scope twice":                     {yaml: with(`scopes: [a, a]`), refused: "Duplicate value"},
		"65 scopes":                         {yaml: with(`scopes: [` + distinct(65, "s") + `]`), refused: "scopes"},
		"claims that are texts":             {yaml: with(`claims: {tenant_id: t-1, sub: svc, role: ""}`)},
		"scopes among the claims":           {yaml: with(`claims: {scopes: all}`), refused: "set by spec.scopes"},
		"a claim of tokens":                 {yaml: with(`claims: {exp: "1"}`), refused: "claims of tokens only"},
		"a claim without a name":            {yaml: with(`claims: {"": a}`), refused: "names of claims"},
		"a claim with a long name":          {yaml: with(`claims: {` + strings.Repeat("c", 257) + `: a}`), refused: "names of claims"},
		"a claim with a long value":         {yaml: with(`claims: {c: ` + strings.Repeat("v", 1025) + `}`), refused: "claims"},
		"17 claims":                         {yaml: with(`claims: {` + strings.ReplaceAll(distinct(17, "c"), ",", ": a,") + `: a}`), refused: "claims"},
		"an unknown field":                  {yaml: with(`scope: a`), refused: "unknown field"},
		"another client id, later":          {before: with(`suspend: false`), yaml: `{clientID: erp, values: [` + one + `]}`},
		"a claim that is a number, a list":  {yaml: with(`claims: {level: 3}`), refused: "claims"},
	}
}

func expiringValues(n int, value func(name, digit string) string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = ", " + value("w"+string(rune('a'+i)), string("23456789ab"[i]))
	}
	return list
}

// distinct is a list of n different names.
func distinct(n int, prefix string) string {
	names := make([]string, n)
	for i := range names {
		names[i] = prefix + strings.Repeat("x", i)
	}
	return strings.Join(names, ",")
}

func TestAPIKeysAreAdmitted(t *testing.T) {
	t.Parallel()
	runAdmissions(t, "apikeys", v1alpha1.KindAPIKey, apiKeyCases())
}

// A file never meets an API server: what one refuses, the check of files does,
// and nothing more.
func TestCheckAPIKeyAgreesWithTheSchema(t *testing.T) {
	t.Parallel()
	cases := apiKeyCases()
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		test := cases[name]
		data, err := json.Marshal(object(t, v1alpha1.KindAPIKey, test.yaml)["spec"])
		if err != nil {
			t.Fatal(err)
		}
		var spec policy.APIKeySpec
		if err := json.Unmarshal(data, &spec); err != nil || test.refused == "unknown field" {
			continue // a document is read strictly before it is checked
		}
		if err := policy.CheckAPIKey(spec); (err != nil) != (test.refused != "") {
			t.Errorf("%s: CheckAPIKey = %v, an API server says %q", name, err, test.refused)
		} else if err != nil && strings.Contains(err.Error(), "gpk_") {
			t.Errorf("%s: the error quotes a key: %v", name, err)
		}
	}
}
