package keys_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/keys"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// edit changes a SigningKey.
type edit func(*v1alpha1.SigningKey)

// key is a SigningKey in order, with one key that signs.
func key(edits ...edit) *v1alpha1.SigningKey {
	k := &v1alpha1.SigningKey{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "tokens"}}
	k.Status.ActiveKeyID = "1-a"
	k.Status.Keys = []v1alpha1.KeyStatus{live("1-a", keys.Active, 2, 2)}
	k.Status.Conditions = conditions("KeyActive", "Idle", "AsExpected")
	for _, edit := range edits {
		edit(k)
	}
	return k
}

func live(kid, phase string, ready, total int32) v1alpha1.KeyStatus {
	at := metav1.NewTime(noon)
	return v1alpha1.KeyStatus{
		KID: kid, Phase: phase, CreatedTime: &at, PublishedTime: &at, ActivatedTime: &at, RetiringTime: &at,
		Verifiers: &v1alpha1.VerifierStatus{Ready: ready, Total: total},
	}
}

func having(list ...v1alpha1.KeyStatus) edit {
	return func(k *v1alpha1.SigningKey) {
		k.Status.Keys, k.Status.ActiveKeyID = list, ""
		for _, one := range list {
			if one.Phase == keys.Active {
				k.Status.ActiveKeyID = one.KID
			}
		}
	}
}

func with(ready, rotating, degraded string) edit {
	return func(k *v1alpha1.SigningKey) { k.Status.Conditions = conditions(ready, rotating, degraded) }
}

func conditions(ready, rotating, degraded string) []metav1.Condition {
	truth := func(is bool) metav1.ConditionStatus {
		if is {
			return metav1.ConditionTrue
		}
		return metav1.ConditionFalse
	}
	return []metav1.Condition{
		{Type: "Ready", Status: truth(ready == "KeyActive"), Reason: ready, Message: ready + " it is"},
		{Type: "Rotating", Status: truth(rotating != "Idle"), Reason: rotating, Message: rotating + " it is"},
		{Type: "Degraded", Status: truth(degraded != "AsExpected"), Reason: degraded, Message: degraded + " it is"},
	}
}

func revoking(kids ...string) edit {
	return func(k *v1alpha1.SigningKey) { k.Status.RevokedKeyIDs = kids }
}

// sights are what is seen of a rotation at moments after it was asked for.
type moment struct {
	after time.Duration
	key   *v1alpha1.SigningKey
	want  keys.Stage
	why   string // contained in what is said
}

