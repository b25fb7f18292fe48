package rollcall

import (
	"crypto/rand"
	"runtime"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// What one pod costs per round: one question, from the schedule to the answer.
//
//	go test -bench . -run '^$' ./controller/rollcall
func BenchmarkQuestion(b *testing.B) {
	address := serve(b, sidecar(b, "pod-1", 7))
	a := asker{timeout: 10 * time.Second, random: rand.Reader}
	for b.Loop() {
		if got := a.ask(b.Context(), questionFor(address)); got.problem != "" {
			b.Fatal(got.problem)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	body := signed(b, stateOf("pod-1", 7), ackKey, "fresh")
	for b.Loop() {
		if got := judge(body, question{uid: "pod-1", key: ackKey}, "fresh"); got.problem != "" {
			b.Fatal(got.problem)
		}
	}
}

// What the table costs for 5,000 pods: an Expect that changes nothing, one that
// changes the revision, all questions of a round but for the network, a Report.
func BenchmarkTable(b *testing.B) {
	const pods = 5000
	expected, marked := podsOf("pod", pods, false), podsOf("pod", pods, true)
	call := Call{Pods: marked, AckKey: ackKey, Revision: 7, Every: time.Minute, Keys: heardOn}
	fill := func() (*table, time.Time) {
		t, now := newTable(Options{}.complete()), noon
		t.expect(chat, call, now)
		round(t, now, 7)
		return t, now
	}
	perPod := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pods, "ns/pod")
	}
	b.Run("Expect", func(b *testing.B) {
		t, now := fill()
		for b.Loop() {
			t.expect(chat, call, now)
		}
		perPod(b)
	})
	b.Run("Revision", func(b *testing.B) {
		t, now := fill()
		next := call
		for b.Loop() {
			next.Revision++
			next.Pods = expected
			t.expect(chat, next, now)
			next.Pods = marked
			t.expect(chat, next, now)
		}
		perPod(b)
	})
	b.Run("Round", func(b *testing.B) {
		t, now := fill()
		for b.Loop() {
			now = now.Add(2 * time.Minute)
			round(t, now, 7)
		}
		perPod(b)
	})
	b.Run("Report", func(b *testing.B) {
		t, now := fill()
		for b.Loop() {
			if n := len(t.groups[chat].report(now).Answers); n != pods {
				b.Fatal(n)
			}
		}
		perPod(b)
	})
}

// round asks everybody who is due.
func round(t *table, now time.Time, revision int64) {
	for {
		errands, _ := t.take(now)
		if len(errands) == 0 {
			return
		}
		for _, e := range errands {
			t.settle(e, loaded(revision)(e.question), now)
		}
	}
}

// A pod costs little memory, however long it is asked.
func TestMemoryOfThousandsOfPods(t *testing.T) {
	const pods, most = 20000, 1500 // bytes each
	names := podsOf("pod", pods, true)
	before := liveBytes()
	roll := newTable(Options{}.complete())
	now := noon
	roll.expect(chat, Call{Pods: names, AckKey: ackKey, Revision: 7, Every: time.Minute, Keys: heardOn}, now)
	for range 5 {
		now = now.Add(2 * time.Minute)
		for {
			errands, _ := roll.take(now)
			if len(errands) == 0 {
				break
			}
			for _, e := range errands {
				state := stateOf(string(e.uid), 7)
				state.LastAccepted = map[string]time.Time{"1-a": now.Add(-time.Duration(e.uid[len(e.uid)-1]) * time.Second)}
				roll.settle(e, reply{state: state}, now)
			}
		}
	}
	each := (liveBytes() - before) / pods
	t.Logf("figure: rollcall_memory_per_pod %d bytes", each)
	if each > most {
		t.Errorf("%d bytes per pod, want at most %d", each, most)
	}
	if n := len(roll.groups[types.NamespacedName{Namespace: chat.Namespace, Name: chat.Name}].members); n != pods {
		t.Fatal(n)
	}
	runtime.KeepAlive(names)
}

func liveBytes() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
