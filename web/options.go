package web

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scraper/config"
	"scraper/relabel"
	"scraper/remotewrite"
	"scraper/scrape"
)

// Options configures a Server. The zero value listens on :8429 and shows nothing.
type Options struct {
	// Addr is the TCP address to listen on; ":8429" if empty. Not used when there is a Listener.
	Addr string
	// Listener, if not nil, is served instead. New takes ownership.
	Listener net.Listener
	// TLSCertFile and TLSKeyFile are PEM files: both or none. They are read again when they change.
	TLSCertFile, TLSKeyFile string
	BasicAuth               BasicAuth
	AuthKeys                AuthKeys
	// MaxConnections is how many connections may be open; 512 if 0. At the limit the longest idle one is closed.
	MaxConnections int
	// DrainTimeout bounds how long requests may take once Run's context has ended; 2 s if 0.
	DrainTimeout time.Duration

	Dialect config.Dialect
	// EnableLifecycle lets requests reload and quit in Prometheus' dialect. In vmagent's, reload is always on and
	// quit never.
	EnableLifecycle bool
	// Version, Revision and BuildDate say what runs.
	Version, Revision, BuildDate string
	// Hostname stands for a loopback host in the globalUrl of targets; if empty it stays as it is.
	Hostname string

	Logger  *slog.Logger        // nil: nothing is logged
	Metrics *Metrics            // of this package; nil: counted, and not seen
	Gather  prometheus.Gatherer // what /metrics shows; nil: nothing

	// The functions below may be nil, and are called from many goroutines. What they return must not change
	// afterwards.

	// Targets is the state of all targets.
	Targets func() scrape.Snapshot
	// Metadata is what each target said of its families, by the target's number.
	Metadata func() iter.Seq2[uint64, []scrape.Metadata]
	// Destinations is the state of all destinations, in the order of their configuration.
	Destinations func() []remotewrite.DestinationStatus
	// Config is the configuration as YAML with secrets hidden.
	Config func() string
	// Flags are all flags with secrets hidden, sorted by name.
	Flags func() []Flag
	// Ready says why the agent is not ready yet, nil when it is.
	Ready func() error
	// Reload reads the configuration again and returns when that was done or refused. ctx ends when the client has
	// gone or the server stops, and then Reload must return, whatever becomes of the work.
	Reload func(ctx context.Context) error
	// Quit asks the agent to stop, and returns at once.
	Quit func()
	// MemoryShort says that pages which hold much are to be made one at a time.
	MemoryShort func() bool
	// Memory is who holds how much memory.
	Memory func() Memory
	// Latest returns at most limit series which contain filter, as the demo's receiver holds them; nil outside the demo.
	Latest func(limit int, filter string) []LatestValue
}

// BasicAuth is what clients must send where no key replaces it. An empty User turns it off.
type BasicAuth struct{ User, Password string }

// AuthKeys protect single paths. A key that is set replaces basic authentication for its paths.
type AuthKeys struct{ Reload, Config, Flags, Metrics, Pprof string }

// Flag is one flag of the command line and its value. Its name is as users write it, with the dashes.
type Flag struct{ Name, Value string }

// LatestValue is the newest sample of a series.
type LatestValue struct {
	Labels []relabel.Label // sorted by name
	Value  float64
	At     time.Time
	Stale  bool // the newest sample is a staleness marker, Value is the one before it
}

func (o Options) withDefaults() Options {
	if o.Addr == "" {
		o.Addr = ":8429"
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 512
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 2 * time.Second
	}
	if o.Version == "" {
		o.Version = "unknown"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Gather == nil {
		o.Gather = prometheus.Gatherers{}
	}
	if o.Targets == nil {
		o.Targets = func() scrape.Snapshot { return scrape.Snapshot{} }
	}
	if o.Metadata == nil {
		o.Metadata = func() iter.Seq2[uint64, []scrape.Metadata] {
			return func(func(uint64, []scrape.Metadata) bool) {}
		}
	}
	if o.Destinations == nil {
		o.Destinations = func() []remotewrite.DestinationStatus { return nil }
	}
	if o.Config == nil {
		o.Config = func() string { return "" }
	}
	if o.Flags == nil {
		o.Flags = func() []Flag { return nil }
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Reload == nil {
		o.Reload = func(context.Context) error { return errors.New("nothing to reload") }
	}
	if o.MemoryShort == nil {
		o.MemoryShort = func() bool { return false }
	}
	if o.Quit == nil {
		o.Quit = func() {}
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	switch {
	case o.TLSCertFile != "" && o.TLSKeyFile == "":
		errs = append(errs, errors.New("a certificate (-tlsCertFile) needs its key (-tlsKeyFile)"))
	case o.TLSCertFile == "" && o.TLSKeyFile != "":
		errs = append(errs, errors.New("a key (-tlsKeyFile) needs its certificate (-tlsCertFile)"))
	}
	if o.BasicAuth.User == "" && o.BasicAuth.Password != "" {
		errs = append(errs, errors.New("a password (-httpAuth.password) without a user (-httpAuth.username) would protect nothing"))
	}
	if o.MaxConnections < 0 {
		errs = append(errs, errors.New("the limit on connections (Options.MaxConnections) is negative"))
	}
	if o.DrainTimeout < 0 {
		errs = append(errs, errors.New("the drain timeout (Options.DrainTimeout) is negative"))
	}
	return errors.Join(errs...)
}
