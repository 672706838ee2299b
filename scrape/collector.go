package scrape

import "github.com/prometheus/client_golang/prometheus"

// memoryCollector exports what the shortage of memory does to a Manager's targets.
type memoryCollector struct {
	m                            *Manager
	held, owed, shed, readmitted *prometheus.Desc
	spool, maxSpool, unspooled   *prometheus.Desc
}

// NewMemoryCollector returns the metrics of m.MemoryState, and of what of scrapes is in files in place of memory.
func NewMemoryCollector(m *Manager) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("scraper_scrape_memory_"+name, help, labels, nil)
	}
	spool := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("scraper_scrape_spool_"+name, help, nil, nil)
	}
	return &memoryCollector{
		m: m,
		held: desc("held_targets",
			"Targets which are not scraped because memory is short, by reason. /debug/memory names them.", "reason"),
		owed: desc("owed_markers",
			"Staleness markers of targets which were skipped, and which are sent bit by bit."),
		shed:       desc("shed_total", "Times that a target was shed because memory was critical."),
		readmitted: desc("readmitted_total", "Times that a target which was held was let in again."),
		spool:      spool("bytes", "Temporary files with what of running scrapes is too large for memory."),
		maxSpool:   spool("limit_bytes", "What these files may have together: -promscrape.maxBatchDisk, or less where they are memory themselves."),
		unspooled: spool("failures_total",
			"Times that something could not be written to these files, and stayed in memory. Give the data path room; the log says why."),
	}
}

// Describe is prometheus.Collector's.
func (c *memoryCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.held, c.owed, c.shed, c.readmitted, c.spool, c.maxSpool, c.unspooled} {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (c *memoryCollector) Collect(ch chan<- prometheus.Metric) {
	s := &c.m.short
	c.m.mu.Lock()
	held := map[SkipReason]int{SkipShed: 0, SkipNew: 0}
	for t := range s.held {
		held[t.held.Reason]++
	}
	owed, shed, readmitted := s.owed, s.shed, s.readmitted
	c.m.mu.Unlock()
	for reason, n := range held {
		ch <- prometheus.MustNewConstMetric(c.held, prometheus.GaugeValue, float64(n), string(reason))
	}
	ch <- prometheus.MustNewConstMetric(c.owed, prometheus.GaugeValue, float64(owed))
	ch <- prometheus.MustNewConstMetric(c.shed, prometheus.CounterValue, float64(shed))
	ch <- prometheus.MustNewConstMetric(c.readmitted, prometheus.CounterValue, float64(readmitted))
	files := c.m.spool.Stats()
	ch <- prometheus.MustNewConstMetric(c.spool, prometheus.GaugeValue, float64(files.Bytes))
	ch <- prometheus.MustNewConstMetric(c.maxSpool, prometheus.GaugeValue, float64(files.MaxBytes))
	ch <- prometheus.MustNewConstMetric(c.unspooled, prometheus.CounterValue, float64(files.Failures))
}
