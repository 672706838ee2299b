package remotewrite

import (
	"github.com/prometheus/client_golang/prometheus"

	"scraper/diskqueue"
)

// Metrics are the package's own metrics. All have the label destination, whose values look like "1:name", and go with
// their destination.
type Metrics struct {
	committed, acknowledged, refused, resent  *prometheus.CounterVec
	sentBlocks, sentBytes, retries            *prometheus.CounterVec
	dropped, requests                         *prometheus.CounterVec
	pendingSamples, pendingBlocks, pendingByt *prometheus.GaugeVec
	duration                                  *prometheus.HistogramVec
	recovered, expired, diskErrors, damaged   *prometheus.CounterVec
	setAside, splits, heals, delivered        *prometheus.CounterVec
	diskBytes, diskOK                         *prometheus.GaugeVec
	refusedExemplars                          *prometheus.CounterVec
}

// NewMetrics returns metrics which are registered with reg, if it is not nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "scraper", Subsystem: "remotewrite", Name: name, Help: help},
			append([]string{"destination"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "scraper", Subsystem: "remotewrite", Name: name, Help: help},
			[]string{"destination"})
	}
	m := &Metrics{
		committed:    counter("committed_samples_total", "Samples which were taken over for the destination."),
		acknowledged: counter("acknowledged_samples_total", "Samples which the receiver said it has."),
		refused:      counter("refused_samples_total", "Samples which the receiver refused for good. See its answer in the log or on the page of destinations."),
		refusedExemplars: counter("refused_exemplars_total", "Exemplars which the receiver says it did not write, though it took the request. "+
			"Prometheus keeps them only with --enable-feature=exemplar-storage."),
		resent:     counter("resent_samples_total", "Samples which were sent again, as often as they were."),
		sentBlocks: counter("sent_blocks_total", "Requests which were acknowledged."),
		sentBytes:  counter("sent_bytes_total", "Bytes of the bodies of requests which were acknowledged, compressed."),
		retries:    counter("retries_total", "Requests which were repeated. If it rises, look at the requests by code, and at the receiver."),
		dropped: counter("dropped_samples_total", "Samples which were lost on the way to the receiver, by reason. For queue_full, "+
			"the receiver was away or slow for longer than the queue's bound allows.", "reason"),
		requests:       counter("requests_total", "Requests by the class of the answer's status; error where there was no answer.", "code"),
		pendingSamples: gauge("pending_samples", "Samples which are not settled yet. If it rises steadily, the receiver is too slow."),
		pendingBlocks:  gauge("pending_blocks", "Blocks in the queue, including those which are being sent."),
		pendingByt:     gauge("pending_bytes", "Bytes of the blocks in the queue, compressed."),
		recovered:      counter("recovered_samples_total", "Samples which the former process left on disk."),
		expired:        counter("expired_samples_total", "Samples which were dropped because they waited for longer than -remoteWrite.maxBlockAge."),
		diskErrors: counter("queue_disk_errors_total", "Failures of the queue's disk, by what was tried. While it cannot be written, "+
			"samples wait in memory. See the log, and whether the disk is full.", "operation"),
		damaged:   counter("queue_damaged_records_total", "Records of the queue which were found damaged at the start. If it rises, look at the disk."),
		setAside:  counter("queue_set_aside_total", "Times that the queue's directory was renamed, since several starts in a row did not get past it."),
		splits:    counter("split_blocks_total", "Blocks which the receiver refused, and which were halved to find out why."),
		heals:     counter("heals_total", "Times that sending began anew on new connections, since nothing was delivered for minutes though the receiver answered."),
		delivered: counter("delivered_blocks_total", "Requests which the receiver took, by protocol. If more than one rises, see the log.", "protocol"),
		diskBytes: gauge("queue_disk_bytes", "Bytes of the queue's files."),
		diskOK:    gauge("queue_disk_ok", "1 if blocks are on disk before they are sent, 0 if they are in memory alone."),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "scraper", Subsystem: "remotewrite",
			Name: "send_duration_seconds", Help: "Time from the beginning of a request to its answer, or to its failure.",
			Buckets: []float64{.005, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, []string{"destination"}),
	}
	if reg != nil {
		for _, v := range m.all() {
			reg.MustRegister(v)
		}
	}
	return m
}

