package rollcall

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// nodes stands for the kubelets and sidecars of a cluster whose network and
// clock are simulated.
type nodes struct {
	mu     sync.Mutex
	loaded map[types.UID]int64 // revision
	dead   map[types.UID]bool
	most   int // questions at once
	busy   int
	asked  map[types.UID]int
	delay  time.Duration
}

func newNodes() *nodes {
	return &nodes{loaded: map[types.UID]int64{}, dead: map[types.UID]bool{}, asked: map[types.UID]int{}, delay: 5 * time.Millisecond}
}

func (n *nodes) load(uid types.UID, revision int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loaded[uid] = revision
}

// counts is how often each was asked.
func (n *nodes) counts() map[types.UID]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.asked)
}

func (n *nodes) ask(ctx context.Context, q question) reply {
	n.mu.Lock()
	n.busy++
	n.most = max(n.most, n.busy)
	n.asked[q.uid]++
	state := stateOf(string(q.uid), n.loaded[q.uid])
	dead, delay := n.dead[q.uid], n.delay
	n.mu.Unlock()
	if dead {
		delay = 2 * time.Second
	}
	select {
	case <-ctx.Done():
	case <-time.After(delay):
	}
	n.mu.Lock()
	n.busy--
	n.mu.Unlock()
	if dead {
		return reply{problem: Unreachable}
	}
	return reply{state: state}
}

// bubble runs a Roll over simulated nodes in a synctest bubble.
func bubble(t *testing.T, o Options, run func(*Roll, *nodes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		roll, n := New(o), newNodes()
		roll.ask = n.ask
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = roll.Start(ctx)
		}()
		synctest.Wait()
		defer func() { // also when run gives up
			cancel()
			<-done
		}()
		run(roll, n)
	})
}

func all(pods []Pod, revision int64, every time.Duration) Call {
	return Call{Pods: pods, AckKey: ackKey, Revision: revision, Every: every, Keys: heardOn}
}

func told(pods []Pod) []Pod {
	marked := make([]Pod, len(pods))
	for i, pod := range pods {
		pod.Told = true
		marked[i] = pod
	}
	return marked
}

func TestARolloutIsNoticedWithinASecond(t *testing.T) {
	t.Parallel()
	var noticed atomic.Pointer[time.Time]
	o := Options{Notify: func(types.NamespacedName) { noticed.Store(new(time.Now())) }}
	bubble(t, o, func(roll *Roll, n *nodes) {
		pods := podsOf("p", 10, false)
		roll.Expect(chat, all(pods, 0, time.Minute))
		time.Sleep(time.Minute)
		for i, delay := range []int{80, 80, 200, 320, 420, 440, 570, 790, 1000, 350} { // ms, as kubelets were measured
			uid := pods[i].UID
			time.AfterFunc(time.Duration(delay)*time.Millisecond, func() { n.load(uid, 7) })
		}
		changed := time.Now()
		roll.Expect(chat, all(pods, 7, time.Minute))
		roll.Expect(chat, all(told(pods), 7, time.Minute))
		time.Sleep(10 * time.Second)
		var last time.Duration
		for uid, answer := range roll.Report(chat).Answers {
			if answer.State.Revision != 7 {
				t.Fatalf("%s did not acknowledge", uid)
			}
			last = max(last, answer.First.Sub(changed))
		}
		within(t, "the last acknowledgement came after", last, time.Second, 1500*time.Millisecond)
		within(t, "and was told after", noticed.Load().Sub(changed), last, last+50*time.Millisecond)
		t.Logf("figure: rollcall_last_acknowledgement %.2f s", last.Seconds())
	})
}

func TestPodsThatHaveItAreAskedSeldom(t *testing.T) {
	t.Parallel()
	bubble(t, Options{}, func(roll *Roll, n *nodes) {
		pods := told(podsOf("p", 100, true))
		for _, pod := range pods {
			n.load(pod.UID, 7)
		}
		for range 120 { // reconciles change nothing
			roll.Expect(chat, all(pods, 7, time.Minute))
			time.Sleep(30 * time.Second)
		}
		for uid, times := range n.counts() {
			if times < 54 || times > 67 {
				t.Errorf("%s was asked %d times in an hour", uid, times)
			}
		}
		if n.most > 64 {
			t.Errorf("%d questions at once", n.most)
		}
	})
}

