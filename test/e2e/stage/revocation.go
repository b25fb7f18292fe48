package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Revocation is what was seen when the key that signs was revoked.
type Revocation struct {
	KID          string
	Acknowledged time.Duration   // from the annotation until the status says that every pod refuses the key
	Refused      []time.Duration // from the annotation until a pod refused its tokens, for each pod
	Late         []string        // pods that accepted a token after the status had said so
	Again        time.Duration   // from the annotation until a token of the next key was accepted
}

// Worst is when the last pod refused the key.
func (r Revocation) Worst() time.Duration {
	_, worst := Spread(r.Refused)
	return worst
}

// revocationWithin is how long one revocation may take, with a fresh key in use.
const revocationWithin = time.Minute

// Revocations revokes the key that signs, n times, each time when the last one's
// successor is in use, while users talk to the agent. Do runs after the last one,
// under the same load.
func (a *Agent) Revocations(ctx context.Context, n int, do func(*Load) error) ([]Revocation, Tally, error) {
	var revoked sync.Map
	load := a.Load(8)
	load.Excused = func(kid string) bool { _, is := revoked.Load(kid); return is }
	var all []Revocation
	var err error
	load.During(ctx, func() {
		for range n {
			var r Revocation
			if r, err = a.revokeOne(ctx, load, &revoked); err != nil {
				err = errors.Join(fmt.Errorf("revocation %d of %d: %w", len(all)+1, n, err), a.whatIsWrong(ctx))
				return
			}
			all = append(all, r)
		}
		err = do(load)
	})
	return all, load.Tally(), err
}

func (a *Agent) revokeOne(ctx context.Context, load *Load, revoked *sync.Map) (Revocation, error) {
	key, err := a.inUse(ctx, load)
	if err != nil {
		return Revocation{}, err
	}
	pods, err := a.Pods(ctx, client.MatchingLabels{"app": AgentName})
	if err != nil {
		return Revocation{}, err
	}
	watch := newRefusalWatch(a, key, pods)
	asking, stop := context.WithCancel(ctx)
	defer stop()
	watch.start(asking)
	revoked.Store(key.KID, true)
	began := time.Now()
	if err := a.Revoke(ctx, key.KID); err != nil {
		return Revocation{}, err
	}
	acknowledged, err := a.acknowledged(ctx, key.KID)
	if err != nil {
		return Revocation{}, err
	}
	next, err := a.inUse(ctx, load)
	if err != nil {
		return Revocation{}, err
	}
	again := load.Tally().Accepted[next.KID].First
	stop()
	refused, late := watch.end(began, acknowledged)
	return Revocation{KID: key.KID, Acknowledged: acknowledged.Sub(began), Refused: refused, Late: late, Again: again.Sub(began)}, nil
}

// inUse waits until the signer has a key that is not revoked and users were let in by it.
func (a *Agent) inUse(ctx context.Context, load *Load) (Key, error) {
	var key Key
	err := Eventually(ctx, revocationWithin, func(ctx context.Context) error {
		var err error
		if key, err = a.Signer.Key(ctx); err != nil {
			return err
		}
		if load.Excused(key.KID) || load.Accepted(key.KID) == 0 {
			return fmt.Errorf("no user has been let in by key %s", key.KID)
		}
		return nil
	})
	return key, err
}

