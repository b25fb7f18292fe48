package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// enoughMinted is how many tokens each key has to sign: two seconds' worth.
const enoughMinted = 200

// MintedRotations is what was seen of an issuer's keys being replaced while it minted
// and guarded pods verified.
type MintedRotations struct {
	Keys     []string // in the order in which they signed
	Restarts int      // of pods of the issuer
	Kills    int      // of the controller that leads
	Tally    Minted
	Took     time.Duration
	Worst    time.Duration // from the wish for a key until it had signed enough
}

// RotateWhileMinting replaces the issuer's key n times while it mints 100 tokens a
// second. In every third rotation a pod of the issuer is restarted, in every third the
// controller that leads is killed.
func (i *Issuer) RotateWhileMinting(ctx context.Context, n int, tell func(string)) (*MintedRotations, error) {
	pods, err := i.Pods(ctx, client.MatchingLabels{"app": AgentName})
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, errors.New("the agent has no pod")
	}
	minter := i.minter()
	minter.Aim = func(n int) Aim { return aimAt(pods[n%len(pods)]) }
	r := &MintedRotations{}
	began := time.Now()
	minter.During(ctx, func() { err = r.play(ctx, i, minter, n, tell) })
	r.Took, r.Tally = time.Since(began), minter.Tally()
	if err != nil {
		err = errors.Join(err, i.whatIsWrong(ctx), i.said(ctx))
	}
	return r, err
}

func (r *MintedRotations) play(ctx context.Context, i *Issuer, minter *Minter, n int, tell func(string)) error {
	first, err := i.signedEnough(ctx, minter, "")
	if err != nil {
		return err
	}
	r.Keys = append(r.Keys, first)
	for pass := range n {
		asked := time.Now()
		signs, err := r.replace(ctx, i, minter, pass)
		if err != nil {
			return fmt.Errorf("rotation %d of %d: %w", pass+1, n, err)
		}
		r.Worst = max(r.Worst, signs)
		tell(fmt.Sprintf("%d: %s signs after %.1fs, the one before is gone after %.1fs, %d tokens so far", pass+1,
			r.Keys[len(r.Keys)-1], signs.Seconds(), time.Since(asked).Seconds(), sum(minter.Tally().Tokens)))
	}
	return nil
}

// replace asks for another key and waits until it signs, which takes the returned
// time, and the one before is gone.
func (r *MintedRotations) replace(ctx context.Context, i *Issuer, minter *Minter, pass int) (signs time.Duration, err error) {
	old := r.Keys[len(r.Keys)-1]
	asked := time.Now()
	if err := i.AskForRotation(ctx); err != nil {
		return 0, err
	}
	var troubles trouble
	switch pass % 3 {
	case 1:
		r.Restarts++
		troubles.later(ctx, func() error { return i.RestartPod(ctx) })
	case 2:
		r.Kills++
		troubles.later(ctx, func() error { return Eventually(ctx, time.Minute, i.KillLeader) })
	}
	fresh, err := i.signedEnough(ctx, minter, old)
	if err != nil {
		return 0, errors.Join(err, troubles.end())
	}
	r.Keys, signs = append(r.Keys, fresh), time.Since(asked)
	return signs, errors.Join(i.gone(ctx, old), troubles.end())
}

// MintWithoutWaiting is a rotation whose key does not wait for verifiers, with a pod
// held back, until a valid token is refused or half a minute is over.
func (i *Issuer) MintWithoutWaiting(ctx context.Context) (Minted, error) {
	patch := []byte(`{"spec":{"rotation":{"waitForVerifiers":false}}}`)
	key := &v1alpha1.SigningKey{ObjectMeta: metav1.ObjectMeta{Namespace: i.Namespace, Name: issuedKey}}
	if err := i.API.Patch(ctx, key, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return Minted{}, fmt.Errorf("taking the wait away: %w", err)
	}
	pods, err := i.Pods(ctx, client.MatchingLabels{"app": AgentName})
	if err != nil || len(pods) == 0 {
		return Minted{}, errors.Join(errors.New("the agent has no pod"), err)
	}
	minter := i.minter()
	minter.Aim = func(n int) Aim { return aimAt(pods[n%len(pods)]) }
	minter.During(ctx, func() { err = i.hurt(ctx, minter, pods[0]) })
	return minter.Tally(), err
}

