package stage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// enoughInSiege is how many requests each key has to serve: one second's.
const enoughInSiege = 200

// Siege is what was seen of many rotations of a hasty key, while controllers were
// killed, guarded pods restarted, and pods held back.
type Siege struct {
	Passages []Passage
	Kills    int
	Restarts int
	Tally    Tally
	Took     time.Duration
	Ledger   *Ledger
	Ghosts   *Ghosts

	agent *Agent
	watch *Watch
	load  *Load
	tell  func(string)
	mu    sync.Mutex // guards Kills and Restarts while troubles run
}

// Passage is one rotation of a siege.
type Passage struct {
	Old, New string // key ids
	Asked    time.Time
	Killed   bool
	Started  bool      // a pod was deleted and made again
	Held     string    // name of the pod that was held back
	Released time.Time // and when it no longer was
	HeldGot  int       // requests that it accepted by then
	Times    KeyTimes
}

// Besiege rotates the key of an agent that was hastened, n times, with 25 users
// at work who make 200 requests a second.
func (a *Agent) Besiege(ctx context.Context, n int, tell func(string)) (*Siege, error) {
	s := &Siege{agent: a, tell: tell, load: a.Load(25)}
	var err error
	began := time.Now()
	a.Watch(ctx, func(w *Watch) {
		s.watch, s.load.Aim, s.Ledger = w, w.Aim, &w.Ledger
		s.Ghosts = &Ghosts{Watch: w, Every: 50 * time.Millisecond}
		haunting, stop := context.WithCancel(ctx)
		var ghosts sync.WaitGroup
		ghosts.Go(func() { s.Ghosts.Run(haunting) })
		s.load.During(ctx, func() {
			for i := 0; i < n && err == nil; i++ {
				err = s.pass(ctx, i)
			}
		})
		stop()
		ghosts.Wait()
	})
	s.Took, s.Tally = time.Since(began), s.load.Tally()
	if err != nil {
		err = errors.Join(fmt.Errorf("rotation %d of %d: %w", len(s.Passages)+1, n, err), a.whatIsWrong(ctx))
	}
	return s, err
}

// pass plays one rotation: every fifth with a pod restarted, every fourth with
// the leading controller killed, every tenth with a pod held back. The first
// three make one of each.
func (s *Siege) pass(ctx context.Context, i int) error {
	p := Passage{Killed: i%4 == 1, Started: i%5 == 0}
	if err := s.usedEnough(ctx, time.Minute, func() string { return s.watch.Key().Status.ActiveKeyID }); err != nil {
		return err
	}
	p.Old = s.watch.Key().Status.ActiveKeyID
	pod, err := s.anyPod(ctx)
	if err != nil {
		return err
	}
	p.Asked = time.Now()
	var troubles trouble
	if p.Killed {
		troubles.later(ctx, func() error { return s.kill(ctx) })
	}
	if p.Started {
		troubles.later(ctx, func() error { return s.restart(ctx, pod) })
	}
	if i%10 == 2 {
		if err := s.hold(ctx, &p, pod, &troubles); err != nil {
			return err
		}
	}
	if err := errors.Join(s.replace(ctx, &p), troubles.end()); err != nil {
		return err
	}
	p.Times = s.Ledger.Times(p.New)
	s.Passages = append(s.Passages, p)
	s.tell(p.describe(i + 1))
	return nil
}

// anyPod is one of the pods that are ready, as soon as one is.
func (s *Siege) anyPod(ctx context.Context) (pod corev1.Pod, err error) {
	err = Eventually(ctx, time.Minute, func(context.Context) error {
		pods := s.watch.Serving()
		if len(pods) == 0 {
			return errors.New("no guarded pod is ready")
		}
		pod = pods[rand.N(len(pods))] //nolint:gosec // any pod, and no secret
		return nil
	})
	return pod, err
}

// heldFor is how long a pod is held back: several times as long as the key would
// otherwise wait.
const heldFor = 6 * time.Second

// hold holds a pod back for a while from now.
func (s *Siege) hold(ctx context.Context, p *Passage, pod corev1.Pod, troubles *trouble) error {
	release, err := s.agent.Hold(ctx, pod)
	if err != nil {
		return err
	}
	p.Held = pod.Name
	before := s.load.Tally().Served[p.Held]
	troubles.after(ctx, heldFor, func() error {
		p.Released, p.HeldGot = time.Now(), s.load.Tally().Served[p.Held]-before
		return release()
	})
	return nil
}

// replace waits from one active key to the end of the one before.
func (s *Siege) replace(ctx context.Context, p *Passage) error {
	if err := s.agent.AskForRotation(ctx); err != nil {
		return err
	}
	err := s.usedEnough(ctx, rotationWithin, func() string {
		if kid := s.watch.Key().Status.ActiveKeyID; kid != p.Old {
			p.New = kid
		}
		return p.New
	})
	if err != nil {
		return err
	}
	_, err = s.watch.Until(ctx, rotationWithin, "dropped", p.Old, func(k KeyTimes) time.Time { return k.Dropped })
	return err
}

// usedEnough waits until tokens of a key have been accepted often enough.
func (s *Siege) usedEnough(ctx context.Context, within time.Duration, kid func() string) error {
	return Eventually(ctx, within, func(context.Context) error {
		if id := kid(); id == "" || s.load.Accepted(id) < enoughInSiege {
			key := s.watch.Key()
			return fmt.Errorf("%d requests accepted by key %q, want %d: %s; %s", s.load.Accepted(id), id, enoughInSiege,
				describePhases(key.Status.Keys), Condition(key.Status.Conditions, "Rotating"))
		}
		return nil
	})
}

