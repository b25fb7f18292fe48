package controller

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Config is what a controller has to be told. The zero value of a field with a
// default means the default.
type Config struct {
	// Namespace is the controller's own: its lease lives there. Required with LeaderElect.
	Namespace string
	// SidecarImage is the image that injected pods should run; pods with another are counted as outdated. Required.
	SidecarImage string
	// IssuerImage is the image that the pods of TokenIssuers run; empty: none can run.
	IssuerImage string
	// IssuerPullPolicy is its pull policy; empty: Kubernetes' default.
	IssuerPullPolicy corev1.PullPolicy
	// WatchNamespaces are the namespaces to look after; empty means all.
	WatchNamespaces []string
	// LeaderElect makes replicas take turns by a Lease.
	LeaderElect bool

	// MetricsAddress and HealthAddress are host:port; "0" turns one off.
	MetricsAddress, HealthAddress string
	// MinPrePublish is how long a new key is at least published before it signs; default 2m. It covers the way of a Secret into the pods.
	MinPrePublish time.Duration
	// RetireMargin is added to a token's lifetime and the clock skew before a key may go; default 2m.
	RetireMargin time.Duration

	// NudgeRate is how many pods per second are annotated after a bundle changed; default 50.
	NudgeRate int

	// Logger receives the controller's records; the zero Logger discards them.
	Logger logr.Logger
	// Registerer receives the controller's metrics; default controller-runtime's registry, which its metrics server shows.
	Registerer prometheus.Registerer
	// Now and Random are the clock and the source of key material; default the system's.
	Now    func() time.Time
	Random io.Reader
}

// The defaults of Config.
const (
	DefaultMinPrePublish = 2 * time.Minute
	DefaultRetireMargin  = 2 * time.Minute
	DefaultNudgeRate     = 50
)

// complete returns the configuration with its defaults, or an error that joins
// everything that is wrong with it.
func (c Config) complete() (Config, error) {
	if c.MinPrePublish == 0 {
		c.MinPrePublish = DefaultMinPrePublish
	}
	if c.RetireMargin == 0 {
		c.RetireMargin = DefaultRetireMargin
	}
	if c.NudgeRate == 0 {
		c.NudgeRate = DefaultNudgeRate
	}
	if c.Logger.GetSink() == nil {
		c.Logger = logr.Discard()
	}
	if c.Registerer == nil {
		c.Registerer = ctrlmetrics.Registry
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	return c, errors.Join(c.wrong()...)
}

func (c Config) wrong() []error {
	var errs []error
	if c.SidecarImage == "" {
		errs = append(errs, errors.New("sidecar image: name the image that agents' pods get"))
	}
	if c.LeaderElect && c.Namespace == "" {
		errs = append(errs, errors.New("namespace: leader election needs the controller's own namespace"))
	}
	if c.MinPrePublish < 0 || c.RetireMargin < 0 {
		errs = append(errs, errors.New("min pre-publish and retire margin must not be negative"))
	}
	if c.NudgeRate < 0 {
		errs = append(errs, errors.New("nudge rate: it must not be negative"))
	}
	for _, name := range c.WatchNamespaces {
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("watch namespaces: %q is not a namespace name", name))
		}
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(c.WatchNamespaces)))); n != len(c.WatchNamespaces) {
		errs = append(errs, errors.New("watch namespaces: a namespace is listed twice"))
	}
	return errs
}
