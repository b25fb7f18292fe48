package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gatepost.dev/gatepost/api/v1alpha1"
)

func TestAnAPIKeyIsCheckedOncePerGeneration(t *testing.T) {
	t.Parallel()
	checks := 0
	memo := newClientMemo(func(*v1alpha1.APIKey) error {
		checks++
		return errors.New("checked")
	})
	a, b := apiKey("a", "crm", 2, 1), apiKey("b", "erp", 1, 2)
	judge := func(objects ...v1alpha1.APIKey) {
		t.Helper()
		for _, one := range memo.judge("agents", objects, noon) {
			if !strings.Contains(one.accepted.message, "checked") {
				t.Errorf("%s: %+v", one.object.Name, one.accepted)
			}
		}
	}
	for i, step := range []struct {
		objects []v1alpha1.APIKey
		checks  int
	}{
		{[]v1alpha1.APIKey{a, b}, 2},
		{[]v1alpha1.APIKey{b, a}, 2},
		{[]v1alpha1.APIKey{edited(a, func(o *v1alpha1.APIKey) { o.Generation++ }), b}, 3},
		{[]v1alpha1.APIKey{edited(a, func(o *v1alpha1.APIKey) { o.UID = "another" }), b}, 4},
		{[]v1alpha1.APIKey{b}, 4},
		{[]v1alpha1.APIKey{a, b}, 5}, // it was forgotten
	} {
		if judge(step.objects...); checks != step.checks {
			t.Errorf("step %d: %d checks, want %d", i, checks, step.checks)
		}
	}
	if memo.judge("agents", nil, noon); len(memo.flaws) > 0 {
		t.Errorf("the memo keeps %v", memo.flaws)
	}
}

func TestTheYoungestOfTooManyAPIKeysAreNotLookedAt(t *testing.T) {
	t.Parallel()
	var objects []v1alpha1.APIKey
	for i := range maxNamespaceClients + 2 {
		objects = append(objects, apiKey(fmt.Sprintf("k%04d", i), fmt.Sprintf("c%04d", i), i, i+1))
	}
	checks := 0
	refused := map[string]string{}
	for _, one := range judgeClients(objects, func(*v1alpha1.APIKey) error { checks++; return nil }, noon) {
		if !one.letsIn() {
			refused[one.object.Name] = one.accepted.reason
		}
	}
	want := map[string]string{"k0000": v1alpha1.ReasonTooManyAPIKeys, "k0001": v1alpha1.ReasonTooManyAPIKeys}
	if diff := cmp.Diff(want, refused); diff != "" || checks != maxNamespaceClients {
		t.Errorf("%d checks, refused (-want +got)\n%s", checks, diff)
	}
}

// Every event of a namespace's APIKeys asks for the same work, which is done once.
func TestAllAPIKeysOfANamespaceAreOneRequest(t *testing.T) {
	t.Parallel()
	a, b, far := apiKey("a", "crm", 1, 1), apiKey("b", "erp", 1, 2), apiKey("a", "crm", 1, 1)
	far.Namespace = "other"
	one, same, another := namespaceRequest(t.Context(), &a), namespaceRequest(t.Context(), &b), namespaceRequest(t.Context(), &far)
	if diff := cmp.Diff(one, same); diff != "" || len(one) != 1 || cmp.Equal(one, another) {
		t.Errorf("%v, %v, %v", one, same, another)
	}
}

func TestTheCacheKeepsNoAnnotationsOfAPIKeys(t *testing.T) {
	t.Parallel()
	object := apiKey("a", "crm", 1, 1)
	want := object.DeepCopy()
	object.Annotations = map[string]string{"note": strings.Repeat("x", 256<<10)}
	stripped, err := stripMetadata(&object)
	if diff := cmp.Diff(want, stripped); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	key := &v1alpha1.SigningKey{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.Group + "/revoke-key": "1-a"}}}
	if _, err := stripMetadata(key); err != nil || len(key.Annotations) != 1 {
		t.Error("the annotations of SigningKeys are verbs, and are gone")
	}
}

func TestTakingOverAClientIDIsTold(t *testing.T) {
	t.Parallel()
	elder, younger := apiKey("elder", "crm", 2, 1), apiKey("younger", "crm", 1, 2)
	judged := func(name string, objects ...v1alpha1.APIKey) (*v1alpha1.APIKey, []metav1.Condition) {
		t.Helper()
		for _, one := range judgeClients(objects, checkClient, noon) {
			if one.object.UID == types.UID(name) {
				return one.object, clientStatus(one, nil, noon).Conditions
			}
		}
		t.Fatalf("%s is not judged", name)
		return nil, nil
	}
	object, refused := judged("younger", elder, younger)
	_, alone := judged("younger", younger)
	recreated := edited(apiKey("elder", "crm", 0, 1), func(o *v1alpha1.APIKey) { o.UID = "again" })
	again, shutOut := judged("again", younger, recreated)
	for sentence, test := range map[string]struct {
		events []notice
		want   string // reason of the one event; empty: none
		names  []string
	}{
		"a duplicate is refused":      {clientEvents(object, nil, refused), v1alpha1.ReasonDuplicateClientID, []string{"elder", "younger"}},
		"it takes over":               {clientEvents(object, refused, alone), v1alpha1.ReasonTakenOver, []string{"elder", "younger"}},
		"the elder comes back":        {clientEvents(again, nil, shutOut), v1alpha1.ReasonDuplicateClientID, []string{"elder", "younger"}},
		"one that always was let in":  {clientEvents(object, nil, alone), "", nil},
		"one that goes on as it was":  {clientEvents(object, alone, alone), "", nil},
		"one that is refused as ever": {clientEvents(object, refused, refused), "", nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if test.want == "" {
				if len(test.events) > 0 {
					t.Errorf("told %+v", test.events)
				}
				return
			}
			if len(test.events) != 1 || !test.events[0].warning || test.events[0].reason != test.want {
				t.Fatalf("told %+v", test.events)
			}
			for _, name := range test.names {
				if !strings.Contains(test.events[0].note, name) {
					t.Errorf("%s is not named: %s", name, test.events[0].note)
				}
			}
		})
	}
}
