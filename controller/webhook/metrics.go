package webhook

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the webhook counts. The reasons are inject's, plus none.
type metrics struct {
	injections *prometheus.CounterVec
	expiry     prometheus.Gauge
}

// The values of the label result.
const (
	resultInjected = "injected"
	resultSkipped  = "skipped"
	resultRefused  = "refused"
	resultFailed   = "failed"
)

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		injections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatepost_injections_total",
			Help: "Pods that the admission webhook judged, by result (injected, skipped, refused, failed) and by the reason of a refusal.",
		}, []string{"result", "reason"}),
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatepost_webhook_certificate_expiry_timestamp_seconds",
			Help: "When the webhook's server certificate in use ends, in Unix seconds.",
		}),
	}
	var errs []error
	for _, collector := range []prometheus.Collector{m.injections, m.expiry} {
		if err := registerer.Register(collector); err != nil {
			errs = append(errs, fmt.Errorf("registering a metric: %w", err))
		}
	}
	return m, errors.Join(errs...)
}