// Five thousand pods on nodes that are gone: the ten that live are asked in time,
// and the dead do not take the controller's time.
func TestThousandsOfDeadPods(t *testing.T) {
	t.Parallel()
	living := types.NamespacedName{Namespace: "agents", Name: "living"}
	bubble(t, Options{}, func(roll *Roll, n *nodes) {
		dead := told(podsOf("dead", 5000, true))
		for _, pod := range dead {
			n.dead[pod.UID] = true // nobody asks yet
		}
		roll.Expect(chat, all(dead, 7, time.Minute))
		time.Sleep(5 * time.Minute)
		for revision := int64(7); revision < 20; revision++ {
			pods := told(podsOf("p", 10, true))
			roll.Expect(living, all(pods, revision, time.Minute))
			for _, pod := range pods {
				n.load(pod.UID, revision)
			}
			began := time.Now()
			time.Sleep(10 * time.Second)
			for uid, answer := range roll.Report(living).Answers {
				if answer.State.Revision != revision || answer.First.Sub(began) > time.Second {
					t.Fatalf("%s acknowledged %d after %v", uid, answer.State.Revision, answer.First.Sub(began))
				}
			}
		}
		if n.most > 64 {
			t.Errorf("%d questions at once", n.most)
		}
		for uid, times := range n.counts() {
			if n.dead[uid] && times > 20 {
				t.Errorf("%s was asked %d times", uid, times)
			}
		}
	})
}

func TestAStoppedRollWaitsForItsQuestions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		roll, n := New(Options{}), newNodes()
		roll.ask, n.delay = n.ask, time.Hour
		roll.Expect(chat, all(told(podsOf("p", 10, true)), 7, time.Minute))
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := roll.Start(ctx); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if n.busy != 10 {
			t.Errorf("%d questions are under way", n.busy)
		}
		cancel()
		<-done
		if n.busy != 0 {
			t.Errorf("%d questions are still under way", n.busy)
		}
		for uid, answer := range roll.Report(chat).Answers {
			if answer.Problem != "" {
				t.Errorf("%s is blamed: %s", uid, answer.Problem)
			}
		}
	})
}

// Who listens may be slow: questions go on meanwhile, and nothing is missed.
func TestASlowListenerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	var listens atomic.Bool
	var heard atomic.Int64
	o := Options{Notify: func(types.NamespacedName) {
		for !listens.Load() {
			time.Sleep(time.Second)
		}
		heard.Add(1)
	}}
	bubble(t, o, func(roll *Roll, n *nodes) {
		pods := told(podsOf("p", 10, true))
		for _, pod := range pods {
			n.load(pod.UID, 7)
		}
		roll.Expect(chat, all(pods, 7, time.Minute))
		time.Sleep(10 * time.Minute)
		if got := count(roll, func(a Answer) bool { return time.Since(a.At) < 2*time.Minute }); got != 10 {
			t.Errorf("%d of 10 were asked while nobody listened", got)
		}
		listens.Store(true)
		time.Sleep(5 * time.Second)
		if got := heard.Load(); got != 2 { // that they are expected, and that they acknowledged
			t.Errorf("heard %d times", got)
		}
	})
}

func TestARollUnderManyHands(t *testing.T) {
	t.Parallel()
	roll, n := New(Options{Concurrency: 4, Notify: func(types.NamespacedName) {}}), newNodes()
	n.delay = time.Microsecond
	roll.ask = n.ask
	start(t, roll)
	var under sync.WaitGroup
	for hand := range 8 {
		under.Go(func() {
			name := types.NamespacedName{Namespace: "agents", Name: fmt.Sprint(hand % 3)}
			for step := range 200 {
				pods := told(podsOf("p", 1+step%17, true))
				roll.Expect(name, all(pods, int64(step), time.Millisecond))
				n.load(pods[0].UID, int64(step))
				roll.Told(name, pods[0].UID, int64(step))
				_ = roll.Report(name).Answers[pods[0].UID].State.Generations["web"]
				if step%50 == 49 {
					roll.Forget(name)
				}
			}
		})
	}
	under.Wait()
	for n := range 3 {
		roll.Forget(types.NamespacedName{Namespace: "agents", Name: fmt.Sprint(n)})
	}
	waitFor(t, func() bool {
		roll.mu.Lock()
		defer roll.mu.Unlock()
		return roll.table.busy == 0 && roll.table.suspected == 0
	})
}

func TestOfAnUnknownBundleNothingIsKnown(t *testing.T) {
	t.Parallel()
	roll := New(Options{})
	if report := roll.Report(chat); report.Answers != nil || !report.Since.IsZero() {
		t.Errorf("report %+v", report)
	}
	roll.Told(chat, "p", 1)
	roll.Forget(chat)
	if !roll.NeedLeaderElection() {
		t.Error("replicas that wait ask too")
	}
}
