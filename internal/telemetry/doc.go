// Package telemetry is how a Gatepost program is seen from outside: one slog
// handler, one metrics registry, health and readiness, and the promise that a
// crash leaves no core file with secrets in it.
//
// Logs are JSON, one record per line, with constant messages and snake_case
// keys. A caller that could be made to log without bound asks a Sampler first.
// Metrics live in a registry that the program makes, never in a global one.
package telemetry
