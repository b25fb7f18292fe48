package stage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// What a rotation has to show.
const (
	enoughPerKey   = 500 // accepted requests, by the old key and by the new
	rotationWithin = 3 * time.Minute
)

// Rotation is what was seen of a key's replacement under load.
type Rotation struct {
	Old, New     string // key ids
	Tally        Tally
	Counted      map[string]float64 // gatepost_key_verifications_total, by kid, of all sidecars; of a removed key the last scrape
	Acknowledged time.Duration      // from the wish for another key until every pod had acknowledged it
	AfterEnd     answer             // to a token of the removed key
	Gone         time.Duration      // from the status that no longer names the old key until every sidecar refused it
}

// Rotate replaces the signing key while clients talk to the agent, and tells
// what is going on from time to time.
func (a *Agent) Rotate(ctx context.Context, tell func(string)) (Rotation, error) {
	old, err := a.Signer.Key(ctx)
	if err != nil {
		return Rotation{}, err
	}
	r := Rotation{Old: old.KID, Counted: map[string]float64{}}
	var removed error
	r.Tally = a.UnderLoad(ctx, func(load *Load) { removed = a.replace(ctx, load, &r, tell) })
	if removed != nil {
		return r, errors.Join(removed, a.whatIsWrong(ctx))
	}
	fresh, err := a.Signer.Key(ctx)
	if err != nil {
		return r, err
	}
	r.New = fresh.KID
	began := time.Now()
	if r.AfterEnd, err = a.useUntilRefused(ctx, old); err != nil {
		return r, err
	}
	r.Gone = time.Since(began)
	return r, a.countKeys(ctx, r.Counted)
}

// UnderLoad lets eight users talk to the agent while do runs, and returns what
// became of their requests.
func (a *Agent) UnderLoad(ctx context.Context, do func(*Load)) Tally {
	load := a.Load(8)
	load.During(ctx, func() { do(load) })
	return load.Tally()
}

// Load is a number of users, each of whom says hello to the agent's Service eight
// times a second.
func (a *Agent) Load(users int) *Load {
	return &Load{
		Client: a.Pod, Aim: a.AimAtService, Users: users, Pause: 125 * time.Millisecond, Lifetime: a.lifetime,
		Sign: func(ctx context.Context, lifetime time.Duration, withKID bool) (Token, error) {
			return a.Signer.Sign(ctx, Teacher(), lifetime, withKID)
		},
	}
}

// countKeys scrapes how often each key verified a token. The series of a key
// ends with the key, and then its last value stays.
func (a *Agent) countKeys(ctx context.Context, counted map[string]float64) error {
	samples, err := a.Scrape(ctx)
	if err != nil {
		return err
	}
	for kid, n := range SumBy(samples, "gatepost_key_verifications_total", "kid", nil) {
		counted[kid] = max(counted[kid], n)
	}
	return nil
}

// replace asks for a rotation once the old key has been used enough, and waits
// until it has been removed and the new one used enough.
func (a *Agent) replace(ctx context.Context, load *Load, r *Rotation, tell func(string)) error {
	err := Eventually(ctx, time.Minute, func(context.Context) error { return usedEnough(load.Tally(), r.Old) })
	if err != nil {
		return fmt.Errorf("using the first key: %w", err)
	}
	asked := time.Now()
	if err := a.AskForRotation(ctx); err != nil {
		return err
	}
	var told string
	return Eventually(ctx, rotationWithin, func(ctx context.Context) error {
		key, err := a.SigningKey(ctx)
		if err != nil {
			return err
		}
		if r.Acknowledged == 0 && acknowledged(key, r.Old) {
			r.Acknowledged = time.Since(asked)
		}
		if err := a.countKeys(ctx, r.Counted); err != nil {
			return err
		}
		if phases := describePhases(key.Status.Keys); phases != told {
			told = phases
			tell(phases)
		}
		if slices.ContainsFunc(key.Status.Keys, func(k v1alpha1.KeyStatus) bool { return k.KID == r.Old }) {
			return fmt.Errorf("key %s has not been removed: %s; %s", r.Old, told, Condition(key.Status.Conditions, "Rotating"))
		}
		return usedEnough(load.Tally(), key.Status.ActiveKeyID)
	})
}

// AskForRotation gives the signing key's annotation another value.
func (a *Agent) AskForRotation(ctx context.Context) error {
	return a.annotateKey(ctx, v1alpha1.AnnotationRotateNow, time.Now().UTC().Format(time.RFC3339Nano))
}

// Revoke says that nobody may be let in by a key any more.
func (a *Agent) Revoke(ctx context.Context, kid string) error {
	return a.annotateKey(ctx, v1alpha1.AnnotationRevokeKey, kid)
}

