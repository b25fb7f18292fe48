package controller

import (
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// metrics are the controller's own, beside controller-runtime's. Labels are
// names of objects and closed sets, never key ids.
type metrics struct {
	keyPhase     *prometheus.GaugeVec
	nextRotation *prometheus.GaugeVec
	lastRotation *prometheus.GaugeVec
	rotations    *prometheus.CounterVec
	verifiers    *prometheus.GaugeVec
	retiredUsed  *prometheus.CounterVec
	acknowledged *prometheus.HistogramVec
	policyPods   *prometheus.GaugeVec
	issuerPods   *prometheus.GaugeVec
	failing      *prometheus.GaugeVec

	mu    sync.Mutex
	shown map[objectName]map[failure]bool // of failing
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{"namespace", "name"}, labels...))
	}
	m := &metrics{
		shown:        map[objectName]map[failure]bool{},
		keyPhase:     gauge("gatepost_signing_key_phase", "Keys of a SigningKey in each phase.", "phase"),
		nextRotation: gauge("gatepost_signing_key_next_rotation_timestamp_seconds", "When the next key will be published; absent without an interval."),
		lastRotation: gauge("gatepost_signing_key_last_rotation_timestamp_seconds", "When the active key became active."),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatepost_signing_key_rotations_total", Help: "Keys that became active (completed) or were revoked (revoked).",
		}, []string{"namespace", "name", "result"}),
		verifiers: gauge("gatepost_signing_key_verifiers", "Pods that verify with a SigningKey, by whether they have its newest key: acknowledged, lagging, silent (they have not answered lately).", "state"),
		retiredUsed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatepost_retired_key_used_total", Help: "Minutes in which tokens were accepted that a signer made with a retiring key after its successor took over.",
		}, []string{"namespace", "name"}),
		acknowledged: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatepost_signing_key_acknowledgement_seconds", Help: "Time from a change of a key set (publish, revoke) until every verifier had acknowledged it.",
			Buckets: []float64{0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 120, 300, 600, 1800, 3600},
		}, []string{"change"}),
		policyPods: gauge("gatepost_policy_pods", "Pods of an AgentAuthPolicy by state: selected, injected, programmed, outdated, uninjected, port_taken.", "state"),
		issuerPods: gauge("gatepost_issuer_pods", "Pods of a TokenIssuer by state: wanted, ready, signing (they proved to sign with the active key).", "state"),
		failing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatepost_condition_failing", Help: "1 while a condition of an object is not as it should be, by its reason.",
		}, []string{"kind", "namespace", "name", "type", "reason"}),
	}
	var errs []error
	for _, collector := range []prometheus.Collector{m.keyPhase, m.nextRotation, m.lastRotation, m.rotations, m.verifiers, m.retiredUsed, m.acknowledged, m.policyPods, m.issuerPods, m.failing} {
		if err := registerer.Register(collector); err != nil {
			errs = append(errs, fmt.Errorf("registering a metric: %w", err))
		}
	}
	return m, errors.Join(errs...)
}

// series is a metric of which the series of one object can be dropped.
type series interface {
	DeletePartialMatch(labels prometheus.Labels) int
}

// forgetKey drops the series of a SigningKey that is gone.
func (m *metrics) forgetKey(namespace, name string) {
	forget(namespace, name, m.keyPhase, m.nextRotation, m.lastRotation, m.rotations, m.verifiers, m.retiredUsed)
	m.forgetConditions(v1alpha1.KindSigningKey, namespace, name)
}

// forgetPolicy drops the series of an AgentAuthPolicy that is gone.
func (m *metrics) forgetPolicy(namespace, name string) {
	forget(namespace, name, m.policyPods)
	m.forgetConditions(v1alpha1.KindAgentAuthPolicy, namespace, name)
}

// forgetIssuer drops the series of a TokenIssuer that is gone.
func (m *metrics) forgetIssuer(namespace, name string) {
	forget(namespace, name, m.issuerPods)
	m.forgetConditions(v1alpha1.KindTokenIssuer, namespace, name)
}

func forget(namespace, name string, all ...series) {
	for _, one := range all {
		one.DeletePartialMatch(prometheus.Labels{"namespace": namespace, "name": name})
	}
}

func (m *metrics) forgetConditions(kind, namespace, name string) {
	m.failing.DeletePartialMatch(prometheus.Labels{"kind": kind, "namespace": namespace, "name": name})
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.shown, objectName{kind, namespace, name})
}

// objectName names an object of any kind.
type objectName struct{ kind, namespace, name string }

// failure is a condition that is not as it should be.
type failure struct{ condition, reason string }

// conditions shows which conditions of an object are not as they should be. What
// goes on failing is never taken away in between: a scrape at that moment would
// reset alerts.
func (m *metrics) conditions(kind string, object metav1.Object, all []metav1.Condition, good map[string]metav1.ConditionStatus) {
	name := objectName{kind, object.GetNamespace(), object.GetName()}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := map[failure]bool{}
	for _, c := range all {
		if want, judged := good[c.Type]; judged && c.Status != want {
			now[failure{c.Type, c.Reason}] = true
			m.failing.WithLabelValues(name.kind, name.namespace, name.name, c.Type, c.Reason).Set(1)
		}
	}
	for was := range m.shown[name] {
		if !now[was] {
			m.failing.DeleteLabelValues(name.kind, name.namespace, name.name, was.condition, was.reason)
		}
	}
	m.shown[name] = now
}
