package podfile

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gatepost.dev/gatepost/controller/inject"
)

// changes are what the author of a pod has to know of its containers, by what
// the injector made of them: where they are told to listen, and how they end.
func changes(before, after *corev1.Pod) []string {
	var said []string
	for i := range after.Spec.Containers {
		if i >= len(before.Spec.Containers) {
			break
		}
		was, is := &before.Spec.Containers[i], &after.Spec.Containers[i]
		if names := newVariables(was, is); len(names) > 0 {
			said = append(said, fmt.Sprintf("container %s: sets %s to %s, where only the sidecar reaches it; a program that reads neither has to be told, such as by --host %s",
				is.Name, strings.Join(names, " and "), inject.Loopback, inject.Loopback))
		}
		for _, name := range openVariables(was, is) {
			said = append(said, fmt.Sprintf("container %s: keeps its own %s; a program that listens elsewhere than on %s fails to start",
				is.Name, name, inject.Loopback))
		}
		if seconds := newSleep(was, is); seconds > 0 {
			said = append(said, fmt.Sprintf("container %s: goes on serving for %d seconds when its pod ends (preStop)", is.Name, seconds))
		}
	}
	return said
}

// newVariables are the names that only the injected container has.
func newVariables(was, is *corev1.Container) []string {
	var names []string
	for _, env := range is.Env {
		if !slices.ContainsFunc(was.Env, func(e corev1.EnvVar) bool { return e.Name == env.Name }) {
			names = append(names, env.Name)
		}
	}
	return names
}

// openVariables are those that the container had already, with another address,
// where the injector would have set them. It keeps the last words of each
// container that it looks at, and of no other.
func openVariables(was, is *corev1.Container) []string {
	if was.TerminationMessagePolicy == is.TerminationMessagePolicy && len(newVariables(was, is)) == 0 {
		return nil
	}
	var names []string
	for _, env := range was.Env {
		if slices.Contains(inject.HostVariables(), env.Name) && env.Value != inject.Loopback && env.Value != "localhost" {
			names = append(names, env.Name)
		}
	}
	return names
}

// newSleep is how long the injected container sleeps before its end, in seconds;
// 0 where it does as it did.
func newSleep(was, is *corev1.Container) int64 {
	if was.Lifecycle != nil && was.Lifecycle.PreStop != nil || is.Lifecycle == nil || is.Lifecycle.PreStop == nil || is.Lifecycle.PreStop.Sleep == nil {
		return 0
	}
	return is.Lifecycle.PreStop.Sleep.Seconds
}
