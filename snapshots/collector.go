package snapshots

import "github.com/prometheus/client_golang/prometheus"

// collector exports a Book.
type collector struct {
	b              *Book
	count, seconds *prometheus.Desc
}

// NewCollector returns b's metrics.
func NewCollector(b *Book) prometheus.Collector {
	return &collector{
		b: b,
		count: prometheus.NewDesc("scraper_snapshots_superseded",
			"Values which were replaced, by a reload or by discovery, and are still in memory: held, or not collected yet. /debug/memory says who holds them.",
			[]string{"kind"}, nil),
		seconds: prometheus.NewDesc("scraper_snapshots_oldest_superseded_seconds",
			"How long ago the oldest of them was replaced, 0 if there is none. More than a scrape's or a request's timeout and some minutes is a leak; please report it.",
			[]string{"kind"}, nil),
	}
}

// Describe is prometheus.Collector's.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.count
	ch <- c.seconds
}

// Collect is prometheus.Collector's.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, k := range c.b.Counts() {
		ch <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(k.Superseded), k.Kind)
		ch <- prometheus.MustNewConstMetric(c.seconds, prometheus.GaugeValue, k.Oldest.Seconds(), k.Kind)
	}
}
