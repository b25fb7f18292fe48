package controller

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the controller's own, beside controller-runtime's. Labels are
// names of objects and closed sets, never key ids.
type metrics struct {
	keyPhase     *prometheus.GaugeVec
	nextRotation *prometheus.GaugeVec
	lastRotation *prometheus.GaugeVec
	rotations    *prometheus.CounterVec
	policyPods   *prometheus.GaugeVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{"namespace", "name"}, labels...))
	}
	m := &metrics{
		keyPhase:     gauge("gatepost_signing_key_phase", "Keys of a SigningKey in each phase.", "phase"),
		nextRotation: gauge("gatepost_signing_key_next_rotation_timestamp_seconds", "When the next key will be published; absent without an interval."),
		lastRotation: gauge("gatepost_signing_key_last_rotation_timestamp_seconds", "When the active key became active."),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatepost_signing_key_rotations_total", Help: "Keys that became active (completed) or were revoked (revoked).",
		}, []string{"result"}),
		policyPods: gauge("gatepost_policy_pods", "Pods of an AgentAuthPolicy by state: selected, injected, programmed, outdated, uninjected, port_taken.", "state"),
	}
	var errs []error
	for _, collector := range []prometheus.Collector{m.keyPhase, m.nextRotation, m.lastRotation, m.rotations, m.policyPods} {
		if err := registerer.Register(collector); err != nil {
			errs = append(errs, fmt.Errorf("registering a metric: %w", err))
		}
	}
	return m, errors.Join(errs...)
}

// forgetKey drops the series of a SigningKey that is gone.
func (m *metrics) forgetKey(namespace, name string) {
	of := prometheus.Labels{"namespace": namespace, "name": name}
	for _, gauge := range []*prometheus.GaugeVec{m.keyPhase, m.nextRotation, m.lastRotation} {
		gauge.DeletePartialMatch(of)
	}
}

// forgetPolicy drops the series of an AgentAuthPolicy that is gone.
func (m *metrics) forgetPolicy(namespace, name string) {
	m.policyPods.DeletePartialMatch(prometheus.Labels{"namespace": namespace, "name": name})
}
