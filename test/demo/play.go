package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"gatepost.dev/gatepost/test/e2e/stage"
)

// play plays the scenes in order. An error means that a scene could not be
// played to its end; what a scene finds wrong is counted, and the play goes on.
func (d *demo) play(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{
		d.answers, d.identity, d.stream, d.rotation, d.rejections, d.noWayRound, d.careless,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) answers(ctx context.Context) error {
	d.out.heading("Who gets what, through the Service")
	findings, err := d.agent.Answers(ctx)
	d.out.findings(findings)
	return err
}

func (d *demo) identity(ctx context.Context) error {
	findings, err := d.agent.Identity(ctx)
	d.out.findings(findings)
	return err
}

func (d *demo) stream(ctx context.Context) error {
	d.out.heading("Server-sent events, as they come")
	findings, err := d.agent.Stream(ctx, func(e stage.Event) {
		d.out.say("%6.2fs  event: %-5s data: %s", e.After.Seconds(), e.Name, e.Data)
	})
	d.out.findings(findings)
	return err
}

func (d *demo) rotation(ctx context.Context) error {
	d.out.heading("Replacing the signing key while clients talk to the agent")
	d.out.say("8 users with tokens of 5 to 10 seconds; the back end reads Secret agent-jwt and signs with what it finds")
	began := time.Now()
	r, err := d.agent.Rotate(ctx, func(keys string) { d.out.say("%5.1fs  %s", time.Since(began).Seconds(), keys) })
	if err != nil {
		return err
	}
	d.out.say("")
	d.out.say("%-16s %-10s %9s %9s %10s %22s", "key", "", "accepted", "from", "until", "counted by sidecars")
	for _, key := range []struct{ kid, role string }{{r.Old, "removed"}, {r.New, "active"}} {
		use := r.Tally.Accepted[key.kid]
		d.out.say("%-16s %-10s %9d %8.1fs %9.1fs %22.0f", key.kid, key.role, use.Count,
			use.First.Sub(began).Seconds(), use.Last.Sub(began).Seconds(), r.Counted[key.kid])
	}
	d.out.say("")
	d.out.findings(r.Findings())
	for _, f := range r.Figures() {
		d.out.figure(f)
	}
	return nil
}

func (d *demo) rejections(ctx context.Context) error {
	d.out.heading("What the sidecars' metrics say of refusals")
	refused, findings, err := d.agent.Rejections(ctx)
	for _, reason := range slices.Sorted(maps.Keys(refused)) {
		d.out.say("gatepost_requests_total{decision=\"deny\",reason=%q} %.0f", reason, refused[reason])
		d.out.figure(stage.Figure{Name: "refused_" + reason, Value: refused[reason], Unit: "requests"})
	}
	d.out.findings(findings)
	return err
}

func (d *demo) noWayRound(ctx context.Context) error {
	d.out.heading("No way round the sidecar")
	findings, err := d.agent.NoWayRound(ctx)
	d.out.findings(findings)
	d.out.figure(stage.Figure{Name: "ways_tried_around_the_guard", Value: float64(len(findings)), Unit: "addresses"})
	return err
}

func (d *demo) careless(ctx context.Context) error {
	d.out.heading("An agent that listens on 0.0.0.0 fails visibly")
	findings, err := d.agent.Careless(ctx)
	d.out.findings(findings)
	return err
}
