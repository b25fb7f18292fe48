package attack

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/live"
)

// mutatedRequests is how many CI sends; GATEPOST_SOAK multiplies it.
const mutatedRequests = 50_000

// restedRequests is how many more CI sends on connections that rest.
const restedRequests = 1000

// campaign sends mutated requests through a guard to a recorder and holds what
// arrives against the oracle.
type campaign struct {
	guard    string // host:port
	recorder *recorder
	oracle   oracle
	seed     uint64
	rests    bool // connections rest between packets and within them

	honest, flawed [][]byte

	next     atomic.Int64 // index of the next connection
	changed  atomic.Int64 // mutated requests sent
	accepted atomic.Int64 // requests that arrived
	valid    atomic.Int64 // whole requests by the oracle's reading
	stalled  atomic.Int64 // connections on which an answer was awaited in vain

	mu       sync.Mutex
	failures []failure
}

// failure is a connection after which something was at the agent that may not.
type failure struct {
	index int64
	wrong []string
}

func newCampaign(t testing.TB, policy, guard string, agent *recorder, keys *ring) *campaign {
	t.Helper()
	c := &campaign{guard: guard, recorder: agent, oracle: oracle{keys: keys, carriers: policy == "carriers"}, seed: 1}
	now := time.Now()
	f := &filler{mint: newMint(t, keys, now), mark: "m", evil: "e"}
	for _, g := range readCorpus(t) {
		if g.policy != "main" && g.policy != policy {
			continue
		}
		for _, one := range g.cases {
			for _, flawed := range []bool{false, true} {
				text, err := one.request.choose(flawed)
				if err != nil {
					t.Fatal(err)
				}
				sent, err := f.fill(text)
				switch {
				case err != nil:
					t.Fatal(err)
				case len(sent) > 8<<10:
				case flawed:
					c.flawed = append(c.flawed, sent)
				default:
					c.honest = append(c.honest, sent)
				}
			}
		}
	}
	return c
}

// connection is the n-th connection of a campaign.
type connection struct {
	packets   [][]byte
	changed   []bool // which of them are mutated
	pipelined bool
	pieces    bool          // each packet is sent in two pieces
	rest      time.Duration // before each packet but the first, and between pieces
}

func (c *campaign) connection(index int64) connection {
	m := mutator{Rand: rand.New(rand.NewPCG(c.seed, uint64(index))), honest: c.honest, flawed: c.flawed}
	made := connection{pipelined: m.IntN(4) == 0, pieces: m.IntN(8) == 0}
	if c.rests { // about as long as the sidecar lets a connection wait before it parks it
		made.rest, made.pipelined = 900*time.Millisecond+time.Duration(m.IntN(300))*time.Millisecond, false
	}
	packets := 1 + m.IntN(5)
	if c.rests {
		packets = 2 + m.IntN(2)
	}
	for range packets {
		packet, changed := m.packet()
		made.packets, made.changed = append(made.packets, packet), append(made.changed, changed)
	}
	return made
}

// peerOf is the address from which the n-th connection comes: its own, so that
// what arrives can be told apart.
func peerOf(index int64) net.IP {
	return net.IPv4(127, byte(1+index>>16&0x7f), byte(index>>8), byte(index))
}

// run sends until so many mutated requests were sent.
func (c *campaign) run(t testing.TB, most int64, workers int) {
	t.Helper()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			var late []func()
			for c.changed.Load() < most {
				index := c.next.Add(1)
				conn := c.connection(index)
				sent, err := c.send(peerOf(index), conn)
				if err != nil {
					t.Errorf("connection %d: %v", index, err)
					return
				}
				c.count(conn, sent)
				// What comes late must be seen too: look again some connections later.
				c.check(index, sent)
				late = append(late, func() { c.check(index, sent) })
				if len(late) > 16 {
					late[0]()
					late = late[1:]
				}
			}
			time.Sleep(300 * time.Millisecond)
			for _, again := range late {
				again()
			}
		})
	}
	all.Wait()
}

// count counts the mutated packets that were sent where a server was still
// reading: not behind what is no request.
func (c *campaign) count(plan connection, sent []byte) {
	s, at := readScript(sent), 0
	c.valid.Add(int64(len(s.requests)))
	for i, packet := range plan.packets {
		if plan.changed[i] && at <= s.end && at < len(sent) {
			c.changed.Add(1)
		}
		at += len(packet)
	}
}

