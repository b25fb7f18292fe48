// Command bench measures what authentication costs: CPU time of the sidecar per
// authenticated request, divided by CPU time of the same sidecar per request
// that needs no token. `make bench` runs it; docs/benchmarks.md explains and
// keeps the numbers.
//
// One absolute figure on one noisy machine says little, so every figure is the
// median of many ratios, each of two contenders that took short turns one after
// the other, and a control pair (one contender against itself) says whether the
// run can be trusted.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"
)

type settings struct {
	rounds      int
	duration    time.Duration
	connections int
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "upstream" {
		serveUpstream()
		return
	}
	var s settings
	flag.IntVar(&s.rounds, "rounds", 20, "rounds; in each one every contender meets the one without a token in four turns, A B B A")
	flag.DurationVar(&s.duration, "duration", 250*time.Millisecond, "length of one turn")
	flag.IntVar(&s.connections, "connections", 32, "connections kept alive")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	arena, err := newArena(ctx)
	if err != nil {
		return err
	}
	defer arena.close()
	contenders, err := arena.contenders(ctx)
	if err != nil {
		return err
	}
	for _, c := range contenders {
		if err := c.check(ctx); err != nil {
			return fmt.Errorf("%s does not answer as it should, so there is nothing to measure: %w", c.name, err)
		}
	}
	plain, others := contenders[0], contenders[1:]
	fmt.Printf("%d rounds of %d pairs of 4 x %s, %d connections\n", s.rounds, len(others), s.duration, s.connections)
	order := slices.Clone(others)
	for range s.rounds {
		for _, c := range order {
			if err := c.pair(ctx, plain, s); err != nil {
				return err
			}
		}
		slices.Reverse(order)
	}
	return report(plain, others)
}
