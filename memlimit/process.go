package memlimit

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
)

// Resident returns the process' resident anonymous and file-backed memory in bytes, as /proc/self/status has it. It fails
// where there is no such file.
func Resident() (anon, file int64, err error) {
	self, err := procfs.Self()
	if err != nil {
		return 0, 0, fmt.Errorf("memlimit: %w", err)
	}
	status, err := self.NewStatus()
	if err != nil {
		return 0, 0, fmt.Errorf("memlimit: %w", err)
	}
	return int64(status.RssAnon), int64(status.RssFile), nil
}

// collector exports the Keeper's report.
type collector struct {
	k                   *Keeper
	account, anon, file *prometheus.Desc
	returns             *prometheus.Desc
}

// NewCollector returns k's metrics: the accounts, and the process' resident memory under the names that vmagent uses.
func NewCollector(k *Keeper) prometheus.Collector {
	return &collector{
		k: k,
		account: prometheus.NewDesc("scraper_memlimit_account_bytes",
			"Memory which each owner says it holds. /debug/memory shows them beside what the process takes.", []string{"account"}, nil),
		anon: prometheus.NewDesc("process_resident_memory_anon_bytes",
			"Resident anonymous memory: what the kernel kills for. It is what to size the container's limit by.", nil, nil),
		file: prometheus.NewDesc("process_resident_memory_file_bytes",
			"Resident memory which maps files, and which the kernel can take back.", nil, nil),
		returns: prometheus.NewDesc("scraper_memlimit_returns_total",
			"Times that memory was returned to the system because its owners had released it.", nil, nil),
	}
}

// Describe is prometheus.Collector's.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.account
	ch <- c.anon
	ch <- c.file
	ch <- c.returns
}

// Collect is prometheus.Collector's.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	r := c.k.Report()
	for _, u := range r.Accounts {
		ch <- prometheus.MustNewConstMetric(c.account, prometheus.GaugeValue, float64(u.Bytes), u.Name)
	}
	if r.ResidentAnon > 0 {
		ch <- prometheus.MustNewConstMetric(c.anon, prometheus.GaugeValue, float64(r.ResidentAnon))
		ch <- prometheus.MustNewConstMetric(c.file, prometheus.GaugeValue, float64(r.ResidentFile))
	}
	ch <- prometheus.MustNewConstMetric(c.returns, prometheus.CounterValue, float64(r.Returns))
}
