package corpus_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"gatepost.dev/gatepost/test/live"
)

// counters tell what the sidecar says of the request that came last: its
// metrics, its ring of denials and, for what passed, its log.
type counters struct {
	sidecar *live.Sidecar
	last    map[string]string // of the metrics
	denied  string            // id of the latest denial
	records int               // lines of the log that were read
}

func newCounters(s *live.Sidecar) *counters {
	c := &counters{sidecar: s}
	c.last = c.read()
	return c
}

var requestsTotal = regexp.MustCompile(`(?m)^gatepost_requests_total\{([^}]*)\} (\S+)$`)

// read scrapes gatepost_requests_total: its labels and the value.
func (c *counters) read() map[string]string {
	_, text := c.sidecar.Private("/metrics")
	values := map[string]string{}
	for _, m := range requestsTotal.FindAllStringSubmatch(text, -1) {
		values[m[1]] = m[2]
	}
	return values
}

// label is the value of one label.
func label(labels, name string) string {
	_, rest, _ := strings.Cut(labels, name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// next waits until one request more was counted, and returns its decision with
// its reason, and the rule that decided.
func (c *counters) next(t *testing.T) (reason, rule string) {
	t.Helper()
	c.sidecar.Await(t, "a request being counted", func(context.Context) bool {
		now := c.read()
		for labels, value := range now {
			if c.last[labels] != value {
				reason = label(labels, "decision") + " " + label(labels, "reason")
			}
		}
		if reason != "" {
			c.last = now
		}
		return reason != ""
	})
	switch {
	case strings.HasPrefix(reason, "exempt "):
		return reason, ""
	case strings.HasPrefix(reason, "allow "):
		return reason, c.logged(t)
	}
	return reason, c.remembered(t, reason)
}

// remembered is the rule of the latest denial, which must have the reason too.
func (c *counters) remembered(t *testing.T, reason string) (rule string) {
	t.Helper()
	c.sidecar.Await(t, "a denial being remembered", func(context.Context) bool {
		var ring struct {
			Decisions []struct{ ID, Decision, Reason, Rule string }
		}
		_, text := c.sidecar.Private("/decisions")
		if err := json.Unmarshal([]byte(text), &ring); err != nil {
			t.Fatalf("/decisions: %v in %q", err, text)
		}
		if len(ring.Decisions) == 0 || ring.Decisions[0].ID == c.denied {
			return false
		}
		latest := ring.Decisions[0]
		if got := latest.Decision + " " + latest.Reason; got != reason {
			t.Errorf("/decisions says %s, the metrics %s", got, reason)
		}
		c.denied, rule = latest.ID, latest.Rule
		return true
	})
	return rule
}

// logged is the rule in the record of the request that passed last.
func (c *counters) logged(t *testing.T) (rule string) {
	t.Helper()
	c.sidecar.Await(t, "the record of a request", func(context.Context) bool {
		lines := strings.Split(c.sidecar.Logs.String(), "\n")
		found := false
		for _, line := range lines[c.records:max(c.records, len(lines)-1)] {
			var record struct{ Msg, Decision, Rule string }
			if json.Unmarshal([]byte(line), &record) == nil && record.Msg == "request" && record.Decision == "allow" {
				rule, found = record.Rule, true
			}
		}
		if found {
			c.records = len(lines) - 1
		}
		return found
	})
	return rule
}
