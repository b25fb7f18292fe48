package bundle

import (
	"errors"
	"strings"
	"testing"

	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

func TestOlderRevisionsAreRefused(t *testing.T) {
	t.Parallel()
	doc := document(policy.Provider{Algorithms: secrets, SigningKeyRef: &policy.SigningKeyRef{Name: "k"}})
	own, other := []byte("the bundle's"), []byte("of another bundle")
	for sentence, test := range map[string]struct {
		revision int64
		ackKey   []byte
		before   Facts
		least    int64
		says     string
	}{
		"the first":                               {revision: 1, ackKey: own},
		"the next":                                {revision: 9, ackKey: own, before: Facts{Revision: 8, AckKey: own}},
		"the same again":                          {revision: 8, ackKey: own, before: Facts{Revision: 8, AckKey: own}},
		"one less":                                {revision: 7, ackKey: own, before: Facts{Revision: 8, AckKey: own}, says: "keys.json has revision 7, and 8 is in force"},
		"one less of a bundle without an AckKey":  {revision: 7, before: Facts{Revision: 8, AckKey: own}, says: "and 8 is in force"},
		"one less while none ever had an AckKey":  {revision: 7, before: Facts{Revision: 8}, says: "and 8 is in force"},
		"a bundle that was made anew":             {revision: 1, ackKey: other, before: Facts{Revision: 8, AckKey: own}},
		"the one that the pod was admitted with":  {revision: 5, ackKey: own, least: 5},
		"one that is older than the pod":          {revision: 4, ackKey: own, least: 5, says: "keys.json has revision 4, and this pod was admitted with 5"},
		"a bundle made anew, older than the pod":  {revision: 4, ackKey: other, before: Facts{Revision: 8, AckKey: own}, least: 5, says: "admitted with 5"},
		"one between the pod's and that in force": {revision: 7, ackKey: own, before: Facts{Revision: 8, AckKey: own}, least: 5, says: "and 8 is in force"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			data, err := keyring.File{
				Revision: test.revision, AckKey: test.ackKey, SigningKeys: map[string]int64{"k": 1},
				Providers: map[string]keyring.FileProvider{"own": {Keys: []keyring.VerifyKey{{KID: "1-a", Alg: "HS256", K: []byte(secret)}}}},
			}.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			keys, err := File(data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Load(doc, keys, Options{InForce: test.before, MinRevision: test.least})
			if (err != nil) != (test.says != "") {
				t.Fatalf("%v, want %q", err, test.says)
			}
			if err != nil && (!errors.Is(err, ErrOlderRevision) || !strings.Contains(err.Error(), test.says) || got != nil) {
				t.Errorf("%v, want ErrOlderRevision that says %q", err, test.says)
			}
		})
	}
}

// Files have no revision: whoever edits them knows what they want.
func TestADirectoryIsNeverOlder(t *testing.T) {
	t.Parallel()
	doc := document(policy.Provider{Algorithms: secrets, SecretRef: &policy.SecretRef{Name: "s", Keys: []string{"current"}}})
	keys := Directory("keys", map[string][]byte{"s/current": []byte(secret)})
	first, err := Load(doc, keys, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(doc, keys, Options{InForce: first.Facts}); err != nil {
		t.Error(err)
	}
}
