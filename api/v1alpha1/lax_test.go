package v1alpha1_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gatepost.dev/gatepost/internal/manifest"
	"gatepost.dev/gatepost/test/corpus"
)

// A file meets no API server, so its reader must refuse what a schema refuses.
// Objects of the corpus are edited at random, always in the same way, and given
// to both.
func TestAFileIsJudgedNoMoreLaxlyThanByTheSchema(t *testing.T) {
	t.Parallel()
	var seeds []map[string]any
	for _, a := range corpus.Load(t) {
		if a.Valid() {
			seeds = append(seeds, read(t, a.Manifest))
		}
	}
	lax := laxer(t, readCRD(t, "agentauthpolicies"), seeds, func(text []byte) error { _, err := manifest.Parse(text); return err })
	corpus.Figure("schema_refuses_file_accepts", lax, "policies")
}

// The same of issuers.
func TestAnIssuersFileIsJudgedNoMoreLaxlyThanByTheSchema(t *testing.T) {
	t.Parallel()
	var seeds []map[string]any
	for _, i := range corpus.Issuers(t) {
		if i.Valid() {
			seeds = append(seeds, read(t, i.Manifest))
		}
	}
	lax := laxer(t, readCRD(t, "tokenissuers"), seeds, func(text []byte) error { _, err := manifest.ParseIssuer(text); return err })
	corpus.Figure("schema_refuses_issuer_file_accepts", lax, "issuers")
}

// laxer counts the edits that the schema refuses and parse accepts.
func laxer(t *testing.T, c *crd, seeds []map[string]any, parse func([]byte) error) int {
	t.Helper()
	random := rand.New(rand.NewPCG(2026, 1122))
	refused, lax := 0, 0
	const tries = 1500
	for range tries * soak() {
		object := integers(clone(t, seeds[random.IntN(len(seeds))])).(map[string]any)
		for range 1 + random.IntN(2) {
			object["spec"] = edited(random, object["spec"])
		}
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		errs := c.admit(t.Context(), object, nil)
		if len(errs) == 0 {
			continue
		}
		refused++
		if parse(text) == nil {
			lax++
			t.Errorf("the schema refuses and the file's reader accepts:\n%s\n%s", text, strings.Join(errs, "\n"))
		}
	}
	if refused < tries/10 {
		t.Errorf("only %d edits were refused by the schema: this tests nothing", refused)
	}
	return lax
}

// soak is how many times longer than in CI the test runs.
func soak() int {
	factor, err := strconv.Atoi(os.Getenv("GATEPOST_SOAK"))
	if err != nil {
		return 1
	}
	return max(1, factor)
}

func clone(t *testing.T, policy map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(policy)
	if err != nil {
		t.Fatal(err)
	}
	var fresh map[string]any
	if err := json.Unmarshal(text, &fresh); err != nil {
		t.Fatal(err)
	}
	return fresh
}

// edited changes one place of a tree: takes it away, puts something odd there, or
// doubles an entry of a list. Empty texts and zeros are left out: a Go type cannot
// tell them from what is absent, and so they mean the default in a file.
func edited(random *rand.Rand, value any) any {
	switch v := value.(type) {
	case map[string]any:
		if len(v) == 0 {
			return v
		}
		name := slices.Sorted(maps.Keys(v))[random.IntN(len(v))]
		if random.IntN(8) == 0 {
			delete(v, name)
		} else {
			v[name] = edited(random, v[name])
		}
		return v
	case []any:
		switch i := random.IntN(len(v) + 1); {
		case i == len(v):
			return []any{}
		case random.IntN(6) == 0:
			return append(v, v[i])
		default:
			v[i] = edited(random, v[i])
			return v
		}
	case bool:
		return !v
	case int64:
		return []int64{-1, 1, v + 2, 4096, 1 << 20, 1 << 30}[random.IntN(6)]
	}
	odd := []string{
		"a", "A", "/", "/a?b", "a b", "\x01", "é", strings.Repeat("a", 300), "{x}", "*", "null", "https://a", "https://a/", "http://a", "0s", "1ms", "61s", "30h", "9000h", "5",
		"HS256", "ES256", "RS256", "none", "GET", "TRACE", "Deny", "Allow", "Template", "Boolean", "true", "yes", "agno-v2", "Cookie", "cookie", "Authorization", "X-Gatepost-A", "x-gatepost-b",
		"Always", "Audit", "Session", "Password", "RefreshToken", "at+jwt", "sub", "Passthrough", "20/s", "0/s", "20/h", "10.0.0.0/8", "Subprotocol", "refresh+jwt", "2026-01-01", "2026-01-01T00:00:00Z", "laravel", "Localhost", "CloseAfterGrace",
	}
	return odd[random.IntN(len(odd))]
}