// acknowledged waits until the status says that every pod refuses a revoked key,
// and returns when that was seen.
func (a *Agent) acknowledged(ctx context.Context, kid string) (time.Time, error) {
	deadline := time.Now().Add(revocationWithin)
	for {
		key, err := a.SigningKey(ctx)
		if err != nil {
			return time.Time{}, err
		}
		last := key.Status.LastRevocation
		if last != nil && last.KID == kid && last.AcknowledgedTime != nil {
			return time.Now(), nil
		}
		if time.Now().After(deadline) {
			return time.Time{}, fmt.Errorf("the revocation of %s was not acknowledged within %s: %+v; %s",
				kid, revocationWithin, last, Condition(key.Status.Conditions, "Rotating"))
		}
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// refusalWatch presents tokens of a key to each of a number of pods.
type refusalWatch struct {
	agent *Agent
	key   Key
	pods  []corev1.Pod
	all   sync.WaitGroup

	mu       sync.Mutex           // guards what follows
	accepted map[string]time.Time // when the last accepted request was sent, by pod
	refused  map[string]time.Time // when the first refusal after it came
}

func newRefusalWatch(a *Agent, key Key, pods []corev1.Pod) *refusalWatch {
	return &refusalWatch{agent: a, key: key, pods: pods, accepted: map[string]time.Time{}, refused: map[string]time.Time{}}
}

// start asks every pod again and again until ctx ends.
func (w *refusalWatch) start(ctx context.Context) {
	for _, pod := range w.pods {
		aim := aimAt(pod)
		w.all.Go(func() {
			again(ctx, 100*time.Millisecond, func(ctx context.Context) {
				token, err := w.key.Sign(Teacher(), time.Now(), w.agent.lifetime, true)
				if err != nil {
					return
				}
				sent := time.Now()
				got, err := present(ctx, w.agent.Pod, aim.URL, token.Text, false)
				if err == nil {
					w.note(aim.Name, sent, time.Now(), got.status)
				}
			})
		})
	}
}

func (w *refusalWatch) note(pod string, sent, answered time.Time, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case status == http.StatusOK:
		w.accepted[pod] = sent
		delete(w.refused, pod)
	case status == http.StatusUnauthorized && w.refused[pod].IsZero():
		w.refused[pod] = answered
	}
}

// end tells how long after began each pod refused for good, and which pods had
// accepted a request that was sent after acknowledged, or never refused.
func (w *refusalWatch) end(began, acknowledged time.Time) (refused []time.Duration, late []string) {
	w.all.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, pod := range w.pods {
		at := w.refused[pod.Name]
		if at.IsZero() || w.accepted[pod.Name].After(acknowledged) {
			late = append(late, pod.Name)
			continue
		}
		refused = append(refused, max(at.Sub(began), 0))
	}
	return refused, late
}

// Restore is one way to bring an old key back: Secrets as they were before.
type Restore struct {
	What    string // state, bundle or both
	Secrets []*corev1.Secret
}

// Backup copies what a revoked key could come back from: the key's state and the
// policy's bundle, alone and together.
func (a *Agent) Backup(ctx context.Context) ([]Restore, error) {
	var state, bundle corev1.Secret
	for name, secret := range map[string]*corev1.Secret{v1alpha1.StateName(KeyName): &state, v1alpha1.BundleName(PolicyName): &bundle} {
		if err := a.API.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: name}, secret); err != nil {
			return nil, fmt.Errorf("backing up %s: %w", name, err)
		}
	}
	return []Restore{
		{"state", []*corev1.Secret{&state}},
		{"bundle", []*corev1.Secret{&bundle}},
		{"both", []*corev1.Secret{&state, &bundle}},
	}, nil
}

// BringBack restores Secrets by hand, as somebody with a backup would, and then
// presents tokens of a revoked key to every pod for a while. It returns how often
// they were presented, and which of them were let in.
func (a *Agent) BringBack(ctx context.Context, restore Restore, revoked Key, watched time.Duration) (tries int, accepted []string, err error) {
	for _, old := range restore.Secrets {
		var now corev1.Secret
		if err := a.API.Get(ctx, client.ObjectKeyFromObject(old), &now); err != nil {
			return 0, nil, err
		}
		now.Data = maps.Clone(old.Data)
		if err := a.API.Update(ctx, &now); err != nil {
			return 0, nil, fmt.Errorf("restoring %s: %w", old.Name, err)
		}
	}
	watching, stop := context.WithTimeout(ctx, watched)
	defer stop()
	withKID := false
	again(watching, 100*time.Millisecond, func(context.Context) { // the last round may end later
		withKID = !withKID
		got, presentErr := a.presentToAll(ctx, revoked, withKID)
		err = errors.Join(err, presentErr)
		for pod, status := range got {
			tries++
			if status != http.StatusUnauthorized {
				accepted = append(accepted, pod+": "+strconv.Itoa(status))
			}
		}
	})
	return tries, accepted, errors.Join(err, ctx.Err())
}

// presentToAll presents a fresh token of a key to every pod that is ready, and
// returns what those that answered said, by pod.
func (a *Agent) presentToAll(ctx context.Context, key Key, withKID bool) (map[string]int, error) {
	pods, err := a.Pods(ctx, client.MatchingLabels{"app": AgentName})
	if err != nil {
		return nil, err
	}
	said := map[string]int{}
	for _, pod := range slices.DeleteFunc(pods, func(pod corev1.Pod) bool { return !ready(pod) }) {
		token, err := key.Sign(Teacher(), time.Now(), a.lifetime, withKID)
		if err != nil {
			return said, err
		}
		got, err := present(ctx, a.Pod, aimAt(pod).URL, token.Text, false)
		if err == nil && got.status < http.StatusInternalServerError {
			said[pod.Name] = got.status
		}
	}
	return said, nil
}
