package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
)

// Between two looks at a SigningKey, and how long the cluster may be away.
const (
	pause   = 500 * time.Millisecond
	absence = time.Minute
)

// ErrTimeout says that what was waited for did not happen in time.
var ErrTimeout = errors.New("not in time")

// Watcher looks at a SigningKey again and again.
type Watcher struct {
	// Fetch fetches it.
	Fetch func(context.Context) (*v1alpha1.SigningKey, error)
	// See judges it.
	See func(*v1alpha1.SigningKey, time.Time) Sight
	// Until are the stages at which watching ends; Stalled always is.
	Until func(Stage) bool
	// Fatal says which errors of Fetch are not waited for.
	Fatal func(error) bool
	// Progress shows what is seen.
	Progress *output.Progress
	// Now is the clock.
	Now func() time.Time
	// Timeout is how long to watch; 0: for ever.
	Timeout time.Duration
}

// Watch looks until a stage ends it. With ErrTimeout the Sight is the last one.
func (w Watcher) Watch(ctx context.Context) (Sight, error) {
	began, seen := w.Now(), w.Now()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	defer func() { w.Progress.Update(nil, output.Table{}) }()
	var sight Sight
	for {
		key, err := w.Fetch(ctx)
		now := w.Now()
		switch {
		case err == nil:
			seen = now
			sight = w.See(key, now)
			w.Progress.Update(sight.News, Block(key, sight, began, now))
			if sight.Stage == Stalled || w.Until(sight.Stage) {
				return sight, nil
			}
		case ctx.Err() != nil:
			return sight, fmt.Errorf("stopped watching: %w", context.Cause(ctx))
		case w.Fatal(err) || now.Sub(seen) > absence:
			return sight, err
		}
		if w.Timeout > 0 && now.Sub(began) >= w.Timeout {
			return sight, ErrTimeout
		}
		select {
		case <-ctx.Done():
			return sight, fmt.Errorf("stopped watching: %w", context.Cause(ctx))
		case <-ticker.C:
		}
	}
}
