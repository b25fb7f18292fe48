package controller

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// errForeign is why a part of a workload is left alone: it is somebody else's.
var errForeign = errors.New("it exists and does not belong to this TokenIssuer")

// applier keeps the parts of workloads as they should be, by server-side apply
// with our field owner: what somebody changed comes back, what others added stays.
// A part that is as we left it costs no request.
type applier struct {
	cache  client.Reader // of the parts that carry our label
	live   client.Reader
	writer client.Client

	mu   sync.Mutex
	left map[part]mark
}

// part names one object.
type part struct {
	schema.GroupKind
	types.NamespacedName
}

// mark is how we left a part.
type mark struct {
	uid     types.UID
	edition string // generation, or where there is none the resourceVersion
	sum     [sha256.Size]byte
}

func partOf(object *unstructured.Unstructured) part {
	return part{object.GroupVersionKind().GroupKind(), client.ObjectKeyFromObject(object)}
}

// keep applies a part if it is not as we left it.
func (a *applier) keep(ctx context.Context, want *unstructured.Unstructured, owner client.Object) error {
	text, err := json.Marshal(want.Object)
	if err != nil {
		return fmt.Errorf("encoding %s %s: %w", want.GetKind(), want.GetName(), err)
	}
	sum := sha256.Sum256(text)
	have, err := a.cached(ctx, want)
	if err != nil {
		return err
	}
	was := a.mark(partOf(want))
	if have != nil && untouched(have, want) && was == (mark{have.UID, editionOf(have), sum}) {
		return nil
	}
	if have == nil { // it may be there without our label
		if have, err = a.find(ctx, a.live, want); err != nil {
			return err
		}
	}
	if have != nil {
		if !metav1.IsControlledBy(have, owner) && was.uid != have.UID {
			return fmt.Errorf("%s %s: %w", want.GetKind(), want.GetName(), errForeign)
		}
		want.SetUID(have.UID)
	}
	return a.apply(ctx, want, sum)
}

// apply applies a part, and remembers how it was left.
func (a *applier) apply(ctx context.Context, want *unstructured.Unstructured, sum [sha256.Size]byte) error {
	if err := a.writer.Apply(ctx, client.ApplyConfigurationFromUnstructured(want), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying %s %s: %w", want.GetKind(), want.GetName(), err)
	}
	a.leave(partOf(want), mark{want.GetUID(), editionOf(want), sum})
	return nil
}

// cached finds a part in the cache, where Deployments are as a whole.
func (a *applier) cached(ctx context.Context, want *unstructured.Unstructured) (*metav1.PartialObjectMetadata, error) {
	if want.GetKind() != kindDeployment {
		return a.find(ctx, a.cache, want)
	}
	deployment, err := a.deployment(ctx, client.ObjectKeyFromObject(want))
	if deployment == nil {
		return nil, err
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: deployment.ObjectMeta}, nil
}

const kindDeployment = "Deployment"

// deployment is the cache's; nil: there is none with our label.
func (a *applier) deployment(ctx context.Context, name types.NamespacedName) (*appsv1.Deployment, error) {
	have := &appsv1.Deployment{}
	if err := a.cache.Get(ctx, name, have); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading Deployment %s: %w", name.Name, err)
	}
	return have, nil
}

// find fetches the metadata of a part; nil: there is none.
func (a *applier) find(ctx context.Context, reader client.Reader, want *unstructured.Unstructured) (*metav1.PartialObjectMetadata, error) {
	have := &metav1.PartialObjectMetadata{}
	have.SetGroupVersionKind(want.GroupVersionKind())
	err := reader.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", want.GetKind(), want.GetName(), err)
	}
	return have, nil
}

// untouched reports whether the metadata that a generation does not count is as
// wanted.
func untouched(have *metav1.PartialObjectMetadata, want *unstructured.Unstructured) bool {
	same := func(a, b string) bool { return a == b }
	references := want.GetOwnerReferences()
	return contains(have.Labels, want.GetLabels(), same) && contains(have.Annotations, want.GetAnnotations(), same) &&
		len(references) == 1 && len(have.OwnerReferences) > 0 && have.OwnerReferences[0].UID == references[0].UID
}

func editionOf(object metav1.Object) string {
	if generation := object.GetGeneration(); generation > 0 {
		return strconv.FormatInt(generation, 10)
	}
	return "version " + object.GetResourceVersion()
}

// mark is how a part was left; zero: not known.
func (a *applier) mark(p part) mark {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.left[p]
}

func (a *applier) leave(p part, m mark) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left == nil {
		a.left = map[part]mark{}
	}
	a.left[p] = m
}

// forget drops what is known of an issuer's parts.
func (a *applier) forget(issuer types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := types.NamespacedName{Namespace: issuer.Namespace, Name: v1alpha1.IssuerWorkload(issuer.Name)}
	for p := range a.left {
		if p.NamespacedName == name {
			delete(a.left, p)
		}
	}
}

// leastRevision is the least revision that new pods of a Deployment load: the one
// in its template, as long as the template says the same otherwise; a new
// template replaces pods anyway, and they load no less than what is there now.
func leastRevision(have *appsv1.Deployment, want workload) int64 {
	if have == nil || have.Annotations[annotationWorkload] != want.deployment().Annotations[annotationWorkload] {
		return want.revision
	}
	least, err := strconv.ParseInt(have.Spec.Template.Annotations[v1alpha1.AnnotationBundleRevision], 10, 64)
	if err != nil || least < 1 || least > want.revision {
		return want.revision
	}
	return least
}
