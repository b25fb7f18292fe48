package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
)

// patches is an API server that knows nothing but patches of pods.
type patches struct {
	client.Client
	delay time.Duration
	fails func(pod string) error

	mu    sync.Mutex
	got   []string // "pod=revision", in order
	busy  int
	most  int
	times []time.Time
}

// Patch notes what became of a pod.
func (p *patches) Patch(ctx context.Context, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
	p.mu.Lock()
	p.busy++
	p.most = max(p.most, p.busy)
	p.times = append(p.times, time.Now())
	p.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(p.delay):
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	if p.fails != nil {
		if err := p.fails(object.GetName()); err != nil {
			return err
		}
	}
	data, err := patch.Data(object)
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(data), v1alpha1.AnnotationBundleRevision+`":"`)
	revision, _, _ := strings.Cut(after, `"`)
	p.got = append(p.got, object.GetName()+"="+revision)
	return nil
}

// since returns what was patched after the first n.
func (p *patches) since(n int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got[min(n, len(p.got)):])
}

// attempts are when patches began.
func (p *patches) attempts() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.times)
}

// nudging runs a nudger over patches in a synctest bubble.
func nudging(t *testing.T, rate int, api *patches, run func(n *nudger)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg, err := Config{SidecarImage: image, NudgeRate: rate}.complete()
		if err != nil {
			t.Fatal(err)
		}
		n := newNudger(cfg)
		n.client = api
		n.told = func(types.NamespacedName, types.UID, int64, time.Duration) {}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := n.Start(ctx); err != nil {
				t.Error(err)
			}
		}()
		defer func() {
			cancel()
			<-done
			if api.busy != 0 {
				t.Errorf("%d patches are still under way", api.busy)
			}
		}()
		run(n)
	})
}

func bundleNamed(policy string) types.NamespacedName {
	return types.NamespacedName{Namespace: "agents", Name: v1alpha1.BundleName(policy)}
}

// mountingPods are n pods that mount the bundle of a policy.
func mountingPods(policy string, n int, told string) []corev1.Pod {
	pods := make([]corev1.Pod, n)
	for i := range pods {
		pods[i] = mounting(guarded(image, told, corev1.ContainerStatus{}), policy)
		pods[i].Name = fmt.Sprintf("%s-%03d", policy, i)
		pods[i].UID = types.UID("uid-" + pods[i].Name)
	}
	return pods
}

func TestEveryPodThatMountsTheBundleIsToldOnce(t *testing.T) {
	t.Parallel()
	api := &patches{delay: 5 * time.Millisecond}
	nudging(t, 1000, api, func(n *nudger) {
		chat := mountingPods("chat", 30, "6")
		pods := slices.Concat(chat, mountingPods("tools", 5, "6"))
		for range 5 { // reconciles come as they like
			n.expect(bundleNamed("chat"), 7, false, pods)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute / 2)
		n.expect(bundleNamed("chat"), 7, false, pods) // the cache still shows the old annotations
		time.Sleep(time.Second)
		want := []string{}
		for i := range chat {
			want = append(want, chat[i].Name+"=7")
		}
		got := api.since(0)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		api.mu.Lock()
		if api.most > nudgePlaces {
			t.Errorf("%d patches at once", api.most)
		}
		api.mu.Unlock()
		n.overlay(bundleNamed("chat"), chat)
		for i := range chat {
			if !toldOf(&chat[i], 7) {
				t.Errorf("%s does not show that it was told", chat[i].Name)
			}
		}
	})
}

func TestALaterRevisionReplacesAnEarlierOne(t *testing.T) {
	t.Parallel()
	api := &patches{delay: 100 * time.Millisecond}
	nudging(t, 1000, api, func(n *nudger) {
		pods := mountingPods("chat", 40, "6")
		n.expect(bundleNamed("chat"), 7, false, pods)
		time.Sleep(150 * time.Millisecond)
		n.expect(bundleNamed("chat"), 8, false, pods)
		time.Sleep(30 * time.Second)
		n.expect(bundleNamed("chat"), 8, false, pods) // those that were under way
		time.Sleep(30 * time.Second)
		last := map[string]string{}
		for _, entry := range api.since(0) {
			name, revision, _ := strings.Cut(entry, "=")
			if last[name] > revision {
				t.Errorf("%s was told of %s after %s", name, revision, last[name])
			}
			last[name] = revision
		}
		for i := range pods {
			if last[pods[i].Name] != "8" {
				t.Errorf("%s was last told of %s", pods[i].Name, last[pods[i].Name])
			}
		}
		if total := len(api.since(0)); total > 60 {
			t.Errorf("%d patches for 40 pods", total)
		}
	})
}

