package v1alpha1_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// admission is one object and what an API server says about it.
type admission struct {
	yaml string
	// before is the object that yaml replaces; empty: it is created.
	before string
	// refused is a part of the message; empty: it is accepted.
	refused string
}

func runAdmissions(t *testing.T, plural, kind string, cases map[string]admission) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		test := cases[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := readCRD(t, plural)
			var old map[string]any
			if test.before != "" {
				old = object(t, kind, test.before)
				if errs := c.admit(t.Context(), old, nil); len(errs) > 0 {
					t.Fatalf("the object before is itself refused: %q", errs)
				}
			}
			errs := c.admit(t.Context(), object(t, kind, test.yaml), old)
			switch {
			case test.refused == "" && len(errs) > 0:
				t.Errorf("refused: %s", strings.Join(errs, "\n"))
			case test.refused != "" && !slices.ContainsFunc(errs, func(err string) bool { return strings.Contains(err, test.refused) }):
				t.Errorf("want a refusal that says\n %s\ngot %q", test.refused, errs)
			}
		})
	}
}

// object is a resource of the kind; text is its spec, or begins with "name: N"
// on a line of its own.
func object(t *testing.T, kind, text string) map[string]any {
	t.Helper()
	name := "example"
	if first, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(first, "name: ") {
		name, text = strings.TrimPrefix(first, "name: "), rest
	}
	spec := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &spec); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return map[string]any{
		"apiVersion": "gatepost.dev/v1alpha1",
		"kind":       kind,
		"metadata":   map[string]any{"name": name, "namespace": "default"},
		"spec":       integers(spec),
	}
}

// integers turns the float64 that YAML yields for whole numbers into int64, as
// an API server's decoder does.
func integers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = integers(v[key])
		}
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return value
}