func (i *Issuer) hurt(ctx context.Context, minter *Minter, pod corev1.Pod) error {
	if _, err := i.signedEnough(ctx, minter, ""); err != nil {
		return err
	}
	release, err := i.Hold(ctx, pod)
	if err != nil {
		return err
	}
	err = i.AskForRotation(ctx)
	_ = Eventually(ctx, 30*time.Second, func(context.Context) error { // the tally says how it went
		if err == nil && len(minter.Tally().Refused) == 0 {
			return errors.New("no token has been refused")
		}
		return nil
	})
	return errors.Join(err, release())
}

// signedEnough waits until another key than the old one is the active one and has
// signed enough tokens, and returns its id.
func (i *Issuer) signedEnough(ctx context.Context, minter *Minter, old string) (kid string, err error) {
	err = Eventually(ctx, rotationWithin, func(ctx context.Context) error {
		key, err := i.Key(ctx)
		if err != nil {
			return err
		}
		kid = key.Status.ActiveKeyID
		if signed := minter.Tally().Tokens[kid]; kid == "" || kid == old || signed < enoughMinted {
			return fmt.Errorf("key %q has signed %d tokens, want %d: %s; %s", kid, signed, enoughMinted,
				describePhases(key.Status.Keys), Condition(key.Status.Conditions, "Rotating"))
		}
		return nil
	})
	return kid, err
}

// gone waits until a key is not accepted any more.
func (i *Issuer) gone(ctx context.Context, kid string) error {
	return Eventually(ctx, rotationWithin, func(ctx context.Context) error {
		key, err := i.Key(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(key.Status.Keys, func(k v1alpha1.KeyStatus) bool { return k.KID == kid }) {
			return fmt.Errorf("key %s has not been removed: %s; %s", kid, describePhases(key.Status.Keys), Condition(key.Status.Conditions, "Rotating"))
		}
		return nil
	})
}

// least is how many tokens the key signed that signed least.
func (r *MintedRotations) least() int {
	least := sum(r.Tally.Tokens)
	for _, kid := range r.Keys {
		least = min(least, r.Tally.Tokens[kid])
	}
	return least
}

// Findings judges the rotations.
func (r *MintedRotations) Findings() []Finding {
	return append(r.Tally.Findings(),
		found(r.least() >= enoughMinted, "tokens signed by each key, at least", strconv.Itoa(r.least())),
		found(r.Restarts > 0 && r.Kills > 0, "pods of the issuer restarted, controllers killed", fmt.Sprintf("%d, %d", r.Restarts, r.Kills)))
}

// Figures are the numbers of the rotations.
func (r *MintedRotations) Figures() []Figure {
	minted := float64(sum(r.Tally.Tokens))
	return []Figure{
		{"minting_rotations", float64(len(r.Keys) - 1), "rotations"},
		{"minting_tokens", minted, "tokens"},
		{"minting_tokens_per_second", minted / r.Took.Seconds(), "tokens/s"},
		{"minting_tokens_per_key_least", float64(r.least()), "tokens"},
		{"minting_tokens_accepted_at_once", float64(sum(r.Tally.Young)), "tokens"},
		{"minting_tokens_accepted_before_their_end", float64(sum(r.Tally.Old)), "tokens"},
		{"minting_valid_tokens_refused", float64(len(r.Tally.Refused)), "requests"},
		{"minting_requests_without_answer", float64(len(r.Tally.Unanswered)), "requests"},
		{"minting_told_to_come_again", float64(r.Tally.Put), "requests"},
		{"minting_without_token", float64(len(r.Tally.Unminted)), "requests"},
		{"minting_issuer_pods_restarted", float64(r.Restarts), "pods"},
		{"minting_controllers_killed", float64(r.Kills), "kills"},
		{"minting_next_key_signs_worst", r.Worst.Seconds(), "seconds"},
	}
}
