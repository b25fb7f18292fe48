package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/inject"
)

// injector answers admission requests for pods.
type injector struct {
	policies client.Reader // the manager's cache
	config   inject.Config
	metrics  *metrics
	logger   logr.Logger
}

// Handle lets inject decide, counts and answers. What goes wrong on our side is
// an error, and the webhook's failure policy refuses the pod.
func (h *injector) Handle(ctx context.Context, request admission.Request) admission.Response {
	response, result, reason := h.judge(ctx, request)
	h.metrics.injections.WithLabelValues(result, string(reason)).Inc()
	h.logger.V(1).Info("pod judged", "namespace", request.Namespace, "name", request.Name, "result", result, "reason", reason)
	return response
}

// judge is Handle without its records.
func (h *injector) judge(ctx context.Context, request admission.Request) (admission.Response, string, inject.Reason) {
	var pod corev1.Pod
	if err := json.Unmarshal(request.Object.Raw, &pod); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("decoding the pod: %w", err)), resultFailed, ""
	}
	var policies v1alpha1.AgentAuthPolicyList
	if err := h.policies.List(ctx, &policies, client.InNamespace(request.Namespace)); err != nil {
		h.logger.Error(err, "policies not listed", "namespace", request.Namespace)
		return admission.Errored(http.StatusInternalServerError, errors.New("gatepost cannot see the policies of the namespace; try again")), resultFailed, ""
	}
	policy, err := inject.Decide(policies.Items, &pod)
	if err != nil {
		return refused(err, "gatepost")
	}
	if policy == nil {
		return admission.Allowed(""), resultSkipped, ""
	}
	guarded, warnings, err := inject.Pod(&pod, policy, h.config)
	if err != nil {
		return refused(err, "gatepost cannot guard this pod as AgentAuthPolicy "+policy.Name+" asks")
	}
	patched, err := overlay(request.Object.Raw, &pod, guarded)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err), resultFailed, ""
	}
	response := admission.PatchResponseFromRaw(request.Object.Raw, patched)
	for _, warning := range warnings {
		response.Warnings = append(response.Warnings, "gatepost: "+string(warning))
	}
	return response, resultInjected, ""
}

// refused answers with the reason and the fix; anything but a Refusal is our fault.
func refused(err error, prefix string) (admission.Response, string, inject.Reason) {
	refusal, ok := errors.AsType[*inject.Refusal](err)
	if !ok {
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("%s: %w", prefix, err)), resultFailed, ""
	}
	return admission.Denied(prefix + ": " + refusal.Error()), resultRefused, refusal.Reason
}
