package sidecar

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatepost.dev/gatepost/internal/filewatch"
	"gatepost.dev/gatepost/internal/telemetry"
	"gatepost.dev/gatepost/sidecar/wire"
	"gatepost.dev/gatepost/token"
)

// Sidecar guards the ports of one agent.
type Sidecar struct {
	config   Config
	log      *slog.Logger
	httpLog  *log.Logger
	logKey   []byte // keys hashes in the log where the policy has no key for it
	registry *prometheus.Registry
	metrics  *metrics
	health   telemetry.Health
	sampler  *telemetry.Sampler
	ledger   *ledger
	denials  denials
	remotes  *token.Remotes
	files    *filewatch.Watcher
	current  atomic.Pointer[site]
	open     openStreams // those that end with their credential
	serve    handler

	requests    atomic.Int64 // under way
	exchanges   atomic.Int64 // the same until their connection is settled and their record written
	connections atomic.Int64 // open
	turning     atomic.Int64 // being turned away
	lot         *parking     // those that wait for a request

	takeTime time.Duration // see there

	begun  *wire.Budget // heads that are not complete
	served *wire.Budget // heads of requests under way

	base context.Context // of every request; its end cuts off what is left of them
	stop context.CancelFunc
}

// New checks the configuration and returns a Sidecar that listens nowhere yet.
// Errors name the flag and the fix.
func New(config Config) (*Sidecar, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	keys := config.KeysDir
	if config.InPod() {
		keys = config.KeysFile
	}
	config.PolicyFile, keys = filepath.Clean(config.PolicyFile), filepath.Clean(keys)
	files, err := filewatch.New(filewatch.Config{Paths: []string{config.PolicyFile, keys}})
	if err != nil {
		return nil, fmt.Errorf("watching policy and keys: %w", err)
	}
	if config.StateDir != "" {
		if err := os.MkdirAll(config.StateDir, 0o700); err != nil {
			return nil, fmt.Errorf("--state-dir: %w", err)
		}
	}
	registry := telemetry.NewRegistry("sidecar", telemetry.Version(config.Version))
	s := &Sidecar{
		config: config, log: config.Log, logKey: []byte(rand.Text()),
		registry: registry, metrics: newMetrics(registry),
		sampler: telemetry.NewSampler(10), files: files, lot: newParking(parkTime), takeTime: takeTime,
		begun: wire.NewBudget(begunHeads), served: wire.NewBudget(servedHeads),
	}
	s.ledger = &ledger{verifications: s.metrics.verifications}
	s.httpLog = telemetry.Bridge(config.Log, "net/http")
	s.remotes = token.NewRemotes(token.RemotesConfig{
		Forbidden: config.PodIPs, StateDir: config.StateDir, OnFetch: s.noteFetch, OnKept: s.noteKept,
	})
	s.base, s.stop = context.WithCancel(context.Background())
	s.serve = s.handlers()
	return s, nil
}

// handlers is the way of every request, from the outside in.
func (s *Sidecar) handlers() handler {
	serve := s.forward(s.proxy())
	for _, around := range []layer{
		s.guard,     // who may do what
		s.preflight, // what a browser asks before
		s.limit,     // what is not judged at all
		s.observe,   // one record and the counters
		s.settle,    // bodies that nobody read
		s.weigh,     // what all heads take together
	} {
		serve = around(serve)
	}
	return serve
}

// Defaults before there is a policy.
const (
	defaultConnections = 10240
	defaultHeadBytes   = 64 << 10
)

func (s *Sidecar) maxConnections() int64 {
	if in := s.current.Load(); in != nil {
		return in.limits.connections
	}
	return defaultConnections
}

// headTimeout is how long a request's head may take from its first byte.
const headTimeout = 10 * time.Second

func (s *Sidecar) wireConfig() wire.Config {
	return wire.Config{HeadTimeout: headTimeout, Heads: s.begun, MaxHead: func() int {
		if in := s.current.Load(); in != nil {
			return in.limits.headerBytes
		}
		return defaultHeadBytes
	}}
}
