package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
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
	// costs holds, for each turn, CPU microseconds per answered request.
	costs []float64
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

// turn drives the contender for one turn and keeps its cost.
func (c *contender) turn(ctx context.Context, s settings) error {
	before, err := cpuTime(c.pid)
	if err != nil {
		return err
	}
	answered, err := c.drive(ctx, s.connections, time.Now().Add(s.duration))
	if err != nil {
		return err
	}
	after, err := cpuTime(c.pid)
	if err != nil {
		return err
	}
	c.costs = append(c.costs, float64((after-before).Microseconds())/float64(answered))
	return nil
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

func report(contenders []*contender) {
	fmt.Printf("\n%-28s %12s\n", "contender", "CPU us/request (median)")
	for _, c := range contenders {
		fmt.Printf("%-28s %12.1f\n", c.name, median(c.costs))
	}
	fmt.Println()
	plain := contenders[0]
	for _, c := range contenders[1:] {
		ratios := make([]float64, len(c.costs))
		for i := range c.costs {
			ratios[i] = c.costs[i] / plain.costs[i]
		}
		fmt.Printf("figure: cpu_%s_vs_%s %.3f ratio (min %.3f, max %.3f)\n",
			c.name, plain.name, median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
