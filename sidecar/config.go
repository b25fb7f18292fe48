package sidecar

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"gatepost.dev/gatepost/policy"
)

// Config is what a Sidecar needs. There are two shapes: standalone (KeysDir,
// Listen, Upstream) and in a pod (KeysFile, PodIPs, Guards).
type Config struct {
	// PolicyFile is the AgentAuthPolicy, in YAML or JSON.
	PolicyFile string
	// KeysDir holds keys as DIR/name/key.
	KeysDir string
	// Listen is the guarded address, host:port.
	Listen string
	// Upstream is the agent's host:port.
	Upstream string

	// KeysFile is keys.json beside the policy, in a mounted bundle.
	KeysFile string
	// PodIPs are the pod's addresses, at least one.
	PodIPs []netip.Addr
	// Guards are the guarded ports; each leads to the same port on loopback.
	Guards []uint16
	// MinRevision is the least revision of KeysFile that comes into force: what
	// the pod was admitted with. Zero: any.
	MinRevision int64
	// Probes are exempt from authentication.
	Probes []policy.Probe
	// PodUID is the pod's, for acknowledgements.
	PodUID string

	// StateDir is where the last good remote key sets are kept across restarts;
	// empty: nowhere. Nobody else may write there.
	StateDir string
	// Admin is the private address for metrics, health and state.
	Admin string
	// DrainTimeout is how long requests may go on after the end was asked for;
	// zero means 30 seconds.
	DrainTimeout time.Duration
	// Version is what the build was stamped with; empty: what Go knows of it.
	Version string
	// Log takes all records; nil discards them.
	Log *slog.Logger
}

// InPod reports whether the configuration is that of a pod.
func (c *Config) InPod() bool { return c.KeysFile != "" }

// check applies defaults and reports everything that is missing or contradicts.
func (c *Config) check() error {
	if c.DrainTimeout <= 0 {
		c.DrainTimeout = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	var errs []error
	require := func(ok bool, otherwise string) {
		if !ok {
			errs = append(errs, errors.New(otherwise))
		}
	}
	require(c.PolicyFile != "", "--policy is missing: name the file with the AgentAuthPolicy")
	require(c.Admin != "", "--admin is missing: name a private address for metrics and health, for example 127.0.0.1:19901")
	require((c.KeysDir == "") != (c.KeysFile == ""), "give either --keys DIR (standalone) or --keys-file FILE (in a pod)")
	if c.InPod() {
		require(len(c.PodIPs) > 0, "--pod-ips is missing: set it from the downward API, status.podIPs")
		require(len(c.Guards) > 0, "--guard is missing: name the ports to guard")
		require(c.Listen == "" && c.Upstream == "", "--listen and --upstream are for standalone use: in a pod, --guard says both")
	} else {
		require(c.Listen != "", "--listen is missing: name the address to guard, for example :8080")
		require(c.Upstream != "", "--upstream is missing: name the agent, for example http://127.0.0.1:8000")
		require(len(c.PodIPs) == 0 && len(c.Guards) == 0, "--pod-ips and --guard are for use in a pod, with --keys-file")
		require(c.MinRevision == 0, "--min-revision is for use in a pod, with --keys-file: files have no revision")
	}
	require(c.MinRevision >= 0, "--min-revision is negative: give the revision of the bundle that the pod was admitted with")
	return errors.Join(errs...)
}

// ParseUpstream reads the URL of an agent and returns its host:port. What was
// judged is what is forwarded, so it may have no path of its own.
func ParseUpstream(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("it is not a URL: write http://host:port")
	case u.Scheme != "http":
		return "", fmt.Errorf("its scheme is %q: write http://host:port", u.Scheme)
	case u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return "", errors.New("it may have a host and a port only: write http://host:port")
	}
	if u.Port() == "" {
		return u.Host + ":80", nil
	}
	return u.Host, nil
}
