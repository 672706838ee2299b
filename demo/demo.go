// Package demo is an exporter of made-up metrics: a small web shop, its queues, its pods and its racks.
//
// It lets somebody try the agent without having anything to scrape. It is no load generator and imitates no real
// product's metrics; it is meant to show what an agent has to deal with: counters, gauges, a histogram, a summary,
// untyped series, label values with escapes, and series which come and go.
//
// All values are a function of the time and of the seed alone, so there is nothing to run, to lock or to stop, and the
// same moment always looks the same.
//
// Concurrency: all methods may be called from any goroutine. Ownership: AppendText appends to its caller's buffer and
// keeps nothing.
//
// Read demo.go first, then shop.go for what is exposed, text.go for the format, and signal.go for what makes values move.
package demo

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// contentType is the text format's.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// day is how long a day takes in the shop: long enough to be seen as a slow wave, short enough to be waited for.
const day = 5 * time.Minute

// Options configure an Exporter.
type Options struct {
	// Seed picks one of many shops, which differ in numbers and names. The default 0 is one of them.
	Seed uint64
	// Start is when the shop opened: counters are 0 before that. Default: the time of New.
	Start time.Time
}

// Exporter is the exporter: an http.Handler which answers every GET with the metrics of this moment.
type Exporter struct {
	seed  uint64
	start time.Time
}

// New returns an exporter. It starts no goroutine.
func New(opts Options) *Exporter {
	if opts.Start.IsZero() {
		opts.Start = time.Now()
	}
	return &Exporter{seed: opts.Seed, start: opts.Start}
}

// AppendText appends the metrics of a moment to dst, in the text format 0.0.4.
func (e *Exporter) AppendText(dst []byte, at time.Time) []byte {
	t := max(0, at.Sub(e.start).Seconds())
	w := writer{dst: dst}
	shop{w: &w, seed: e.seed, t: t, start: e.start}.write()
	return w.dst
}

// ServeHTTP implements http.Handler. It compresses with gzip where the client accepts that.
func (e *Exporter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body := e.AppendText(nil, time.Now())
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Vary", "Accept-Encoding")
	// An error while writing means that the client has left, which is its own business.
	if !acceptsGzip(r.Header.Values("Accept-Encoding")) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
		return
	}
	h.Set("Content-Encoding", "gzip")
	// Stateless: a scrape every few seconds is not worth a compressor's tables. The level is a valid one, so there is no error.
	z, _ := gzip.NewWriterLevel(w, gzip.StatelessCompression)
	_, _ = z.Write(body)
	_ = z.Close()
}

// acceptsGzip reports whether one of the codings in Accept-Encoding headers is gzip, with a quality above 0.
func acceptsGzip(headers []string) bool {
	for _, h := range headers {
		for item := range strings.SplitSeq(h, ",") {
			coding, params, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q=")
			if !ok {
				return true
			}
			quality, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			return err == nil && quality > 0
		}
	}
	return false
}

// Config returns the scrape configuration of the demo: the exporter, and the agent itself. The addresses are
// host:port.
func Config(targetAddr, selfAddr string) string {
	return fmt.Sprintf(`global:
  scrape_interval: 5s
  scrape_timeout: 4s

scrape_configs:
  # The built-in exporter: a made-up shop.
  - job_name: demo
    static_configs:
      - targets: [%q]

  # This agent's own metrics.
  - job_name: scraper
    static_configs:
      - targets: [%q]
`, targetAddr, selfAddr)
}
