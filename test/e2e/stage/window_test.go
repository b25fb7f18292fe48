package stage

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWindowCountsWhatClientsGot(t *testing.T) {
	guard := answer{status: http.StatusUnauthorized, header: http.Header{"X-Gatepost-Decision": {"d"}}}
	agent := answer{status: http.StatusOK, header: http.Header{}}
	type event struct {
		kill  bool
		after time.Duration // from the beginning, when the request began or the kill was
		got   answer
		err   error
	}
	for name, test := range map[string]struct {
		events []event
		want   Window
	}{
		"an answer of the agent's without a kill is outside of any window": {
			events: []event{{got: guard}, {got: agent}},
			want:   Window{Guarded: 1, Reached: 1, Outside: 1, Open: []string{"p"}},
		},
		"after a kill it is in the window": {
			events: []event{{kill: true}, {got: agent, after: time.Second}, {err: errors.New("refused"), after: time.Second}},
			want:   Window{Reached: 1, Failed: 1, Open: []string{"p"}},
		},
		"the guard's next answer closes the window": {
			events: []event{{kill: true}, {got: guard, after: time.Second}, {got: agent, after: 2 * time.Second}},
			want:   Window{Guarded: 1, Reached: 1, Outside: 1, Open: []string{"p"}},
		},
		"the last answer of a dying guard does not": {
			events: []event{{kill: true, after: time.Second}, {got: guard, after: time.Second - time.Millisecond}, {got: agent, after: 2 * time.Second}},
			want:   Window{Guarded: 1, Reached: 1, Open: []string{"p"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			w := &windowWatch{killed: map[string]time.Time{}, first: map[string]time.Time{}}
			for _, e := range test.events {
				if e.kill {
					w.killed["p"] = began.Add(e.after)
				} else {
					w.count("p", began.Add(e.after), e.got, e.err)
				}
			}
			w.window.Longest = 0 // by the clock
			if diff := cmp.Diff(test.want, w.window); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryOpenPodNeedsAnAlarm(t *testing.T) {
	const alarm = "Enforced=False/PortTaken: delete the pods one, two"
	for name, test := range map[string]struct {
		window Window
		want   []string
	}{
		"named in the alarm":          {Window{Open: []string{"one", "two"}, Alarms: []string{alarm}}, nil},
		"not named":                   {Window{Open: []string{"one", "three"}, Alarms: []string{alarm}}, []string{"three"}},
		"named for something else":    {Window{Open: []string{"one"}, Alarms: []string{"Enforced=False/PodsNotReady: one"}}, []string{"one"}},
		"no agent was reached at all": {Window{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.window.unseen(); len(got) != len(test.want) || len(got) > 0 && got[0] != test.want[0] {
				t.Errorf("unseen %q, want %q", got, test.want)
			}
		})
	}
}
