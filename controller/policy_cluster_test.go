//go:build cluster

package controller_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller"
	"gatepost.dev/gatepost/policy"
)

const (
	accepted   = v1alpha1.ConditionAccepted
	resolved   = v1alpha1.ConditionResolvedRefs
	programmed = v1alpha1.ConditionProgrammed
	enforced   = v1alpha1.ConditionEnforced

	goodSecret = "0123456789abcdef0123456789abcdef"
)

func TestABundleIsWrittenAndComesBack(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, p)
	policyHas(t, p, resolved, no, v1alpha1.ReasonSigningKeyNotFound)
	create(t, key)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	policyHas(t, p, enforced, no, v1alpha1.ReasonNoPodsSelected)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)

	doc, file, _ := bundleOf(t, p)
	if doc.Name != "chat" || doc.Namespace != ns || doc.Generation != p.Generation {
		t.Errorf("policy.json is of %s/%s generation %d", doc.Namespace, doc.Name, doc.Generation)
	}
	if !slices.Equal(kidsOf(t, p), []string{key.Status.ActiveKeyID}) || len(file.AckKey) < 32 || file.SigningKeys["tokens"] == 0 {
		t.Errorf("keys.json: kids %v, generation %d", kidsOf(t, p), file.SigningKeys["tokens"])
	}
	if got := file.Providers["tokens"].MaxTokenLifetime; got != time.Second {
		t.Errorf("the cap is %s, want the SigningKey's 1s", got)
	}

	before := secretOf(t, ns, "chat.gatepost-bundle")
	if before.Labels[v1alpha1.LabelComponent] != v1alpha1.ComponentBundle || !metav1.IsControlledBy(before, p) {
		t.Errorf("the bundle is not marked as ours: %v", before.ObjectMeta)
	}
	remove(t, before.DeepCopy())
	eventually(t, func() string {
		after := secretOf(t, ns, "chat.gatepost-bundle")
		if after == nil || after.UID == before.UID || len(after.Data) == 0 {
			return "it is not back"
		}
		return ""
	})
	if _, again, _ := bundleOf(t, p); again.Revision <= file.Revision {
		t.Errorf("the revision went from %d to %d: sidecars would refuse it", file.Revision, again.Revision)
	}

	broken := secretOf(t, ns, "chat.gatepost-bundle")
	change(t, broken, func(secret *corev1.Secret) { secret.Data[v1alpha1.BundleKeysKey] = []byte("torn") })
	eventually(t, func() string {
		if bytes.Equal(secretOf(t, ns, "chat.gatepost-bundle").Data[v1alpha1.BundleKeysKey], []byte("torn")) {
			return "an edit by hand was not put right"
		}
		return ""
	})
}

func TestABundleOfSomebodyElseIsNotTouched(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	create(t, secretWith(ns, "laravel", map[string]string{"current": goodSecret}))
	create(t, secretWith(ns, "chat.gatepost-bundle", map[string]string{"mine": "1"}))
	p := agentPolicy(ns, "chat", bySecret("current"))
	create(t, p)
	policyHas(t, p, programmed, no, v1alpha1.ReasonBundleConflict)
	if got := secretOf(t, ns, "chat.gatepost-bundle"); len(got.Data) != 1 || len(got.OwnerReferences) > 0 {
		t.Errorf("the Secret was touched: %v", got.ObjectMeta)
	}
	remove(t, secretOf(t, ns, "chat.gatepost-bundle"))
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
}

// An invalid edit never stops a key update: the last policy stays in force with
// current keys.
func TestAnInvalidEditKeepsThePolicyAndUpdatesTheKeys(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	key.Spec.Rotation.RetireAfter = seconds(3600) // the old key stays for as long as the test looks
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	keyHas(t, key, ready, yes, v1alpha1.ReasonReady)
	want := secretOf(t, ns, "chat.gatepost-bundle").Data[v1alpha1.BundlePolicyKey]

	change(t, p, func(p *v1alpha1.AgentAuthPolicy) {
		p.Spec.JWT.ClaimToHeaders = []policy.ClaimToHeader{{Claim: "sub", Header: "Host"}}
	})
	policyHas(t, p, accepted, no, v1alpha1.ReasonInvalid)
	policyHas(t, p, programmed, no, v1alpha1.ReasonNotAccepted)
	hasEvent(t, p, v1alpha1.ReasonInvalid, "spec.jwt.claimToHeaders")
	annotate(t, key, v1alpha1.AnnotationRotateNow, "1")
	eventually(t, func() string {
		if kids := kidsOf(t, p); len(kids) != 2 {
			return fmt.Sprintf("the bundle holds %v", kids)
		}
		return ""
	})
	got := secretOf(t, ns, "chat.gatepost-bundle").Data[v1alpha1.BundlePolicyKey]
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("policy.json changed (-want +got):\n%s", diff)
	}

	change(t, p, func(p *v1alpha1.AgentAuthPolicy) { p.Spec.JWT.ClaimToHeaders = nil })
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
}

