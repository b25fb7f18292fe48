package issuer

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"
)

// Config is what an Issuer needs. There are two shapes: standalone (DocumentFile,
// KeysDir) and in a pod (BundleDir).
type Config struct {
	// DocumentFile is the TokenIssuer, in YAML or JSON, with the APIKeys that are
	// its clients.
	DocumentFile string
	// KeysDir holds keys as DIR/name/key: NAME/current and what else an exported
	// Secret of the SigningKey has.
	KeysDir string
	// UsersFile holds the users in htpasswd form; empty: they are in KeysDir.
	UsersFile string

	// BundleDir is the mounted bundle of the issuer.
	BundleDir string
	// MinRevision is the least revision of the bundle that comes into force: what
	// the pod was started with. Zero: any.
	MinRevision int64
	// PodUID is the pod's, for acknowledgements.
	PodUID string

	// Listen is the public address, host:port.
	Listen string
	// Listener is the public address where somebody listens already, for programs
	// that must know it before there is a document. Run closes it. Nil: Listen.
	Listener net.Listener
	// Admin is the private address for metrics, health and state.
	Admin string
	// DrainTimeout is how long requests may go on after the end was asked for;
	// zero means 30 seconds.
	DrainTimeout time.Duration
	// Version is what the build was stamped with; empty: what Go knows of it.
	Version string
	// Log takes all records; nil discards them.
	Log *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Random is where jti, visitors and refresh tokens come from; nil: crypto/rand.Reader.
	Random io.Reader
}

// InPod reports whether the configuration is that of a pod.
func (c *Config) InPod() bool { return c.BundleDir != "" }

// check applies defaults and reports everything that is missing or contradicts.
func (c *Config) check() error {
	c.fill()
	var errs []error
	require := func(ok bool, otherwise string) {
		if !ok {
			errs = append(errs, errors.New(otherwise))
		}
	}
	require(c.Admin != "", "--admin is missing: name a private address for metrics and health, for example 127.0.0.1:19901")
	require(c.Listen != "" || c.Listener != nil, "--listen is missing: name the address to serve, for example :8080")
	require(c.Listen == "" || c.Listener == nil, "--listen is given, and a listener too: use one of them")
	if c.InPod() {
		require(c.DocumentFile == "" && c.KeysDir == "" && c.UsersFile == "", "--issuer, --keys and --users are for use without a cluster: a bundle holds all of it")
	} else {
		require(c.DocumentFile != "", "--issuer is missing: name the file with the TokenIssuer, or in a pod --bundle")
		require(c.KeysDir != "", "--keys is missing: name the directory with the keys")
		require(c.MinRevision == 0, "--min-revision is for use in a pod, with --bundle: files have no revision")
	}
	require(c.MinRevision >= 0, "--min-revision is negative: give the revision of the bundle that the pod was started with")
	return errors.Join(errs...)
}

func (c *Config) fill() {
	if c.DrainTimeout <= 0 {
		c.DrainTimeout = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
}
