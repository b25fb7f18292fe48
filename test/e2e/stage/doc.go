// Package stage is what the demo and the end-to-end tests act on: a Kubernetes
// with Gatepost installed by its chart, the FastAPI example guarded in a
// namespace, callers inside the cluster, and a back end that signs tokens.
//
// It plays the parts that are not Gatepost's, and takes nothing of Gatepost's to
// do it: tokens are signed by the few lines of HMAC that small back ends use,
// requests are made by a pod of another namespace or on the node, and everything
// else is kubectl, helm and the API server. A scene (Answers, Rotate, NoWayRound
// ...) plays one part of the story and returns what it found; the demo prints
// findings, the tests fail on them.
package stage