func TestARotationIsFollowed(t *testing.T) {
	t.Parallel()
	spreading := having(live("1-a", keys.Active, 2, 2), live("2-b", keys.Published, 1, 2))
	signing := having(live("1-a", keys.Retiring, 2, 2), live("2-b", keys.Active, 2, 2))
	done := having(live("2-b", keys.Active, 2, 2))
	for name, test := range map[string]struct {
		before  *v1alpha1.SigningKey
		moments []moment
	}{
		"from the request to the last acceptance": {
			before: key(),
			moments: []moment{
				{0, key(), keys.Asked, "not made a key yet"},
				{time.Second, key(spreading, with("KeyActive", "PrePublishing", "AsExpected")), keys.Spreading, "PrePublishing it is"},
				{2 * time.Second, key(signing, with("KeyActive", "WaitingForSigner", "AsExpected")), keys.Signing, "WaitingForSigner it is"},
				{3 * time.Second, key(done), keys.Done, ""},
			},
		},
		"one that is under way is joined": {
			before:  key(spreading),
			moments: []moment{{0, key(spreading), keys.Spreading, ""}, {time.Second, key(done), keys.Done, ""}},
		},
		"a first key has no old one": {
			before:  key(having(), with("NoActiveKey", "Idle", "AsExpected")),
			moments: []moment{{0, key(having(live("1-a", keys.Active, 0, 0))), keys.Done, ""}},
		},
		"other keys that retire do not matter": {
			before: key(having(live("0-z", keys.Retiring, 2, 2), live("1-a", keys.Active, 2, 2))),
			moments: []moment{
				{0, key(having(live("0-z", keys.Retiring, 2, 2), live("2-b", keys.Active, 2, 2))), keys.Done, ""},
			},
		},
		"lagging pods stall it, once they have done so for a while": {
			before: key(),
			moments: []moment{
				{time.Second, key(spreading, with("KeyActive", "WaitingForVerifiers", "VerifiersLagging")), keys.Spreading, "WaitingForVerifiers it is"},
				{10 * time.Second, key(spreading, with("KeyActive", "WaitingForVerifiers", "VerifiersLagging")), keys.Spreading, ""},
				{30 * time.Second, key(spreading, with("KeyActive", "WaitingForVerifiers", "VerifiersLagging")), keys.Stalled, "VerifiersLagging it is"},
			},
		},
		"a pod that came back in time stalls nothing": {
			before: key(),
			moments: []moment{
				{time.Second, key(spreading, with("KeyActive", "WaitingForVerifiers", "VerifiersLagging")), keys.Spreading, ""},
				{10 * time.Second, key(spreading), keys.Spreading, ""},
				{30 * time.Second, key(spreading, with("KeyActive", "WaitingForVerifiers", "VerifiersLagging")), keys.Spreading, ""},
			},
		},
		"what degrades the key for another reason does not stall it": {
			before: key(with("KeyActive", "Idle", "UnknownKeyToRevoke")),
			moments: []moment{
				{0, key(spreading, with("KeyActive", "PrePublishing", "UnknownKeyToRevoke")), keys.Spreading, ""},
				{time.Hour, key(spreading, with("KeyActive", "PrePublishing", "UnknownKeyToRevoke")), keys.Spreading, ""},
			},
		},
		"a signer that keeps the old key stalls it": {
			before: key(),
			moments: []moment{
				{0, key(signing), keys.Signing, ""},
				{time.Hour, key(signing, with("KeyActive", "WaitingForSigner", "RetiredKeyStillUsed")), keys.Signing, ""},
				{2 * time.Hour, key(signing, with("KeyActive", "WaitingForSigner", "RetiredKeyStillUsed")), keys.Stalled, "RetiredKeyStillUsed it is"},
			},
		},
		"too many keys stall it": {
			before: key(),
			moments: []moment{
				{0, key(with("KeyActive", "TooManyLiveKeys", "AsExpected")), keys.Asked, ""},
				{25 * time.Second, key(with("KeyActive", "TooManyLiveKeys", "AsExpected")), keys.Stalled, "TooManyLiveKeys it is"},
			},
		},
		"settings that are refused stall it": {
			before: key(with("UnsafeRotation", "Idle", "AsExpected")),
			moments: []moment{
				{0, key(with("UnsafeRotation", "Idle", "AsExpected")), keys.Asked, ""},
				{25 * time.Second, key(with("UnsafeRotation", "Idle", "AsExpected")), keys.Stalled, "UnsafeRotation it is"},
			},
		},
		"a controller that is down stalls it": {
			before:  key(),
			moments: []moment{{29 * time.Second, key(), keys.Asked, ""}, {30 * time.Second, key(), keys.Stalled, "does it run?"}},
		},
		"a new key that is revoked ends it": {
			before: key(),
			moments: []moment{
				{0, key(spreading), keys.Spreading, ""},
				{time.Second, key(having(live("1-a", keys.Active, 2, 2)), revoking("2-b")), keys.Stalled, "2-b was revoked"},
			},
		},
		"a new key that is gone ends it": {
			before:  key(),
			moments: []moment{{0, key(spreading), keys.Spreading, ""}, {time.Second, key(), keys.Stalled, "gone before it signed"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rotation := keys.Follow(test.before, noon)
			for i, m := range test.moments {
				got := rotation.See(m.key, noon.Add(m.after))
				if got.Stage != m.want || !strings.Contains(got.Why, m.why) {
					t.Fatalf("moment %d: got %s because %q, want %s because %q", i, got.Stage, got.Why, m.want, m.why)
				}
			}
		})
	}
}

// Nothing is said twice.
func TestNewsAreNews(t *testing.T) {
	t.Parallel()
	rotation := keys.Follow(key(), noon)
	spreading := key(having(live("1-a", keys.Active, 2, 2), live("2-b", keys.Published, 2, 2)), with("KeyActive", "WaitingForVerifiers", "AsExpected"))
	spreading.Status.Keys[1].AcknowledgedTime = new(metav1.NewTime(noon))
	signing := key(having(live("1-a", keys.Retiring, 2, 2), live("2-b", keys.Active, 2, 2)))
	signing.Status.Keys[0].RemovalTime = new(metav1.NewTime(noon.Add(time.Hour)))
	var said []string
	for _, k := range []*v1alpha1.SigningKey{key(), spreading, spreading, signing, signing, key(having(live("2-b", keys.Active, 2, 2)))} {
		for _, line := range rotation.See(k, noon).News {
			said = append(said, line.Text)
		}
	}
	want := []string{
		"key 2-b is made and on its way to the verifiers",
		"key 2-b is published: accepted, and not used before all have it",
		"key 2-b is acknowledged by 2 of 2 verifiers",
		"WaitingForVerifiers it is",
		"key 2-b signs from now on",
		"key 1-a signs no more and stays accepted until its last tokens have died",
		"key 1-a is removed at 2026-11-22T13:00:00Z at the earliest",
		"key 1-a is no longer accepted",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("(-want +said):\n%s", diff)
	}
}

func TestWhatMayRotate(t *testing.T) {
	t.Parallel()
	suspended := func(k *v1alpha1.SigningKey) { k.Spec.Rotation.Suspend = true }
	imported := func(k *v1alpha1.SigningKey) {
		k.Spec.Source = v1alpha1.KeySource{Type: v1alpha1.SourceSecretRef, SecretRef: &v1alpha1.ImportRef{Name: "laravel", Key: "JWT_SECRET"}}
	}
	for name, test := range map[string]struct {
		key  *v1alpha1.SigningKey
		want string
	}{
		"one in order":                        {key(), ""},
		"not one that is suspended":           {key(suspended), "suspend"},
		"one that is suspended and under way": {key(suspended, having(live("2-b", keys.Published, 0, 0))), ""},
		"not one that is imported":            {key(imported), "JWT_SECRET of Secret laravel"},
		"not one that is being deleted":       {key(func(k *v1alpha1.SigningKey) { k.DeletionTimestamp = new(metav1.NewTime(noon)) }), "deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := keys.MayRotate(test.key)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestARevocationIsFollowed(t *testing.T) {
	t.Parallel()
	revoked := func(acknowledged time.Duration) edit {
		return func(k *v1alpha1.SigningKey) {
			k.Status.RevokedKeyIDs = []string{"1-a"}
			k.Status.LastRevocation = &v1alpha1.RevocationStatus{KID: "1-a", RevokedTime: new(metav1.NewTime(noon))}
			if acknowledged > 0 {
				k.Status.LastRevocation.AcknowledgedTime = new(metav1.NewTime(noon.Add(acknowledged)))
			}
		}
	}
	for name, test := range map[string]moment{
		"it is asked for":               {0, key(), keys.Asked, "not carried it out"},
		"the controller is down":        {time.Minute, key(), keys.Stalled, "still accepted"},
		"pods have not acknowledged it": {time.Second, key(revoked(0), with("KeyActive", "WaitingForVerifiers", "AsExpected")), keys.Spreading, "WaitingForVerifiers it is"},
		"pods may still accept it":      {time.Second, key(revoked(0), with("KeyActive", "Idle", "VerifiersLagging")), keys.Spreading, "VerifiersLagging it is"},
		"every pod refuses it":          {time.Second, key(revoked(3 * time.Second)), keys.Done, ""},
		"it was revoked before another": {time.Second, key(revoking("1-a", "0-z")), keys.Done, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := keys.FollowRevocation("1-a", noon).See(test.key, noon.Add(test.after))
			if got.Stage != test.want || !strings.Contains(got.Why, test.why) {
				t.Errorf("got %s because %q, want %s because %q", got.Stage, got.Why, test.want, test.why)
			}
		})
	}
	if took := keys.Took(key(revoked(3 * time.Second)).Status.LastRevocation); took != 3*time.Second {
		t.Errorf("it took %s", took)
	}
}

// What a page and a list show, at a width that a person has.
func TestPagesFit(t *testing.T) {
	t.Parallel()
	k := key(having(live("1-a", keys.Retiring, 2, 2), live("2-b", keys.Active, 1, 40)))
	for i := range 10 {
		k.Status.Keys[1].Verifiers.Lagging = append(k.Status.Keys[1].Verifiers.Lagging, "chat-7d4b9c-"+string(rune('a'+i)))
	}
	view := keys.Of(k, []keys.Signer{{Name: "front", KeyID: "2-b", Ready: 1, Replicas: 2}})
	for _, columns := range []int{60, 80, 200} {
		for _, table := range append(keys.Page(view, noon), keys.Table([]keys.View{view}, true, noon)) {
			for line := range strings.Lines(table.Render(output.Terminal{Columns: columns})) {
				if len(strings.TrimSpace(line)) > columns {
					t.Errorf("at %d columns: %s", columns, line)
				}
			}
		}
	}
	page := ""
	for _, table := range keys.Page(view, noon) {
		page += table.Render(output.Terminal{})
	}
	for _, want := range []string{"and 29 more", "front", "1/2", "Ready", "2-b   Active"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}
