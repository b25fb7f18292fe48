package stage

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// second returns the n-th second of a test.
func second(n int) time.Time { return time.Unix(1_800_000_000+int64(n), 0) }

func phases(pairs ...string) []v1alpha1.KeyStatus {
	var keys []v1alpha1.KeyStatus
	for i := 0; i < len(pairs); i += 2 {
		keys = append(keys, v1alpha1.KeyStatus{KID: pairs[i], Phase: pairs[i+1]})
	}
	return keys
}

func TestLedgerStampsWhatItSees(t *testing.T) {
	var l Ledger
	lagging := phases("a", "Active", "b", "Published")
	lagging[1].Verifiers = &v1alpha1.VerifierStatus{Ready: 1, Total: 2, Lagging: []string{"two"}}
	acknowledged := phases("a", "Active", "b", "Published")
	acknowledged[1].Verifiers = &v1alpha1.VerifierStatus{Ready: 2, Total: 2}
	l.Status(second(1), phases("a", "Active"))
	l.Status(second(2), lagging)
	l.Pod(second(2), second(3), "one", []string{"a", "b"})
	l.Pods(second(3), []string{"one", "two"})
	l.Pod(second(3), second(4), "two", []string{"a", "b"})
	l.Pods(second(4), []string{"one", "two"})
	l.Status(second(5), acknowledged)
	l.Status(second(6), phases("a", "Retiring", "b", "Active"))
	l.Status(second(7), nil) // a status without keys says nothing
	l.Status(second(8), phases("b", "Active"))
	l.Pod(second(8), second(9), "one", []string{"b"})
	l.Pods(second(9), []string{"one"}) // the other pod is gone
	want := map[string]KeyTimes{
		"a": {Active: second(1), Loaded: second(4), Gone: second(8), Dropped: second(9)},
		"b": {Published: second(2), Loaded: second(4), Acknowledged: second(5), Active: second(6), Lagging: []string{"two"}},
		"c": {},
	}
	for kid, times := range want {
		if diff := cmp.Diff(times, l.Times(kid)); diff != "" {
			t.Errorf("key %s (-want +got):\n%s", kid, diff)
		}
	}
	if diff := cmp.Diff([]string{"a"}, l.Gone()); diff != "" {
		t.Errorf("gone (-want +got):\n%s", diff)
	}
}

func TestLedgerHoldsAPodToWhatItSaid(t *testing.T) {
	for name, test := range map[string]struct {
		kids []string // that the pod answers after the key a was removed
		sent time.Time
		want bool
	}{
		"a request after the pod said that it dropped the key": {[]string{"b"}, second(5), true},
		"a request before it said so":                          {[]string{"b"}, second(3), false},
		"a pod that still has the key":                         {[]string{"a", "b"}, second(5), false},
	} {
		t.Run(name, func(t *testing.T) {
			var l Ledger
			l.Status(second(1), phases("a", "Retiring", "b", "Active"))
			l.Pod(second(1), second(1), "one", []string{"a", "b"})
			l.Status(second(2), phases("b", "Active"))
			l.Pod(second(3), second(4), "one", test.kids)
			if got := l.MustRefuse("one", "a", test.sent); got != test.want {
				t.Errorf("must refuse %v, want %v", got, test.want)
			}
			if l.MustRefuse("one", "b", test.sent) || l.MustRefuse("two", "a", test.sent) {
				t.Error("a live key, or a pod that was never asked, must refuse")
			}
		})
	}
}

