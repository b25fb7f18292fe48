package webhook

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"gatepost.dev/gatepost/controller/inject"
)

// Path is where the webhook answers, for the configuration's clientConfig.
const Path = "/inject"

// The values of Config.CertSource.
const (
	// CertSelf keeps a CA and a server certificate in a Secret.
	CertSelf = "self"
	// CertFiles reads tls.crt and tls.key, and again when they change.
	CertFiles = "files"
)

// Config is what the webhook has to be told.
type Config struct {
	// Inject is what is put into pods; its Image is required.
	Inject inject.Config
	// Host and Port are the server's address; default all addresses, port 9443.
	Host string
	Port int

	// CertSource is CertSelf (default) or CertFiles.
	CertSource string
	// CertDir holds tls.crt and tls.key. Required with CertFiles.
	CertDir string
	// Namespace and ServiceName are the Service that the API server calls.
	// Required with CertSelf: the certificate is for its name. The
	// MutatingWebhookConfiguration has the Service's name, and the Secret that
	// name with CertSecretSuffix.
	Namespace, ServiceName string
	// ExtraHosts are names and IP addresses that the certificate is also for.
	ExtraHosts []string

	// Registerer receives the metrics; default controller-runtime's registry.
	Registerer prometheus.Registerer
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// CertSecretSuffix follows the Service's name in the name of the Secret that
// holds the self-managed certificate.
const CertSecretSuffix = "-cert"

const defaultPort = 9443

func (c Config) complete() (Config, error) {
	c.Port = cmp.Or(c.Port, defaultPort)
	c.CertSource = cmp.Or(c.CertSource, CertSelf)
	if c.Registerer == nil {
		c.Registerer = ctrlmetrics.Registry
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	var errs []error
	if c.Inject.Image == "" {
		errs = append(errs, errors.New("sidecar image: name the image to put into pods"))
	}
	switch {
	case c.CertSource != CertSelf && c.CertSource != CertFiles:
		errs = append(errs, fmt.Errorf("certificate source: %q is neither %s nor %s", c.CertSource, CertSelf, CertFiles))
	case c.CertSource == CertFiles && c.CertDir == "":
		errs = append(errs, errors.New("certificate directory: name the directory of tls.crt and tls.key"))
	case c.CertSource == CertSelf && (c.Namespace == "" || c.ServiceName == ""):
		errs = append(errs, errors.New("service name and namespace: the certificate is made for them"))
	}
	return c, errors.Join(errs...)
}

// Register adds the webhook's server to the manager, with its certificate, its
// metrics and the readiness check "webhook". It must come before mgr.Start.
func Register(mgr manager.Manager, cfg Config) error {
	cfg, err := cfg.complete()
	if err != nil {
		return fmt.Errorf("checking the webhook's configuration: %w", err)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return err
	}
	if cfg.CertSource == CertFiles {
		watcher, err := newFiles(cfg.CertDir, m.expiry)
		if err != nil {
			return err
		}
		return register(mgr, cfg, m, watcher)
	}
	return register(mgr, cfg, m, newSelfManaged(mgr, cfg, m.expiry))
}

// keeper keeps a certificate and hands it out.
type keeper interface {
	manager.Runnable
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// register adds the server and the keeper of its certificate.
func register(mgr manager.Manager, cfg Config, m *metrics, certificates keeper) error {
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: cfg.Host, Port: cfg.Port,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.MinVersion = tls.VersionTLS13
			c.GetCertificate = certificates.GetCertificate
		}},
	})
	server.Register(Path, &ctrlwebhook.Admission{Handler: &injector{
		policies: mgr.GetClient(), config: cfg.Inject, metrics: m, logger: mgr.GetLogger().WithName("webhook"),
	}})
	if err := mgr.AddReadyzCheck("webhook", func(request *http.Request) error {
		if _, err := certificates.GetCertificate(nil); err != nil {
			return err
		}
		return server.StartedChecker()(request)
	}); err != nil {
		return fmt.Errorf("adding the webhook's readiness check: %w", err)
	}
	if err := errors.Join(mgr.Add(certificates), mgr.Add(server)); err != nil {
		return fmt.Errorf("adding the webhook's server: %w", err)
	}
	return nil
}

func newSelfManaged(mgr manager.Manager, cfg Config, expiry prometheus.Gauge) *selfManaged {
	service := cfg.ServiceName + "." + cfg.Namespace + ".svc"
	return &selfManaged{
		reader: mgr.GetAPIReader(), writer: mgr.GetClient(),
		secret:  types.NamespacedName{Namespace: cfg.Namespace, Name: cfg.ServiceName + CertSecretSuffix},
		webhook: cfg.ServiceName,
		hosts:   append([]string{service}, cfg.ExtraHosts...),
		expiry:  expiry,
		logger:  mgr.GetLogger().WithName("webhook"),
		now:     cfg.Now,
	}
}

// newFiles serves with a certificate that others keep in files.
func newFiles(dir string, expiry prometheus.Gauge) (*certwatcher.CertWatcher, error) {
	watcher, err := certwatcher.New(filepath.Join(dir, serverCertKey), filepath.Join(dir, serverKeyKey))
	if err != nil {
		return nil, fmt.Errorf("reading the webhook's certificate: %w", err)
	}
	watcher.RegisterCallback(func(pair tls.Certificate) {
		if pair.Leaf != nil {
			expiry.Set(float64(pair.Leaf.NotAfter.Unix()))
		}
	})
	return watcher, nil
}
