package inject

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

const (
	// drainSeconds is how long an agent that has no preStop of its own keeps
	// serving after its pod began to end, so that endpoints can forget it.
	drainSeconds int64 = 5
	// defaultGraceSeconds is terminationGracePeriodSeconds when the pod is silent.
	defaultGraceSeconds int64 = 30

	unprivilegedPorts       = "net.ipv4.ip_unprivileged_port_start"
	firstUnprivileged int32 = 1024
)

// Loopback is where an agent is told to listen: only the sidecar reaches it there.
const Loopback = "127.0.0.1"

// HostVariables are the environment variables that tell an agent where.
func HostVariables() []string { return []string{"UVICORN_HOST", "HOST"} }

// prepareAgents moves the agents to 127.0.0.1 where a variable can do it, gives
// them time to drain and keeps their last words. Commands are never rewritten.
func prepareAgents(pod *corev1.Pod, ports []int32) []Warning {
	var warnings []Warning
	found := false
	for i := range pod.Spec.Containers {
		agent := &pod.Spec.Containers[i]
		if !guards(pod, agent, ports) {
			continue
		}
		found = true
		for _, name := range HostVariables() {
			if !slices.ContainsFunc(agent.Env, func(env corev1.EnvVar) bool { return env.Name == name }) {
				agent.Env = append(agent.Env, corev1.EnvVar{Name: name, Value: Loopback})
			}
		}
		addPreStop(pod, agent)
		keepLastWords(agent)
	}
	if !found {
		warnings = append(warnings, Warning(fmt.Sprintf(
			"spec.containers[*].ports: no container declares a guarded port of %v, so none was told to listen on 127.0.0.1; declare containerPort", ports)))
	}
	return warnings
}

// addPreStop lets the agent sleep before its SIGTERM, unless it has a hook of
// its own or no time to sleep.
func addPreStop(pod *corev1.Pod, agent *corev1.Container) {
	if agent.Lifecycle != nil && agent.Lifecycle.PreStop != nil {
		return
	}
	grace := defaultGraceSeconds
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = *pod.Spec.TerminationGracePeriodSeconds
	}
	seconds := min(drainSeconds, grace/2)
	if seconds < 1 {
		return
	}
	if agent.Lifecycle == nil {
		agent.Lifecycle = &corev1.Lifecycle{}
	}
	agent.Lifecycle.PreStop = &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: seconds}}
}

// keepLastWords makes the end of the agent's log its termination message when it
// fails without writing one, so that the policy can say that it found its address
// in use. An agent with a message file of its own choice is left alone; whoever
// writes the default file loses nothing, for what is in the file comes first.
func keepLastWords(agent *corev1.Container) {
	unset := agent.TerminationMessagePolicy == "" || agent.TerminationMessagePolicy == corev1.TerminationMessageReadFile
	if unset && (agent.TerminationMessagePath == "" || agent.TerminationMessagePath == corev1.TerminationMessagePathDefault) {
		agent.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	}
}

// allowLowPorts lets the sidecar, which has no capabilities, bind a port below
// 1024: by a sysctl of the pod's own network that Kubernetes counts as safe.
func allowLowPorts(pod *corev1.Pod, ports []int32) *Refusal {
	lowest := slices.Min(ports)
	if lowest >= firstUnprivileged {
		return nil
	}
	if pod.Spec.SecurityContext == nil {
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	for i, sysctl := range pod.Spec.SecurityContext.Sysctls {
		if sysctl.Name != unprivilegedPorts {
			continue
		}
		if start, err := strconv.ParseInt(sysctl.Value, 10, 32); err != nil || start > int64(lowest) {
			return refuse(ReasonSysctl, fmt.Sprintf("spec.securityContext.sysctls[%d].value", i),
				"%q keeps the sidecar from port %d; set it to 0 or remove it", sysctl.Value, lowest)
		}
		return nil
	}
	pod.Spec.SecurityContext.Sysctls = append(pod.Spec.SecurityContext.Sysctls, corev1.Sysctl{Name: unprivilegedPorts, Value: "0"})
	return nil
}