func TestARevocationGoesFirstAndBundlesTakeTurns(t *testing.T) {
	t.Parallel()
	api := &patches{delay: time.Millisecond}
	nudging(t, 10, api, func(n *nudger) {
		n.expect(bundleNamed("large"), 7, false, mountingPods("large", 500, "6"))
		time.Sleep(5 * time.Second)
		before := len(api.since(0))
		n.expect(bundleNamed("small"), 7, false, mountingPods("small", 5, "6"))
		time.Sleep(1100 * time.Millisecond)
		if got := strings.Count(strings.Join(api.since(before), " "), "small"); got != 5 {
			t.Errorf("in a second, %d of 5 pods of another bundle were told", got)
		}
		before = len(api.since(0))
		n.expect(bundleNamed("revoked"), 7, true, mountingPods("revoked", 20, "6"))
		time.Sleep(2100 * time.Millisecond)
		if got := strings.Count(strings.Join(api.since(before), " "), "revoked"); got != 20 {
			t.Errorf("in 2 s at 10 per second, %d of 20 pods heard of the revocation", got)
		}
	})
}

func TestNudgesKeepToTheirRate(t *testing.T) {
	t.Parallel()
	api := &patches{delay: time.Millisecond}
	nudging(t, 50, api, func(n *nudger) {
		n.expect(bundleNamed("chat"), 7, false, mountingPods("chat", 500, "6"))
		time.Sleep(time.Minute)
		times := api.attempts()
		first, last := times[0], times[len(times)-1]
		if took := last.Sub(first); len(times) != 500 || took < 8900*time.Millisecond || took > 9100*time.Millisecond {
			t.Errorf("%d pods were told in %v", len(times), took)
		}
	})
}

func TestAPodThatCannotBeToldHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	pods := schema.GroupResource{Resource: "pods"}
	api := &patches{fails: func(pod string) error {
		switch pod {
		case "chat-000":
			return errors.New("no")
		case "chat-001":
			return apierrors.NewNotFound(pods, pod)
		case "chat-002":
			return apierrors.NewConflict(pods, pod, errors.New("another uid"))
		}
		return nil
	}}
	var log strings.Builder
	nudging(t, 1000, api, func(n *nudger) {
		n.log = funcr.New(func(_, line string) { log.WriteString(line + "\n") }, funcr.Options{})
		pods := mountingPods("chat", 6, "6")
		for range 600 {
			n.expect(bundleNamed("chat"), 7, false, pods)
			time.Sleep(time.Second)
			for _, entry := range api.since(0) { // the cache follows
				name, revision, _ := strings.Cut(entry, "=")
				for i := range pods {
					if pods[i].Name == name {
						pods[i].Annotations = map[string]string{v1alpha1.AnnotationBundleRevision: revision}
					}
				}
			}
		}
		if got := len(api.since(0)); got != 3 {
			t.Errorf("%d of 3 pods were told: %v", got, api.since(0))
		}
		if attempts := len(api.attempts()); attempts < 12 || attempts > 60 {
			t.Errorf("%d attempts in ten minutes", attempts)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "chat-000") {
			t.Errorf("logged %q", log.String())
		}
	})
}

func TestWhoIsToldOfTheProgress(t *testing.T) {
	t.Parallel()
	api := &patches{delay: time.Millisecond}
	type word struct {
		pod   types.UID
		pause time.Duration
	}
	var words []word
	var mu sync.Mutex
	nudging(t, 10, api, func(n *nudger) {
		n.told = func(bundle types.NamespacedName, pod types.UID, revision int64, pause time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if bundle != bundleNamed("chat") || revision != 7 {
				t.Errorf("%v was told of %d", bundle, revision)
			}
			words = append(words, word{pod, pause})
		}
		n.expect(bundleNamed("chat"), 7, false, mountingPods("chat", 30, "6"))
		time.Sleep(10 * time.Second)
	})
	for i, said := range words {
		if last := i == len(words)-1; last != (said.pause == 0) {
			t.Errorf("word %d of %d has a pause of %v", i, len(words), said.pause)
		}
	}
	if len(words) != 30 || rollcall.Breather(10) != time.Second || rollcall.Breather(5000) != 5*time.Second {
		t.Errorf("%d words", len(words))
	}
}

