package keyring

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExportedSecret(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256())
	b.plan().after(24 * time.Hour).after(10 * time.Minute)
	b.spec.RotateNow = "again"
	b.after(time.Minute).want("Retiring Active Published")
	got, err := b.state.Export()
	if err != nil {
		t.Fatal(err)
	}
	show := map[string]string{
		"current": string(got.Current), "previous": string(got.Previous), "next": string(got.Next), "jwks": string(got.JWKS),
	}
	want := map[string]string{"current": "secret number 2", "previous": "secret number 1", "next": "secret number 3", "jwks": `{"keys":[]}`}
	if diff := cmp.Diff(want, show); diff != "" || got.CurrentKID != b.active() {
		t.Errorf("kid %s (-want +got):\n%s", got.CurrentKID, diff)
	}
}

func TestExportedSecretOfPublicKeys(t *testing.T) {
	t.Parallel()
	spec := hs256()
	spec.Algorithm = "ES256"
	b := newBench(t, spec)
	n := 0
	b.planner.NewKey = func() (Material, error) {
		n++
		return Material{Value: Octets(fmt.Sprintf("PEM %d", n)), Public: fmt.Appendf(nil, `{"kty":"EC","x":"%d","kid":"other"}`, n)}, nil
	}
	b.plan().after(24 * time.Hour).after(10 * time.Minute).want("Retiring Active")
	got, err := b.state.Export()
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Current) != "PEM 2" || len(got.Previous)+len(got.Next) > 0 {
		t.Errorf("only the private key that signs may leave: %q %q %q", []byte(got.Current), []byte(got.Previous), []byte(got.Next))
	}
	want := fmt.Sprintf(`{"keys":[{"alg":"ES256","kid":%q,"kty":"EC","use":"sig","x":"2"},{"alg":"ES256","kid":%q,"kty":"EC","use":"sig","x":"1"}]}`, b.state.Keys[1].KID, b.state.Keys[0].KID)
	if diff := cmp.Diff(want, string(got.JWKS)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, k := range b.state.VerifyKeys() {
		if len(k.K) > 0 || len(k.JWK) == 0 {
			t.Errorf("a verifier gets a private key: %v", k)
		}
	}
}

func TestASwitchIsNoNewsToVerifiers(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256())
	b.plan().after(24 * time.Hour).want("Active Published")
	generation, keys := b.state.Generation, b.state.VerifyKeys()
	b.after(10 * time.Minute).want("Retiring Active")
	if b.state.Generation != generation+1 || b.state.Needed() != generation || !b.state.OnlySwitched(generation, keys) {
		t.Errorf("generation %d, needed %d, switched from %d: %t", b.state.Generation, b.state.Needed(), generation, b.state.OnlySwitched(generation, keys))
	}
	forged := slices.Clone(keys)
	forged[0].K = []byte("another secret under the same id")
	revoked := b.state.clone()
	revoked.Revoked = append(revoked.Revoked, Revocation{KID: "gone", Generation: revoked.Generation})
	for sentence, news := range map[string]bool{
		"a generation before that":   b.state.OnlySwitched(generation-1, keys),
		"the generation of now":      b.state.OnlySwitched(generation+1, keys),
		"keys of which one is wrong": b.state.OnlySwitched(generation, forged),
		"fewer keys":                 b.state.OnlySwitched(generation, keys[:1]),
		"more keys":                  b.state.OnlySwitched(generation, append(slices.Clone(keys), VerifyKey{KID: "more"})),
		"a revocation":               revoked.OnlySwitched(generation, keys),
	} {
		if news {
			t.Errorf("%s counts as a mere switch", sentence)
		}
	}
}
