package config

import (
	"net/url"
	"time"

	commoncfg "github.com/prometheus/common/config"

	"scraper/relabel"
)

// Dialect says whose meaning holds where vmagent and Prometheus contradict each other.
type Dialect uint8

// The dialects.
const (
	VMAgent Dialect = iota
	Prometheus
)

// Config is one configuration file (and the files it names), checked and with all defaults filled in. It is immutable.
type Config struct {
	Dialect      Dialect
	Global       Global
	Jobs         []*Job // in the order of the file
	RemoteWrites []*RemoteWrite
	// Warnings are sentences for the log about sections which an agent does not run.
	Warnings []string
	// Text is the file as it was read, before %{ENV} was expanded and with secrets hidden: what /config shows.
	Text string
}

// Global is the global section.
type Global struct {
	ScrapeInterval time.Duration
	ScrapeTimeout  time.Duration
	ExternalLabels []relabel.Label // sorted by name
}

// Job is one entry of scrape_configs, with the globals folded in.
type Job struct {
	Name            string
	ScrapeInterval  time.Duration
	ScrapeTimeout   time.Duration
	MetricsPath     string
	Scheme          string // http or https
	Params          url.Values
	HonorLabels     bool
	HonorTimestamps bool
	// TrackTimestampsStaleness sends markers for series with timestamps of their own too.
	TrackTimestampsStaleness bool
	EnableCompression        bool  // ask for gzip
	MaxScrapeBytes           int64 // of the decompressed body; 0: the flag's value
	SampleLimit              int   // 0: none
	LabelLimit               int   // 0: none
	HTTP                     commoncfg.HTTPClientConfig
	Static                   []*StaticGroup
	FileSD                   []*FileSD
	Relabel                  *relabel.Rules  // of targets; nil when there are none
	MetricRelabel            *relabel.Rules  // of samples; nil when there are none
	ExternalLabels           []relabel.Label // the global ones, sorted by name
	// Line is the job's line in its file.
	Line int
}

// StaticGroup is one entry of static_configs, or of a file_sd file.
type StaticGroup struct {
	Targets []string
	Labels  []relabel.Label // sorted by name
}

// FileSD is one entry of file_sd_configs.
type FileSD struct {
	Files           []string      // absolute; the last path element may hold a *
	RefreshInterval time.Duration // 0: the flag's value
}

// RemoteWrite is one entry of remote_write.
type RemoteWrite struct {
	URL     string
	Name    string
	Headers map[string]string
	Timeout time.Duration  // remote_timeout
	Relabel *relabel.Rules // write_relabel_configs; nil when there are none
	HTTP    commoncfg.HTTPClientConfig
	Queue   QueueConfig
	Line    int
}

// QueueConfig holds the keys of queue_config which have a meaning here; zero means the default.
type QueueConfig struct {
	MaxSamplesPerSend int
	BatchSendDeadline time.Duration
	MinBackoff        time.Duration
	MaxBackoff        time.Duration
	Capacity          int
	MaxShards         int
	MinShards         int
	RetryOnHTTP429    *bool
	SampleAgeLimit    time.Duration
}
