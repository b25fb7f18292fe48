package issuer

import (
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFormsAreReadStrictly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]form{
		"":                             {},
		"a=b":                          {"a": {"b"}},
		"a=b+c%20d":                    {"a": {"b c d"}},
		"a":                            {},
		"a=":                           {},
		"password=%C3%A4%26%3D%2B%3B":  {"password": {"ä&=+;"}},
		"resource=a&resource=b":        {"resource": {"a", "b"}},
		"audience=a&audience=a&scope=": {"audience": {"a", "a"}},
	} {
		got, err := parseForm(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, text := range []string{
		"a=b&a=c", "a=&a=c", "a=b&%61=c", "=b", "a=b&", "&a=b", "a=b&&c=d", "a=%", "a=%zz", "a=%ff", "a=%00", "a=%0d%0a", "a=b;c=d", "a=b=c", "a=b c", "ä=b", "a=\x00",
	} {
		if got, err := parseForm(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

// Whatever is accepted, the standard library reads alike.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{"", "grant_type=client_credentials&scope=a+b&resource=https%3A%2F%2Fa&resource=b", "a=%C3%A4", "a=b;c", "a=b&a=c", "%61=b", "a&b=", "a=b=c", "resource=&resource=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseForm(text)
		if err != nil {
			return
		}
		want, err := url.ParseQuery(text)
		if err != nil {
			t.Fatalf("%q is refused by net/url: %v", text, err)
		}
		for name, values := range want {
			values = slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "" })
			if !slices.Equal(values, got[name]) {
				t.Errorf("%q: %s is %q, net/url has %q", text, name, got[name], values)
			}
			if len(values) > 1 && !repeatable[name] {
				t.Errorf("%q: %s occurs %d times", text, name, len(values))
			}
		}
		for name := range got {
			if _, ok := want[name]; !ok {
				t.Errorf("%q: %s is not there for net/url", text, name)
			}
		}
	})
}

// One secret, under one id, or none: however the header is written.
func FuzzBasic(f *testing.F) {
	for _, seed := range []string{basic("crm", "secret"), "Basic YTpi", "basic YTpi", "Basic  YTpi", "Basic YTpi=", "Basic ", "Bearer a", "Basic YSUzQWI6Yw=="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		said, ok := parseBasic(header)
		if !ok {
			return
		}
		if said.id == "" || !said.given {
			t.Fatalf("%q: read as %+v", header, said)
		}
		again, ok := parseBasic(basic(said.id, said.secret))
		if !ok || again != said {
			t.Errorf("%q: %+v written again is %+v", header, said, again)
		}
	})
}
