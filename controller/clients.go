package controller

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

// apiClient is one APIKey and what becomes of it. A client that is not accepted is
// let in nowhere: unlike a policy it keeps nothing of an older generation,
// because the change may have been made to shut somebody out.
type apiClient struct {
	object   *v1alpha1.APIKey
	accepted condition
}

// maxNamespaceClients is how many APIKeys of a namespace are looked at, the
// oldest first.
const maxNamespaceClients = 1000

// clientCheck says what is wrong with an APIKey by itself.
type clientCheck func(*v1alpha1.APIKey) error

func checkClient(object *v1alpha1.APIKey) error { return policy.CheckAPIKey(object.Spec) }

// judgeClients judges the APIKeys of one namespace against each other: of two
// with one client id or one key the older wins, by name where two are as old,
// and the other's claims are never added to it. Those being deleted are gone.
// The result is in the order of age.
func judgeClients(objects []v1alpha1.APIKey, check clientCheck, now time.Time) []apiClient {
	clients := make([]apiClient, 0, len(objects))
	for i := range objects {
		if objects[i].DeletionTimestamp == nil {
			clients = append(clients, apiClient{object: &objects[i]})
		}
	}
	slices.SortFunc(clients, func(a, b apiClient) int {
		return cmp.Or(a.object.CreationTimestamp.Compare(b.object.CreationTimestamp.Time), cmp.Compare(a.object.Name, b.object.Name))
	})
	ids, hashes := map[string]string{}, map[string]string{}
	for i := range clients {
		object := clients[i].object
		if i >= maxNamespaceClients {
			clients[i].accepted = fails(v1alpha1.ConditionAccepted, v1alpha1.ReasonTooManyAPIKeys, fmt.Sprintf(
				"the namespace has %d older APIKeys, and no more are looked at: none of its keys is let in; delete some, or use another namespace", maxNamespaceClients))
			continue
		}
		clients[i].accepted = judgeClient(object, check(object), older{ids[object.Spec.ClientID], ownerOf(hashes, object)}, now)
		if ids[object.Spec.ClientID] == "" {
			ids[object.Spec.ClientID] = object.Name
		}
		for _, value := range object.Spec.Values {
			if hashes[value.KeyHash] == "" {
				hashes[value.KeyHash] = object.Name
			}
		}
	}
	return clients
}

// ownerOf is the older APIKey that has one of the object's keys, or empty.
func ownerOf(hashes map[string]string, object *v1alpha1.APIKey) string {
	for _, value := range object.Spec.Values {
		if owner := hashes[value.KeyHash]; owner != "" {
			return owner
		}
	}
	return ""
}

// older are the APIKeys before one that have its client id, or one of its keys.
type older struct{ namesake, keyOwner string }

// judgeClient needs the APIKey, what is wrong with it alone, its elders and the
// time. Messages hold no hash.
func judgeClient(object *v1alpha1.APIKey, flaw error, elders older, now time.Time) condition {
	const kind = v1alpha1.ConditionAccepted
	namesake, keyOwner := elders.namesake, elders.keyOwner
	switch {
	case flaw != nil:
		return fails(kind, v1alpha1.ReasonInvalid, "none of its keys is let in: "+flaw.Error())
	case namesake != "":
		return fails(kind, v1alpha1.ReasonDuplicateClientID, fmt.Sprintf(
			"spec.clientID: the older APIKey %s has the client id %s, so none of this one's keys is let in: choose another", namesake, object.Spec.ClientID))
	case keyOwner != "":
		return fails(kind, v1alpha1.ReasonDuplicateKey, fmt.Sprintf(
			"spec.values: the older APIKey %s has one of the keys, so none of this one's is let in: make a key for each client", keyOwner))
	}
	if err := apikey.CheckLive(object.Spec, now); err != nil {
		return fails(kind, v1alpha1.ReasonTooManyLiveValues, "none of its keys is let in: "+err.Error())
	}
	if object.Spec.Suspend {
		return holds(kind, v1alpha1.ReasonAccepted, "the client is valid, and suspended: none of its keys is let in")
	}
	return holds(kind, v1alpha1.ReasonAccepted, "the client is valid")
}

// letsIn reports whether the client's keys belong into bundles.
func (c apiClient) letsIn() bool {
	return c.accepted.status == metav1.ConditionTrue && !c.object.Spec.Suspend
}

// selectsClient reports whether the policy takes API keys, and this client's.
func selectsClient(auth *policy.APIKeyAuth, object metav1.Object) bool {
	return auth != nil && labels.SelectorFromSet(auth.CredentialSelector.MatchLabels).Matches(labels.Set(object.GetLabels()))
}

// maxClientBytes bounds what the clients of one policy take in its bundle: a
// Secret holds 1 MiB, and the keys of tokens must find room beside them.
const maxClientBytes = 512 << 10

// clients puts the clients that the policy selects into the bundle. There is
// nothing to keep of an older bundle: who is not there any more is shut out.
func (r *resolver) clients(auth *policy.APIKeyAuth) {
	if auth == nil {
		return
	}
	left, size := 0, 0
	for _, one := range r.from.clients {
		if !one.letsIn() || !selectsClient(auth, one.object) {
			continue
		}
		size += sizeOf(one.object.Spec)
		if len(r.done.clients) == keyring.MaxAPIKeys || size > maxClientBytes {
			left++
			continue
		}
		r.done.clients = append(r.done.clients, one.object.Spec)
	}
	if left > 0 {
		r.done.problems = append(r.done.problems, refProblem{
			reason: v1alpha1.ReasonTooManyAPIKeys,
			message: fmt.Sprintf("spec.apiKeyAuth.credentialSelector: selects more APIKeys than a bundle holds (%d, or %d bytes): the %d youngest are not let in; narrow the selector or make two policies",
				keyring.MaxAPIKeys, maxClientBytes, left),
		})
	}
	if len(r.done.clients) == 0 {
		r.done.warnings = append(r.done.warnings, "spec.apiKeyAuth.credentialSelector: selects no APIKey that lets somebody in")
	}
}

// sizeOf is about what a client takes in keys.json.
func sizeOf(spec policy.APIKeySpec) int {
	data, err := json.Marshal(spec)
	if err != nil {
		return maxClientBytes // it came as JSON and can be written as JSON
	}
	return len(data)
}

// clientStatus is the status that the object should have.
func clientStatus(one apiClient, policies []v1alpha1.AgentAuthPolicy, now time.Time) v1alpha1.APIKeyStatus {
	status := *one.object.Status.DeepCopy()
	status.ObservedGeneration = one.object.Generation
	status.Policies = 0
	for i := range policies {
		if policies[i].DeletionTimestamp == nil && selectsClient(policies[i].Spec.APIKeyAuth, one.object) {
			status.Policies++
		}
	}
	status.LiveValues, status.NextExpirationTime = 0, nil
	if one.letsIn() {
		live, next := apikey.Live(one.object.Spec, now)
		status.LiveValues = int32(live) //nolint:gosec // two at most
		if !next.IsZero() {
			status.NextExpirationTime = &metav1.Time{Time: next.UTC().Truncate(time.Second)} // as it is stored
		}
	}
	status.Conditions = setConditions(status.Conditions, one.object.Generation, one.accepted)
	return status
}
