package fleet

import (
	"context"
	"fmt"
	"time"
)

// Traffic is requests with one signer's tokens to the pods of one policy.
type Traffic struct {
	// Signer makes the tokens, which live for Lifetime; default 1 s.
	Signer   *Signer
	Lifetime time.Duration
	// Policy guards the pods that the requests go to.
	Policy string
	// Every is the pause between two tokens; default 50 ms.
	Every time.Duration
	// Sample is to how many pods each token goes; zero: to all.
	Sample int
}

// still is how many unexpired tokens are presented again and again.
const still = 4

// Send sends requests until ctx ends: new tokens of the signer's key, earlier
// ones that are still valid, and forgeries with keys of its past. What must not
// happen is counted. The error is that of a signer that cannot sign.
func (f *Fleet) Send(ctx context.Context, t Traffic) error {
	if t.Every == 0 {
		t.Every = 50 * time.Millisecond
	}
	if t.Lifetime == 0 {
		t.Lifetime = time.Second
	}
	tick := time.NewTicker(t.Every)
	defer tick.Stop()
	var valid []Signed
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		valid = unexpired(valid, now)
		fresh, ok, err := t.Signer.Mint(now, t.Lifetime)
		if err != nil {
			return err
		}
		if ok {
			valid = append(valid, fresh)
			valid = valid[max(0, len(valid)-still):]
		}
		forged, err := t.Signer.forge(now, t.Lifetime)
		if err != nil {
			return err
		}
		for _, pod := range f.sample(t) {
			f.present(ctx, t.Signer, pod, valid)
			f.presentForged(ctx, t.Signer, pod, forged)
		}
	}
}

func unexpired(tokens []Signed, now time.Time) []Signed {
	var left []Signed
	for _, signed := range tokens {
		if now.Before(signed.Expires) {
			left = append(left, signed)
		}
	}
	return left
}

// sample chooses whom a token goes to.
func (f *Fleet) sample(t Traffic) []*Pod {
	pods := f.Pods(t.Policy)
	if t.Sample == 0 || len(pods) <= t.Sample {
		return pods
	}
	chosen := make([]*Pod, t.Sample)
	for i := range chosen {
		chosen[i] = pods[f.below(len(pods))]
	}
	return chosen
}

// present shows a pod valid tokens: the newest and one of the others.
func (f *Fleet) present(ctx context.Context, signer *Signer, pod *Pod, valid []Signed) {
	if len(valid) == 0 {
		return
	}
	shown := valid[len(valid)-1:]
	if len(valid) > 1 {
		shown = append(shown[:1:1], valid[f.below(len(valid)-1)])
	}
	for _, signed := range shown {
		now := time.Now()
		if !now.Before(signed.Expires) || f.ledger.revoked(signer.SigningKey, signed.KID) {
			continue
		}
		outcome, serves := pod.Verify(ctx, signed.JWS, now)
		switch {
		case !serves:
		case outcome.Verified.Valid():
			f.ledger.acceptedValid()
		case !f.ledger.revoked(signer.SigningKey, signed.KID):
			f.ledger.refuse(fmt.Sprintf("%s (revision %d) refused a valid token of %s key %s: %s",
				pod.Name, pod.Revision(), signer.SigningKey, signed.KID, outcome.Reason))
		}
	}
}

// presentForged shows a pod tokens of keys that were removed. One that has
// acknowledged the removal must refuse them.
func (f *Fleet) presentForged(ctx context.Context, signer *Signer, pod *Pod, forged []Signed) {
	for _, signed := range forged {
		removed := f.ledger.removal(signer.SigningKey, signed.KID)
		acknowledged := pod.Acknowledged(signer.SigningKey)
		if removed == 0 || acknowledged < removed {
			continue
		}
		outcome, serves := pod.Verify(ctx, signed.JWS, time.Now())
		switch {
		case !serves:
		case outcome.Verified.Valid():
			f.ledger.acceptRemoved(fmt.Sprintf("%s (revision %d) accepted a token of %s key %s, removed in generation %d, having acknowledged %d",
				pod.Name, pod.Revision(), signer.SigningKey, signed.KID, removed, acknowledged))
		default:
			f.ledger.refusedRemoved()
		}
	}
}
