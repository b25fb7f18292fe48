package stage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Hasty are the shortest times that the installation of Install allows: a token
// lives three seconds, an old key five after its successor took over.
type Hasty struct {
	Replicas         int32
	WaitForVerifiers bool
}

// The times of a hasty key.
const (
	hastyLifetime = 3 * time.Second
	hastyPublish  = time.Second
	hastyRetire   = 5 * time.Second

	// HastyOverlap is how long a hasty key is accepted after its successor took over.
	HastyOverlap = hastyRetire
)

// Hasten gives the agent's key the shortest times, and the agent some replicas.
func (a *Agent) Hasten(ctx context.Context, h Hasty) error {
	for _, change := range []struct{ kind, name, patch string }{
		{"agentauthpolicy", PolicyName, `[{"op":"add","path":"/spec/jwt/providers/0/clockSkew","value":"0s"}]`},
		{"signingkey", KeyName, fmt.Sprintf(
			`[{"op":"replace","path":"/spec/maxTokenLifetime","value":%q},
			  {"op":"replace","path":"/spec/rotation","value":{"prePublish":%q,"retireAfter":%q,"waitForVerifiers":%t}}]`,
			hastyLifetime, hastyPublish, hastyRetire, h.WaitForVerifiers)},
		{"deployment", AgentName, fmt.Sprintf(`[{"op":"replace","path":"/spec/replicas","value":%d}]`, h.Replicas)},
	} {
		if _, err := a.Kubectl(ctx, "-n", a.Namespace, "patch", change.kind, change.name, "--type=json", "-p", change.patch); err != nil {
			return fmt.Errorf("hastening the agent: %w", err)
		}
	}
	a.lifetime = hastyLifetime
	_, err := a.Kubectl(ctx, "-n", a.Namespace, "rollout", "status", "deployment/"+AgentName, "--timeout=3m")
	return err
}

// WithoutWaiting is a siege's rotation of a key that does not wait for verifiers,
// with a pod held back, until users notice or half a minute is over.
func (a *Agent) WithoutWaiting(ctx context.Context) (Tally, error) {
	load := a.Load(25)
	var err error
	a.Watch(ctx, func(w *Watch) {
		load.Aim = w.Aim
		load.During(ctx, func() { err = a.hurt(ctx, w, load) })
	})
	return load.Tally(), err
}

func (a *Agent) hurt(ctx context.Context, w *Watch, load *Load) error {
	err := Eventually(ctx, time.Minute, func(context.Context) error {
		if len(w.Serving()) == 0 || load.Tally().Total() < enoughInSiege {
			return errors.New("the users have hardly begun")
		}
		return nil
	})
	if err != nil {
		return err
	}
	release, err := a.Hold(ctx, w.Serving()[0])
	if err != nil {
		return err
	}
	err = a.AskForRotation(ctx)
	_ = Eventually(ctx, 30*time.Second, func(context.Context) error { // the tally says how it went
		if err == nil && len(load.Tally().Refused) == 0 {
			return errors.New("nobody has been refused")
		}
		return nil
	})
	return errors.Join(err, release())
}
