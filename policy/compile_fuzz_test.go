package policy_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/markers"
)

// FuzzCompile gives Compile whatever JSON makes of a Spec.
func FuzzCompile(f *testing.F) {
	for _, spec := range fullSpecs(f) {
		seed, err := json.Marshal(spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed, "/agents/a1/runs")
	}
	f.Add([]byte(`{"authorization":{"rules":[{"name":"a","operation":{"paths":[{"type":"Template","value":"/{x}"}]},"principal":{"scopes":{"anyOf":["{x}"]}}}]}}`), "/x")
	f.Fuzz(func(t *testing.T, data []byte, target string) {
		var s policy.Spec
		if json.Unmarshal(data, &s) == nil {
			compiles(t, s, target)
		}
	})
}

// FuzzCompileFields edits the fields of good specs: each byte of edits but the
// first chooses a field, what becomes of it, or a text for it.
func FuzzCompileFields(f *testing.F) {
	specs := fullSpecs(f)
	places := make([][]markers.Place, len(specs))
	for i, spec := range specs {
		places[i] = markers.Places(f, spec, ".")
	}
	for i := range specs {
		f.Add([]byte{byte(i), 0, 1, 2, 3, 4, 5, 6}, "/agents/a1/runs")
		f.Add([]byte{byte(i), 7, 200, 11, 90, 40, 3, 77, 21, 5}, "/x/..")
	}
	f.Fuzz(func(t *testing.T, edits []byte, target string) {
		if len(edits) == 0 || len(edits) > 64 {
			return
		}
		which := int(edits[0]) % len(specs)
		s := *specs[which].DeepCopy()
		for rest := edits[1:]; len(rest) >= 4; rest = rest[4:] {
			at := (int(rest[0])<<8 | int(rest[1])) % len(places[which])
			editPlace(&s, places[which][at], rest[2], rest[3])
		}
		compiles(t, s, target)
	})
}

// fullSpecs are good specs that have every field between them.
func fullSpecs(t testing.TB) []policy.Spec {
	t.Helper()
	return []policy.Spec{{}, base(t), parse(t, agno), parse(t, agnoPreset), parse(t, full)}
}

// odd are texts that have given readers of policies trouble.
var odd = []string{
	"", "a", "/", "//", "/a/../b", "/{x}", "/{x}/{x}", "/{", "/a*", "/*", "{x}", "{", "}", "a b", "\x00", "\n", "\xff", "é", "%2e", "/%41", "*", "null", "https://a", "https://a/",
	"https://169.254.169.254/", "http://[::1", "Bearer ", "Authorization", "x-gatepost-a", "Host", "Cookie", "a=", "HS256", "ES256", "none", "GET", "get", "TRACE", "Allow", "Deny", "Template",
	"Prefix", "Boolean", "true", "agno-v2", "laravel", "crm", "20/s", "0/s", "10.0.0.0/8", "10.0.0.1/8", "0.0.0.0/0", "/a~2", "/a~1b", "refresh+jwt", "2026-01-01T00:00:00Z", "Subprotocol", "{\"keys\":[]}",
}

// editPlace changes one field as two bytes say. A place that an edit before took
// away is left alone.
func editPlace(s *policy.Spec, p markers.Place, how, what byte) {
	defer func() { _ = recover() }() // reach walks through lists and pointers that may be gone
	v := p.Reach(reflect.ValueOf(s).Elem())
	if how%4 == 0 {
		v.SetZero()
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(odd[int(what)%len(odd)])
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int32:
		v.SetInt(int64(int8(what)))
	case reflect.Slice:
		if v.Len() > 0 {
			v.Set(reflect.Append(v, v.Index(int(what)%v.Len())))
		}
	case reflect.Pointer:
		editPointer(v, what)
	default: // A struct is edited by its fields.
	}
}

func editPointer(v reflect.Value, what byte) {
	fresh := reflect.New(v.Type().Elem())
	switch to := fresh.Interface().(type) {
	case *policy.Duration:
		to.Duration = time.Duration(int8(what)) * time.Minute
	case *int32:
		*to = int32(what) << (what % 16)
	case *string:
		*to = odd[int(what)%len(odd)]
	}
	v.Set(fresh)
}

// compiles holds what Compile promises of any spec: an error of its own type, or
// a policy whose defaults are final and that lets nobody through by mistake.
func compiles(t *testing.T, s policy.Spec, target string) {
	t.Helper()
	p, err := policy.Compile(s)
	if err != nil {
		if errs := (policy.Errors{}); !errors.As(err, &errs) || len(errs) == 0 || p != nil {
			t.Fatalf("Compile = %v, %#v", p, err)
		}
		return
	}
	again, err := policy.Compile(p.Spec())
	if err != nil {
		t.Fatalf("the defaulted spec does not compile: %v", err)
	}
	if diff := cmp.Diff(p.Spec(), again.Spec()); diff != "" {
		t.Fatalf("defaults are not final:\n%s", diff)
	}
	route := p.Route(policy.RequestLine{Method: "GET", Target: target})
	if got := p.Decide(route, nil, policy.Who{}).Reason; got.Allows() && got != policy.Exempt {
		t.Fatalf("nobody passes: %s", got)
	}
	for _, who := range []policy.Who{
		{Provider: "a", Claims: map[string]any{"scopes": []any{"x", nil}}},
		{Client: "crm", Claims: map[string]any{"scopes": []any{"agents:x:run"}}},
	} {
		if one, two := p.Decide(route, nil, who), again.Decide(again.Route(policy.RequestLine{Method: "GET", Target: target}), nil, who); !cmp.Equal(one, two) {
			t.Fatalf("the defaulted spec decides %+v, the spec %+v", two, one)
		}
	}
	if got := p.Decide(route, nil, policy.Who{Anonymous: true}); got.Reason == policy.OK && !isAnonymous(p.Spec(), got.Rule) {
		t.Fatalf("a request without a credential passes by rule %q", got.Rule)
	}
}

func isAnonymous(s policy.Spec, rule string) bool {
	for _, r := range s.Authorization.Rules {
		if r.Name == rule {
			return r.Principal != nil && r.Principal.Anonymous
		}
	}
	return false
}
