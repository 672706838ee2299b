package scrape

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the package's own metrics.
type Metrics struct {
	scrapes        *prometheus.CounterVec
	skipped        prometheus.Counter
	late           prometheus.Counter
	panics         prometheus.Counter
	badLines       prometheus.Counter
	samplesRead    prometheus.Counter
	samplesCommit  prometheus.Counter
	samplesDropped *prometheus.CounterVec
	samplesInline  prometheus.Counter
	memoryLimited  prometheus.Counter
	memorySkipped  *prometheus.CounterVec
	unconverted    prometheus.Counter
	markers        prometheus.Counter
	duration       prometheus.Histogram
	bodyBytes      prometheus.Counter
	targets        *prometheus.GaugeVec
	dropped        *prometheus.GaugeVec
	syncFailed     prometheus.Counter

	unbalanced atomic.Int64
}

// The reasons why samples are dropped before the commit; with samplesCommit they add up to samplesRead.
const (
	dropRelabeling  = "relabeling"
	dropLimit       = "limit"
	dropDuplicate   = "duplicate"
	dropOutOfOrder  = "out_of_order"
	dropOutOfBounds = "out_of_bounds"
	dropFailed      = "failed_scrape"
)

// NewMetrics returns the package's metrics, registered with reg unless it is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "scraper_scrape_" + name, Help: help})
	}
	m := &Metrics{
		scrapes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scraper_scrape_scrapes_total",
			Help: "Scrapes by result. When failures rise, /targets says which targets fail and why.",
		}, []string{"result"}),
		skipped:     counter("skipped_total", "Scrapes which were due while the target's last one was still running. Raise scrape_interval, or lower scrape_timeout."),
		late:        counter("late_total", "Scrapes which started more than 50 ms after they were due. The agent needs more CPU when this rises."),
		panics:      counter("panics_total", "Scrapes which ended in a panic. Each is a bug; the log has its stack."),
		badLines:    counter("bad_lines_total", "Lines of bodies which were skipped because they are not in the format (vmagent's dialect)."),
		samplesRead: counter("samples_read_total", "Samples read from targets."),
		samplesCommit: counter("samples_committed_total",
			"Samples of good scrapes, given to remote write. With those dropped they add up to those read."),
		samplesDropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scraper_scrape_samples_dropped_total",
			Help: "Samples which were read and not committed, by reason.",
		}, []string{"reason"}),
		samplesInline: counter("samples_inline_total",
			"Samples of series which are not learnt, as the label dictionary has no room for them, or memory is high: sent all the same, but without staleness markers. Raise the container's limit, -memory.limit or -promscrape.maxLabelMemory."),
		memoryLimited: counter("memory_limited_total",
			"Scrapes which failed as they needed more memory than was free, or as too many of their series could not be learnt. Raise the container's limit, -memory.limit or -promscrape.maxLabelMemory."),
		memorySkipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scraper_scrape_memory_skipped_total",
			Help: "Scrapes which were skipped because memory is short, by reason. Raise -memory.limit or the container's limit, or scrape less.",
		}, []string{"reason"}),
		unconverted: counter("histograms_unconverted_total",
			"Classic histograms which convert_classic_histograms_to_nhcb left out, since their counts are not cumulative or are negative. The target's client library is to be repaired."),
		markers: counter("stale_markers_total", "Staleness markers, which are sent beside the samples."),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "scraper_scrape_duration_seconds",
			Help:    "Time from a scrape's start to its end.",
			Buckets: []float64{.001, .005, .02, .1, .5, 1, 2, 5, 10, 30},
		}),
		bodyBytes: counter("body_bytes_total", "Bytes of bodies, decompressed."),
		targets: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "scraper_scrape_targets", Help: "Active targets by job.",
		}, []string{"job"}),
		dropped: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "scraper_scrape_targets_dropped", Help: "Targets which relabeling drops, by job.",
		}, []string{"job"}),
		syncFailed: counter("target_errors_total", "Discovered targets which could not be made into one. /service-discovery says why."),
	}
	for _, r := range []string{dropRelabeling, dropLimit, dropDuplicate, dropOutOfOrder, dropOutOfBounds, dropFailed} {
		m.samplesDropped.WithLabelValues(r)
	}
	for _, r := range []SkipReason{SkipShed, SkipNew, SkipWaiting} {
		m.memorySkipped.WithLabelValues(string(r))
	}
	for _, r := range []string{"up", "down"} {
		m.scrapes.WithLabelValues(r)
	}
	if reg != nil {
		reg.MustRegister(m.scrapes, m.skipped, m.late, m.panics, m.badLines, m.samplesRead, m.samplesCommit,
			m.samplesDropped, m.samplesInline, m.memoryLimited, m.memorySkipped, m.unconverted, m.markers, m.duration, m.bodyBytes, m.targets, m.dropped, m.syncFailed)
	}
	return m
}

// count adds what became of one scrape's samples.
func (m *Metrics) count(c *counts) {
	m.samplesRead.Add(float64(c.Scraped))
	m.samplesCommit.Add(float64(c.Committed))
	m.samplesInline.Add(float64(c.Inline))
	m.markers.Add(float64(c.Markers))
	m.badLines.Add(float64(c.Bad))
	m.unconverted.Add(float64(c.Unconverted))
	rest := c.Scraped - c.Committed
	for _, d := range []struct {
		reason string
		n      int
	}{
		{dropRelabeling, c.Relabeled}, {dropLimit, c.Limited}, {dropDuplicate, c.Duplicate},
		{dropOutOfOrder, c.OutOfOrder}, {dropOutOfBounds, c.OutOfBounds}, {dropFailed, c.Failed},
	} {
		if d.n > 0 {
			m.samplesDropped.WithLabelValues(d.reason).Add(float64(d.n))
		}
		rest -= d.n
	}
	m.unbalanced.Add(int64(rest))
}

// Unbalanced is the samples which were read less those committed and those dropped: zero, or there is a bug.
func (m *Metrics) Unbalanced() int64 { return m.unbalanced.Load() }
