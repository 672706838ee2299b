package main

import (
	"runtime"
	"strconv"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"

	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/remotewrite"
)

// configMetrics tell of reloads.
type configMetrics struct {
	successful prom.Gauge
	at         prom.Gauge
	reloads    *prom.CounterVec
}

func newConfigMetrics(reg prom.Registerer) *configMetrics {
	m := &configMetrics{
		successful: prom.NewGauge(prom.GaugeOpts{
			Name: "scraper_config_last_reload_successful",
			Help: "1 if the configuration was taken when it was last read, 0 if it was refused and the former one runs on. The log says why.",
		}),
		at: prom.NewGauge(prom.GaugeOpts{
			Name: "scraper_config_last_reload_success_timestamp_seconds",
			Help: "When the configuration was last taken.",
		}),
		reloads: prom.NewCounterVec(prom.CounterOpts{
			Name: "scraper_config_reloads_total", Help: "Times that the configuration was read, by result.",
		}, []string{"result"}),
	}
	m.reloads.WithLabelValues("success")
	m.reloads.WithLabelValues("refused")
	reg.MustRegister(m.successful, m.at, m.reloads)
	return m
}

func (m *configMetrics) reloaded(err error, now time.Time) {
	if err != nil {
		m.successful.Set(0)
		m.reloads.WithLabelValues("refused").Inc()
		return
	}
	m.successful.Set(1)
	m.at.Set(float64(now.UnixNano()) / 1e9)
	m.reloads.WithLabelValues("success").Inc()
}

func newBuildInfo(version string) prom.Collector {
	g := prom.NewGauge(prom.GaugeOpts{
		Name: "scraper_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prom.Labels{"version": version, "goversion": runtime.Version(), "goarch": runtime.GOARCH},
	})
	g.Set(1)
	return g
}

// poolBytes is what the pool's buffers take, with their users or idle.
func poolBytes(p *bufpool.Pool) int64 {
	st := p.Stats()
	n := st.Oversize.InUseBytes
	for _, c := range st.Classes {
		n += c.InUseBytes + c.IdleBytes
	}
	return n
}

// statsCollector exports snapshots: what is collected is asked for when somebody looks.
type statsCollector struct {
	descs   []*prom.Desc
	collect func(ch chan<- prom.Metric, descs []*prom.Desc)
}

// Describe is prom.Collector's.
func (c *statsCollector) Describe(ch chan<- *prom.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect is prom.Collector's.
func (c *statsCollector) Collect(ch chan<- prom.Metric) { c.collect(ch, c.descs) }

func newPoolCollector(p *bufpool.Pool) prom.Collector {
	desc := func(name, help string) *prom.Desc {
		return prom.NewDesc("scraper_bufpool_"+name, help, []string{"class"}, nil)
	}
	return &statsCollector{
		descs: []*prom.Desc{
			desc("in_use_bytes", "Buffers which are with their users, by size class in bytes."),
			desc("idle_bytes", "Buffers which wait to be used again. They go when nobody needs them for a while."),
			desc("gets_total", "Buffers taken."),
			desc("misses_total", "Buffers which had to be allocated. In steady use this hardly rises."),
			desc("shrunk_bytes_total", "Idle buffers which were dropped."),
		},
		collect: func(ch chan<- prom.Metric, d []*prom.Desc) {
			st := p.Stats()
			for _, c := range append(st.Classes, st.Oversize) {
				class := "oversize"
				if c.ClassBytes > 0 {
					class = strconv.Itoa(c.ClassBytes)
				}
				ch <- prom.MustNewConstMetric(d[0], prom.GaugeValue, float64(c.InUseBytes), class)
				ch <- prom.MustNewConstMetric(d[1], prom.GaugeValue, float64(c.IdleBytes), class)
				ch <- prom.MustNewConstMetric(d[2], prom.CounterValue, float64(c.Gets), class)
				ch <- prom.MustNewConstMetric(d[3], prom.CounterValue, float64(c.Misses), class)
				ch <- prom.MustNewConstMetric(d[4], prom.CounterValue, float64(c.ShrunkBytes), class)
			}
		},
	}
}

func newDictCollector(dict *labelcompress.Dict) prom.Collector {
	desc := func(name, help string) *prom.Desc {
		return prom.NewDesc("scraper_labelcompress_"+name, help, nil, nil)
	}
	return &statsCollector{
		descs: []*prom.Desc{
			desc("items", "Labels (pairs of name and value) in the dictionary."),
			desc("bytes", "Memory of the dictionary."),
			desc("live_bytes", "The part of it which is labels in use."),
			desc("interns_total", "Labels looked up or added when a series was met for the first time."),
			desc("hits_total", "Of these, labels which were there already."),
			desc("rejected_total", "Labels refused because the dictionary was at its limit."),
			desc("compactions_total", "Slabs emptied by moving what was alive in them."),
			desc("limbo_items", "Numbers which wait for blocks to close before they name another label."),
			desc("oldest_block_age_seconds", "Age of the block that has been open for longest."),
			desc("limit_bytes", "What scraper_labelcompress_bytes may be; 0 if it is not limited. It follows the memory budget."),
		},
		collect: func(ch chan<- prom.Metric, d []*prom.Desc) {
			st := dict.Stats()
			gauge := func(i int, v float64) { ch <- prom.MustNewConstMetric(d[i], prom.GaugeValue, v) }
			counter := func(i int, v uint64) { ch <- prom.MustNewConstMetric(d[i], prom.CounterValue, float64(v)) }
			gauge(0, float64(st.Items))
			gauge(1, float64(st.Bytes))
			gauge(2, float64(st.LiveBytes))
			counter(3, st.Interns)
			counter(4, st.Hits)
			counter(5, st.Rejected)
			counter(6, st.Compactions)
			gauge(7, float64(st.Limbo))
			gauge(8, st.OldestBlockAge.Seconds())
			gauge(9, float64(st.MaxBytes))
		},
	}
}

// newBooksCollector exports what the books lack: of scrapes what was read less what became of it, and of each destination
// what was committed and recovered less what became of that.
func newBooksCollector(scraped func() int64, sent func() []remotewrite.DestinationBooks) prom.Collector {
	return &statsCollector{
		descs: []*prom.Desc{prom.NewDesc("scraper_books_unbalanced_samples",
			"Samples of which nobody knows what became of them. Anything but 0 is a bug; please report it.", []string{"part", "destination"}, nil)},
		collect: func(ch chan<- prom.Metric, d []*prom.Desc) {
			ch <- prom.MustNewConstMetric(d[0], prom.GaugeValue, float64(scraped()), "scrape", "")
			for _, b := range sent() {
				ch <- prom.MustNewConstMetric(d[0], prom.GaugeValue, float64(b.Unbalanced()), "remotewrite", b.Name)
			}
		},
	}
}
