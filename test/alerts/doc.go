// Package alerts holds the alerts and the dashboard of charts/gatepost/monitoring to
// what they promise: tests only.
//
// Each rule is fired by a case in testdata and left alone by another one close to it;
// promtool (of Debian's package prometheus) runs them. Metrics, labels and values in
// queries exist in the code, and each runbook_url leads to a heading.
package alerts
