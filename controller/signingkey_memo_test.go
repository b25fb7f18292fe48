package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/internal/keyring"
)

func TestSinceWhenIssuersAreKnownToSignWithTheirKeys(t *testing.T) {
	t.Parallel()
	memo := &keyMemo{}
	for _, step := range []struct {
		sentence string
		after    time.Duration
		kids     map[string]string
		since    map[string]time.Duration // of those that proved a key
	}{
		{"a process that has just begun knows nothing of earlier", 0, map[string]string{"a": "1"}, map[string]time.Duration{"a": 0}},
		{"the same key counts from its first proof", time.Hour, map[string]string{"a": "1", "b": ""}, map[string]time.Duration{"a": 0}},
		{"who proves nothing begins with the first proof", 2 * time.Hour, map[string]string{"a": "1", "b": "1"}, map[string]time.Duration{"a": 0, "b": 2 * time.Hour}},
		{"another key counts from its own first proof", 3 * time.Hour, map[string]string{"a": "2", "b": "1"}, map[string]time.Duration{"a": 3 * time.Hour, "b": 2 * time.Hour}},
		{"who is gone is forgotten", 4 * time.Hour, map[string]string{"b": "1"}, map[string]time.Duration{"b": 2 * time.Hour}},
		{"and begins anew", 5 * time.Hour, map[string]string{"a": "2", "b": "1"}, map[string]time.Duration{"a": 5 * time.Hour, "b": 2 * time.Hour}},
	} {
		var signers []keyring.Signer
		for name, kid := range step.kids {
			signers = append(signers, keyring.Signer{Name: name, KID: kid})
		}
		memo.heardOf(signers, noon.Add(step.after))
		since := map[string]time.Duration{}
		for _, s := range signers {
			if !s.Since.IsZero() {
				since[s.Name] = s.Since.Sub(noon)
			}
		}
		if diff := cmp.Diff(step.since, since); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", step.sentence, diff)
		}
	}
}
