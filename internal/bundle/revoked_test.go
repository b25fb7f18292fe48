package bundle

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

func TestRevokedKeysAreNotLoaded(t *testing.T) {
	t.Parallel()
	doc := document(policy.Provider{Algorithms: secrets, SigningKeyRef: &policy.SigningKeyRef{Name: "k"}})
	for sentence, test := range map[string]struct {
		file, before, want map[string][]string
		loaded             []string
	}{
		"nothing is revoked":                        {nil, nil, nil, []string{"1-a", "2-b"}},
		"keys.json names a key that it still holds": {map[string][]string{"k": {"1-a"}}, nil, map[string][]string{"k": {"1-a"}}, []string{"2-b"}},
		"keys.json brings back what was revoked":    {nil, map[string][]string{"k": {"1-a"}}, map[string][]string{"k": {"1-a"}}, []string{"2-b"}},
		"both know of one":                          {map[string][]string{"k": {"3-c"}}, map[string][]string{"k": {"0-z", "3-c"}}, map[string][]string{"k": {"0-z", "3-c"}}, []string{"1-a", "2-b"}},
		"another SigningKey has a key of that id":   {nil, map[string][]string{"other": {"1-a"}}, nil, []string{"1-a", "2-b"}},
		"everything is revoked":                     {map[string][]string{"k": {"2-b", "1-a"}}, nil, map[string][]string{"k": {"1-a", "2-b"}}, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			data, err := keyring.File{
				SigningKeys: map[string]int64{"k": 9}, Revoked: test.file,
				Providers: map[string]keyring.FileProvider{"own": {Keys: []keyring.VerifyKey{
					{KID: "1-a", Alg: "HS256", K: []byte(secret)}, {KID: "2-b", Alg: "HS256", K: []byte(secret + "2")},
				}}},
			}.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			keys, err := File(data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Load(doc, keys, Options{InForce: Facts{Revoked: test.before}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Revoked); diff != "" {
				t.Errorf("revoked (-want +got)\n%s", diff)
			}
			state := got.Verifier.State(noon)[0]
			if diff := cmp.Diff(test.loaded, state.KIDs); diff != "" {
				t.Errorf("what verifies (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(test.loaded, got.KIDs["k"]); diff != "" {
				t.Errorf("what is told (-want +got)\n%s", diff)
			}
			if warned := strings.Contains(strings.Join(got.Warnings, "\n"), "is left out: it was revoked"); warned != (len(test.loaded) < 2) {
				t.Errorf("warnings %q", got.Warnings)
			}
		})
	}
}

// A sidecar remembers no more than the controller does.
func TestRevocationsAreBounded(t *testing.T) {
	t.Parallel()
	f := Facts{Generations: map[string]int64{"k": 1}, Revoked: map[string][]string{"k": {"9-newest"}}}
	var before []string
	for i := range 2 * keyring.MaxRevoked {
		before = append(before, fmt.Sprint(i))
	}
	got := remember(f, map[string][]string{"k": before})["k"]
	if len(got) != keyring.MaxRevoked || !slices.Contains(got, "9-newest") {
		t.Errorf("%d are remembered, want %d with those of keys.json first: %v", len(got), keyring.MaxRevoked, got)
	}
	if !cmp.Equal(f.Revoked["k"], []string{"9-newest"}) {
		t.Error("what keys.json says was changed")
	}
}
