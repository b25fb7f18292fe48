package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Stubborn is what was seen when a back end had its key from the environment and
// was not restarted after a rotation.
type Stubborn struct {
	Old, New string
	Waited   time.Duration // from the switch until the status said so
	Said     string        // the condition
	Counted  float64       // gatepost_retired_key_used_total, which the alert is made of
	Kept     bool          // the old key was live until the back end was restarted
	Retired  time.Duration // from the restart until the old key was gone
	After    string        // the condition then
	Tally    Tally
}

// stubbornWithin bounds each wait: the longest is for twice retireAfter.
const stubbornWithin = 3 * time.Minute

// NeverRestarts rotates the key of an agent that was hastened while the back end
// goes on with the old one, and restarts the back end once the status says so.
func (a *Agent) NeverRestarts(ctx context.Context, tell func(string)) (Stubborn, error) {
	var s Stubborn
	old, err := a.Signer.Key(ctx)
	if err != nil {
		return s, err
	}
	a.Signer.Keep()
	s.Old = old.KID
	load := a.Load(8)
	load.During(ctx, func() { err = a.outlast(ctx, &s, tell) })
	s.Tally = load.Tally()
	if err != nil {
		err = errors.Join(err, a.whatIsWrong(ctx))
	}
	return s, err
}

// SwitchWithoutSigner rotates the key while the back end goes on with the old one,
// whose id it returns, until the new one is the active one.
func (a *Agent) SwitchWithoutSigner(ctx context.Context) (string, error) {
	old, err := a.Signer.Key(ctx)
	if err != nil {
		return "", err
	}
	a.Signer.Keep()
	_, err = a.switchFrom(ctx, old.KID, func(string) {})
	return old.KID, err
}

// switchFrom rotates the key and waits for its successor, whose id it returns.
func (a *Agent) switchFrom(ctx context.Context, old string, tell func(string)) (fresh string, err error) {
	if err := a.AskForRotation(ctx); err != nil {
		return "", err
	}
	err = a.untilKey(ctx, "the next key signs", tell, func(key *v1alpha1.SigningKey) bool {
		fresh = key.Status.ActiveKeyID
		return fresh != "" && fresh != old
	})
	return fresh, err
}

func (a *Agent) outlast(ctx context.Context, s *Stubborn, tell func(string)) (err error) {
	if s.New, err = a.switchFrom(ctx, s.Old, tell); err != nil {
		return err
	}
	began := time.Now()
	want := v1alpha1.ConditionDegraded + "=True/" + v1alpha1.ReasonRetiredKeyStillUsed
	err = a.untilKey(ctx, want, tell, func(key *v1alpha1.SigningKey) bool {
		s.Said = Condition(key.Status.Conditions, v1alpha1.ConditionDegraded)
		return strings.HasPrefix(s.Said, want)
	})
	if err != nil {
		return err
	}
	s.Waited = time.Since(began)
	if s.Counted, err = a.countRetiredUse(ctx); err != nil {
		return err
	}
	key, err := a.SigningKey(ctx)
	if err != nil {
		return err
	}
	s.Kept = live(key, s.Old)
	a.Signer.Restart()
	began = time.Now()
	err = a.untilKey(ctx, "the old key is gone", tell, func(key *v1alpha1.SigningKey) bool {
		s.After = Condition(key.Status.Conditions, v1alpha1.ConditionDegraded)
		return !live(key, s.Old)
	})
	s.Retired = time.Since(began)
	return err
}

// untilKey waits until something holds for the signing key's status.
func (a *Agent) untilKey(ctx context.Context, what string, tell func(string), holds func(*v1alpha1.SigningKey) bool) error {
	var told string
	return Eventually(ctx, stubbornWithin, func(ctx context.Context) error {
		key, err := a.SigningKey(ctx)
		if err != nil {
			return err
		}
		if phases := describePhases(key.Status.Keys); phases != told {
			told = phases
			tell(phases)
		}
		if !holds(key) {
			return fmt.Errorf("waiting until %s: %s; %s; %s", what, told,
				Condition(key.Status.Conditions, v1alpha1.ConditionRotating), Condition(key.Status.Conditions, v1alpha1.ConditionDegraded))
		}
		return nil
	})
}

func live(key *v1alpha1.SigningKey, kid string) bool {
	return slices.ContainsFunc(key.Status.Keys, func(k v1alpha1.KeyStatus) bool { return k.KID == kid })
}

// countRetiredUse waits until the metric that the alert is made of has counted.
func (a *Agent) countRetiredUse(ctx context.Context) (counted float64, err error) {
	const metric = "gatepost_retired_key_used_total"
	err = Eventually(ctx, time.Minute, func(ctx context.Context) error {
		samples, err := a.ScrapeControllers(ctx)
		if err != nil {
			return err
		}
		counted = SumBy(samples, metric, "name", map[string]string{"namespace": a.Namespace})[KeyName]
		if counted == 0 {
			return fmt.Errorf("%s has not counted", metric)
		}
		return nil
	})
	return counted, err
}

// Findings judges the scene.
func (s Stubborn) Findings() []Finding {
	old, fresh := s.Tally.Accepted[s.Old].Count, s.Tally.Accepted[s.New].Count
	return append(s.Tally.Findings(),
		found(s.Kept, "the old key, while it was used", "still live: "+fmt.Sprint(s.Kept)),
		found(strings.Contains(s.Said, s.Old), "the condition names the key that is still used", s.Said),
		found(s.Counted > 0, "gatepost_retired_key_used_total", fmt.Sprint(s.Counted)),
		found(old > 0 && fresh > 0, "requests accepted by the old key and by the new", fmt.Sprintf("%d, %d", old, fresh)),
		found(!strings.HasPrefix(s.After, v1alpha1.ConditionDegraded+"=True"), "the condition once the old key is gone", s.After),
	)
}

// Figures are the numbers of the scene.
func (s Stubborn) Figures() []Figure {
	return []Figure{
		{"retired_key_used_said_after", s.Waited.Seconds(), "seconds"},
		{"retired_key_used_requests", float64(s.Tally.Accepted[s.Old].Count), "requests"},
		{"retired_key_used_valid_tokens_refused", float64(len(s.Tally.Refused)), "requests"},
		{"retired_key_used_gone_after_restart", s.Retired.Seconds(), "seconds"},
	}
}