// vec is what the vectors have in common.
type vec interface {
	prometheus.Collector
	DeletePartialMatch(prometheus.Labels) int
}

func (m *Metrics) all() []vec {
	return []vec{m.committed, m.acknowledged, m.refused, m.refusedExemplars, m.resent, m.sentBlocks, m.sentBytes, m.retries, m.dropped, m.requests,
		m.pendingSamples, m.pendingBlocks, m.pendingByt, m.duration, m.recovered, m.expired, m.diskErrors, m.damaged, m.setAside, m.splits, m.heals, m.delivered,
		m.diskBytes, m.diskOK}
}

// forget unregisters what belongs to a destination.
func (m *Metrics) forget(label string) {
	for _, v := range m.all() {
		v.DeletePartialMatch(prometheus.Labels{"destination": label})
	}
}

// destinationMetrics are one destination's.
type destinationMetrics struct {
	label                                       string
	of                                          *Metrics
	committed, acknowledged, refused, resent    prometheus.Counter
	sentBlocks, sentBytes, retries              prometheus.Counter
	droppedRelabeled                            prometheus.Counter
	pendingSamples, pendingBlocks, pendingBytes prometheus.Gauge
	duration                                    prometheus.Observer
	recovered, expired, splits, heals           prometheus.Counter
	refusedExemplars                            prometheus.Counter
	diskBytes, diskOK                           prometheus.Gauge
}

func (m *Metrics) destination(label string) *destinationMetrics {
	return &destinationMetrics{
		label: label, of: m,
		committed: m.committed.WithLabelValues(label), acknowledged: m.acknowledged.WithLabelValues(label),
		refused: m.refused.WithLabelValues(label), resent: m.resent.WithLabelValues(label),
		sentBlocks: m.sentBlocks.WithLabelValues(label), sentBytes: m.sentBytes.WithLabelValues(label),
		retries: m.retries.WithLabelValues(label), droppedRelabeled: m.dropped.WithLabelValues(label, "relabeled"),
		pendingSamples: m.pendingSamples.WithLabelValues(label), pendingBlocks: m.pendingBlocks.WithLabelValues(label),
		pendingBytes: m.pendingByt.WithLabelValues(label), duration: m.duration.WithLabelValues(label),
		recovered: m.recovered.WithLabelValues(label), expired: m.expired.WithLabelValues(label),
		splits: m.splits.WithLabelValues(label),
		heals:  m.heals.WithLabelValues(label), refusedExemplars: m.refusedExemplars.WithLabelValues(label),
		diskBytes: m.diskBytes.WithLabelValues(label), diskOK: m.diskOK.WithLabelValues(label),
	}
}

// pend adds to what is pending.
func (m *destinationMetrics) pend(blocks int, samples, bytes int64) {
	m.pendingBlocks.Add(float64(blocks))
	m.pendingSamples.Add(float64(samples))
	m.pendingBytes.Add(float64(bytes))
}

// found counts what was wrong with a queue when it was opened.
func (m *destinationMetrics) found(f diskqueue.Found) {
	m.of.damaged.WithLabelValues(m.label).Add(float64(f.Damaged + f.BadSegments))
	if f.SetAside != "" {
		m.of.setAside.WithLabelValues(m.label).Inc()
	}
}

func (m *destinationMetrics) diskError(operation string) {
	m.of.diskErrors.WithLabelValues(m.label, operation).Inc()
}

func (m *destinationMetrics) dropped(reason string) prometheus.Counter {
	return m.of.dropped.WithLabelValues(m.label, reason)
}

func (m *destinationMetrics) deliveredIn(p Protocol) {
	m.of.delivered.WithLabelValues(m.label, p.String()).Inc()
}

func (m *destinationMetrics) request(class string) prometheus.Counter {
	return m.of.requests.WithLabelValues(m.label, class)
}
