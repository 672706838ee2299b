// Package receiver is a remote-write receiver which keeps what it gets in memory, for a while and within bounds.
//
// It serves the tests, which ask it what arrived and in which order; the benchmark, which asks it how much arrived; and
// the demo, which shows the latest values. It speaks remote write 1.0 (a snappy block which holds a protobuf
// WriteRequest; zstd and remote write 2.0 on demand) and answers as a real receiver does, but it judges more strictly: what a lenient receiver would put
// right in silence (labels out of order, a sample sent twice) is put right and counted here, so that Verify can report
// it. It is not a database: nothing is written to disk, and there is no query language.
//
// It imports nothing else of the project, so that a mistake in an encoder cannot be made once more in the judge.
//
// Concurrency: all methods of Receiver may be called from any goroutine. Ownership: what the query methods return is
// the caller's; what handlers decode lives in scratch buffers which are reused after the request.
//
// Read receiver.go first, then http.go for the way of a request, decode.go for the format, and store.go for what is kept.
package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Options configure a Receiver. The zero value keeps everything up to the limits' defaults.
type Options struct {
	// Retention bounds the age of what is kept: samples older than the newest one of their series by more than this
	// are dropped, and so is a series for which nothing arrived during this time. 0: no limit by age.
	Retention time.Duration
	// MaxSeries bounds the series which are kept; samples of further ones are counted, not kept. Default 1,048,576.
	MaxSeries int
	// MaxSamplesPerSeries bounds the samples which are kept of one series; the oldest make way. Default 1,024.
	MaxSamplesPerSeries int
	// MaxLabelBytes bounds the names and values of all series which are kept, in bytes. Default 512 MiB.
	MaxLabelBytes int64

	// MaxBodyBytes bounds a request's compressed body, in bytes. A larger one is answered with 413. Default 32 MiB.
	MaxBodyBytes int64
	// MaxDecodedBytes bounds a request's decompressed body, in bytes. A larger one is answered with 413. Default 64 MiB.
	MaxDecodedBytes int64
	// MaxConcurrentRequests bounds the requests which are read and decoded at the same time, and with them the
	// memory for bodies; others wait. Default 16.
	MaxConcurrentRequests int

	// CountOnly makes the receiver count and sum up what arrives, and keep none of it: Series and Latest are empty,
	// and Verify knows nothing about order. It is for measuring senders.
	CountOnly bool
	// CountPerSeries makes a receiver with CountOnly count the samples of each series, by the hash of its labels.
	CountPerSeries bool

	// Zstd makes the receiver take bodies in zstd beside those in snappy, as VictoriaMetrics does: vmagent sends the
	// same message so by default, and falls back to snappy only where it is answered with 415.
	Zstd bool

	// Version2 makes the receiver take remote write 2.0 (io.prometheus.write.v2.Request) beside 1.0, and say in its answers
	// how much it has written.
	Version2 bool

	// Intercept, if set, sees each write request before the receiver does. If it returns true, it has answered, and the
	// receiver only counts the request. It may sleep, hijack the connection, or panic with http.ErrAbortHandler; where
	// it waits, it should watch the request's context. It is called from many goroutines at the same time.
	Intercept func(w http.ResponseWriter, r *http.Request) (handled bool)

	// Logger takes one line, at level debug, for each refused request. Default: none.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	setDefault(&o.MaxSeries, 1<<20)
	setDefault(&o.MaxSamplesPerSeries, 1024)
	setDefault(&o.MaxLabelBytes, 512<<20)
	setDefault(&o.MaxBodyBytes, 32<<20)
	setDefault(&o.MaxDecodedBytes, 64<<20)
	setDefault(&o.MaxConcurrentRequests, 16)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T int | int64](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

func (o Options) validate() error {
	var errs []error
	positive := func(name string, v int64) {
		if v < 0 {
			errs = append(errs, fmt.Errorf("option %s is %d, must not be negative", name, v))
		}
	}
	positive("Retention", int64(o.Retention))
	positive("MaxSeries", int64(o.MaxSeries))
	positive("MaxSamplesPerSeries", int64(o.MaxSamplesPerSeries))
	positive("MaxLabelBytes", o.MaxLabelBytes)
	positive("MaxBodyBytes", o.MaxBodyBytes)
	positive("MaxDecodedBytes", o.MaxDecodedBytes)
	positive("MaxConcurrentRequests", int64(o.MaxConcurrentRequests))
	if o.CountPerSeries && !o.CountOnly {
		errs = append(errs, errors.New("Options.CountPerSeries needs CountOnly"))
	}
	return errors.Join(errs...)
}

// Totals count what arrived since New or the last Reset.
type Totals struct {
	Requests    uint64 `json:"requests"`    // POSTs to the write path, whatever came of them
	Accepted    uint64 `json:"accepted"`    // answered with 204
	Refused     uint64 `json:"refused"`     // answered with 4xx by the receiver
	Aborted     uint64 `json:"aborted"`     // the client went away before its body was read
	Intercepted uint64 `json:"intercepted"` // answered by Options.Intercept

	BodyBytes    uint64 `json:"bodyBytes"`    // of bodies which were well formed, compressed
	DecodedBytes uint64 `json:"decodedBytes"` // the same, decompressed

	TimeSeries   uint64 `json:"timeSeries"` // messages, not distinct series
	Samples      uint64 `json:"samples"`    // staleness markers included
	StaleMarkers uint64 `json:"staleMarkers"`
	Exemplars    uint64 `json:"exemplars"`  // counted, never kept
	Histograms   uint64 `json:"histograms"` // counted, never kept
	Metadata     uint64 `json:"metadata"`   // counted, never kept

	// Checksum is the sum of Checksum(labels, sample) over all samples, so that a sender which knows what it sent can
	// tell whether all of it arrived, in whichever order and once each.
	Checksum uint64 `json:"checksum"`

	InvalidSeries  uint64 `json:"invalidSeries"`  // messages whose labels are refused
	UnsortedLabels uint64 `json:"unsortedLabels"` // messages whose labels were not sorted by name
	EmptyValues    uint64 `json:"emptyValues"`    // labels without a value
	OutOfOrder     uint64 `json:"outOfOrder"`     // samples older than the newest of their series
	Duplicates     uint64 `json:"duplicates"`     // samples with the timestamp of one which is kept, conflicts included
	Conflicts      uint64 `json:"conflicts"`      // duplicates with another value
	NotKept        uint64 `json:"notKept"`        // samples of series beyond MaxSeries or MaxLabelBytes
}

// Receiver is the receiver. It is an http.Handler: WritePath takes remote write, SeriesPath and TotalsPath show
// as JSON what arrived.
type Receiver struct {
	opts Options
	mux  *http.ServeMux
	zstd *zstd.Decoder // nil unless Options.Zstd
	// slots holds one element per request which may be decoded now, free are the scratch buffers of those that are
	// not in use.
	slots chan struct{}

	mu        sync.Mutex
	free      []*scratch
	totals    Totals
	store     store
	perSeries map[uint64]uint64
	changed   chan struct{} // closed at the next change; nil while nobody waits
}

// New returns a receiver. It starts no goroutine.
func New(opts Options) (*Receiver, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	opts = opts.withDefaults()
	r := &Receiver{opts: opts, mux: http.NewServeMux(), slots: make(chan struct{}, opts.MaxConcurrentRequests)}
	if opts.Zstd {
		var err error
		if r.zstd, err = newZstd(opts.MaxDecodedBytes); err != nil {
			return nil, fmt.Errorf("receiver: zstd: %w", err)
		}
	}
	r.mux.HandleFunc("POST "+WritePath, r.serveWrite)
	r.mux.HandleFunc("GET "+SeriesPath, r.serveSeries)
	r.mux.HandleFunc("GET "+TotalsPath, r.serveTotals)
	r.resetLocked()
	return r, nil
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.mux.ServeHTTP(w, req) }

// Totals returns what arrived so far.
func (r *Receiver) Totals() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.totals
}

// Reset forgets all series and counts. A request which is being decoded meanwhile counts as one after the reset.
func (r *Receiver) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resetLocked()
	r.notifyLocked()
}

func (r *Receiver) resetLocked() {
	r.totals = Totals{}
	r.store = newStore(r.opts)
	r.perSeries = make(map[uint64]uint64)
}

// PerSeries returns how many samples, staleness markers aside, arrived of each series, by HashLabels of its labels. It is
// empty unless Options.CountPerSeries is set.
func (r *Receiver) PerSeries() map[uint64]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := make(map[uint64]uint64, len(r.perSeries))
	for h, n := range r.perSeries {
		counts[h] = n
	}
	return counts
}

// Wait returns nil as soon as cond does; it asks again after each request which the receiver counted. It returns an
// error when ctx ends first.
func (r *Receiver) Wait(ctx context.Context, cond func() bool) error {
	for {
		r.mu.Lock()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("receiver: wait for a condition: %w", context.Cause(ctx))
		}
	}
}

// update changes the totals, and wakes those who wait.
func (r *Receiver) update(change func(*Totals)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.totals)
	r.notifyLocked()
}

func (r *Receiver) notifyLocked() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}
