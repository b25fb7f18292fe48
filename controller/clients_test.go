package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// keyHash is the hash of key n.
func keyHash(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// apiKey is an APIKey that is so many minutes old.
func apiKey(name, clientID string, minutes int, keys ...int) v1alpha1.APIKey {
	object := v1alpha1.APIKey{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "agents", Name: name, UID: types.UID(name), Generation: 3, Labels: map[string]string{"team": "chat"},
			CreationTimestamp: metav1.NewTime(noon.Add(-time.Duration(minutes) * time.Minute)),
		},
		Spec: policy.APIKeySpec{ClientID: clientID},
	}
	for i, n := range keys {
		object.Spec.Values = append(object.Spec.Values, policy.APIKeyValue{Name: fmt.Sprintf("v%d", i+1), KeyHash: keyHash(n)})
	}
	return object
}

func edited(object v1alpha1.APIKey, edit func(*v1alpha1.APIKey)) v1alpha1.APIKey {
	edit(&object)
	return object
}

func TestAPIKeysAreJudgedAgainstEachOther(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) *string { return new(noon.Add(d).Format(time.RFC3339)) }
	for sentence, test := range map[string]struct {
		objects []v1alpha1.APIKey
		want    map[string]string // name: reason, and a dash before it where nobody is let in
	}{
		"two clients": {[]v1alpha1.APIKey{apiKey("a", "crm", 1, 1), apiKey("b", "erp", 2, 2, 3)}, map[string]string{"a": "Accepted", "b": "Accepted"}},
		"of two with one client id the older wins": {
			[]v1alpha1.APIKey{apiKey("a", "crm", 1, 1), apiKey("b", "crm", 2, 2)},
			map[string]string{"a": "-DuplicateClientID", "b": "Accepted"},
		},
		"of two as old the first by name": {
			[]v1alpha1.APIKey{apiKey("b", "crm", 1, 1), apiKey("a", "crm", 1, 2)},
			map[string]string{"b": "-DuplicateClientID", "a": "Accepted"},
		},
		"the older wins though it is suspended: its name is not to be had": {
			[]v1alpha1.APIKey{apiKey("a", "crm", 1, 1), edited(apiKey("b", "crm", 2, 2), func(o *v1alpha1.APIKey) { o.Spec.Suspend = true })},
			map[string]string{"a": "-DuplicateClientID", "b": "-Accepted"},
		},
		"the older wins though it is invalid": {
			[]v1alpha1.APIKey{apiKey("a", "crm", 1, 1), apiKey("b", "crm", 2)},
			map[string]string{"a": "-DuplicateClientID", "b": "-Invalid"},
		},
		"one that is being deleted is gone": {
			[]v1alpha1.APIKey{apiKey("a", "crm", 1, 1), edited(apiKey("b", "crm", 2, 2), func(o *v1alpha1.APIKey) { o.DeletionTimestamp = new(metav1.NewTime(noon)) })},
			map[string]string{"a": "Accepted"},
		},
		"of two with one key the older wins": {
			[]v1alpha1.APIKey{apiKey("a", "crm", 1, 7, 8), apiKey("b", "erp", 2, 9, 8)},
			map[string]string{"a": "-DuplicateKey", "b": "Accepted"},
		},
		"three live values": {[]v1alpha1.APIKey{apiKey("a", "crm", 1, 1, 2, 3)}, map[string]string{"a": "-Invalid"}},
		"three live values, one with an end": {
			[]v1alpha1.APIKey{edited(apiKey("a", "crm", 1, 1, 2, 3), func(o *v1alpha1.APIKey) { o.Spec.Values[0].ExpiresAt = in(time.Second) })},
			map[string]string{"a": "-TooManyLiveValues"},
		},
		"two live values and one that has ended": {
			[]v1alpha1.APIKey{edited(apiKey("a", "crm", 1, 1, 2, 3), func(o *v1alpha1.APIKey) { o.Spec.Values[0].ExpiresAt = in(0) })},
			map[string]string{"a": "Accepted"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			got := map[string]string{}
			for _, one := range judgeClients(test.objects, checkClient, noon) {
				got[one.object.Name] = one.accepted.reason
				if !one.letsIn() {
					got[one.object.Name] = "-" + one.accepted.reason
				}
				if strings.Contains(one.accepted.message, "sha256") || strings.Contains(one.accepted.message, keyHash(1)[20:]) {
					t.Errorf("the message shows a hash: %s", one.accepted.message)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func keyAuth(labels map[string]string) *policy.APIKeyAuth {
	return &policy.APIKeyAuth{CredentialSelector: policy.CredentialSelector{MatchLabels: labels}}
}

// clientsIn are the client ids and hashes in a planned bundle.
func clientsIn(t *testing.T, plan bundlePlan) []string {
	t.Helper()
	file, err := keyring.ParseFile(plan.data["keys.json"])
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, one := range file.APIKeys {
		for _, value := range one.Values {
			list = append(list, one.ClientID+" "+strings.TrimLeft(strings.TrimPrefix(value.KeyHash, "sha256:"), "0"))
		}
	}
	return list
}

func TestABundleHoldsTheClientsThatAreLetIn(t *testing.T) {
	t.Parallel()
	doc := document(1, "a")
	doc.Spec.APIKeyAuth = keyAuth(map[string]string{"team": "chat"})
	in := bundleInput{accepted: doc, from: secretsOf(map[string]string{"a": goodSecret}), ackKey: []byte(strings.Repeat("k", ackKeyBytes))}
	with := func(objects ...v1alpha1.APIKey) bundleInput {
		next := in
		next.from.clients = judgeClients(objects, checkClient, noon)
		return next
	}
	crm, erp := apiKey("a", "crm", 2, 1, 2), apiKey("b", "erp", 1, 3)
	first := planBundle(with(erp, crm))
	if diff := cmp.Diff([]string{"crm 1", "crm 2", "erp 3"}, clientsIn(t, first)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	if strings.Contains(string(first.data["policy.json"]), "sha256:") {
		t.Error("policy.json holds hashes")
	}
	suspended := edited(crm, func(o *v1alpha1.APIKey) { o.Spec.Suspend = true })
	relabelled := edited(crm, func(o *v1alpha1.APIKey) { o.Labels = nil })
	invalid := edited(crm, func(o *v1alpha1.APIKey) { o.Spec.ClientID = "" })
	fewer := apiKey("a", "crm", 2, 2)
	for sentence, test := range map[string]struct {
		objects []v1alpha1.APIKey
		want    []string
	}{
		"nothing changed":        {[]v1alpha1.APIKey{crm, erp}, []string{"crm 1", "crm 2", "erp 3"}},
		"a value is removed":     {[]v1alpha1.APIKey{fewer, erp}, []string{"crm 2", "erp 3"}},
		"a client is suspended":  {[]v1alpha1.APIKey{suspended, erp}, []string{"erp 3"}},
		"a client is deleted":    {[]v1alpha1.APIKey{erp}, []string{"erp 3"}},
		"its label is gone":      {[]v1alpha1.APIKey{relabelled, erp}, []string{"erp 3"}},
		"it is not accepted now": {[]v1alpha1.APIKey{invalid, erp}, []string{"erp 3"}},
		"all are deleted":        {nil, []string{}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			next := with(test.objects...)
			next.last, next.floor = writtenAs(first), first.view.revision
			changed := sentence != "nothing changed"
			plan := planBundle(next)
			if diff := cmp.Diff(test.want, clientsIn(t, plan)); diff != "" || (plan.view.revision > first.view.revision) != changed {
				t.Errorf("revision %d after %d (-want +got)\n%s", plan.view.revision, first.view.revision, diff)
			}
			// An invalid edit of the policy never stops a revocation.
			next.accepted = nil
			if diff := cmp.Diff(test.want, clientsIn(t, planBundle(next))); diff != "" {
				t.Errorf("with the last policy (-want +got)\n%s", diff)
			}
		})
	}
}

func TestABundleHasRoomForSoManyClients(t *testing.T) {
	t.Parallel()
	spec := policy.Spec{APIKeyAuth: keyAuth(nil)}
	var objects []v1alpha1.APIKey
	for i := range keyring.MaxAPIKeys + 5 {
		objects = append(objects, apiKey(fmt.Sprintf("k%04d", i), fmt.Sprintf("c%04d", i), 5000-i, i+1))
	}
	slices.Reverse(objects)
	judged := func() []apiClient { // as of two namespaces: one has no more than a bundle
		return append(judgeClients(objects[5:], checkClient, noon), judgeClients(objects[:5], checkClient, noon)...)
	}
	done := resolve(spec, sources{clients: judged()}, written{})
	if len(done.clients) != keyring.MaxAPIKeys || done.clients[0].ClientID != "c0000" {
		t.Errorf("%d clients, the first %s", len(done.clients), done.clients[0].ClientID)
	}
	if len(done.problems) != 1 || done.problems[0].reason != v1alpha1.ReasonTooManyAPIKeys || done.keyless() || !strings.Contains(done.problems[0].message, "the 5 youngest") {
		t.Errorf("problems %+v", done.problems)
	}
	for i := range objects {
		objects[i].Spec.Claims = map[string]policy.ClaimText{"a": policy.ClaimText(strings.Repeat("x", 1024)), "b": policy.ClaimText(strings.Repeat("y", 1024))}
	}
	done = resolve(spec, sources{clients: judged()}, written{})
	file := keyring.File{APIKeys: done.clients}
	if data, err := file.Marshal(); err != nil || len(data) > maxClientBytes+1024 || len(data) < maxClientBytes/2 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestTheStatusOfAnAPIKey(t *testing.T) {
	t.Parallel()
	object := apiKey("a", "crm", 1, 1, 2)
	soon := noon.Add(time.Hour)
	object.Spec.Values[0].ExpiresAt = new(soon.Format(time.RFC3339))
	policies := []v1alpha1.AgentAuthPolicy{{}, {}, {}}
	policies[0].Spec.APIKeyAuth = keyAuth(nil)
	policies[1].Spec.APIKeyAuth = keyAuth(map[string]string{"team": "other"})
	status := func(object v1alpha1.APIKey, now time.Time) v1alpha1.APIKeyStatus {
		got := clientStatus(judgeClients([]v1alpha1.APIKey{object}, checkClient, now)[0], policies, now)
		got.Conditions = nil
		return got
	}
	for sentence, test := range map[string]struct{ got, want v1alpha1.APIKeyStatus }{
		"two live values": {status(object, noon), v1alpha1.APIKeyStatus{ObservedGeneration: 3, LiveValues: 2, NextExpirationTime: &metav1.Time{Time: soon}, Policies: 1}},
		"one has expired": {status(object, soon), v1alpha1.APIKeyStatus{ObservedGeneration: 3, LiveValues: 1, Policies: 1}},
		"suspended":       {status(edited(object, func(o *v1alpha1.APIKey) { o.Spec.Suspend = true }), noon), v1alpha1.APIKeyStatus{ObservedGeneration: 3, Policies: 1}},
		"not accepted":    {status(edited(object, func(o *v1alpha1.APIKey) { o.Spec.ClientID = "" }), noon), v1alpha1.APIKeyStatus{ObservedGeneration: 3, Policies: 1}},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", sentence, diff)
		}
	}
	if wait := untilExpiry(judgeClients([]v1alpha1.APIKey{object}, checkClient, noon)[0], noon); wait != time.Hour+time.Second {
		t.Errorf("looks again after %s", wait)
	}
}
