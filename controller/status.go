package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// condition is what a decide function says about one aspect of an object.
// Messages hold no times and no counters that move by themselves: a message
// changes when the world did.
type condition struct {
	kind    string
	status  metav1.ConditionStatus
	reason  string
	message string
}

func holds(kind, reason, message string) condition {
	return condition{kind, metav1.ConditionTrue, reason, message}
}

func fails(kind, reason, message string) condition {
	return condition{kind, metav1.ConditionFalse, reason, message}
}

// longestMessage keeps a message within an event's note (1024 bytes).
const longestMessage = 900

// setConditions returns a copy of before with the conditions merged in; times
// change only where a status did.
func setConditions(before []metav1.Condition, generation int64, conditions ...condition) []metav1.Condition {
	after := make([]metav1.Condition, len(before), len(before)+len(conditions))
	copy(after, before)
	for _, c := range conditions {
		meta.SetStatusCondition(&after, metav1.Condition{
			Type: c.kind, Status: c.status, Reason: c.reason,
			Message: shorten(c.message), ObservedGeneration: generation,
		})
	}
	return after
}

func shorten(message string) string {
	if len(message) <= longestMessage {
		return message
	}
	cut := longestMessage
	for cut > 0 && message[cut]&0xC0 == 0x80 { // not inside a UTF-8 sequence
		cut--
	}
	return message[:cut] + " ..."
}

// behindPause is how long to wait for a cache that is behind our own last write.
const behindPause = 200 * time.Millisecond

// errBehind is why nothing was written: the cache is behind the API server.
var errBehind = errors.New("the cache shows an earlier edition of the object")

// unlessBehind turns a status write that came second into another attempt.
func unlessBehind(again time.Duration, err error) (ctrl.Result, error) {
	if lostRace(err) {
		return ctrl.Result{RequeueAfter: behindPause}, nil
	}
	return ctrl.Result{RequeueAfter: again}, err
}

// applyStatus writes the whole status by server-side apply, on condition that the
// object is still the one that was read: a leader that was paused must not bring
// back what its successor has replaced. The uid keeps a
// status from landing on a successor of the same name.
func applyStatus(ctx context.Context, writer client.Client, kind string, object client.Object, status any) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return fmt.Errorf("encoding the status of %s: %w", object.GetName(), err)
	}
	patch := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	patch.SetAPIVersion(v1alpha1.GroupVersion.String())
	patch.SetKind(kind)
	patch.SetName(object.GetName())
	patch.SetNamespace(object.GetNamespace())
	patch.SetUID(object.GetUID())
	patch.SetResourceVersion(object.GetResourceVersion())
	err = writer.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(patch), client.ForceOwnership)
	if apierrors.IsInvalid(err) {
		err = replaceStatus(ctx, writer, object, content)
	}
	if apierrors.IsNotFound(err) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return fmt.Errorf("writing the status of %s: %w", object.GetName(), err)
	}
	return nil
}

// replaceStatus writes the whole status over whatever is there, on the same
// conditions. Where somebody else wrote parts of it, as a tool that restores
// backups does, applying leaves those parts, which may be invalid without ours.
func replaceStatus(ctx context.Context, writer client.Client, object client.Object, content map[string]any) error {
	operations, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/uid", "value": object.GetUID()},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": object.GetResourceVersion()},
		{"op": "add", "path": "/status", "value": content},
	})
	if err != nil {
		return fmt.Errorf("encoding the status of %s: %w", object.GetName(), err)
	}
	target, isObject := object.DeepCopyObject().(client.Object)
	if !isObject {
		return fmt.Errorf("the status of %s is not an object's", object.GetName())
	}
	return writer.Status().Patch(ctx, target, client.RawPatch(types.JSONPatchType, operations))
}