func (c *campaign) check(index int64, sent []byte) {
	peer := peerOf(index).String()
	arrived := c.recorder.take(peer)
	if len(arrived) == 0 {
		return
	}
	c.accepted.Add(int64(len(arrived)))
	if wrong := c.oracle.judge(peer, sent, arrived); len(wrong) > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failures = append(c.failures, failure{index, wrong})
	}
}

// send plays one connection and returns the bytes that were sent.
func (c *campaign) send(from net.IP, plan connection) ([]byte, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 10 * time.Second}
	conn, err := dialer.Dial("tcp", c.guard)
	if err != nil {
		return nil, fmt.Errorf("dialling: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	in := bufio.NewReaderSize(conn, 2048)
	var sent []byte
	answers := 0
	for i, packet := range plan.packets {
		if i > 0 {
			time.Sleep(plan.rest)
		}
		sent = append(sent, packet...)
		half := 0
		if plan.pieces {
			half = len(packet) / 2
			_, _ = conn.Write(packet[:half])
			time.Sleep(plan.rest)
		}
		if _, err := conn.Write(packet[half:]); err != nil {
			return sent, nil // it was closed: what was sent counts as sent
		}
		if plan.pipelined && i < len(plan.packets)-1 {
			continue
		}
		now, open := c.await(conn, in, sent, answers)
		if answers = now; !open {
			break
		}
	}
	return sent, nil
}

// await reads the answers to everything that was sent so far; false means that
// the connection is over.
func (c *campaign) await(conn net.Conn, in *bufio.Reader, sent []byte, answers int) (int, bool) {
	s := readScript(sent)
	for ; answers < len(s.requests); answers++ {
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		goOn, err := skipAnswer(in, s.requests[answers].method == "HEAD")
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.stalled.Add(1)
		}
		if !goOn || err != nil {
			return answers, false
		}
	}
	if s.end == len(sent) {
		return answers, true
	}
	patience := 10 * time.Millisecond // for a refusal that does not wait for the rest
	if s.bad {
		patience = time.Second
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, err := skipAnswer(in, false); err != nil {
			return answers, false
		}
	}
}

// skipAnswer reads one answer; false means that none can follow.
func skipAnswer(in *bufio.Reader, head bool) (bool, error) {
	line, err := in.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return false, errors.Join(err, io.ErrUnexpectedEOF)
	}
	status, _ := strconv.Atoi(string(line[9:12]))
	length, closes := 0, false
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch textproto.CanonicalMIMEHeaderKey(string(name)) {
		case "Content-Length":
			length, _ = strconv.Atoi(string(value))
		case "Connection":
			closes = string(value) == "close"
		}
	}
	switch {
	case status == 100:
		return skipAnswer(in, head)
	case status == 101:
		return false, nil
	case head, status == 204:
		length = 0
	}
	_, err = in.Discard(length)
	return !closes && err == nil, err
}

// shrink makes the bytes of a failing connection fewer as long as they fail.
func (c *campaign) shrink(index int64) ([]byte, []string) {
	best := bytes.Join(c.connection(index).packets, nil)
	peers := int64(1) << 22
	fails := func(sent []byte) []string {
		peers++
		from := peerOf(peers)
		_, _ = c.send(from, connection{packets: [][]byte{sent}})
		time.Sleep(20 * time.Millisecond)
		return c.oracle.judge(from.String(), sent, c.recorder.take(from.String()))
	}
	why := fails(best)
	if why == nil {
		return best, nil
	}
	for size := len(best) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(best); {
			fewer := append(best[:at:at], best[at+size:]...)
			if wrong := fails(fewer); wrong != nil {
				best, why = fewer, wrong
				continue
			}
			at += size
		}
	}
	return best, why
}

// report prints the first failures in a form that can be played again.
func (c *campaign) report(t *testing.T) {
	t.Helper()
	for _, wrong := range c.recorder.complaints() {
		t.Errorf("the agent got what is no canonical request: %s", wrong)
	}
	for i, f := range c.failures {
		if i == 3 {
			t.Errorf("and %d more", len(c.failures)-i)
			break
		}
		sent, wrong := c.shrink(f.index)
		t.Errorf("seed %d, connection %d (GATEPOST_ATTACK=%d:%d plays it again): %s\nsmallest bytes that do: %q: %s",
			c.seed, f.index, c.seed, f.index, strings.Join(f.wrong, "; "), sent, strings.Join(wrong, "; "))
	}
}

// soak is the factor of GATEPOST_SOAK.
func soak() int64 {
	if n, err := strconv.ParseInt(os.Getenv("GATEPOST_SOAK"), 10, 64); err == nil && n > 0 {
		return n
	}
	return 1
}

