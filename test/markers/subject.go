package markers

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gatepost.dev/gatepost/policy/bounds"
)

// Subject is a kind of spec and what compiles it.
type Subject[S any] struct {
	// Specs are good ones that have every field between them; bounds are broken in the
	// first.
	Specs []S
	// Copy makes a deep copy.
	Copy func(*S) *S
	// Compile returns a spec with its defaults, or an error of type bounds.Errors.
	Compile func(S) (S, error)
	// Folders are those of the packages with the types, that of the spec first.
	Folders []string
}

// KeepsEveryBound breaks each bound of the markers and sees that Compile names the
// field. It returns how many were broken.
func (s Subject[S]) KeepsEveryBound(t *testing.T) int {
	t.Helper()
	broken := 0
	for _, p := range Places(t, s.Specs[0], s.Folders...) {
		for _, marker := range p.Markers {
			if marker == "validation:MinLength=1" && slices.Contains(p.Markers, "optional") {
				continue // in a file, an empty text is as good as an absent one
			}
			for _, edit := range Breaking(marker) {
				spec := s.Copy(&s.Specs[0])
				field := p.Path + edit.Below
				if !edit.Apply(p.Reach(reflect.ValueOf(spec).Elem())) {
					continue
				}
				broken++
				t.Run(field+" "+marker, func(t *testing.T) {
					_, err := s.Compile(*spec)
					var errs bounds.Errors
					errors.As(err, &errs)
					if !slices.ContainsFunc(errs, func(e bounds.FieldError) bool { return strings.HasPrefix(e.Field, field) }) {
						t.Errorf("Compile = %v, want an error of %s", err, field)
					}
				})
			}
		}
	}
	return broken
}

// FillsInEveryDefault takes each field with a default away and sees that Compile
// fills it in. It returns how many kinds of field were tried.
func (s Subject[S]) FillsInEveryDefault(t *testing.T) int {
	t.Helper()
	tried := map[string]bool{}
	for i := range s.Specs {
		for _, p := range Places(t, s.Specs[i], s.Folders...) {
			for _, marker := range p.Markers {
				if want, ok := strings.CutPrefix(marker, "default="); ok && s.fillsIn(t, &s.Specs[i], p, want) {
					tried[p.Name] = true
				}
			}
		}
	}
	for name, own := range Of(t, s.Folders[0]) {
		if slices.ContainsFunc(own, func(m string) bool { return strings.HasPrefix(m, "default=") }) && !tried[name] {
			t.Errorf("the default of %s was not tried: put the field into a full spec", name)
		}
	}
	return len(tried)
}

// fillsIn reports whether the default of a field could be tried: without it,
// another field may be wrong.
func (s Subject[S]) fillsIn(t *testing.T, full *S, p Place, want string) bool {
	t.Helper()
	spec := s.Copy(full)
	p.Reach(reflect.ValueOf(spec).Elem()).SetZero()
	out, err := s.Compile(*spec)
	if err != nil {
		return false
	}
	value := p.Reach(reflect.ValueOf(&out).Elem())
	if want == "{}" && !value.IsZero() {
		return true // what is in it has defaults of its own
	}
	if got := Show(value); got != strings.Trim(want, `"`) {
		t.Errorf("%s = %s by default, the schema says %s", p.Path, got, want)
	}
	return true
}