func (s *Siege) kill(ctx context.Context) error {
	if err := Eventually(ctx, time.Minute, s.agent.KillLeader); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Kills++
	return nil
}

// restart deletes a pod, which its Deployment makes again, and waits for it.
func (s *Siege) restart(ctx context.Context, pod corev1.Pod) error {
	if err := s.agent.API.Delete(ctx, &pod); err != nil {
		return fmt.Errorf("deleting a guarded pod: %w", err)
	}
	s.mu.Lock()
	s.Restarts++
	s.mu.Unlock()
	_, err := s.agent.Kubectl(ctx, "-n", s.agent.Namespace, "rollout", "status", "deployment/"+AgentName, "--timeout=2m")
	return err
}

// trouble is what happens beside a rotation.
type trouble struct {
	all  sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

// later does something at a random moment of the rotation.
func (t *trouble) later(ctx context.Context, do func() error) {
	t.after(ctx, rand.N(8*time.Second), do) //nolint:gosec // any moment, and no secret
}

func (t *trouble) after(ctx context.Context, pause time.Duration, do func() error) {
	t.all.Go(func() {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		err := do()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.errs = append(t.errs, err)
	})
}

func (t *trouble) end() error {
	t.all.Wait()
	return errors.Join(t.errs...)
}

func (p Passage) describe(n int) string {
	since := func(at time.Time) string { return fmt.Sprintf("%.1fs", at.Sub(p.Asked).Seconds()) }
	text := fmt.Sprintf("%d: %s published %s, loaded %s, acknowledged %s, active %s, %s gone %s", n, p.New,
		since(p.Times.Published), since(p.Times.Loaded), since(p.Times.Acknowledged), since(p.Times.Active), p.Old, since(time.Now()))
	if p.Killed {
		text += ", a controller killed"
	}
	if p.Started {
		text += ", a pod restarted"
	}
	if p.Held != "" {
		text += fmt.Sprintf(", %s held back, with %d requests", p.Held, p.HeldGot)
	}
	return text
}

// waited says whether the key was used only after the pod that was held back could
// load it, with the pod named as what it waited for.
func (p Passage) waited() bool {
	return p.Times.Active.After(p.Released) && slices.Contains(p.Times.Lagging, p.Held)
}

// Findings judges the siege.
func (s *Siege) Findings() []Finding {
	least, holds, waited, idle := s.tally()
	findings := append(s.Tally.Refusals(), s.Ghosts.Findings()...)
	findings = append(findings, s.Ledger.Findings()...)
	return append(findings,
		found(least >= enoughInSiege, "requests accepted by each key, at least", strconv.Itoa(least)),
		found(s.Kills > 0 && s.Restarts > 0 && holds > 0, "controllers killed, pods restarted, pods held back",
			fmt.Sprintf("%d, %d, %d", s.Kills, s.Restarts, holds)),
		found(waited == holds, "keys that waited for the pod that was held back", fmt.Sprintf("%d of %d", waited, holds)),
		found(idle == 0, "pods held back that got no requests", strconv.Itoa(idle)))
}

func (s *Siege) tally() (least, holds, waited, idle int) {
	least = s.Tally.Total()
	for _, p := range s.Passages {
		least = min(least, s.Tally.Accepted[p.Old].Count, s.Tally.Accepted[p.New].Count)
		if p.Held == "" {
			continue
		}
		holds++
		if p.waited() {
			waited++
		}
		if p.HeldGot == 0 {
			idle++
		}
	}
	return least, holds, waited, idle
}

// Figures are the numbers of the siege.
func (s *Siege) Figures() []Figure {
	var calm, held []time.Duration
	for _, p := range s.Passages {
		switch took := p.Times.Acknowledged.Sub(p.Times.Published); {
		case p.Held != "":
			held = append(held, p.Times.Active.Sub(p.Times.Published))
		case !p.Killed:
			calm = append(calm, took)
		}
	}
	median, worst := Spread(calm)
	_, longest := Spread(held)
	least, holds, _, _ := s.tally()
	return append([]Figure{
		{"siege_rotations", float64(len(s.Passages)), "rotations"},
		{"siege_controllers_killed", float64(s.Kills), "kills"},
		{"siege_pods_restarted", float64(s.Restarts), "pods"},
		{"siege_pods_held_back", float64(holds), "pods"},
		{"siege_held_back_worst", longest.Seconds(), "seconds"},
		{"siege_requests_accepted", float64(s.Tally.Total()), "requests"},
		{"siege_requests_per_second", float64(s.Tally.Total()) / s.Took.Seconds(), "requests/s"},
		{"siege_accepted_per_key_least", float64(least), "requests"},
		{"siege_valid_tokens_refused", float64(len(s.Tally.Refused)), "requests"},
		{"siege_requests_without_answer", float64(len(s.Tally.Unanswered)), "requests"},
		{"siege_published_to_acknowledged_median", median.Seconds(), "seconds"},
		{"siege_published_to_acknowledged_worst", worst.Seconds(), "seconds"},
	}, s.Ghosts.Figures("siege")...)
}
