package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// addresses are where a part listens.
type addresses struct{ guarded, admin string }

// hearing is a log that waits for the record that says where a part listens, and
// keeps the last complaint for when it never comes.
type hearing struct {
	slog.Handler

	told chan addresses
}

func newHearing() *hearing {
	return &hearing{Handler: slog.DiscardHandler, told: make(chan addresses, 1)}
}

func (h *hearing) logger() *slog.Logger { return slog.New(h) }

// Enabled takes records of each level, so that the one that counts is among them.
func (*hearing) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs keeps hearing.
func (h *hearing) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup keeps hearing.
func (h *hearing) WithGroup(string) slog.Handler { return h }

// Handle takes the addresses out of the record "listening".
func (h *hearing) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "listening" {
		return nil
	}
	var at addresses
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "admin":
			at.admin = a.Value.String()
		case "guarded":
			if list, ok := a.Value.Any().([]string); ok && len(list) > 0 {
				at.guarded = list[0]
			}
		}
		return true
	})
	select {
	case h.told <- at:
	default: // it was told before
	}
	return nil
}

// await waits until a part listens.
func (h *hearing) await(ctx context.Context, part string, ended <-chan error) (addresses, error) {
	select {
	case at := <-h.told:
		return at, nil
	case err := <-ended:
		return addresses{}, fmt.Errorf("starting %s: %w", part, errors.Join(err, ctx.Err()))
	case <-time.After(20 * time.Second):
		return addresses{}, fmt.Errorf("starting %s: it does not listen after 20 seconds", part)
	}
}
