package sidecar

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the sidecar's counters; their names are API (docs/reference).
// Labels come from the policy, the loaded keys and closed sets, never from a
// request.
type metrics struct {
	requests        *prometheus.CounterVec
	authSeconds     *prometheus.HistogramVec
	requestSeconds  *prometheus.HistogramVec
	remaining       *prometheus.HistogramVec
	expiredAge      *prometheus.HistogramVec
	leeway          *prometheus.CounterVec
	verifications   *prometheus.CounterVec
	unknownKeys     *prometheus.CounterVec
	jwksFetches     *prometheus.CounterVec
	jwksSuccess     *prometheus.GaugeVec
	keysLoaded      *prometheus.GaugeVec
	reloads         *prometheus.CounterVec
	lastReload      prometheus.Gauge
	streams         *prometheus.GaugeVec
	streamsClosed   *prometheus.CounterVec
	streamsOutlived *prometheus.CounterVec
	preflights      *prometheus.CounterVec
	deniedByRule    *prometheus.CounterVec
	apiKeys         *prometheus.CounterVec
	upstreamErrors  *prometheus.CounterVec
}

// lifetimes are buckets in seconds from a second to a day, around the minute or
// two that a browser's token lives.
var lifetimes = []float64{1, 5, 10, 30, 60, 120, 300, 900, 3600, 14400, 86400}

// newMetrics makes the metrics and registers them.
func newMetrics(registry prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		registry.MustRegister(vec)
		return vec
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		registry.MustRegister(vec)
		return vec
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		registry.MustRegister(vec)
		return vec
	}
	m := &metrics{
		requests:        counter("gatepost_requests_total", "Requests by decision (allow, deny, audit_deny, exempt) and reason.", "policy", "decision", "reason"),
		authSeconds:     histogram("gatepost_auth_duration_seconds", "Time to decide on a request.", []float64{1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 1e-2, 0.1, 1, 5}, "decision"),
		requestSeconds:  histogram("gatepost_http_request_duration_seconds", "Time from the head of a request to the end of its answer, streams included.", []float64{1e-3, 5e-3, 2.5e-2, 0.1, 0.5, 2.5, 10, 60, 600}, "code_class"),
		remaining:       histogram("gatepost_token_remaining_lifetime_seconds", "Time that accepted tokens still had.", lifetimes, "provider"),
		expiredAge:      histogram("gatepost_token_expired_age_seconds", "Time since tokens refused as expired had expired.", lifetimes, "provider"),
		leeway:          counter("gatepost_token_accepted_within_leeway_total", "Tokens accepted only because of the clock skew that is allowed, by claim (exp, nbf, iat).", "provider", "claim"),
		verifications:   counter("gatepost_key_verifications_total", "Tokens accepted, by key id; kids that are not loaded, and none, are other.", "provider", "kid"),
		unknownKeys:     counter("gatepost_unknown_key_total", "Tokens whose key id is not loaded, by what became of it.", "provider", "outcome"),
		jwksFetches:     counter("gatepost_jwks_fetches_total", "Fetches of remote key sets by result.", "provider", "result"),
		jwksSuccess:     gauge("gatepost_jwks_last_success_timestamp_seconds", "When a remote key set was last fetched, as Unix time.", "provider"),
		keysLoaded:      gauge("gatepost_keys_loaded", "Live verification keys.", "provider"),
		reloads:         counter("gatepost_config_reloads_total", "Attempts to load policy and keys by result; all but ok left the last good state in force.", "result"),
		lastReload:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "gatepost_config_last_reload_timestamp_seconds", Help: "When policy and keys were last loaded, as Unix time."}),
		streams:         gauge("gatepost_streams_active", "Open streams by kind (sse, chunked, websocket).", "kind"),
		streamsClosed:   counter("gatepost_streams_closed_total", "Ended streams by kind and cause (agent, client, error, drain, token_expired, key_removed).", "kind", "cause"),
		streamsOutlived: counter("gatepost_stream_outlived_token_total", "Streams that went on after their token had expired and were not ended for it.", "kind"),
		preflights:      counter("gatepost_cors_preflights_total", "CORS preflights by result (allowed, refused).", "result"),
		apiKeys:         counter("gatepost_api_key_requests_total", "Requests with an API key by client id (unknown: nobody's; other: beyond those counted) and what looking it up found (ok, api_key_invalid, api_key_expired).", "client", "result"),
		deniedByRule:    counter("gatepost_denied_by_rule_total", "Requests refused by rule; default when none matched.", "policy", "rule"),
		upstreamErrors:  counter("gatepost_upstream_errors_total", "Requests that the agent did not answer, by kind (connect, timeout, reset, protocol, truncated).", "kind"),
	}
	registry.MustRegister(m.lastReload)
	for _, result := range []string{reloadOK, reloadUnreadable, reloadInvalid, reloadNotSupported, reloadTooShort, reloadLooksLikeKey, reloadOlder} {
		m.reloads.WithLabelValues(result) // from 0, or the first refusal would not be seen as an increase
	}
	return m
}

// forget removes the series of everything that a newly loaded site does not
// name any more, so that their number stays bounded for ever.
func (m *metrics) forget(old, current *site) {
	if old == nil {
		return
	}
	if old.Name != current.Name {
		m.requests.DeletePartialMatch(prometheus.Labels{"policy": old.Name})
		m.deniedByRule.DeletePartialMatch(prometheus.Labels{"policy": old.Name})
	}
	for rule := range old.rules {
		if !current.rules[rule] {
			m.deniedByRule.DeletePartialMatch(prometheus.Labels{"rule": rule})
		}
	}
	for client := range old.countedClients() {
		if !current.countedClients()[client] {
			m.apiKeys.DeletePartialMatch(prometheus.Labels{"client": client})
		}
	}
	for provider := range old.providers {
		if current.providers[provider] {
			continue
		}
		gone := prometheus.Labels{"provider": provider}
		for _, vec := range []interface {
			DeletePartialMatch(prometheus.Labels) int
		}{m.remaining, m.expiredAge, m.leeway, m.verifications, m.unknownKeys, m.jwksFetches, m.jwksSuccess, m.keysLoaded} {
			vec.DeletePartialMatch(gone)
		}
	}
}