func TestWhatIsNotBuiltYetIsNotAccepted(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	create(t, secretWith(ns, "laravel", map[string]string{"current": goodSecret}))
	p := agentPolicy(ns, "chat", bySecret("current"))
	p.Spec.ProtectedResource = &policy.ProtectedResource{Resource: "https://chat.example.com"}
	create(t, p)
	policyHas(t, p, accepted, no, v1alpha1.ReasonNotSupportedYet)
	policyHas(t, p, programmed, no, v1alpha1.ReasonNotAccepted)
	hasEvent(t, p, v1alpha1.ReasonNotSupportedYet, "spec.protectedResource")
	if _, _, found := bundleOf(t, p); found {
		t.Error("a bundle was written")
	}
}

func TestReferencesAreFollowedAndChecked(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	p := agentPolicy(ns, "chat", bySecret("current", "previous"))
	create(t, p)
	policyHas(t, p, accepted, yes, v1alpha1.ReasonAccepted)
	policyHas(t, p, resolved, no, v1alpha1.ReasonSecretNotFound)
	policyHas(t, p, programmed, no, v1alpha1.ReasonRefsUnresolved)
	hasEvent(t, p, v1alpha1.ReasonSecretNotFound, "create it")

	secret := secretWith(ns, "laravel", map[string]string{"other": goodSecret})
	create(t, secret)
	policyHas(t, p, resolved, no, v1alpha1.ReasonSecretKeyNotFound)
	set := func(data map[string]string) {
		change(t, secret, func(secret *corev1.Secret) { secret.StringData = data })
	}
	set(map[string]string{"current": "short"})
	policyHas(t, p, resolved, no, v1alpha1.ReasonSecretTooShort)
	set(map[string]string{"current": "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----"})
	policyHas(t, p, resolved, no, v1alpha1.ReasonSecretLooksLikeKey)
	if _, _, found := bundleOf(t, p); found {
		t.Error("a bundle without a usable key was written")
	}

	set(map[string]string{"current": goodSecret})
	policyHas(t, p, resolved, yes, v1alpha1.ReasonResolvedRefs)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	set(map[string]string{"current": "short", "previous": goodSecret + "2"})
	policyHas(t, p, resolved, no, v1alpha1.ReasonSecretTooShort)
	eventually(t, func() string {
		if kids := kidsOf(t, p); !slices.Equal(kids, []string{"current", "previous"}) {
			return fmt.Sprintf("the bundle holds %v", kids)
		}
		return ""
	})
	_, file, _ := bundleOf(t, p)
	if got := string(file.Providers["tokens"].Keys[0].K); got != goodSecret {
		t.Error("a bad value replaced the last good one")
	}
	remove(t, secret)
	policyHas(t, p, resolved, no, v1alpha1.ReasonSecretNotFound)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	if kids := kidsOf(t, p); !slices.Equal(kids, []string{"current", "previous"}) {
		t.Errorf("the deleted Secret took its keys along: %v", kids)
	}
	isNowhere(t, ns, []byte(goodSecret))
}

func TestAProviderOfTheWrongKindIsSaid(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	create(t, signingKey(ns, "tokens"))
	p := agentPolicy(ns, "chat", policy.Provider{
		Algorithms: []policy.Algorithm{"ES256"}, SigningKeyRef: &policy.SigningKeyRef{Name: "tokens"},
	})
	create(t, p)
	policyHas(t, p, resolved, no, v1alpha1.ReasonAlgorithmMismatch)
	hasEvent(t, p, v1alpha1.ReasonAlgorithmMismatch, "HS256")
}

