package keyring

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestUnsafeRotationsAreRefused(t *testing.T) {
	t.Parallel()
	bounds := Bounds{MinPrePublish: 2 * time.Minute, RetireMargin: 2 * time.Minute, ClockSkew: 10 * time.Second}
	for name, test := range map[string]struct {
		change func(*Spec)
		says   string
	}{
		"the defaults are safe":                                  {func(*Spec) {}, ""},
		"an overlap of lifetime, skew and margin is just enough": {func(s *Spec) { s.RetireAfter = 17*time.Minute + 10*time.Second }, ""},
		"an overlap a second shorter is not": {
			func(s *Spec) { s.RetireAfter = 17*time.Minute + 9*time.Second },
			"rotation.retireAfter is 17m9s: set it to at least 17m10s (maxTokenLifetime 15m0s + clock skew 10s + margin 2m0s)",
		},
		"a short prePublish is refused":                {func(s *Spec) { s.PrePublish = time.Minute }, "rotation.prePublish is 1m0s: set it to at least 2m0s"},
		"prePublish does not matter for imported keys": {func(s *Spec) { s.PrePublish, s.Imported = 0, true }, ""},
		"an interval within the overlap is refused":    {func(s *Spec) { s.Interval = 30 * time.Minute }, "rotation.interval is 30m0s: set it to more than 30m0s"},
		"no interval is safe":                          {func(s *Spec) { s.Interval = 0 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := hs256()
			test.change(&spec)
			err := Check(spec, bounds)
			switch {
			case test.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.says != "" && (!errors.Is(err, ErrUnsafeRotation) || !strings.Contains(err.Error(), test.says)):
				t.Errorf("want %q, got %v", test.says, err)
			}
			safe := Safe(spec, bounds)
			safe.Interval = 0
			if err := Check(safe, bounds); err != nil {
				t.Errorf("Safe is not: %v", err)
			}
		})
	}
}
