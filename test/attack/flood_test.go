package attack

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// floodedRequests is how many refusals CI causes; GATEPOST_SOAK multiplies it.
const floodedRequests = 40_000

// D11: refusals without end cost no memory and few records.
func TestFloodOfRefusals(t *testing.T) {
	keys, agent := newRing(t), record(t, false)
	g := live.Start(t, live.Setup{Policy: policyText(t, "main", nil), Keys: keys.files(t), Upstream: agent.address()})
	mint := newMint(t, keys, time.Now())
	var tokens []string
	for _, recipe := range []string{`{"signature":"flipped"}`, `{"header":{"kid":"other"}}`, `{"header":{"alg":"none"}}`, `{"claims":{"exp":"@-100"}}`, `{"claims":{"aud":"x"}}`, `{"key":"foreign-es"}`} {
		made, err := mint.token(recipe)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, "Authorization: Bearer "+made+"\r\n")
	}
	tokens = append(tokens, "", "Authorization: Bearer x\r\n", "Authorization: Bearer x, y\r\n")

	flood(t, g.Address, tokens, 10_000) // pools and connections reach their size
	before, records := usageOf(t, g.PID), strings.Count(g.Logs.String(), `"decision":"deny"`)
	began := time.Now()
	n := floodedRequests * soak()
	flood(t, g.Address, tokens, n)
	took, after := time.Since(began), usageOf(t, g.PID)
	records = strings.Count(g.Logs.String(), `"decision":"deny"`) - records
	grown := float64(after.rss-before.rss) / (1 << 20)

	live.Figure("flood_refusals", n, "requests")
	live.Figure("flood_rss_growth", fmt.Sprintf("%.1f", grown), "MB")
	live.Figure("flood_cpu_per_refusal", int64((after.cpu-before.cpu)/time.Microsecond)/n, "us")
	live.Figure("flood_log_records", records, "records")
	if grown > 8 {
		t.Errorf("the sidecar grew by %.1f MB in a flood of %d refusals", grown, n)
	}
	reasons := 7 // at most ten records of each in any second
	if most := 10 * reasons * (int(took.Seconds()) + 2); records > most {
		t.Errorf("%d records of %d refusals in %v, want at most %d", records, n, took, most)
	}
	if got := agent.count(); got > 0 {
		t.Errorf("%d requests reached the agent", got)
	}
}

// flood sends n requests, each with another path and token, over kept
// connections.
func flood(t *testing.T, address string, tokens []string, n int64) {
	t.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			in := bufio.NewReader(conn)
			var out bytes.Buffer
			for i := next.Add(1); i <= n; i = next.Add(1) {
				out.Reset()
				fmt.Fprintf(&out, "GET /notes/%d HTTP/1.1\r\nHost: h%d.example\r\nOrigin: https://o%d.example\r\n%s\r\n", i, i, i, tokens[i%int64(len(tokens))])
				_, _ = conn.Write(out.Bytes())
				if goOn, err := skipAnswer(in, false); !goOn {
					t.Errorf("request %d ended the connection: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// usage is what a process has taken so far.
type usage struct {
	rss int64 // bytes
	cpu time.Duration
}

func usageOf(t *testing.T, pid int) usage {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(rest)) // from the third on, proc(5)
	number := func(i int) int64 {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return usage{rss: number(21) * int64(os.Getpagesize()), cpu: time.Duration(number(11)+number(12)) * 10 * time.Millisecond}
}
