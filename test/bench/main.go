// Command bench measures what authentication costs: CPU time of the sidecar per
// authenticated request, divided by CPU time of the same sidecar per request
// that needs no token. `make bench` runs it; docs/benchmarks.md explains and
// keeps the numbers.
//
// One absolute figure on one noisy machine says little, so every figure is a
// ratio of two contenders that took turns within one run, and a control pair
// (one contender twice) says how far the run can be trusted.
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
	flag.IntVar(&s.rounds, "rounds", 6, "rounds; in each one every contender runs twice, in the order A B C C B A")
	flag.DurationVar(&s.duration, "duration", 2*time.Second, "length of one turn")
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
	contenders, err := arena.contenders()
	if err != nil {
		return err
	}
	for _, c := range contenders {
		if err := c.check(ctx); err != nil {
			return fmt.Errorf("%s does not answer as it should, so there is nothing to measure: %w", c.name, err)
		}
	}
	fmt.Printf("%d rounds of 2 x %s per contender, %d connections\n", s.rounds, s.duration, s.connections)
	for round := range s.rounds {
		for _, c := range backAndForth(contenders) {
			if err := c.turn(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		fmt.Printf("round %d of %d done\n", round+1, s.rounds)
	}
	report(contenders)
	return nil
}

// backAndForth lists A B C C B A, so that a drift of the machine hits all alike.
func backAndForth(contenders []*contender) []*contender {
	order := make([]*contender, 0, 2*len(contenders))
	order = append(order, contenders...)
	for _, c := range slices.Backward(contenders) {
		order = append(order, c)
	}
	return order
}
