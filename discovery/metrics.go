package discovery

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the counts of one or more Discoveries.
type Metrics struct {
	targets     *prometheus.GaugeVec
	updates     prometheus.Counter
	providers   prometheus.Gauge
	fileReads   prometheus.Counter
	fileErrors  prometheus.Counter
	problems    *prometheus.GaugeVec
	watchedDirs prometheus.Gauge
	watchErrors prometheus.Counter
}

// NewMetrics returns metrics which are registered with reg, or nowhere if it is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	m := &Metrics{
		targets: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "scraper_discovery_targets",
			Help: "Targets that were discovered for a job, before relabeling. When it falls to 0 by surprise, look at scraper_discovery_file_problems and the log.",
		}, []string{"job"}),
		updates: f.NewCounter(prometheus.CounterOpts{
			Name: "scraper_discovery_updates_total",
			Help: "Changes of a job's set of targets. A steady high rate means that something rewrites targets all the time.",
		}),
		providers: f.NewGauge(prometheus.GaugeOpts{
			Name: "scraper_discovery_providers",
			Help: "Sections of the configuration which are watched; identical ones are one.",
		}),
		fileReads: f.NewCounter(prometheus.CounterOpts{
			Name: "scraper_discovery_file_reads_total",
			Help: "Target files that were read, since they were new or had changed.",
		}),
		fileErrors: f.NewCounter(prometheus.CounterOpts{
			Name: "scraper_discovery_file_read_errors_total",
			Help: "Checks of a target file, or of its directory, that found it unusable. While it rises some file's last good targets are kept: the log names it.",
		}),
		problems: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "scraper_discovery_file_problems",
			Help: "Target files and directories which are unusable now, by what is wrong with them. Anything but 0 is worth a look at the log.",
		}, []string{"problem"}),
		watchedDirs: f.NewGauge(prometheus.GaugeOpts{
			Name: "scraper_discovery_watched_directories",
			Help: "Directories of target files which the kernel reports changes of. Those that it does not are checked by interval only.",
		}),
		watchErrors: f.NewCounter(prometheus.CounterOpts{
			Name: "scraper_discovery_watch_errors_total",
			Help: "Failures to watch a directory, and overflows of the kernel's queue. When it rises raise fs.inotify.max_user_watches and max_user_instances.",
		}),
	}
	for _, p := range problems {
		m.problems.WithLabelValues(string(p))
	}
	return m
}
