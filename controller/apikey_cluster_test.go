//go:build cluster

package controller_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/policy"
)

// newAPIKey is an APIKey labelled team: chat with as many random keys.
func newAPIKey(t *testing.T, namespace, name, clientID string, values int) (object *v1alpha1.APIKey, keys []apikey.Key) {
	t.Helper()
	object = &v1alpha1.APIKey{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"team": "chat"}},
		Spec:       policy.APIKeySpec{ClientID: clientID, Scopes: []string{"agents:run"}, Claims: map[string]policy.ClaimText{"tenant_id": "t-1"}},
	}
	for i := range values {
		key, err := apikey.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
		object.Spec.Values = append(object.Spec.Values, policy.APIKeyValue{Name: "v" + strconv.Itoa(i+1), KeyHash: key.Hash().String()})
	}
	return object, keys
}

// keyPolicy guards pods app=chat and takes the keys of APIKeys labelled team: chat.
func keyPolicy(namespace string) *v1alpha1.AgentAuthPolicy {
	return &v1alpha1.AgentAuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "chat"},
		Spec: v1alpha1.AgentAuthPolicySpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "chat"}},
			Spec: policy.Spec{APIKeyAuth: &policy.APIKeyAuth{
				CredentialSelector: policy.CredentialSelector{MatchLabels: map[string]string{"team": "chat"}},
			}},
		},
	}
}

// bundleHas waits until the bundle lets in exactly these clients' values.
func bundleHas(t *testing.T, p *v1alpha1.AgentAuthPolicy, want ...string) {
	t.Helper()
	slices.Sort(want)
	eventually(t, func() string {
		_, file, _ := bundleOf(t, p)
		got := []string{}
		for _, one := range file.APIKeys {
			for _, value := range one.Values {
				got = append(got, one.ClientID+" "+value.Name)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Sprintf("the bundle has %q, want %q", got, want)
		}
		return ""
	})
}

// apiKeyHas waits for the condition of an APIKey.
func apiKeyHas(t *testing.T, object *v1alpha1.APIKey, status metav1.ConditionStatus, reason string) {
	t.Helper()
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			return err.Error()
		}
		if object.Status.ObservedGeneration != object.Generation {
			return "the status is of an older generation"
		}
		return has(object.Status.Conditions, accepted, status, reason)
	})
}

func TestAPIKeysReachTheBundlesThatSelectThem(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	p := keyPolicy(ns)
	create(t, p)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	bundleHas(t, p)
	crm, keys := newAPIKey(t, ns, "crm", "crm", 2)
	create(t, crm)
	bundleHas(t, p, "crm v1", "crm v2")
	apiKeyHas(t, crm, yes, v1alpha1.ReasonAccepted)
	_, file, _ := bundleOf(t, p)
	if got := file.APIKeys[0]; got.Values[0].KeyHash != keys[0].Hash().String() || got.Claims["tenant_id"] != "t-1" || !slices.Equal(got.Scopes, []string{"agents:run"}) {
		t.Errorf("keys.json has %+v", got)
	}
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(crm), crm); err != nil {
			return err.Error()
		}
		if crm.Status.LiveValues != 2 || crm.Status.Policies != 1 {
			return fmt.Sprintf("status %+v", crm.Status)
		}
		return ""
	})
	unselected, _ := newAPIKey(t, ns, "erp", "erp", 1)
	unselected.Labels = map[string]string{"team": "other"}
	create(t, unselected)
	apiKeyHas(t, unselected, yes, v1alpha1.ReasonAccepted)
	elsewhere, _ := newAPIKey(t, world.cluster.Namespace(t), "crm", "crm", 1)
	create(t, elsewhere)
	apiKeyHas(t, elsewhere, yes, v1alpha1.ReasonAccepted)
	bundleHas(t, p, "crm v1", "crm v2")
	change(t, unselected, func(o *v1alpha1.APIKey) { o.Labels["team"] = "chat" })
	bundleHas(t, p, "crm v1", "crm v2", "erp v1")
	if elsewhere.Status.Policies != 0 {
		t.Error("a policy of another namespace selects the APIKey")
	}
}

// Every way to shut a client out reaches the bundle, and its pods are told.
func TestRevokingAnAPIKey(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	p := keyPolicy(ns)
	create(t, p)
	crm, _ := newAPIKey(t, ns, "crm", "crm", 2)
	erp, _ := newAPIKey(t, ns, "erp", "erp", 1)
	create(t, crm)
	create(t, erp)
	pod := chatPod(ns, "chat-1", "chat")
	create(t, pod)
	bundleHas(t, p, "crm v1", "crm v2", "erp v1")
	told := func() int64 {
		t.Helper()
		var revision int64
		eventually(t, func() string {
			_, file, _ := bundleOf(t, p)
			if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
				return err.Error()
			}
			revision = file.Revision
			if got := pod.Annotations[v1alpha1.AnnotationBundleRevision]; got != strconv.FormatInt(revision, 10) {
				return fmt.Sprintf("the pod was told of revision %s, it is %d", got, revision)
			}
			return ""
		})
		return revision
	}
	last := told()
	for _, step := range []struct {
		sentence string
		revoke   func()
		want     []string
	}{
		{"a value is removed", func() { change(t, crm, func(o *v1alpha1.APIKey) { o.Spec.Values = o.Spec.Values[1:] }) }, []string{"crm v2", "erp v1"}},
		{"the client is suspended", func() { change(t, crm, func(o *v1alpha1.APIKey) { o.Spec.Suspend = true }) }, []string{"erp v1"}},
		{"the client is back", func() { change(t, crm, func(o *v1alpha1.APIKey) { o.Spec.Suspend = false }) }, []string{"crm v2", "erp v1"}},
		{"its label is taken away", func() { change(t, crm, func(o *v1alpha1.APIKey) { o.Labels = nil }) }, []string{"erp v1"}},
		{"a client is deleted", func() { remove(t, erp) }, nil},
	} {
		began := time.Now()
		step.revoke()
		bundleHas(t, p, step.want...)
		if now := told(); now <= last {
			t.Errorf("%s: the revision went from %d to %d", step.sentence, last, now)
		} else {
			last = now
		}
		t.Logf("%s: the pod was told after %s", step.sentence, time.Since(began).Round(time.Millisecond))
	}
}

