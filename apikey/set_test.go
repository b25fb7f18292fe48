package apikey_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/policy"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(after time.Duration) *string { return new(noon.Add(after).Format(time.RFC3339)) }

// client is a spec with one value for each key; the first expires at noon plus
// the duration, zero: never.
func client(id string, expires time.Duration, keys ...apikey.Key) policy.APIKeySpec {
	spec := policy.APIKeySpec{ClientID: id}
	for i, key := range keys {
		spec.Values = append(spec.Values, policy.APIKeyValue{Name: "v" + string(rune('1'+i)), KeyHash: key.Hash().String()})
	}
	if expires != 0 {
		spec.Values[0].ExpiresAt = at(expires)
	}
	return spec
}

func newSet(t *testing.T, specs ...policy.APIKeySpec) *apikey.Set {
	t.Helper()
	set, err := apikey.NewSet(specs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestLookup(t *testing.T) {
	first, second, short, suspended, stranger := generate(t), generate(t), generate(t), generate(t), generate(t)
	crm := client("crm", 0, first, second)
	crm.Scopes = []string{"agents:run", "agents:read"}
	crm.Claims = map[string]policy.ClaimText{"tenant_id": "t-1", "sub": "svc"}
	off := client("off", 0, suspended)
	off.Suspend = true
	set := newSet(t, crm, client("batch", time.Minute, short), off)
	who := &apikey.Client{ID: "crm", Claims: map[string]any{
		"tenant_id": "t-1", "sub": "svc", "scopes": []any{"agents:run", "agents:read"},
	}}
	batch := &apikey.Client{ID: "batch", Claims: map[string]any{}}
	for _, test := range []struct {
		sentence string
		set      *apikey.Set
		key      apikey.Key
		after    time.Duration
		want     apikey.Outcome
	}{
		{"the first of two live keys", set, first, 0, apikey.Outcome{Client: who, Owner: "crm", Reason: policy.OK}},
		{"the second of two live keys", set, second, 0, apikey.Outcome{Client: who, Owner: "crm", Reason: policy.OK}},
		{"a key before it expires", set, short, time.Minute - time.Nanosecond, apikey.Outcome{Client: batch, Owner: "batch", Expires: noon.Add(time.Minute), Reason: policy.OK}},
		{"a key at the moment it expires", set, short, time.Minute, apikey.Outcome{Owner: "batch", Expires: noon.Add(time.Minute), Reason: policy.APIKeyExpired}},
		{"a key long after", set, short, time.Hour, apikey.Outcome{Owner: "batch", Expires: noon.Add(time.Minute), Reason: policy.APIKeyExpired}},
		{"a key of a suspended client", set, suspended, 0, apikey.Outcome{Reason: policy.APIKeyInvalid}},
		{"a key that nobody has", set, stranger, 0, apikey.Outcome{Reason: policy.APIKeyInvalid}},
		{"no key", set, apikey.Key{}, 0, apikey.Outcome{Reason: policy.APIKeyInvalid}},
		{"no set", nil, first, 0, apikey.Outcome{Reason: policy.APIKeyInvalid}},
		{"a set of nobody", newSet(t), first, 0, apikey.Outcome{Reason: policy.APIKeyInvalid}},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.set.Lookup(test.key, noon.Add(test.after))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if (apikey.Outcome{}).Reason.Allows() || (apikey.Outcome{}).Client != nil {
		t.Error("the zero Outcome lets somebody in")
	}
	var names []string
	for _, c := range set.Clients() {
		names = append(names, c.ID)
	}
	if diff := cmp.Diff([]string{"batch", "crm"}, names); diff != "" || len((*apikey.Set)(nil).Clients()) != 0 {
		t.Errorf("Clients (-want +got)\n%s", diff)
	}
}

func TestNewSetRefuses(t *testing.T) {
	one, two := generate(t), generate(t)
	edit := func(change func(*policy.APIKeySpec)) []policy.APIKeySpec {
		spec := client("crm", 0, one)
		change(&spec)
		return []policy.APIKeySpec{spec}
	}
	for _, test := range []struct {
		sentence string
		specs    []policy.APIKeySpec
		want     string
	}{
		{"two clients of one id", []policy.APIKeySpec{client("crm", 0, one), client("crm", 0, two)}, "client crm: spec.clientID: another client has this id"},
		{"two clients of one id, one of them suspended", append(edit(func(s *policy.APIKeySpec) { s.Suspend = true }), client("crm", 0, two)), "another client has this id"},
		{"two clients of one key", []policy.APIKeySpec{client("crm", 0, one), client("erp", 0, two, one)}, "client erp: spec.values[1].keyHash: client crm has this key too"},
		{"a key in the place of its hash", edit(func(s *policy.APIKeySpec) { s.Values[0].KeyHash = one.Reveal() }), "spec.values[0].keyHash: is no hash of a key"},
		{"a time that is none", edit(func(s *policy.APIKeySpec) { s.Values[0].ExpiresAt = new("tomorrow") }), "spec.values[0].expiresAt"},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			set, err := apikey.NewSet(test.specs)
			if set != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("err = %v, want %s", err, test.want)
			}
			if strings.Contains(err.Error(), one.Reveal()) {
				t.Error("the error holds the key")
			}
		})
	}
}

func TestAtMostTwoValuesAreLive(t *testing.T) {
	a, b, c := generate(t), generate(t), generate(t)
	spec := client("crm", time.Minute, a, b, c)
	live, next := apikey.Live(spec, noon)
	if live != 3 || !next.Equal(noon.Add(time.Minute)) {
		t.Errorf("Live = %d, %s", live, next)
	}
	var fields policy.Errors
	if err := apikey.CheckLive(spec, noon); !errors.As(err, &fields) || fields[0].Field != "spec.values" {
		t.Errorf("three live values: %v", err)
	}
	if err := apikey.CheckLive(spec, noon.Add(time.Minute)); err != nil {
		t.Errorf("two live values and one that has expired: %v", err)
	}
	if live, next = apikey.Live(spec, noon.Add(time.Minute)); live != 2 || !next.IsZero() {
		t.Errorf("Live = %d, %s after the first expired", live, next)
	}
}

// What a request costs must not grow with what it carries.
func TestAKeyIsFoundWithoutAllocation(t *testing.T) {
	key := generate(t)
	set := newSet(t, client("crm", 0, key), client("batch", time.Hour, generate(t)))
	text := key.Reveal()
	allocations := testing.AllocsPerRun(100, func() {
		parsed, err := apikey.Parse(text)
		if err != nil || set.Lookup(parsed, noon).Reason != policy.OK {
			t.Fatal("not found")
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations for each request", allocations)
	}
}

func BenchmarkLookup(b *testing.B) {
	key, err := apikey.Generate(strings.NewReader(strings.Repeat("x", 64)))
	if err != nil {
		b.Fatal(err)
	}
	set, err := apikey.NewSet([]policy.APIKeySpec{client("crm", time.Hour, key)})
	if err != nil {
		b.Fatal(err)
	}
	text := key.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		parsed, _ := apikey.Parse(text)
		if set.Lookup(parsed, noon).Reason != policy.OK {
			b.Fatal("not found")
		}
	}
}
