// Package config turns a configuration file, Prometheus' or vmagent's, into typed and validated values with all
// defaults filled in.
//
// It reads the union of both configuration languages; where the two contradict each other, the dialect decides. A key
// of theirs which is not supported yet is an error, never ignored, and so is a key which nobody knows. All problems of
// a file are reported together, each with its file and line.
//
// It has no side effects: Load reads one file, and nothing here starts a goroutine, opens a socket, registers a metric
// or looks at the environment, which is passed in as a function. It does not read the files that a configuration names
// (file_sd files, passwords, certificates), and does not relabel.
//
// What Load, Parse and ParseTargetGroups return is immutable, shares no memory with their arguments, and is safe for
// concurrent use.
//
// Secrets are never in what is shown: neither Config.Text nor an error or a warning holds the value of a key that is
// meant for a secret.
//
// Read load.go first, then decode.go for the way in which nodes become values, then job.go.
package config

import (
	"net/url"
	"time"

	"github.com/klauspost/compress/s2"
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

// String is the dialect's name in the -promscrape.dialect flag.
func (d Dialect) String() string {
	if d == Prometheus {
		return "prometheus"
	}
	return "vmagent"
}

// Config is one configuration file, checked and with all defaults filled in. It is immutable.
type Config struct {
	Dialect      Dialect
	Global       Global
	Jobs         []*Job // in the order of the file
	RemoteWrites []*RemoteWrite
	// Warnings are sentences for the log, each with its file and line: sections which an agent does not run, values
	// which had to be adjusted.
	Warnings []string
	// source is the file as it was read, with its secrets, in s2: Text is made of it.
	source []byte
	size   int // of the file
}

// Size is the size of the file in bytes.
func (c *Config) Size() int { return c.size }

// Text is the file before %{ENV} was expanded, without its comments and with secrets hidden: what /config shows. It is made
// anew by each call, since that takes many times the memory of the file, and it is seldom looked at.
func (c *Config) Text() string {
	text, err := s2.Decode(nil, c.source)
	if err != nil {
		return "" // of a Config which nobody loaded
	}
	return redactText(text)
}

// Global is the global section.
type Global struct {
	ScrapeInterval time.Duration
	ScrapeTimeout  time.Duration
	ExternalLabels []relabel.Label // sorted by name
	SampleLimit    int             // 0: none; folded into the jobs
	LabelLimit     int             // 0: none; folded into the jobs
	// LabelNameLimit, LabelValueLimit, TargetLimit and KeepDroppedTargets are folded into the jobs, too.
	LabelNameLimit, LabelValueLimit, TargetLimit, KeepDroppedTargets int
	MaxScrapeBytes                                                   int64 // body_size_limit; 0: the flag's value; folded into the jobs
}

// Job is one entry of scrape_configs, with the globals folded in.
//
// A new field has to be assigned to an aspect in Diff; a test fails until it is.
type Job struct {
	Name            string
	ScrapeInterval  time.Duration
	ScrapeTimeout   time.Duration // at most ScrapeInterval
	MetricsPath     string
	Scheme          string // http or https
	Params          url.Values
	HonorLabels     bool
	HonorTimestamps bool
	// TrackTimestampsStaleness sends markers for series with timestamps of their own too.
	TrackTimestampsStaleness bool
	EnableCompression        bool                       // ask for gzip
	Formats                  Formats                    // scrape_protocols and what belongs to it
	MaxScrapeBytes           int64                      // of the decompressed body; 0: the flag's value
	SampleLimit              int                        // 0: none
	LabelLimit               int                        // 0: none
	LabelNameLimit           int                        // bytes; 0: none
	LabelValueLimit          int                        // bytes; 0: none
	TargetLimit              int                        // with more, none is scraped; 0: none
	KeepDroppedTargets       int                        // how many are shown; 0: as many as the agent shows at most
	HTTP                     commoncfg.HTTPClientConfig // with absolute paths; checked
	HTTP2                    bool                       // enable_http2 is true, and not by default
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
	Files           []string      // absolute when Options.BaseDir is; the last path element may hold a *
	RefreshInterval time.Duration // 0: the flag's value
}

// RemoteWrite is one entry of remote_write.
//
// A new field has to be compared in Equal; a test fails until it is.
type RemoteWrite struct {
	URL     string
	Name    string // empty when the file gives none, else unique
	Headers map[string]string
	Timeout time.Duration  // remote_timeout
	Relabel *relabel.Rules // write_relabel_configs; nil when there are none
	HTTP    commoncfg.HTTPClientConfig
	Queue   QueueConfig
	// SendExemplars and SendHistograms: send_exemplars and send_native_histograms.
	SendExemplars, SendHistograms bool
	// NoMetadata: metadata_config says that TYPE, HELP and UNIT are not to be sent.
	NoMetadata bool
	// Protocol is the version of remote write that protobuf_message names: 1.0, 2.0, or empty when it is not given.
	Protocol string
	Line     int
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
