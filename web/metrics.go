package web

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the listen address does. Its label values are the paths of the route table and status codes.
type Metrics struct {
	requests    *prometheus.CounterVec
	connections prometheus.Gauge
	tlsFailures prometheus.Counter
}

// NewMetrics makes the metrics and registers them, if reg is not nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scraper_web_requests_total",
			Help: "Requests to the listen address by path and status code. If 401 or 403 rise, somebody without the key or password is asking; if 503 rises, too many pages are asked for at a time.",
		}, []string{"path", "code"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "scraper_web_connections",
			Help: "Open connections to the listen address. At 512 idle ones are closed, and new ones wait.",
		}),
		tlsFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "scraper_web_tls_reload_failures_total",
			Help: "How often the certificate of the listen address changed and could not be loaded; the old one stays. If it rises, see the log, and check -tlsCertFile and -tlsKeyFile.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.connections, m.tlsFailures)
	}
	return m
}

func (m *Metrics) request(path string, code int) {
	if code == 0 {
		code = 200 // net/http says so when a handler wrote nothing
	}
	m.requests.WithLabelValues(path, strconv.Itoa(code)).Inc()
}
