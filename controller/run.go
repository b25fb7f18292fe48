package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// leaseName is the Lease by which replicas take turns.
const leaseName = "controller.gatepost.dev"

// syncPatience is how long a readiness probe waits for the caches.
const syncPatience = time.Second

// New returns a manager with both reconcilers, health checks and metrics; its
// Start runs them until the context ends. The caller may register more on it,
// such as the admission webhook, before that. Errors name what is wrong with
// the configuration or what the API server refused.
func New(cluster *rest.Config, cfg Config) (ctrl.Manager, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("checking the configuration: %w", err)
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(cluster, managerOptions(cfg, scheme))
	if err != nil {
		return nil, fmt.Errorf("preparing the manager: %w", err)
	}
	memo, lines := newClientMemo(checkClient), newSwitchboard(cfg)
	lines.nudger.client = mgr.GetClient()
	policies := newPolicyReconciler(mgr, cfg, m, memo, lines)
	return mgr, errors.Join(
		mgr.Add(lines.roll),
		mgr.Add(lines.nudger),
		addSigningKeys(mgr, cfg, m, lines),
		policies.add(mgr),
		addIssuers(mgr, cfg, m, policies),
		addAPIKeys(mgr, cfg, m, memo),
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("caches", cachesSynced(mgr)),
	)
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	return scheme, nil
}

func managerOptions(cfg Config, scheme *runtime.Scheme) ctrl.Options {
	several := true // managers in one process, in tests
	return ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cacheOptions(cfg),
		Client:                        clientOptions(),
		Logger:                        cfg.Logger,
		LeaderElection:                cfg.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       cfg.Namespace,
		LeaderElectionReleaseOnCancel: true, // cmd/controller ends when Start returns
		Metrics:                       metricsserver.Options{BindAddress: cfg.MetricsAddress},
		HealthProbeBindAddress:        cfg.HealthAddress,
		Controller:                    config.Controller{SkipNameValidation: &several},
	}
}

// cachesSynced is ready once the caches have been filled, on every replica: a
// replica that waits for the lease still answers admission requests from them.
func cachesSynced(mgr ctrl.Manager) healthz.Checker {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), syncPatience)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
}