// Whatever is done to requests, what reaches the agent is canonical, was sent,
// carries a valid credential where the policy asks for one, and no identity that
// the sidecar did not put there.
func TestMutatedRequests(t *testing.T) {
	var changed, accepted, connections int64
	wrong := 0
	began := time.Now()
	for policy, share := range map[string]int64{"main": 60, "carriers": 40} {
		t.Run(policy, func(t *testing.T) {
			keys, agent := newRing(t), record(t, false)
			g := live.Start(t, live.Setup{Policy: policyText(t, policy, keys), Keys: keys.files(t), Upstream: agent.address(), OutputBytes: 64 << 10})
			c := newCampaign(t, policy, g.Address, agent, keys)
			most := mutatedRequests * soak() * share / 100
			if seed, index, ok := strings.Cut(os.Getenv("GATEPOST_ATTACK"), ":"); ok {
				c.seed, _ = strconv.ParseUint(seed, 10, 64)
				from, _ := strconv.ParseInt(index, 10, 64)
				c.next.Store(from - 1)
				most = 1
			}
			c.run(t, most, 48)
			c.report(t)
			changed, accepted, connections = changed+c.changed.Load(), accepted+c.accepted.Load(), connections+c.next.Load()
			wrong += len(c.failures) + len(agent.complaints())
			t.Logf("%d requests by the oracle's reading, %d stalled", c.valid.Load(), c.stalled.Load())
			after, _ := exchange(t, g.Address, []byte("GET /health HTTP/1.1\r\nHost: a\r\n\r\n"), 1)
			if len(after) != 1 || after[0].status != http.StatusOK {
				t.Errorf("a good request afterwards: %v", after)
			}
		})
	}
	live.Figure("mutated_requests", changed, "requests")
	live.Figure("mutated_connections", connections, "connections")
	live.Figure("mutated_reached_agent", accepted, "requests")
	live.Figure("mutated_reached_agent_wrongly", wrong, "requests")
	live.Figure("mutated_per_second", int(float64(changed)/time.Since(began).Seconds()), "requests/s")
	if accepted < changed/20 {
		t.Errorf("of %d mutated requests only %d reached the agent: the oracle sees too little", changed, accepted)
	}
}

// The same on connections that rest: the sidecar parks those that wait for their
// next request, and takes them up again with its first byte.
func TestMutatedRequestsAfterRests(t *testing.T) {
	t.Parallel()
	keys, agent := newRing(t), record(t, false)
	g := live.Start(t, live.Setup{Policy: policyText(t, "carriers", keys), Keys: keys.files(t), Upstream: agent.address(), OutputBytes: 64 << 10})
	c := newCampaign(t, "carriers", g.Address, agent, keys)
	c.seed, c.rests = 2, true
	c.run(t, restedRequests*soak(), 500)
	c.report(t)
	live.Figure("mutated_after_rests", c.changed.Load(), "requests")
	live.Figure("mutated_after_rests_reached_agent_wrongly", len(c.failures)+len(agent.complaints()), "requests")
	if c.accepted.Load() < c.changed.Load()/20 || c.stalled.Load() > 0 {
		t.Errorf("of %d mutated requests %d reached the agent; %d connections were not answered", c.changed.Load(), c.accepted.Load(), c.stalled.Load())
	}
}

// The oracle can fail: behind a proxy that only forwards, it finds requests
// without credential, forged identities and steering headers.
func TestOracleFindsALeak(t *testing.T) {
	keys, agent := newRing(t), record(t, false)
	proxy := &httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) {
		pr.SetURL(&url.URL{Scheme: "http", Host: agent.address()})
		pr.SetXForwarded()
		pr.Out.Host = pr.In.Host
	}, ErrorLog: log.New(io.Discard, "", 0)}
	leaky := httptest.NewServer(proxy)
	defer leaky.Close()
	c := newCampaign(t, "main", strings.TrimPrefix(leaky.URL, "http://"), agent, keys)
	c.run(t, 2000, 48)
	found := map[string]int{}
	for _, f := range c.failures {
		for _, kind := range []string{"its credential is wrong", "the policy does not allow", "is not for clients to set", "is not the sidecar's", "the target was"} {
			if strings.Contains(strings.Join(f.wrong, "\n"), kind) {
				found[kind]++
			}
		}
	}
	live.Figure("oracle_finds_in_a_leaky_proxy", len(c.failures), "connections")
	for _, kind := range []string{"its credential is wrong", "the policy does not allow", "is not for clients to set"} {
		if found[kind] == 0 {
			t.Errorf("the oracle does not find %q behind a proxy that guards nothing: %v", kind, found)
		}
	}
}
