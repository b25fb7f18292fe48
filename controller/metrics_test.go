package controller

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
)

func TestMetricsFollowTheirObjects(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	r := &policyReconciler{metrics: m}
	p := &v1alpha1.AgentAuthPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "chat"}}
	r.gauge(p, podReport{selected: 2, injected: []string{"a"}, uninjected: []string{"b"}, portTaken: []string{"a"}})
	bad := setConditions(nil, 1, fails("Accepted", "Invalid", "x"), holds("ResolvedRefs", "ResolvedRefs", "x"))
	m.conditions(v1alpha1.KindAgentAuthPolicy, p, bad, goodPolicy())
	want := `
# HELP gatepost_condition_failing 1 while a condition of an object is not as it should be, by its reason.
# TYPE gatepost_condition_failing gauge
gatepost_condition_failing{kind="AgentAuthPolicy",name="chat",namespace="agents",reason="Invalid",type="Accepted"} 1
# HELP gatepost_policy_pods Pods of an AgentAuthPolicy by state: selected, injected, programmed, outdated, uninjected, port_taken.
# TYPE gatepost_policy_pods gauge
gatepost_policy_pods{name="chat",namespace="agents",state="injected"} 1
gatepost_policy_pods{name="chat",namespace="agents",state="outdated"} 0
gatepost_policy_pods{name="chat",namespace="agents",state="port_taken"} 1
gatepost_policy_pods{name="chat",namespace="agents",state="programmed"} 0
gatepost_policy_pods{name="chat",namespace="agents",state="selected"} 2
gatepost_policy_pods{name="chat",namespace="agents",state="uninjected"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}

	m.conditions(v1alpha1.KindAgentAuthPolicy, p, setConditions(bad, 2, holds("Accepted", "Accepted", "x")), goodPolicy())
	if n := testutil.CollectAndCount(m.failing); n != 0 {
		t.Errorf("%d conditions still fail", n)
	}
	m.forgetPolicy("agents", "chat")
	if n := testutil.CollectAndCount(m.policyPods); n != 0 {
		t.Errorf("%d series are left of a policy that is gone", n)
	}
}

func TestMetricsAreRegisteredOnce(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	if _, err := newMetrics(registry); err != nil {
		t.Fatal(err)
	}
	if _, err := newMetrics(registry); err == nil {
		t.Error("a second registration was silent")
	}
}

// What goes on failing is there at every moment: a gap would reset alerts.
func TestAConditionThatGoesOnFailingNeverLeavesTheMetrics(t *testing.T) {
	t.Parallel()
	m := testMetrics(t)
	p := &v1alpha1.AgentAuthPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "agents", Name: "chat"}}
	bad := setConditions(nil, 1, fails("Accepted", "Invalid", "x"), fails("ResolvedRefs", "SecretNotFound", "x"))
	m.conditions(v1alpha1.KindAgentAuthPolicy, p, bad, goodPolicy())
	series := func() any {
		return m.failing.WithLabelValues(v1alpha1.KindAgentAuthPolicy, "agents", "chat", "Accepted", "Invalid")
	}
	before := series()
	m.conditions(v1alpha1.KindAgentAuthPolicy, p, setConditions(bad, 1, holds("ResolvedRefs", "ResolvedRefs", "x")), goodPolicy())
	if series() != before {
		t.Error("the series was taken away and made anew")
	}
	if n := testutil.CollectAndCount(m.failing); n != 1 {
		t.Errorf("%d conditions fail, want one", n)
	}
}

func testMetrics(t *testing.T) *metrics {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// gathered is the value of a metric with one series.
func gathered(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	return strconv.FormatFloat(testutil.ToFloat64(c), 'f', -1, 64)
}

// verifiersIn is what a status says of the verifiers of a key.
func verifiersIn(status v1alpha1.SigningKeyStatus, kid string) string {
	verifiers := statusOfKey(status.Keys, kid).Verifiers
	return fmt.Sprintf("%d/%d %s", verifiers.Ready, verifiers.Total, strings.Join(verifiers.Lagging, ","))
}
