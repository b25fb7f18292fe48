package controller

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gatepost.dev/gatepost/test/alerts/reference"
)

func TestMetricsAreThoseOfTheReference(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	if _, err := newMetrics(registry); err != nil {
		t.Fatal(err)
	}
	reference.Compare(t, "..", registry)
}