func (a *Agent) annotateKey(ctx context.Context, name, value string) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, name, value)
	if err := a.API.Patch(ctx, a.keyObject(), client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("annotating the signing key: %w", err)
	}
	return nil
}

func (a *Agent) keyObject() *v1alpha1.SigningKey {
	return &v1alpha1.SigningKey{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: KeyName}}
}

// acknowledged says whether every pod has acknowledged the successor of a key.
func acknowledged(key *v1alpha1.SigningKey, old string) bool {
	return slices.ContainsFunc(key.Status.Keys, func(k v1alpha1.KeyStatus) bool {
		return k.KID != old && k.Verifiers != nil && k.Verifiers.Total > 0 && k.Verifiers.Ready == k.Verifiers.Total
	})
}

func usedEnough(tally Tally, kid string) error {
	if n := tally.Accepted[kid].Count; n < enoughPerKey {
		return fmt.Errorf("%d requests accepted by key %q, want %d; refused: %q, unanswered: %q", n, kid, enoughPerKey, head(tally.Refused), head(tally.Unanswered))
	}
	return nil
}

func head(list []string) []string { return list[:min(len(list), 3)] }

func describePhases(keys []v1alpha1.KeyStatus) string {
	var phases []string
	for _, k := range keys {
		phase := k.KID + " " + k.Phase
		if v := k.Verifiers; v != nil {
			phase += fmt.Sprintf(" (%d of %d pods)", v.Ready, v.Total)
		}
		phases = append(phases, phase)
	}
	return strings.Join(phases, ", ")
}

// refusedWithin is how far a status that no longer names a key may be ahead of
// the sidecars: the way of a Secret into a pod.
const refusedWithin = 30 * time.Second

// useUntilRefused presents fresh tokens of a removed key to every pod, until all
// of them refuse.
func (a *Agent) useUntilRefused(ctx context.Context, removed Key) (answer, error) {
	pods, err := a.Pods(ctx, client.MatchingLabels{"app": AgentName})
	if err != nil {
		return answer{}, err
	}
	var got answer
	err = Eventually(ctx, refusedWithin, func(ctx context.Context) error {
		for _, pod := range pods {
			token, err := removed.Sign(Teacher(), time.Now(), a.lifetime, true)
			if err != nil {
				return err
			}
			if got, err = present(ctx, a.Pod, aimAt(pod).URL, token.Text, false); err != nil {
				return err
			}
			if got.status == http.StatusOK {
				return fmt.Errorf("pod %s accepts a token of the removed key %s", pod.Name, removed.KID)
			}
		}
		return nil
	})
	return got, err
}

// Overlap is how long tokens of both keys were accepted side by side.
func (r Rotation) Overlap() time.Duration {
	return r.Tally.Accepted[r.Old].Last.Sub(r.Tally.Accepted[r.New].First)
}

// Findings judges the rotation.
func (r Rotation) Findings() []Finding {
	old, fresh := r.Tally.Accepted[r.Old].Count, r.Tally.Accepted[r.New].Count
	return append(r.Tally.Findings(),
		found(r.Acknowledged > 0, "every pod acknowledged the new key, before it was used, after", r.Acknowledged.Round(time.Millisecond).String()),
		found(old >= enoughPerKey, "requests accepted by the old key", fmt.Sprint(old)),
		found(fresh >= enoughPerKey, "requests accepted by the new key", fmt.Sprint(fresh)),
		found(r.Overlap() > 0, "both keys accepted side by side", r.Overlap().Round(time.Millisecond).String()),
		found(r.Counted[r.Old] >= float64(old), "gatepost_key_verifications_total of the old key", fmt.Sprint(r.Counted[r.Old])),
		found(r.Counted[r.New] >= float64(fresh), "gatepost_key_verifications_total of the new key", fmt.Sprint(r.Counted[r.New])),
		found(r.AfterEnd.status == http.StatusUnauthorized && r.AfterEnd.byGuard(), "a token of the removed key", r.AfterEnd.String()),
	)
}

// Figure is a number that a run is remembered by.
type Figure struct {
	Name  string
	Value float64
	Unit  string
}

// Figures are the numbers of the rotation.
func (r Rotation) Figures() []Figure {
	return []Figure{
		{"rotation_accepted_by_old_key", float64(r.Tally.Accepted[r.Old].Count), "requests"},
		{"rotation_accepted_by_new_key", float64(r.Tally.Accepted[r.New].Count), "requests"},
		{"rotation_acknowledged_by_all_pods", r.Acknowledged.Seconds(), "seconds"},
		{"rotation_overlap", r.Overlap().Seconds(), "seconds"},
		{"rotation_valid_tokens_refused", float64(len(r.Tally.Refused)), "requests"},
		{"rotation_requests_without_answer", float64(len(r.Tally.Unanswered)), "requests"},
		{"rotation_removed_key_refused_within", r.Gone.Seconds(), "seconds"},
	}
}
