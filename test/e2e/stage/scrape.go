package stage

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gatepost.dev/gatepost/api/v1alpha1"
)

// Scrape reads the metrics of the sidecars of all the agent's pods, as
// Prometheus would, from a pod of another namespace.
func (a *Agent) Scrape(ctx context.Context) ([]Sample, error) {
	pods, err := a.Pods(ctx, client.MatchingLabels{"app": AgentName})
	if err != nil {
		return nil, err
	}
	return a.scrape(ctx, pods, v1alpha1.AdminPort)
}

// controllerMetrics is the port of the controller's metrics in the chart.
const controllerMetrics = 8080

// ScrapeControllers reads the controllers' metrics in the same way.
func (a *Agent) ScrapeControllers(ctx context.Context) ([]Sample, error) {
	var pods corev1.PodList
	if err := a.API.List(ctx, &pods, client.InNamespace(Namespace)); err != nil {
		return nil, fmt.Errorf("listing the controllers: %w", err)
	}
	return a.scrape(ctx, pods.Items, controllerMetrics)
}

func (a *Agent) scrape(ctx context.Context, pods []corev1.Pod, port int) ([]Sample, error) {
	var all []Sample
	for _, pod := range pods {
		if pod.Status.PodIP == "" {
			continue
		}
		url := "http://" + net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(port)) + "/metrics"
		got, err := ask(ctx, a.Pod, http.MethodGet, url, nil, "")
		if err != nil {
			return nil, fmt.Errorf("scraping pod %s: %w", pod.Name, err)
		}
		samples, err := ParseMetrics(strings.NewReader(got.body))
		if err != nil {
			return nil, fmt.Errorf("scraping pod %s: %d: %w", pod.Name, got.status, err)
		}
		all = append(all, samples...)
	}
	return all, nil
}

// Rejections asks the sidecars how many requests they refused, by reason, and
// whether the reasons of Answers are among them.
func (a *Agent) Rejections(ctx context.Context) (map[string]float64, []Finding, error) {
	samples, err := a.Scrape(ctx)
	if err != nil {
		return nil, nil, err
	}
	refused := SumBy(samples, "gatepost_requests_total", "reason", map[string]string{"decision": "deny"})
	var findings []Finding
	for _, reason := range []string{"missing_credential", "expired", "signature_invalid", "rule_denied"} {
		findings = append(findings, found(refused[reason] > 0, "requests refused, reason "+reason, fmt.Sprint(refused[reason])))
	}
	return refused, findings, nil
}