const publicJWKS = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"oct","k":"AAAA"}]}`

func TestAKeySetIsTakenFromAConfigMap(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	p := agentPolicy(ns, "chat", policy.Provider{
		Algorithms: []policy.Algorithm{"EdDSA"},
		LocalJWKS:  &policy.LocalJWKS{ConfigMapRef: &policy.KeyRef{Name: "idp", Key: "jwks.json"}},
	})
	create(t, p)
	policyHas(t, p, resolved, no, v1alpha1.ReasonConfigMapNotFound)
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "idp"}, Data: map[string]string{"other": publicJWKS}}
	create(t, configMap)
	policyHas(t, p, resolved, no, v1alpha1.ReasonConfigMapKeyNotFound)
	set := func(text string) {
		change(t, configMap, func(c *corev1.ConfigMap) { c.Data = map[string]string{"jwks.json": text} })
	}
	set(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)
	policyHas(t, p, resolved, no, v1alpha1.ReasonInvalidKeySet)
	set(publicJWKS)
	policyHas(t, p, resolved, yes, v1alpha1.ReasonResolvedRefs)
	if kids := kidsOf(t, p); !slices.Equal(kids, []string{"a"}) {
		t.Errorf("the bundle holds %v", kids)
	}
}

func TestCertificatesAreTakenFromAConfigMapOrASecret(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	remote := func(kind string) *policy.RemoteJWKS {
		return &policy.RemoteJWKS{URI: "https://idp.example/jwks", CABundleRef: &policy.CABundleRef{Kind: kind, Name: "ca", Key: "ca.crt"}}
	}
	p := agentPolicy(ns, "chat", policy.Provider{Algorithms: []policy.Algorithm{"EdDSA"}, RemoteJWKS: remote("")})
	create(t, p)
	policyHas(t, p, resolved, no, v1alpha1.ReasonConfigMapNotFound)
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "ca"}, Data: map[string]string{"ca.crt": "rubbish"}}
	create(t, configMap)
	policyHas(t, p, resolved, no, v1alpha1.ReasonInvalidCABundle)
	holds := func(want string) {
		t.Helper()
		eventually(t, func() string {
			if _, file, _ := bundleOf(t, p); file.Providers["tokens"].CABundle != want {
				return "the bundle has other certificates"
			}
			return ""
		})
	}
	for serial := range int64(2) {
		text := controller.Certificate(t, serial+1)
		change(t, configMap, func(c *corev1.ConfigMap) { c.Data["ca.crt"] = text })
		policyHas(t, p, resolved, yes, v1alpha1.ReasonResolvedRefs)
		holds(text)
	}
	text := controller.Certificate(t, 3)
	create(t, secretWith(ns, "ca", map[string]string{"ca.crt": text}))
	change(t, p, func(p *v1alpha1.AgentAuthPolicy) { p.Spec.JWT.Providers[0].RemoteJWKS = remote("Secret") })
	holds(text)
}

func TestTheOlderOfTwoPoliciesWins(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	create(t, secretWith(ns, "laravel", map[string]string{"current": goodSecret}))
	create(t, chatPod(ns, "chat-1", "elder"))
	elder := agentPolicy(ns, "elder", bySecret("current"))
	create(t, elder)
	policyHas(t, elder, accepted, yes, v1alpha1.ReasonAccepted)
	time.Sleep(1100 * time.Millisecond) // creation times have seconds
	younger := agentPolicy(ns, "a-younger", bySecret("current"))
	create(t, younger)
	policyHas(t, younger, accepted, no, v1alpha1.ReasonConflicted)
	hasEvent(t, younger, v1alpha1.ReasonConflicted, "elder")
	policyHas(t, elder, accepted, yes, v1alpha1.ReasonAccepted)

	remove(t, elder)
	policyHas(t, younger, accepted, yes, v1alpha1.ReasonAccepted)
}

func TestPodsAreToldOfEveryNewBundle(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	key.Spec.Rotation.RetireAfter = seconds(3600) // the old key stays for as long as the test looks
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	pods := []*corev1.Pod{chatPod(ns, "chat-1", "chat"), chatPod(ns, "chat-2", "chat")}
	for _, pod := range pods {
		create(t, pod)
		sidecarIs(t, pod, serving())
	}
	relabelled := chatPod(ns, "relabelled", "chat") // its sidecar verifies all the same
	relabelled.Labels = map[string]string{"app": "other"}
	create(t, relabelled)
	pods = append(pods, relabelled)
	bystander := chatPod(ns, "other", "tools")
	bystander.Labels = map[string]string{"app": "other"}
	create(t, bystander)
	told := func() string {
		_, file, _ := bundleOf(t, p)
		for _, pod := range pods {
			if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
				return err.Error()
			}
			if got := pod.Annotations[v1alpha1.AnnotationBundleRevision]; got != strconv.FormatInt(file.Revision, 10) {
				return fmt.Sprintf("pod %s was told of %q, the bundle has %d", pod.Name, got, file.Revision)
			}
		}
		return ""
	}
	eventually(t, told)
	policyHas(t, p, enforced, yes, v1alpha1.ReasonEnforced)
	eventually(t, func() string {
		if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			return err.Error()
		}
		return cmp.Diff(v1alpha1.PodCounts{Selected: 2, Injected: 2, Programmed: 2}, p.Status.Pods)
	})

	annotate(t, key, v1alpha1.AnnotationRotateNow, "1")
	eventually(t, func() string {
		if kids := kidsOf(t, p); len(kids) != 2 {
			return fmt.Sprintf("the bundle holds %v", kids)
		}
		return told()
	})
	if err := world.api.Get(t.Context(), client.ObjectKeyFromObject(bystander), bystander); err != nil {
		t.Fatal(err)
	}
	if value, told := bystander.Annotations[v1alpha1.AnnotationBundleRevision]; told {
		t.Errorf("a pod that does not mount the bundle was told of %s", value)
	}
}

func TestPodsThatAreNotGuardedAreReported(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	create(t, secretWith(ns, "laravel", map[string]string{"current": goodSecret}))
	p := agentPolicy(ns, "chat", bySecret("current"))
	create(t, p)
	bare := chatPod(ns, "bare", "")
	create(t, bare)
	policyHas(t, p, enforced, no, v1alpha1.ReasonPodsNotInjected)
	hasEvent(t, p, v1alpha1.ReasonPodsNotInjected, "bare")
	if p.Status.Pods.Outdated != 1 || p.Status.Pods.Injected != 0 {
		t.Errorf("pods %+v", p.Status.Pods)
	}
	remove(t, bare)
	policyHas(t, p, enforced, no, v1alpha1.ReasonNoPodsSelected)

	pod := chatPod(ns, "chat-1", "chat")
	create(t, pod)
	policyHas(t, p, enforced, no, v1alpha1.ReasonPodsNotReady)
	sidecarIs(t, pod, serving())
	policyHas(t, p, enforced, yes, v1alpha1.ReasonEnforced)

	exit := &corev1.ContainerStateTerminated{ExitCode: 3, Message: "port 8000 is taken by another process in this pod", FinishedAt: metav1.Now()}
	sidecarIs(t, pod, corev1.ContainerStatus{
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: exit},
	})
	policyHas(t, p, enforced, no, v1alpha1.ReasonPortTaken)
	hasEvent(t, p, v1alpha1.ReasonPortTaken, "chat-1")
	back := serving()
	back.LastTerminationState.Terminated = exit
	sidecarIs(t, pod, back)
	policyHas(t, p, enforced, yes, v1alpha1.ReasonEnforced)
}

// Nothing of ours holds a namespace back.
func TestANamespaceWithEverythingInItIsDeleted(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	key := signingKey(ns, "tokens")
	key.Spec.Rotation.RetireAfter, key.Spec.Rotation.Interval = seconds(13), seconds(15)
	p := agentPolicy(ns, "chat", bySigningKey("tokens"))
	create(t, key)
	create(t, p)
	create(t, chatPod(ns, "chat-1", "chat"))
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
	began := time.Now()
	if _, err := world.cluster.Kubectl(t.Context(), "delete", "namespace", ns, "--wait=false"); err != nil {
		t.Fatal(err)
	}
	for {
		var namespace corev1.Namespace
		err := world.api.Get(t.Context(), client.ObjectKey{Name: ns}, &namespace)
		if apierrors.IsNotFound(err) {
			break
		}
		if took := time.Since(began); took > patience {
			t.Fatalf("the namespace is still there after %s: %+v", took, namespace.Status)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("figure: namespace_deletion %.1f s", time.Since(began).Seconds())
}

func TestNamesLeaveRoomForSuffixes(t *testing.T) {
	t.Parallel()
	ns := world.cluster.Namespace(t)
	create(t, secretWith(ns, "laravel", map[string]string{"current": goodSecret}))
	p := agentPolicy(ns, strings.Repeat("a", v1alpha1.MaxNameLength), bySecret("current"))
	create(t, p)
	policyHas(t, p, programmed, yes, v1alpha1.ReasonProgrammed)
}