func TestWhatIsForgottenIsToldNoMore(t *testing.T) {
	t.Parallel()
	api := &patches{delay: time.Millisecond}
	nudging(t, 10, api, func(n *nudger) {
		n.expect(bundleNamed("chat"), 7, false, mountingPods("chat", 100, "6"))
		time.Sleep(time.Second + time.Millisecond)
		n.forget(bundleNamed("chat"))
		before := len(api.since(0))
		time.Sleep(time.Minute)
		if more := api.since(before); len(more) > 1 {
			t.Errorf("told %v after that", more)
		}
		n.expect(bundleNamed("tools"), 7, false, mountingPods("tools", 1, "7"))
		if len(n.lists) != 0 || len(n.ring) != 0 {
			t.Errorf("%d bundles are remembered", len(n.lists))
		}
	})
}

func TestTheMemoryOfNudgesFades(t *testing.T) {
	t.Parallel()
	list, now := newNudgeList(bundleNamed("chat")), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	pods := mountingPods("chat", 2, "6")
	waiting := []nudge{{uid: pods[0].UID, name: "a"}, {uid: pods[1].UID, name: "b"}}
	list.replace(7, waiting, now)
	for n, found := list.take(now); found; n, found = list.take(now) {
		list.settle(n, 7, true, now)
	}
	shared := pods[0].Annotations
	list.overlay(pods)
	if shared[v1alpha1.AnnotationBundleRevision] != "6" {
		t.Error("the cache's own annotations were changed")
	}
	list.overlay(pods) // the cache has caught up
	if len(list.told) != 0 {
		t.Errorf("%d pods are remembered though the cache shows them", len(list.told))
	}
	list.told[pods[0].UID] = toldMark{7, now}
	list.replace(7, nil, now.Add(nudgeMemory+time.Second))
	if len(list.told) != 0 || !list.done() {
		t.Errorf("%d pods are remembered for ever", len(list.told))
	}
}

func TestTheNudgersOwnChangesWakeNobody(t *testing.T) {
	t.Parallel()
	const name = v1alpha1.AnnotationBundleRevision
	for sentence, test := range map[string]struct {
		was, now map[string]string
		agree    bool
	}{
		"it was told of the next revision":  {map[string]string{name: "6", "gatepost.dev/x": "1"}, map[string]string{name: "7", "gatepost.dev/x": "1"}, true},
		"it was told for the first time":    {nil, map[string]string{name: "7"}, true},
		"nothing changed":                   {map[string]string{name: "7"}, map[string]string{name: "7"}, true},
		"somebody set it back":              {map[string]string{name: "7"}, map[string]string{name: "6"}, false},
		"somebody removed it":               {map[string]string{name: "7"}, nil, false},
		"somebody made it no number":        {map[string]string{name: "7"}, map[string]string{name: "x"}, false},
		"it always was no number":           {map[string]string{name: "x"}, map[string]string{name: "x"}, true},
		"something else changed":            {map[string]string{"gatepost.dev/x": "1"}, map[string]string{"gatepost.dev/x": "2"}, false},
		"something else came with its next": {map[string]string{name: "6"}, map[string]string{name: "7", "gatepost.dev/x": "2"}, false},
		"something else went with its next": {map[string]string{name: "6", "gatepost.dev/x": "2"}, map[string]string{name: "7"}, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if got := annotationsAgree(test.was, test.now); got != test.agree {
				t.Errorf("agree: %v", got)
			}
		})
	}
}

// A policy with one pod that never acknowledges a revocation stays urgent, and
// may change as often as it likes.
func TestUrgentBundlesDoNotStarveTheRest(t *testing.T) {
	t.Parallel()
	api := &patches{}
	nudging(t, 50, api, func(n *nudger) {
		endless := mountingPods("endless", 100, "")
		n.expect(bundleNamed("endless"), 1, true, endless)
		n.expect(bundleNamed("chat"), 7, false, mountingPods("chat", 1, ""))
		for revision := int64(2); revision < 90; revision++ {
			time.Sleep(time.Second)
			n.expect(bundleNamed("endless"), revision, true, endless)
		}
		if !slices.Contains(api.since(0), "chat-000=7") {
			t.Errorf("after one and a half minutes and %d patches of urgent pods, the other pod was not told", len(api.since(0)))
		}
	})
}
