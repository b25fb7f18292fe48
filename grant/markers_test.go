package grant_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/test/markers"
)

// The folders that the types of a Spec come from.
var folders = []string{".", "../policy"}

func TestCompileKeepsEveryBoundOfTheMarkers(t *testing.T) {
	spec := parse(t, full)
	broken := 0
	for _, p := range markers.Places(t, spec, folders...) {
		for _, marker := range p.Markers {
			if marker == "validation:MinLength=1" && slices.Contains(p.Markers, "optional") {
				continue // in a file, an empty text is as good as an absent one
			}
			for _, edit := range markers.Breaking(marker) {
				s := *spec.DeepCopy()
				field := p.Path + edit.Below
				if !edit.Apply(p.Reach(reflect.ValueOf(&s).Elem())) {
					continue
				}
				broken++
				t.Run(field+" "+marker, func(t *testing.T) {
					_, err := grant.Compile(s)
					var errs policy.Errors
					errors.As(err, &errs)
					if !slices.ContainsFunc(errs, func(e policy.FieldError) bool { return strings.HasPrefix(e.Field, field) }) {
						t.Errorf("Compile = %v, want an error of %s", err, field)
					}
				})
			}
		}
	}
	if broken < 200 {
		t.Errorf("only %d bounds were broken: the markers are not read", broken)
	}
}

func TestCompileFillsInEveryDefaultOfTheMarkers(t *testing.T) {
	tested := map[string]bool{}
	for _, spec := range []grant.Spec{parse(t, full), parse(t, plain)} {
		for _, p := range markers.Places(t, spec, folders...) {
			for _, marker := range p.Markers {
				want, ok := strings.CutPrefix(marker, "default=")
				if !ok {
					continue
				}
				s := *spec.DeepCopy()
				p.Reach(reflect.ValueOf(&s).Elem()).SetZero()
				compiled, err := grant.Compile(s)
				if err != nil {
					continue // A default that makes another field wrong; the field is there elsewhere.
				}
				tested[p.Name] = true
				out := compiled.Spec()
				got := p.Reach(reflect.ValueOf(&out).Elem())
				if want == "{}" && !got.IsZero() {
					continue // what is in it has defaults of its own
				}
				if got := markers.Show(got); got != strings.Trim(want, `"`) {
					t.Errorf("%s = %s by default, the schema says %s", p.Path, got, want)
				}
			}
		}
	}
	for name, own := range markers.Of(t, ".") {
		if slices.ContainsFunc(own, func(m string) bool { return strings.HasPrefix(m, "default=") }) && !tested[name] {
			t.Errorf("the default of %s was not tried: put the field into a full spec", name)
		}
	}
}

// The full spec is full: each field of the package's types is in it.
func TestTheFullSpecHasEveryField(t *testing.T) {
	var there []string
	for _, p := range markers.Places(t, parse(t, full), folders...) {
		there = append(there, p.Name)
	}
	for name := range markers.Of(t, ".") {
		if strings.Count(name, ".") == 2 && !slices.Contains(there, name) && isWire(name) {
			t.Errorf("the full spec lacks %s", name)
		}
	}
}

// isWire reports the fields of types that people write.
func isWire(name string) bool {
	for _, typ := range []string{"Principal", "Client", "Request", "Earlier", "Ticket", "Refusal", "Endpoints", "Plan", "asker"} {
		if strings.HasPrefix(name, "grant."+typ+".") {
			return false
		}
	}
	return true
}