// An invalid edit of the policy leaves the last one in force, and shuts out who
// is to be shut out all the same.
func TestAnInvalidPolicyDoesNotStopTheRevocationOfAnAPIKey(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	p := keyPolicy(ns)
	create(t, p)
	crm, _ := newAPIKey(t, ns, "crm", "crm", 1)
	create(t, crm)
	bundleHas(t, p, "crm v1")
	change(t, p, func(o *v1alpha1.AgentAuthPolicy) { o.Spec.APIKeyAuth.ForwardClientIDHeader = "Host" })
	policyHas(t, p, accepted, no, v1alpha1.ReasonInvalid)
	remove(t, crm)
	bundleHas(t, p)
}

func TestOfTwoAPIKeysOfOneClientTheOlderIsLetIn(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	p := keyPolicy(ns)
	create(t, p)
	older, keys := newAPIKey(t, ns, "b-older", "crm", 1)
	create(t, older)
	apiKeyHas(t, older, yes, v1alpha1.ReasonAccepted)
	time.Sleep(time.Second + 100*time.Millisecond) // creation times are whole seconds
	younger, _ := newAPIKey(t, ns, "a-younger", "crm", 1)
	younger.Spec.Values[0].Name = "other"
	younger.Spec.Claims["tenant_id"] = "t-2"
	create(t, younger)
	thief, _ := newAPIKey(t, ns, "thief", "thief", 1)
	thief.Spec.Values[0].KeyHash = keys[0].Hash().String()
	create(t, thief)
	apiKeyHas(t, younger, no, v1alpha1.ReasonDuplicateClientID)
	apiKeyHas(t, thief, no, v1alpha1.ReasonDuplicateKey)
	hasEvent(t, younger, v1alpha1.ReasonDuplicateClientID, "b-older")
	bundleHas(t, p, "crm v1")
	if _, file, _ := bundleOf(t, p); file.APIKeys[0].Claims["tenant_id"] != "t-1" {
		t.Errorf("claims %v are not the older client's own", file.APIKeys[0].Claims)
	}
	remove(t, older)
	apiKeyHas(t, younger, yes, v1alpha1.ReasonAccepted)
	apiKeyHas(t, thief, yes, v1alpha1.ReasonAccepted)
	hasEvent(t, younger, v1alpha1.ReasonTakenOver, "b-older")
	bundleHas(t, p, "crm other", "thief v1")
}

// Time alone changes what an APIKey may: a third value is let in when one of the
// others has expired.
func TestAnAPIKeyIsAcceptedAgainWhenAValueExpires(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	p := keyPolicy(ns)
	create(t, p)
	crm, _ := newAPIKey(t, ns, "crm", "crm", 3)
	expires := func(after time.Duration) {
		crm.Spec.Values[0].ExpiresAt = new(time.Now().Add(after).UTC().Format(time.RFC3339))
	}
	expires(time.Hour)
	create(t, crm)
	apiKeyHas(t, crm, no, v1alpha1.ReasonTooManyLiveValues)
	bundleHas(t, p)
	change(t, crm, func(*v1alpha1.APIKey) { expires(3 * time.Second) })
	apiKeyHas(t, crm, yes, v1alpha1.ReasonAccepted)
	bundleHas(t, p, "crm v1", "crm v2", "crm v3")
	if crm.Status.LiveValues != 2 {
		t.Errorf("%d live values", crm.Status.LiveValues)
	}
}

// Hashes are for bundles: no status, event or other object shows one, and the
// controller changes nothing of an APIKey but its status.
func TestHashesOfAPIKeysStayInBundles(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	p := keyPolicy(ns)
	create(t, p)
	crm, keys := newAPIKey(t, ns, "crm", "crm", 1)
	create(t, crm)
	bundleHas(t, p, "crm v1")
	twin, _ := newAPIKey(t, ns, "twin", "crm", 1)
	create(t, twin)
	apiKeyHas(t, twin, no, v1alpha1.ReasonDuplicateClientID)
	for _, kind := range []string{"events", "agentauthpolicies", "pods", "configmaps"} {
		text, err := world.cluster.Kubectl(t.Context(), "get", kind, "-n", ns, "-o", "json")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, strings.TrimPrefix(keys[0].Hash().String(), "sha256:")) {
			t.Errorf("%s show a hash", kind)
		}
	}
	status := fmt.Sprintf("%+v", crm.Status) + fmt.Sprintf("%+v", twin.Status)
	if strings.Contains(status, "sha256") {
		t.Errorf("a status shows a hash: %s", status)
	}
	if text, err := world.cluster.Kubectl(t.Context(), "auth", "can-i", "delete", "apikeys", "-n", ns, "--as", account); err == nil && strings.TrimSpace(text) == "yes" {
		t.Error("the controller may delete APIKeys")
	}
}
