package rollcall

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestPausesGrowToTenSeconds(t *testing.T) {
	t.Parallel()
	var got []time.Duration
	for n := range 12 {
		got = append(got, pause(n).Round(10*time.Millisecond))
	}
	want := []time.Duration{}
	for _, ms := range []int{300, 200, 300, 450, 680, 1010, 1520, 2280, 3420, 5130, 7690, 10000} {
		want = append(want, time.Duration(ms)*time.Millisecond)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	if pause(1<<40) != longestPause {
		t.Errorf("after very many questions the pause is %v", pause(1<<40))
	}
}

func TestPodsAreSpreadByATenth(t *testing.T) {
	t.Parallel()
	low, high := time.Hour, time.Duration(0)
	for n := range 1000 {
		d := spread(types.UID(fmt.Sprint("pod-", n)), time.Minute)
		low, high = min(low, d), max(high, d)
	}
	if low < 54*time.Second || low > 55*time.Second || high < 65*time.Second || high > 66*time.Second {
		t.Errorf("a minute is spread from %v to %v", low, high)
	}
}

func TestAQueueGivesWhatIsDueInOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var q queue
		var all []*member
		for n := range 50 {
			m := &member{due: noon.Add(time.Duration(random.IntN(100)) * time.Second), place: nowhere, round: n}
			heap.Push(&q, m)
			all = append(all, m)
		}
		var left []*member
		for _, m := range all {
			if random.IntN(3) == 0 {
				q.remove(m)
				q.remove(m) // once more does nothing
				continue
			}
			left = append(left, m)
		}
		now := noon.Add(50 * time.Second)
		var got []time.Time
		for m := q.take(now); m != nil; m = q.take(now) {
			got = append(got, m.due)
		}
		want := []time.Time{}
		var next time.Time
		for _, m := range left {
			if m.due.After(now) {
				next = earlier(next, m.due)
				continue
			}
			want = append(want, m.due)
		}
		slices.SortFunc(want, time.Time.Compare)
		if !slices.Equal(want, got) {
			t.Fatalf("taken %v, want %v", got, want)
		}
		if at, _ := q.next(now); !at.Equal(next) {
			t.Fatalf("next at %v, want %v", at, next)
		}
	}
}
