package cookie

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What readers take differently is never one value.
func TestValuesOfACookie(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		line string
		want []string
		left []string
	}{
		"the cookie alone":          {"s=a", []string{"a"}, nil},
		"among others":              {"a=b; s=a; c=d", []string{"a"}, []string{"a=b; c=d"}},
		"another, longer name":      {"xs=a; s2=b", nil, []string{"xs=a; s2=b"}},
		"twice":                     {"s=a; s=b", []string{"a", "b"}, nil},
		"a blank behind the name":   {"s =a", []string{"a", ""}, nil},
		"quotes around the name":    {"\"s\"=a", []string{"a", ""}, nil},
		"inside of another's value": {"a=b,s=c", []string{"c", ""}, nil},
		"nothing":                   {"", nil, []string{""}},
	} {
		if diff := cmp.Diff(c.want, Values([]string{c.line}, "s")); diff != "" {
			t.Errorf("%s: values (-want +got):\n%s", sentence, diff)
		}
		if diff := cmp.Diff(c.left, Without([]string{c.line}, "s")); diff != "" {
			t.Errorf("%s: left (-want +got):\n%s", sentence, diff)
		}
	}
}
