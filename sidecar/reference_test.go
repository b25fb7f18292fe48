package sidecar

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gatepost.dev/gatepost/test/alerts/reference"
)

func TestMetricsAreThoseOfTheReference(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	newMetrics(registry)
	reference.Compare(t, "..", registry)
}

// The first refused reload is an increase only if the counter was there before.
func TestReloadsAreCountedFromZero(t *testing.T) {
	g := start(t, setup{})
	metrics := g.private("/metrics").body
	for _, result := range []string{"unreadable", "invalid", "not_supported_yet", "secret_too_short", "secret_looks_like_key", "older_revision"} {
		if !strings.Contains(metrics, `gatepost_config_reloads_total{result="`+result+`"} 0`) {
			t.Errorf("there is no counter for %s before the first", result)
		}
	}
}
