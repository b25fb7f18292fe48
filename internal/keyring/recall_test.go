package keyring

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRecallingWhatOthersRemember(t *testing.T) {
	t.Parallel()
	key := func(kid string) VerifyKey { return VerifyKey{KID: kid, Alg: "HS256", K: Octets("secret of " + kid)} }
	for name, test := range map[string]struct {
		witnesses []Witness
		want      Memory
	}{
		"nobody remembers anything": {nil, Memory{}},
		"who has the highest generation says what is live, whoever has the keys": {
			[]Witness{
				{Generation: 4, Live: []string{"b", "c"}, ActiveKID: "c"},
				{Generation: 3, Live: []string{"a", "b"}, Keys: []VerifyKey{key("a"), key("b")}},
			},
			Memory{Generation: 4, ActiveKID: "c", Live: []string{"b", "c"}, Bundled: []VerifyKey{key("b")}},
		},
		"two of the same generation are believed together": {
			[]Witness{{Generation: 4, Live: []string{"a"}}, {Generation: 4, Live: []string{"b"}, Keys: []VerifyKey{key("b")}}},
			Memory{Generation: 4, Live: []string{"a", "b"}, Bundled: []VerifyKey{key("b")}},
		},
		"a sidecar that is ahead of a restored cluster is believed more than the cluster": {
			[]Witness{
				{Generation: 4, Live: []string{"a"}, ActiveKID: "a", Keys: []VerifyKey{key("a")}},
				{Generation: 4, Live: []string{"b"}, Ahead: true},
			},
			Memory{Generation: 4, Live: []string{"b"}, Ahead: true},
		},
		"an active key that is live no more is none": {
			[]Witness{{Generation: 3, ActiveKID: "a", Live: []string{"a"}}, {Generation: 4, Live: []string{"b"}}},
			Memory{Generation: 4, Live: []string{"b"}},
		},
		"a revocation counts whoever tells of it, once": {
			[]Witness{{Generation: 4, Revoked: []string{"x"}}, {Revoked: []string{"y", "x"}}},
			Memory{Generation: 4, Revoked: []string{"x", "y"}},
		},
		"what only sidecars call revoked is told apart": {
			[]Witness{{Claimed: []string{"z", "x"}}, {Generation: 4, Revoked: []string{"x"}}, {Claimed: []string{"z"}}},
			Memory{Generation: 4, Revoked: []string{"x"}, Claimed: []string{"z"}},
		},
		"an id that no key of ours can have is not": {
			[]Witness{{Claimed: []string{strings.Repeat("x", 300), "", "a b", "\x00", "X", strings.Repeat("x", 65), strings.Repeat("x", 64)}}},
			Memory{Claimed: []string{strings.Repeat("x", 64)}},
		},
		"a number that only a liar can name is not believed": {
			[]Witness{{Generation: 4, Live: []string{"a"}}, {Generation: maxClaim + 1, Live: []string{"z"}}},
			Memory{Generation: 4, Live: []string{"a"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, Recall(test.witnesses...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatASidecarProves(t *testing.T) {
	t.Parallel()
	s := State{
		Generation: 7,
		Keys:       []Key{{KID: "old", Generation: 2}, {KID: "new", Generation: 6}},
		Revoked:    []Revocation{{KID: "before", Generation: 0}, {KID: "bad", Generation: 5}},
	}
	for name, test := range map[string]struct {
		generation int64
		kids       []string
		want       int64
	}{
		"everything":                              {7, []string{"old", "new"}, 7},
		"an earlier generation":                   {4, []string{"old"}, 4},
		"no key that it lacks":                    {7, []string{"old"}, 5},
		"not even the oldest":                     {7, []string{"new"}, 1},
		"no revocation of a key that it has":      {7, []string{"old", "new", "bad"}, 4},
		"a revocation whose time nobody recorded": {7, []string{"old", "new", "before"}, 7},
		"nothing without ids":                     {7, nil, 1},
	} {
		if got := s.Acknowledged(test.generation, test.kids); got != test.want {
			t.Errorf("%s: want %d, got %d", name, test.want, got)
		}
	}
	for name, test := range map[string]struct {
		generation int64
		kids       []string
		want       bool
	}{
		"the same is not behind":                  {7, []string{"new", "old"}, false},
		"an earlier generation is not":            {6, []string{"old"}, false},
		"a later one is":                          {8, []string{"new", "old"}, true},
		"the same generation with another key is": {7, []string{"new", "other"}, true},
		"the same generation with fewer keys is":  {7, []string{"new"}, true},
	} {
		if got := s.Behind(test.generation, test.kids); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestNewSetsBeginAboveTheFloor(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256())
	b.obs.Floor, b.obs.Verifiers = 50, []Verifier{{Name: "of the earlier object", Acked: 50}}
	b.spec.WaitForVerifiers = true
	b.plan().after(time.Hour).want("Published").wantLagging("of the earlier object")
	if b.state.Generation <= 51 {
		t.Errorf("generation %d leaves no room for a switch that no bundle names", b.state.Generation)
	}
	b.obs.Floor, b.obs.Verifiers[0].Acked = 160, 160
	b.plan().want("Published").after(time.Hour).wantLagging("of the earlier object")
	if b.state.Generation != 161 || b.state.Keys[0].Generation != 161 {
		t.Errorf("generation %d, of the key %d", b.state.Generation, b.state.Keys[0].Generation)
	}
	b.obs.Floor = maxClaim + 1
	if b.plan(); b.last.Changed {
		t.Error("a liar moved the generation")
	}
	b.obs.Memory = Memory{Generation: maxClaim + 1, Live: []string{"z"}}
	if b.plan(); b.last.Changed {
		t.Error("a liar had the set rebuilt")
	}
}

func TestAKeyThatWaitsByTheClockWaitsAnewAboveTheFloor(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256())
	b.obs.Verifiers = []Verifier{{Name: "chat-0"}}
	b.plan().after(9 * time.Minute)
	b.obs.Floor = 60
	b.plan().after(10*time.Minute - time.Second).want("Published").after(time.Second).want("Active")
}

func TestEditedStatesAreRebuilt(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256())
	b.plan().after(24 * time.Hour).after(10 * time.Minute).want("Retiring Active")
	whole := b.state
	memory := Recall(Witness{
		Generation: whole.Generation, ActiveKID: b.active(), Keys: whole.VerifyKeys(),
		Live: []string{whole.Keys[0].KID, whole.Keys[1].KID},
	})
	for name, edit := range map[string]func(*State){
		"a key taken out":       func(s *State) { s.Keys = s.Keys[1:] },
		"the phases exchanged":  func(s *State) { s.Keys[0].Phase, s.Keys[1].Phase = Active, Retiring },
		"a secret of one's own": func(s *State) { s.Keys[1].Value = Octets("mine") },
		"a stamp of long ago":   func(s *State) { s.Keys[0].Retiring = day },
		"a number beyond all":   func(s *State) { s.Generation += 1000 },
		"a key that nobody knows": func(s *State) {
			s.Keys = append(s.Keys, Key{KID: "mine", Phase: Published, Material: Material{Value: Octets("mine")}})
		},
	} {
		s := whole.clone()
		edit(s)
		s.Edited = true
		res, err := b.planner.Plan(b.spec, s, Observations{Distributed: Everywhere, Memory: memory}, b.now)
		if err != nil {
			t.Fatal(err)
		}
		kids := []string{}
		for _, k := range res.State.Keys {
			kids = append(kids, k.KID)
		}
		slices.Sort(kids)
		if diff := cmp.Diff(memory.Live, kids); diff != "" && name != "a secret of one's own" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if slices.ContainsFunc(res.State.Keys, func(k Key) bool { return string(k.Value) == "mine" }) || res.State.Edited || res.State.Incident != Regressed {
			t.Errorf("%s: %+v", name, res.State)
		}
	}
	nowhere := whole.clone()
	nowhere.Edited = true
	unheld := memory
	unheld.Bundled = nil
	if res, err := b.planner.Plan(b.spec, nowhere, Observations{Distributed: Everywhere, Memory: unheld}, b.now); err != nil || len(res.State.Keys) != 1 || res.State.live(b.active()) {
		t.Errorf("secrets of an edited state that no bundle holds are believed: %v, %v", res.State, err)
	}
	alone := whole.clone()
	alone.Edited = true
	if res, err := b.planner.Plan(b.spec, alone, Observations{}, b.now); err != nil || !res.Changed || res.State.Edited || len(res.State.Keys) != 2 {
		t.Errorf("where nobody remembers better, an edited state is taken as it is: %v", err)
	}
}

func TestTheSealTellsAnEdit(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256()).plan()
	data, err := b.state.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := ParseState(data); err != nil || s.Edited {
		t.Errorf("what was written is said to be edited (%v)", err)
	}
	edited := []byte(string(data[:len(data)-2]) + `A"}`)
	if s, err := ParseState(edited); err == nil && !s.Edited {
		t.Error("another seal fits")
	}
	s := b.state.clone()
	s.Keys[0].Phase = Retiring
	other, err := s.Marshal()
	if err != nil || string(other[len(other)-20:]) == string(data[len(data)-20:]) {
		t.Errorf("another state has the same seal (%v)", err)
	}
}

func TestRevocationsUnderPressure(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256())
	b.spec.Imported, b.obs.Import.Current = true, Octets("bad")
	b.plan()
	bad := b.active()
	b.spec.RevokeKey = bad
	b.plan().wantFinding(SecretRevoked)
	b.spec.RevokeKey = ""
	for i := range MaxRevoked + 44 {
		b.obs.Memory.Revoked = append(b.obs.Memory.Revoked, fmt.Sprintf("%d-elsewhere", i))
	}
	b.plan().wantFinding(SecretRevoked)
	if len(b.state.Revoked) != MaxRevoked || !b.state.revoked(bad) || !b.state.revoked("0-elsewhere") {
		t.Errorf("%d revocations", len(b.state.Revoked))
	}
	for i := range 3 {
		b.obs.Import.Current = Octets(fmt.Sprintf("worse %d", i))
		b.spec.RevokeKey = ""
		b.plan().want("Active")
		b.spec.RevokeKey = b.active()
		b.plan().want("").wantFinding(SecretRevoked)
	}
	if b.state.revoked("0-elsewhere") || !b.state.revoked(bad) || !b.state.revoked(b.spec.RevokeKey) {
		t.Error("the oldest generated key is forgotten first, an imported value last")
	}
	for i := range b.state.Revoked {
		b.state.Revoked[i].Imported = Octets(fmt.Sprint("other ", i))
	}
	b.obs.Import.Current, b.state.Revoked[0].Imported = Octets("bad"), (&run{state: b.state}).mark(Octets("bad"))
	b.obs.Import.Next = Octets("next")
	b.spec.RevokeKey = ""
	b.plan().want("Published")
	b.spec.RevokeKey = b.state.Keys[0].KID
	if b.plan().want(""); !b.state.revoked(bad) {
		t.Error("the value that is in the Secret now was forgotten")
	}
}

// A sidecar that lies may name what it likes: it takes up a part of the room, and
// no revocation of ours goes for it.
func TestClaimsOfSidecarsPushOutNoRevocation(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256()).plan()
	b.obs.Memory.Revoked = []string{"0-real"}
	claim := func(name string) {
		for i := range 2 * MaxRevoked {
			b.obs.Memory.Claimed = append(b.obs.Memory.Claimed, fmt.Sprintf("%d-%s", i, name))
		}
		b.plan()
	}
	claim("lie")
	if len(b.state.Revoked) != 1+maxClaimed || len(b.state.Keys) != 1 {
		t.Fatalf("%d revocations, %d keys", len(b.state.Revoked), len(b.state.Keys))
	}
	generation := b.state.Generation
	if claim("another"); b.state.Generation != generation {
		t.Error("claims that find no room change the set")
	}
	for i := range MaxRevoked - 1 {
		b.spec.RevokeKey = b.active()
		b.after(time.Minute).after(time.Hour)
		if !b.state.revoked("0-real") || !b.state.revoked(b.spec.RevokeKey) || len(b.state.Revoked) > MaxRevoked {
			t.Fatalf("after %d revocations a real one is gone", i)
		}
	}
	if slices.ContainsFunc(b.state.Revoked, func(v Revocation) bool { return v.Claimed }) {
		t.Error("a claim is remembered where a revocation could be")
	}
	if claim("last"); len(b.state.Revoked) != MaxRevoked || !b.state.revoked("0-real") {
		t.Error("a claim found room where there is none")
	}
}

func TestAKeyThatOnlyABundleHasIsNotAdoptedWhenASidecarCallsItRevoked(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256()).plan()
	key := VerifyKey{KID: "9-bundled", Alg: "HS256", K: Octets("secret of a bundle")}
	for i := range MaxRevoked {
		b.state.Revoked = append(b.state.Revoked, Revocation{KID: fmt.Sprint(i)})
	}
	b.obs.Memory = Recall(Witness{Generation: 9, Live: []string{key.KID}, Keys: []VerifyKey{key}}, Witness{Claimed: []string{key.KID}})
	if b.plan(); b.state.live(key.KID) || !b.state.revoked(key.KID) {
		t.Error("it is live")
	}
}

func TestALiveKeyIsRevokedHoweverManyAreRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256()).plan()
	kid := b.active()
	for i := range MaxRevoked {
		b.state.Revoked = append(b.state.Revoked, Revocation{KID: fmt.Sprint(i)})
	}
	b.obs.Memory = Memory{Revoked: []string{kid}}
	if b.plan(); b.state.live(kid) || !b.state.revoked(kid) {
		t.Error("it is live")
	}
	kid = b.after(time.Hour).active()
	b.obs.Memory = Memory{Claimed: []string{kid}}
	if b.plan(); b.state.live(kid) || !b.state.revoked(kid) {
		t.Error("it is live though a sidecar calls it revoked")
	}
}

func TestARevocationKnowsItsGeneration(t *testing.T) {
	t.Parallel()
	b := newBench(t, hs256())
	b.plan().after(24 * time.Hour).want("Active Published")
	b.spec.RevokeKey = b.active()
	generation := b.state.Generation
	b.plan()
	if got := b.state.Revoked[0].Generation; got != generation+1 || got > b.state.Generation {
		t.Errorf("revoked in generation %d, after %d", got, generation)
	}
	back := b.state.clone()
	back.Keys = append(back.Keys, Key{KID: b.spec.RevokeKey, Phase: Retiring, Material: Material{Value: Octets("x")}})
	b.state = back
	if b.after(time.Minute); b.state.live(b.spec.RevokeKey) || b.state.Revoked[0].Generation != b.state.Generation {
		t.Error("a revoked key that came back goes again, in a generation of its own")
	}
}
