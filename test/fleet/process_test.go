//go:build cluster && linux

package fleet_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatepost.dev/gatepost/test/fleet"
	"gatepost.dev/gatepost/test/live"
)

// program is the built controller as a process of its own, so that what it
// costs is its alone.
type program struct {
	cmd     *exec.Cmd
	log     *tail
	metrics string // host:port
}

// ownProcess runs the controller of one namespace until the test ends.
func ownProcess(t *testing.T, namespace string, flags ...string) *program {
	t.Helper()
	path := live.Build(t, "controller")
	p := &program{log: &tail{}, metrics: live.FreeAddress(t)}
	health := live.FreeAddress(t)
	_, webhookPort, err := net.SplitHostPort(live.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	var first []string
	watched := namespace + ",gatepost-system" // its own is for the webhook's certificate
	if os.Getenv(profileDir) != "" {
		path, first, watched = os.Args[0], []string{profiledArg}, namespace
	}
	p.cmd = exec.Command(path, append(append(first,
		"--sidecar-image="+fleet.Image, "--namespace=gatepost-system", "--watch-namespaces="+watched,
		"--min-pre-publish=1s", "--retire-margin=1s", "--webhook-port="+webhookPort,
		"--health-address="+health, "--metrics-address="+p.metrics,
	), flags...)...)
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+world.cluster.Kubeconfig)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("the controller ended with %v: %s", err, p.log)
		}
	})
	eventually(t, patience, func() string {
		if _, err := get("http://" + health + "/readyz"); err != nil {
			return err.Error() + "; log: " + p.log.String()
		}
		return ""
	})
	return p
}

func get(url string) ([]byte, error) {
	response, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %d: %.200s", url, response.StatusCode, body)
	}
	return body, err
}

// cost is what a process has used since it began.
type cost struct {
	at       time.Time
	took     time.Duration // of a rotation
	cpu      time.Duration
	apiCalls float64
	byMethod map[string]float64
	rss      float64 // MB, now
	peak     float64 // MB
}

func (p *program) cost(t *testing.T) cost {
	t.Helper()
	c := cost{at: time.Now(), byMethod: map[string]float64{}}
	body, err := get("http://" + p.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		labels, found := strings.CutPrefix(line, "rest_client_requests_total{")
		if !found {
			continue
		}
		fields := strings.Fields(labels)
		n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatal(err)
		}
		c.apiCalls += n
		_, method, _ := strings.Cut(labels, `method="`)
		method, _, _ = strings.Cut(method, `"`)
		c.byMethod[method] += n
	}
	err = errors.Join(p.readStat(&c), p.readStatus(&c))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// readStat takes user and system time from /proc/PID/stat, in ticks of 10 ms.
func (p *program) readStat(c *cost) error {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	c.cpu = time.Duration(user+system) * 10 * time.Millisecond
	return errors.Join(err1, err2)
}

func (p *program) readStatus(c *cost) error {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			c.rss = kilobytes / 1024
		case "VmHWM:":
			c.peak = kilobytes / 1024
		}
	}
	return lines.Err()
}

// tail keeps the end of what a program writes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 16 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-tailBytes):]
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
