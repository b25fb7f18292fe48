package issuer

import "github.com/prometheus/client_golang/prometheus"

// metrics are the issuer's counters; their names are API (docs/reference). Labels
// come from the document and closed sets, never from a request.
type metrics struct {
	tokens         *prometheus.CounterVec
	throttled      *prometheus.CounterVec
	requestSeconds *prometheus.HistogramVec
	reloads        *prometheus.CounterVec
	lastReload     prometheus.Gauge
	jwksFetches    *prometheus.CounterVec
	canSign        prometheus.Gauge
}

// newMetrics makes the metrics and registers them.
func newMetrics(registry prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		registry.MustRegister(vec)
		return vec
	}
	gauge := func(name, help string) prometheus.Gauge {
		made := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		registry.MustRegister(made)
		return made
	}
	m := &metrics{
		tokens:    counter("gatepost_issuer_tokens_total", "Requests for a token by grant and result: ok, an error code of OAuth, or the reason for which a session was refused.", "issuer", "grant", "result"),
		throttled: counter("gatepost_issuer_throttled_total", "Requests held back, by limit (ip, client, anonymous, login, hashing, concurrency).", "issuer", "limit"),
		requestSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatepost_issuer_request_duration_seconds", Help: "Time to answer a request, by endpoint.",
			Buckets: []float64{1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5},
		}, []string{"endpoint"}),
		reloads:     counter("gatepost_config_reloads_total", "Attempts to load document and keys by result; all but ok left the last good state in force.", "result"),
		lastReload:  gauge("gatepost_config_last_reload_timestamp_seconds", "When document and keys were last loaded, as Unix time."),
		jwksFetches: counter("gatepost_jwks_fetches_total", "Fetches of remote key sets by result.", "provider", "result"),
		canSign:     gauge("gatepost_issuer_can_sign", "Whether there is a key that may sign."),
	}
	registry.MustRegister(m.requestSeconds)
	for _, result := range []string{reloadOK, reloadUnreadable, reloadInvalid, reloadTooShort, reloadLooksLikeKey, reloadOlder} {
		m.reloads.WithLabelValues(result) // from 0, or the first refusal would not be seen as an increase
	}
	return m
}

// watch adds what others count.
func (m *metrics) watch(registry prometheus.Registerer, hashes func() uint64, families func() int) {
	registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatepost_issuer_password_hashes_total", Help: "Passwords that were hashed, right or wrong, of known and unknown users.",
		}, func() float64 { return float64(hashes()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatepost_issuer_refresh_families", Help: "Families of refresh tokens in memory; some may have expired.",
		}, func() float64 { return float64(families()) }),
	)
}

// forget removes the series of an issuer that has another name now.
func (m *metrics) forget(name string) {
	gone := prometheus.Labels{"issuer": name}
	m.tokens.DeletePartialMatch(gone)
	m.throttled.DeletePartialMatch(gone)
}