func TestLedgerFindsPodsWithTheWrongKeys(t *testing.T) {
	for name, test := range map[string]struct {
		asked time.Time
		kids  []string
		good  bool
	}{
		"all that are live":                               {second(9), []string{"b"}, true},
		"a removed key that came back":                    {second(9), []string{"a", "b"}, false},
		"the key that signs is missing":                   {second(9), nil, false},
		"it is missing in an answer from before it did":   {second(2), nil, true},
		"a key that nobody has seen in the status so far": {second(9), []string{"b", "c"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var l Ledger
			l.Status(second(1), phases("a", "Active", "b", "Published"))
			l.Status(second(3), phases("b", "Active"))
			l.Pod(second(2), second(4), "one", []string{"b"})
			l.Pod(test.asked, second(10), "one", test.kids)
			if f := l.Findings()[0]; (f.Err == nil) != test.good {
				t.Errorf("%s: %s", f.What, f.Saw)
			}
		})
	}
}

func TestGhostsCountWhatTheyGot(t *testing.T) {
	g := &Ghosts{}
	g.note("one", "a", second(1), false, answer{status: http.StatusOK})
	if g.Findings()[0].Err == nil {
		t.Error("nothing was tried, and all is well")
	}
	g.note("one", "a", second(2), true, answer{status: http.StatusUnauthorized})
	for _, f := range g.Findings() {
		if f.Err != nil {
			t.Error(f.Err)
		}
	}
	g.note("one", "a", second(3), true, answer{status: http.StatusOK})
	if g.Findings()[1].Err == nil {
		t.Error("a token of a removed key was accepted, and all is well")
	}
}

func TestRefusalWatchTellsWhenAPodRefusedForGood(t *testing.T) {
	type note struct {
		sent, answered int
		status         int
	}
	for name, test := range map[string]struct {
		notes   []note
		refused []time.Duration
		late    []string
	}{
		"the first refusal after the last acceptance counts": {
			notes:   []note{{0, 1, 200}, {1, 2, 401}, {2, 3, 200}, {3, 4, 401}, {4, 5, 401}},
			refused: []time.Duration{4 * time.Second},
		},
		"no answer is none":                  {notes: []note{{0, 1, 200}, {1, 2, 503}}, late: []string{"one"}},
		"a pod that never refuses is late":   {notes: []note{{0, 1, 200}}, late: []string{"one"}},
		"so is one that accepts afterwards":  {notes: []note{{1, 2, 401}, {6, 7, 200}, {7, 8, 401}}, late: []string{"one"}},
		"one that was never asked is as bad": {late: []string{"one"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := corev1.Pod{}
			pod.Name = "one"
			w := newRefusalWatch(nil, Key{}, []corev1.Pod{pod})
			for _, n := range test.notes {
				w.note("one", second(n.sent), second(n.answered), n.status)
			}
			refused, late := w.end(second(0), second(5))
			if diff := cmp.Diff(test.refused, refused); diff != "" {
				t.Errorf("refused (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.late, late); diff != "" {
				t.Errorf("late (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMountOfABundleIsFound(t *testing.T) {
	const mountinfo = `
812 29 0:52 / /var/lib/kubelet/pods/u1/volumes/kubernetes.io~projected/kube-api-access rw shared:1 - tmpfs tmpfs rw
813 29 0:53 / /var/lib/kubelet/pods/u1/volumes/kubernetes.io~secret/gatepost-bundle rw shared:2 - tmpfs tmpfs rw
814 29 0:54 / /var/lib/kubelet/pods/u2/volumes/kubernetes.io~secret/gatepost-bundle rw shared:3 - tmpfs tmpfs rw
`
	const want = "/var/lib/kubelet/pods/u2/volumes/kubernetes.io~secret/gatepost-bundle"
	if got := parseMount(mountinfo, "u2", "gatepost-bundle"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := parseMount(mountinfo, "u3", "gatepost-bundle"); got != "" {
		t.Errorf("%q of a pod that is not there", got)
	}
}

func TestSpread(t *testing.T) {
	median, worst := Spread([]time.Duration{3, 1, 2})
	if median != 2 || worst != 3 {
		t.Errorf("median %d, worst %d, want 2 and 3", median, worst)
	}
	if median, worst := Spread(nil); median != 0 || worst != 0 {
		t.Errorf("of nothing: %d, %d", median, worst)
	}
}
