package grant_test

import (
	"slices"
	"strings"
	"testing"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/test/markers"
)

// folders are those that the types of a Spec come from.
var folders = []string{".", "../policy"}

func subject(t *testing.T) markers.Subject[grant.Spec] {
	t.Helper()
	return markers.Subject[grant.Spec]{
		Specs: []grant.Spec{parse(t, full), parse(t, plain)}, Copy: (*grant.Spec).DeepCopy, Folders: folders,
		Compile: func(s grant.Spec) (grant.Spec, error) {
			compiled, err := grant.Compile(s)
			return compiled.Spec(), err
		},
	}
}

func TestCompileKeepsEveryBoundOfTheMarkers(t *testing.T) {
	if broken := subject(t).KeepsEveryBound(t); broken < 200 {
		t.Errorf("only %d bounds were broken: the markers are not read", broken)
	}
}

func TestCompileFillsInEveryDefaultOfTheMarkers(t *testing.T) {
	if tried := subject(t).FillsInEveryDefault(t); tried < 10 {
		t.Errorf("only %d defaults were tried: the markers are not read", tried)
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
