package issuer

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"gatepost.dev/gatepost/internal/filewatch"
	"gatepost.dev/gatepost/internal/password"
	"gatepost.dev/gatepost/internal/telemetry"
	"gatepost.dev/gatepost/issuer/refresh"
	"gatepost.dev/gatepost/token"
)

// Issuer issues tokens.
type Issuer struct {
	config   Config
	log      *slog.Logger
	httpLog  *log.Logger
	logKey   []byte // keys hashes in the log
	registry *prometheus.Registry
	metrics  *metrics
	health   telemetry.Health
	sampler  *telemetry.Sampler
	remotes  *token.Remotes
	files    *filewatch.Watcher
	uses     uses
	hasher   *password.Hasher
	families *refresh.Store[remembered]
	serve    handler

	current atomic.Pointer[site]
	signing sync.RWMutex // held to read while a token is signed, to write while current changes

	requests atomic.Int64 // under way
	asking   places       // of sessions that are asked about
	working  atomic.Int64 // of these, those that were read

	base context.Context // of every request; its end cuts off what is left of them
	stop context.CancelFunc
}

// New checks the configuration and returns an Issuer that listens nowhere yet.
// Errors name the flag and the fix.
func New(config Config) (*Issuer, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	files, err := filewatch.New(filewatch.Config{Paths: config.paths()})
	if err != nil {
		return nil, fmt.Errorf("watching document and keys: %w", err)
	}
	families, err := refresh.New[remembered](refresh.Config{Random: config.Random, Now: config.Now})
	if err != nil {
		return nil, err
	}
	registry := telemetry.NewRegistry("issuer", telemetry.Version(config.Version))
	i := &Issuer{
		config: config, log: config.Log, logKey: []byte(rand.Text()), httpLog: telemetry.Bridge(config.Log, "net/http"),
		registry: registry, metrics: newMetrics(registry), sampler: telemetry.NewSampler(10), files: files,
		hasher: password.NewHasher(password.HasherConfig{}), families: families,
	}
	i.metrics.watch(registry, i.hasher.Computed, i.families.Len)
	i.remotes = token.NewRemotes(token.RemotesConfig{OnFetch: i.noteFetch})
	i.base, i.stop = context.WithCancel(context.Background())
	i.serve = i.handlers()
	return i, nil
}

// paths are what is watched. A bundle is watched by the name of the directory in
// itself: what is looked for beside a path, the link by which Kubernetes swaps a
// mount, is then looked for in the bundle.
func (c *Config) paths() []string {
	if c.InPod() {
		return []string{filepath.Clean(c.BundleDir) + string(filepath.Separator) + "."}
	}
	paths := []string{filepath.Clean(c.DocumentFile), filepath.Clean(c.KeysDir)}
	if c.UsersFile != "" {
		paths = append(paths, filepath.Clean(c.UsersFile))
	}
	return paths
}

// handlers is the way of every request, from the outside in.
func (i *Issuer) handlers() handler {
	serve := i.dispatch // the endpoint
	for _, around := range []layer{
		i.throttle,  // who asks too often
		i.preflight, // what a browser asks before
		i.route,     // which endpoint, by which method
		i.ready,     // nothing is in force yet
		i.observe,   // one record and the counters
	} {
		serve = around(serve)
	}
	return serve
}

// ServeHTTP answers one request. Before something is in force it answers 503.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Who keeps connections finds another pod before they are closed. net/http has
	// forgotten by now whether a body in chunks said its length as well: what is in
	// front of us may see two requests then, so none comes behind it.
	if i.health.Draining() || len(r.TransferEncoding) > 0 {
		w.Header()["Connection"] = []string{"close"}
	}
	x := newExchange(w, r, i.current.Load(), i.config.Now())
	i.serve(x)
	x.settle()
}
