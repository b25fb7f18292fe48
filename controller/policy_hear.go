package controller

import (
	"strconv"
	"time"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/controller/rollcall"
)

const (
	// askPatience is how long a process that has just begun to look after a bundle
	// waits for its sidecars before it writes another edition: should the cluster
	// have been restored, they are the only ones who know.
	askPatience = 10 * time.Second
	// hearPatience is how long sidecars are heard before a bundle is numbered above
	// what is written on their pods.
	hearPatience = 30 * time.Second
)

// hearing is what was heard of a bundle's sidecars, beside what they know.
type hearing struct {
	told     int64         // the highest revision on pods whose sidecars proved nothing yet
	silent   bool          // some have not been asked yet
	duration time.Duration // how long they have been asked
	tired    bool          // the bundle was numbered above their word often enough for now
}

// hear takes in what sidecars know of the bundle, and what is written on the pods
// of those that have not answered.
func (w *policyWorld) hear(report rollcall.Report, now time.Time) {
	known := max(w.last.revision(), w.policy.Status.BundleRevision)
	w.seen = recallOf(report, w.last.revision(), w.last.generation)
	if !report.Since.IsZero() {
		w.heard.duration = now.Sub(report.Since)
	}
	for i := range w.claim.pods {
		pod := &w.claim.pods[i]
		told, err := strconv.ParseInt(pod.Annotations[v1alpha1.AnnotationBundleRevision], 10, 64)
		mounted := mounts(pod, w.bundleName().Name)
		if err == nil && mounted && believable(told, known) && report.Answers[pod.UID].At.IsZero() {
			w.heard.told = max(w.heard.told, told)
		}
	}
	for i := range w.pods {
		pod := &w.pods[i]
		answer := report.Answers[pod.UID]
		if answer.At.IsZero() && answer.Problem == "" && verifies(pod, w.bundleName().Name) {
			w.heard.silent = true
		}
	}
}

// tooEarly reports whether a plan changes a bundle before its sidecars had time
// to say what they have in force.
func (w policyWorld) tooEarly(plan bundlePlan) bool {
	return w.last.file != nil && plan.file.Revision != w.last.revision() && w.heard.silent && w.heard.duration < askPatience
}

// highestRevision is the highest revision that anybody remembers, so that a
// bundle that was deleted or restored does not go on at one that sidecars would
// refuse. While a SigningKey is older than its verifiers, nothing is numbered
// above theirs: it would be keys of the past that they then take.
func (w policyWorld) highestRevision() int64 {
	highest := w.policy.Status.BundleRevision
	if w.heard.tired {
		return highest
	}
	if w.hearAgain() == 0 {
		highest = max(highest, w.heard.told)
	}
	if !w.from.behind() {
		highest = max(highest, w.seen.revision)
	}
	return highest
}

// hearAgain is when to look again because pods were told of a later bundle than
// this one, which then was put back, and what their sidecars have in force is
// not known yet, or because there is no end to what they say; zero: nothing is
// waited for.
func (w policyWorld) hearAgain() time.Duration {
	if w.heard.tired && max(w.heard.told, w.seen.revision) > max(w.last.revision(), w.policy.Status.BundleRevision) {
		return hearPatience
	}
	if w.last.file == nil || w.heard.told <= max(w.last.revision(), w.policy.Status.BundleRevision) {
		return 0
	}
	return max(0, hearPatience-w.heard.duration)
}
