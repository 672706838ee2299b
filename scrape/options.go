package scrape

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"

	"scraper/bufpool"
	"scraper/config"
	"scraper/labelcompress"
	"scraper/snapshots"
)

// Options configure a Manager. Sink, Dict and Pool are required.
type Options struct {
	Sink    Sink
	Dict    *labelcompress.Dict
	Pool    *bufpool.Pool
	Logger  *slog.Logger
	Metrics *Metrics
	// Dialect decides where vmagent and Prometheus contradict each other.
	Dialect config.Dialect
	// HostSeed is part of what the targets' phases depend on: the host's name and the cluster's.
	HostSeed string
	// UserAgent of the requests, "scraper" by default.
	UserAgent string
	// Metadata says that TYPE, HELP and UNIT are kept and sent, too.
	Metadata bool
	// StartTimestamps takes the _created lines of OpenMetrics for start timestamps, in place of samples. Those of protocol
	// buffers, which are no samples, are taken in any case.
	StartTimestamps bool
	// MaxScrapeBytes is the limit of a decompressed body for jobs without one of their own, 1 GiB by default.
	MaxScrapeBytes int64
	// MaxLineBytes is the longest line of a body, 1 MiB by default.
	MaxLineBytes int
	// MaxBatchBytes is the memory for the samples of one scrape until it is complete, 8 MiB by default; what exceeds it
	// waits in a file without a name in SpoolDir, the system's temporary directory by default. All such files together have
	// MaxSpoolBytes at most, 1 GiB by default. What cannot be written there stays in memory.
	MaxBatchBytes int64
	SpoolDir      string
	MaxSpoolBytes int64
	// Released, if not nil, is told of memory in bytes that scrapes took and let go of, beside what Bytes shows.
	Released func(bytes int64)
	// Memory, if not nil, says how short memory is: scrapes wait for it, or are skipped.
	Memory Memory
	// Snapshots follows what reloads and discovery replaced, for as long as it is in memory. Nil follows nothing.
	Snapshots *snapshots.Book
	// Workers is how many bodies are parsed at once, GOMAXPROCS by default.
	Workers int
	// DialContext opens connections to targets, or to their proxies: TCP by default, with a small receive buffer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.UserAgent == "" {
		o.UserAgent = "scraper"
	}
	if o.MaxScrapeBytes == 0 {
		o.MaxScrapeBytes = 1 << 30
	}
	if o.MaxLineBytes == 0 {
		o.MaxLineBytes = 1 << 20
	}
	if o.MaxBatchBytes == 0 {
		o.MaxBatchBytes = 8 << 20
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Released == nil {
		o.Released = func(int64) {}
	}
	return o
}

func (o *Options) validate() error {
	var errs []error
	if o.Sink == nil || o.Dict == nil || o.Pool == nil {
		errs = append(errs, errors.New("options Sink, Dict and Pool are required"))
	}
	if o.MaxScrapeBytes < 0 || o.MaxLineBytes < 0 || o.MaxSpoolBytes < 0 || o.Workers < 0 {
		errs = append(errs, errors.New("options MaxScrapeBytes, MaxLineBytes, MaxSpoolBytes and Workers may not be negative"))
	}
	return errors.Join(errs...)
}
