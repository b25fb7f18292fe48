package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A contender is one way of sending requests through one sidecar process.
type contender struct {
	name    string
	address string
	pid     int
	// requests are whole HTTP/1.1 requests, sent in turn.
	requests [][]byte
	// costs holds, for each pair, CPU microseconds per answered request.
	costs []float64
	// ratios holds, for each pair, its cost divided by that of its rival.
	ratios []float64
}

// check makes sure that what is measured is what is meant: a 200 with the
// upstream's body.
func (c *contender) check(ctx context.Context) error {
	n, err := c.drive(ctx, 1, time.Now().Add(100*time.Millisecond))
	if err == nil && n == 0 {
		err = fmt.Errorf("no request was answered")
	}
	return err
}

// pair measures c against a rival in the order rival, c, c, rival, so that a
// drift of the machine hits both alike.
func (c *contender) pair(ctx context.Context, rival *contender, s settings) error {
	var own, other float64
	for _, turn := range []struct {
		of  *contender
		sum *float64
	}{{rival, &other}, {c, &own}, {c, &own}, {rival, &other}} {
		cost, err := turn.of.turn(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", turn.of.name, err)
		}
		*turn.sum += cost / 2
	}
	c.costs, c.ratios = append(c.costs, own), append(c.ratios, own/other)
	rival.costs = append(rival.costs, other)
	return nil
}

// turn drives the contender once and returns CPU microseconds per request.
func (c *contender) turn(ctx context.Context, s settings) (float64, error) {
	before, err := cpuTime(c.pid)
	if err != nil {
		return 0, err
	}
	answered, err := c.drive(ctx, s.connections, time.Now().Add(s.duration))
	if err != nil {
		return 0, err
	}
	after, err := cpuTime(c.pid)
	if err != nil {
		return 0, err
	}
	if answered < s.connections {
		return 0, fmt.Errorf("%d requests in %s are too few to measure", answered, s.duration)
	}
	return float64((after - before).Microseconds()) / float64(answered), nil
}

func (c *contender) drive(ctx context.Context, connections int, until time.Time) (int, error) {
	var group sync.WaitGroup
	counts, errs := make([]int, connections), make([]error, connections)
	for i := range connections {
		group.Go(func() { counts[i], errs[i] = c.connection(ctx, i, until) })
	}
	group.Wait()
	total := 0
	for i := range connections {
		if errs[i] != nil {
			return 0, errs[i]
		}
		total += counts[i]
	}
	return total, nil
}

// connection sends requests one after the other over one connection.
func (c *contender) connection(ctx context.Context, first int, until time.Time) (int, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	count := 0
	for ; time.Now().Before(until); count++ {
		if _, err := conn.Write(c.requests[(first+count)%len(c.requests)]); err != nil {
			return count, err
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			return count, err
		}
		n, err := io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if err != nil {
			return count, err
		}
		if answer.StatusCode != http.StatusOK || n != int64(len(upstreamBody)) {
			return count, fmt.Errorf("an answer with status %d and %d bytes", answer.StatusCode, n)
		}
	}
	return count, nil
}

// cpuTime is the time all threads of a process have spent on a CPU.
func cpuTime(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("process %d has no threads in /proc: this benchmark needs Linux", pid)
	}
	var total time.Duration
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			continue // the thread has just ended
		}
		onCPU, _, _ := strings.Cut(string(stat), " ")
		nanoseconds, err := strconv.ParseInt(onCPU, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", thread, err)
		}
		total += time.Duration(nanoseconds)
	}
	return total, nil
}

// report prints the figures. The error says that they are worth nothing.
func report(plain *contender, others []*contender) error {
	fmt.Printf("\n%-28s %12s\n", "contender", "CPU us/request (median)")
	for _, c := range append([]*contender{plain}, others...) {
		fmt.Printf("%-28s %12.1f\n", c.name, median(c.costs))
	}
	fmt.Println()
	for _, c := range others {
		fmt.Printf("figure: cpu_%s_vs_%s %.3f ratio (half of all pairs between %.3f and %.3f)\n",
			c.name, plain.name, median(c.ratios), quantile(c.ratios, 0.25), quantile(c.ratios, 0.75))
	}
	if control := median(others[0].ratios); math.Abs(control-1) > maxControl {
		return fmt.Errorf("a contender differs from itself by a factor of %.3f: the machine is too busy, throw this run away", control)
	}
	return nil
}

// maxControl is how far the control may be from 1.
const maxControl = 0.05

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile interpolates between the two values that are nearest.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}
