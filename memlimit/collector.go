package memlimit

import "github.com/prometheus/client_golang/prometheus"

// collector exports the Keeper's report.
type collector struct {
	k                               *Keeper
	account, gaveBack               *prometheus.Desc
	budget, limit, soft, used, live *prometheus.Desc
	level, changes, share, good     *prometheus.Desc
	anon, file, returns             *prometheus.Desc
	granted, waiting                *prometheus.Desc
	waits, refused, starved, waited *prometheus.Desc
}

// NewCollector returns k's metrics: the accounts, the budget and the level, and the process' resident memory under the
// names that vmagent uses.
func NewCollector(k *Keeper) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &collector{
		k: k,
		account: desc("scraper_memlimit_account_bytes",
			"Memory which each owner says it holds. /debug/memory shows them beside what the process takes.", "account"),
		gaveBack: desc("scraper_memlimit_account_released_bytes_total",
			"Memory which owners gave back because it was short.", "account"),
		budget: desc("scraper_memlimit_budget_bytes",
			"Memory which the process may use: the smallest of -memory.limit, GOMEMLIMIT, the container's limit and its memory.high. 0 if there is none."),
		limit: desc("scraper_memlimit_limit_bytes",
			"The budget without a reserve: what scraper_memlimit_used_bytes is measured by."),
		soft: desc("scraper_memlimit_soft_limit_bytes",
			"Memory which the Go runtime tries not to exceed. Falls when more of the budget is used outside of its heap."),
		used: desc("scraper_memlimit_used_bytes",
			"Memory which counts for the level. From 60 % of scraper_memlimit_limit_bytes on the agent gives back what it can: raise the container's limit, or scrape less."),
		live: desc("scraper_memlimit_live_bytes", "Objects which the last garbage collection found alive."),
		level: desc("scraper_memlimit_level",
			"How short memory is: 0 normal, 1 elevated, 2 high, 3 critical."),
		changes: desc("scraper_memlimit_level_changes_total",
			"Times that a level was reached, from above or below.", "level"),
		share: desc("scraper_memlimit_gc_cpu_share",
			"Part of the process' CPU time which the garbage collector took over the last seconds, where there is a budget. Above 0.25 near the soft limit the level rises."),
		good: desc("scraper_memlimit_recommended_bytes",
			"Memory limit in which the level would be normal: with the most that was used since the start, and with what is held back now. Where memory was short, it takes this at least."),
		anon: desc("process_resident_memory_anon_bytes",
			"Resident anonymous memory: what the kernel kills for, with what else the container has. To size a limit see scraper_memlimit_recommended_bytes."),
		file: desc("process_resident_memory_file_bytes",
			"Resident memory which maps files, and which the kernel can take back."),
		granted: desc("scraper_memlimit_admission_granted_bytes",
			"Memory which is handed out to scrapes that run."),
		waiting: desc("scraper_memlimit_admission_waiting",
			"Scrapes which wait for memory."),
		waits: desc("scraper_memlimit_admission_waits_total",
			"Scrapes which had to wait for memory before they began."),
		refused: desc("scraper_memlimit_admission_refused_total",
			"Waits which ended without memory, as their target went, was shed, or had no time left."),
		starved: desc("scraper_memlimit_admission_starved_total",
			"Scrapes which ended because they needed more memory than was free. Raise the container's limit when this rises."),
		waited: desc("scraper_memlimit_admission_waited_seconds_total",
			"Time that scrapes waited for memory, together."),
		returns: desc("scraper_memlimit_returns_total",
			"Times that memory was returned to the system because its owners had released it."),
	}
}

// Describe is prometheus.Collector's.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.account, c.gaveBack, c.budget, c.limit, c.soft, c.used, c.live, c.level, c.changes, c.share, c.good, c.anon, c.file, c.returns,
		c.granted, c.waiting, c.waits, c.refused, c.starved, c.waited,
	} {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	r := c.k.Report()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for _, u := range r.Accounts {
		gauge(c.account, float64(u.Bytes), u.Name)
		counter(c.gaveBack, float64(u.Released), u.Name)
	}
	gauge(c.budget, float64(r.Budget))
	gauge(c.limit, float64(r.Limit))
	gauge(c.soft, float64(r.SoftLimit))
	gauge(c.used, float64(r.Used))
	gauge(c.live, float64(r.HeapLive))
	gauge(c.level, float64(r.Level))
	for level, n := range r.Changes {
		counter(c.changes, float64(n), Level(level).String())
	}
	gauge(c.share, r.CollectorShare)
	gauge(c.good, float64(r.Recommended))
	if r.ResidentAnon > 0 {
		gauge(c.anon, float64(r.ResidentAnon))
		gauge(c.file, float64(r.ResidentFile))
	}
	counter(c.returns, float64(r.Returns))
	a := c.k.Admission().Stats()
	gauge(c.granted, float64(a.Granted))
	gauge(c.waiting, float64(a.Waiting))
	counter(c.waits, float64(a.Waits))
	counter(c.refused, float64(a.Refused))
	counter(c.starved, float64(a.Starved))
	counter(c.waited, a.Waited.Seconds())
}
