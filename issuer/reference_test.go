package issuer

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gatepost.dev/gatepost/test/alerts/reference"
)

func TestMetricsAreThoseOfTheReference(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	newMetrics(registry).watch(registry, func() uint64 { return 0 }, func() int { return 0 })
	reference.Compare(t, "..", registry)
}
