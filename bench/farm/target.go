package farm

import (
	"bytes"
	"cmp"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"scraper/bench/body"
)

// Behaviour is what a target does with a request.
type Behaviour int

// What targets do.
const (
	Serve Behaviour = iota // answer at once
	Hang                   // accept, and never answer
	Drip                   // answer one byte a second
)

// chunkBytes is the size of the chunks in which Go's server sends what it does not know the length of.
const chunkBytes = 4096

// Target is one path of an address. Its exported fields are set before Add and not changed after.
type Target struct {
	Path      string // default /metrics
	Source    body.Source
	Behaviour Behaviour
	TLS       bool // and with the farm's token
	Gzip      bool // if the agent accepts it
	// ContentType is what Source's texts are. Empty: the text format.
	ContentType string
	// GzipLevel is how hard it is compressed; 0: as a Go program's server does by default.
	GzipLevel int
	// Chunked frames answers as a Go program's server does, instead of saying how long they are.
	Chunked bool
	// OpenMetrics is served instead of Source to an agent which accepts it. Nil: Source always is.
	OpenMetrics body.Source
	// Period is how often agents are told to scrape it.
	Period time.Duration

	address string
	addr    netip.Addr
	farm    *Farm
	added   time.Time

	mu       sync.Mutex // held while an answer is made or written
	removed  time.Time  // zero: it was not
	served   int
	samples  int64
	arrivals []time.Time
	bytes    int64
	plain    answer
	open     answer
}

// answer is what will be sent next, for one format.
type answer struct {
	text    []byte // a view of the source's
	zipped  bytes.Buffer
	wire    []byte // header and body, where they are sent as one
	wantGz  bool   // the last agent accepted gzip
	ready   bool
	samples int
}

// Address is the host:port which the target listens on.
func (t *Target) Address() string { return t.address }

// Lived reports whether the target was there all the time from one time to another.
func (t *Target) Lived(from, to time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.added.Before(from) && (t.removed.IsZero() || t.removed.After(to))
}

// Served returns how many scrapes were answered in full, and how many samples that were.
func (t *Target) Served() (scrapes int, samples int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.served, t.samples
}

// Arrivals returns when requests came in, from one time up to another.
func (t *Target) Arrivals(from, to time.Time) []time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var in []time.Time
	for _, at := range t.arrivals {
		if !at.Before(from) && at.Before(to) {
			in = append(in, at)
		}
	}
	return in
}

// prepare makes the first answer.
func (t *Target) prepare() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.plain.make(t, t.Source, t.Gzip, now, cmp.Or(t.ContentType, contentType))
	if t.OpenMetrics != nil {
		t.open.make(t, t.OpenMetrics, t.Gzip, now, openMetricsType)
	}
}

// The values of Content-Type.
const (
	contentType     = "text/plain; version=0.0.4; charset=utf-8"
	openMetricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8"
)

// make moves the source to now and lays its answer ready.
func (a *answer) make(t *Target, source body.Source, gz bool, now time.Time, contentType string) {
	a.text = source.Next(now)
	a.samples = source.Samples()
	a.wantGz = gz
	payload := a.text
	if gz {
		a.zipped.Reset()
		w, err := gzip.NewWriterLevel(&a.zipped, cmp.Or(t.GzipLevel, gzip.DefaultCompression))
		if err == nil {
			_, _ = w.Write(payload) // a bytes.Buffer takes all
			_ = w.Close()
		}
		payload = a.zipped.Bytes()
	}
	a.frame(payload, t.Chunked, gz, contentType)
	a.ready = true
}

// frame writes the header, and the body behind it if that has to be framed or is small: one system call is cheaper
// than two. A large plain body is not copied.
func (a *answer) frame(payload []byte, chunked, gz bool, contentType string) {
	b := append(a.wire[:0], "HTTP/1.1 200 OK\r\nContent-Type: "...)
	b = append(b, contentType...)
	if gz {
		b = append(b, "\r\nContent-Encoding: gzip"...)
	}
	if !chunked || len(payload) <= chunkBytes {
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(payload)), 10)
		b = append(b, "\r\n\r\n"...)
		if len(payload) <= 64<<10 {
			b = append(b, payload...)
		}
		a.wire = b
		return
	}
	b = append(b, "\r\nTransfer-Encoding: chunked\r\n\r\n"...)
	for len(payload) > 0 {
		n := min(len(payload), chunkBytes)
		b = strconv.AppendInt(b, int64(n), 16)
		b = append(b, "\r\n"...)
		b = append(b, payload[:n]...)
		b = append(b, "\r\n"...)
		payload = payload[n:]
	}
	a.wire = append(b, "0\r\n\r\n"...)
}

// rest is what is to be sent behind wire.
func (a *answer) rest(chunked bool) []byte {
	payload := a.text
	if a.wantGz {
		payload = a.zipped.Bytes()
	}
	if chunked && len(payload) > chunkBytes || len(payload) <= 64<<10 {
		return nil
	}
	return payload
}
