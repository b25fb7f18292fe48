package controller

import (
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
