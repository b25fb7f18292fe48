package bundle

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/token"
)

var stateKey = token.Secret("a key for acknowledgements")

func exampleState() State {
	return State{
		PodUID: "uid-1", Revision: 7, Generations: map[string]int64{"k": 9}, LastAccepted: map[string]time.Time{"9-a": noon},
		KIDs: map[string][]string{"k": {"8-b", "9-a"}}, Revoked: map[string][]string{"k": {"7-c"}},
		Signs: map[string]string{"k": "9-a"},
	}
}

// signed is the state as it goes over the wire.
func signed(t *testing.T, s State, nonce string) []byte {
	t.Helper()
	if err := s.Sign(stateKey, nonce); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestStateComesBackAsItWasSigned(t *testing.T) {
	t.Parallel()
	for sentence, s := range map[string]State{
		"everything set": exampleState(),
		"nothing set":    {},
		"empty, not nil": {Generations: map[string]int64{}, LastAccepted: map[string]time.Time{}, KIDs: map[string][]string{}, Revoked: map[string][]string{}},
		"a sidecar that knows no key ids and no revocations": {PodUID: "uid-1", Revision: 7, Generations: map[string]int64{"k": 9}},
	} {
		got, err := ParseState(signed(t, s, "n1"))
		if err != nil {
			t.Errorf("%s: %v", sentence, err)
			continue
		}
		if !got.Verify(stateKey, "n1") || got.Verify(stateKey, "n2") || got.Verify(token.Secret("another"), "n1") || got.Verify(nil, "n1") {
			t.Errorf("%s: the signature is not that of this key and nonce", sentence)
		}
	}
}

// Whoever shares the pod's address may change what a sidecar says, but not sign it.
func TestWhatIsChangedIsNotVerified(t *testing.T) {
	t.Parallel()
	for sentence, change := range map[string]func(s *State){
		"another pod":            func(s *State) { s.PodUID = "uid-2" },
		"a later revision":       func(s *State) { s.Revision++ },
		"a later generation":     func(s *State) { s.Generations["k"]++ },
		"a key that it has not":  func(s *State) { s.KIDs["k"] = append(s.KIDs["k"], "10-d") },
		"a key of another name":  func(s *State) { s.KIDs = map[string][]string{"l": s.KIDs["k"]} },
		"no key ids":             func(s *State) { s.KIDs = nil },
		"a revocation less":      func(s *State) { s.Revoked = nil },
		"a revocation more":      func(s *State) { s.Revoked["k"] = append(s.Revoked["k"], "9-a") },
		"a key that is not used": func(s *State) { delete(s.LastAccepted, "9-a") },
		"a later use":            func(s *State) { s.LastAccepted["9-a"] = noon.Add(time.Minute) },
		"another key signs":      func(s *State) { s.Signs["k"] = "8-b" },
		"nobody signs":           func(s *State) { s.Signs = nil },
		"no signature":           func(s *State) { s.MAC = "" },
		"another signature":      func(s *State) { s.MAC = strings.Repeat("A", len(s.MAC)) },
		"no base64url":           func(s *State) { s.MAC += "=" },
	} {
		got, err := ParseState(signed(t, exampleState(), "n1"))
		if err != nil {
			t.Fatal(err)
		}
		change(&got)
		if got.Verify(stateKey, "n1") {
			t.Errorf("%s: was verified", sentence)
		}
	}
}

// many is a state with n members of one kind.
func many(before, after string, n int, member string) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(member, i)
	}
	return "{" + before + strings.Join(members, ",") + after + "}"
}

func TestStatesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct{ data, says string }{
		"nothing":                              {"", "reading state"},
		"a list":                               {"[]", "reading state"},
		"two documents":                        {"{}{}", "reading state"},
		"a negative revision":                  {`{"revision":-1}`, "revision: -1 is negative"},
		"a negative generation":                {`{"generations":{"k":-1}}`, "generations.k: -1 is negative"},
		"a revision of text":                   {`{"revision":"7"}`, "reading state"},
		"no time":                              {`{"lastAccepted":{"k":"noon"}}`, "reading state"},
		"more SigningKeys than a bundle has":   {many(`"generations":{`, "}", maxSets+1, `"k%d":1`), "generations: 65 SigningKeys"},
		"more live keys than a set has":        {many(`"kids":{"k":[`, "]}", maxLiveKIDs+1, `"%d-a"`), "kids.k: 33 key ids"},
		"keys of more sets than a bundle has":  {many(`"kids":{`, "}", maxSets+1, `"k%d":[]`), "kids: 65 SigningKeys"},
		"more revocations than are remembered": {many(`"revoked":{"k":[`, "]}", 257, `"%d-a"`), "revoked.k: 257 key ids"},
		"more uses than there are keys":        {many(`"lastAccepted":{`, "}", 2049, `"%d-a":"2026-01-01T00:00:00Z"`), "lastAccepted: 2049 key ids"},
		"a key id that is too long":            {`{"revoked":{"k":["` + strings.Repeat("z", 65) + `"]}}`, "revoked.k: wants key ids"},
		"a key id of no letters":               {`{"revoked":{"k":[""]}}`, "revoked.k: wants key ids"},
		"a key id that we never give":          {`{"kids":{"k":["9-A"]}}`, "kids.k: wants key ids"},
		"signers of too many sets":             {many(`"signs":{`, "}", maxSets+1, `"k%d":"9-a"`), "signs: 65 SigningKeys"},
		"a signer's key id of capitals":        {`{"signs":{"k":"9-A"}}`, "signs.k: wants a key id"},
		"a great deal":                         {`{"podUID":"` + strings.Repeat("x", MaxStateBytes) + `"}`, "are more than 131072"},
	} {
		if got, err := ParseState([]byte(test.data)); err == nil || !strings.Contains(err.Error(), test.says) || !cmp.Equal(got, State{}) {
			t.Errorf("%s: %v, want an error that says %q", sentence, err, test.says)
		}
	}
}

// What is read is believed only when it is signed, and what is signed can be
// told again.
func FuzzParseState(f *testing.F) {
	example := exampleState()
	for _, s := range []State{example, {}, {KIDs: map[string][]string{"k": nil}}} {
		if err := s.Sign(stateKey, "n1"); err != nil {
			f.Fatal(err)
		}
		data, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"podUID":"a","podUID":"b","PODUID":"c","extra":1,"revision":1e0}`))
	f.Add([]byte("{\"podUID\":\"\xff\",\"kids\":null}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseState(data)
		if err != nil {
			return
		}
		if s.Verify(token.Secret("a key that nobody had"), "n1") {
			t.Fatal("a state that nobody signed was verified")
		}
		if err := s.Sign(stateKey, "n2"); err != nil {
			return // a time that JSON does not know
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		told, err := ParseState(again)
		if err != nil || !told.Verify(stateKey, "n2") {
			t.Errorf("what was signed is not verified (%v): %s", err, again)
		}
	})
}
