package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The paths which a Receiver serves.
const (
	WritePath  = "/api/v1/write"
	SeriesPath = "/api/v1/series"
	TotalsPath = "/api/v1/totals"
)

// maxIdleScratch bounds what a scratch buffer keeps between requests, in bytes: enough for the blocks of a sender, and
// little enough that a burst of huge requests is forgotten.
const maxIdleScratch = 4 << 20

// scratch is what one request needs while it is read and decoded.
type scratch struct {
	body    []byte
	decoded []byte
	decoder decoder
	counter counter
}

// refusal is an answer other than 204, and why.
type refusal struct {
	status int
	err    error
}

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Errorf(format, args...)}
}

// errAborted means that the client, not the receiver, ended the request.
var errAborted = errors.New("the client went away")

// serveWrite is the way of a write request: hook, headers, body, decompression, decoding, store, answer.
func (r *Receiver) serveWrite(w http.ResponseWriter, req *http.Request) {
	if r.opts.Intercept != nil && r.intercept(w, req) {
		return
	}
	err := r.write(w, req)
	switch ref, ok := errors.AsType[*refusal](err); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case ok:
		r.update(func(t *Totals) { t.Requests++; t.Refused++ })
		r.opts.Logger.LogAttrs(req.Context(), slog.LevelDebug, "write refused",
			slog.Int("status", ref.status), slog.Any("err", ref.err))
		http.Error(w, ref.Error(), ref.status)
	default:
		r.update(func(t *Totals) { t.Requests++; t.Aborted++ })
		http.Error(w, err.Error(), http.StatusBadRequest) // mostly nobody is there to read it
	}
}

// intercept calls the hook. A hook that panics has handled the request.
func (r *Receiver) intercept(w http.ResponseWriter, req *http.Request) (handled bool) {
	handled = true
	defer func() {
		if handled {
			r.update(func(t *Totals) { t.Requests++; t.Intercepted++ })
		}
	}()
	handled = r.opts.Intercept(w, req)
	return handled
}

// write takes one request, or says why not: by a refusal, else by errAborted. It counts those that it takes.
func (r *Receiver) write(w http.ResponseWriter, req *http.Request) error {
	decompress, version2, err := r.checkHeader(req.Header)
	if err != nil {
		return err
	}
	s, err := r.acquire(req.Context())
	if err != nil {
		return err
	}
	defer r.release(s)
	if err := s.readBody(w, req, r.opts.MaxBodyBytes); err != nil {
		return err
	}
	if err := decompress(s, r.opts.MaxDecodedBytes); err != nil {
		return err
	}
	s.decoder.version2 = version2
	err = r.take(s)
	if version2 && (err == nil || s.decoder.invalid != nil) {
		for kind, n := range map[string]uint64{
			"Samples": s.decoder.found.Samples, "Histograms": s.decoder.found.Histograms, "Exemplars": s.decoder.found.Exemplars,
		} {
			w.Header().Set("X-Prometheus-Remote-Write-"+kind+"-Written", strconv.FormatUint(n, 10))
		}
	}
	return err
}

// checkHeader refuses what is not in a format and a compression which the receiver takes, and returns what decodes those.
// Missing headers are taken to mean remote write 1.0 and snappy.
func (r *Receiver) checkHeader(h http.Header) (_ decompressor, version2 bool, _ error) {
	if ct := h.Get("Content-Type"); ct != "" {
		mediaType, params, err := mime.ParseMediaType(ct)
		if err != nil {
			return nil, false, refuse(http.StatusUnsupportedMediaType, "content type %.200q: %w", ct, err)
		}
		if mediaType != "application/x-protobuf" {
			return nil, false, refuse(http.StatusUnsupportedMediaType, "content type %.200q is not supported, want application/x-protobuf", mediaType)
		}
		p, ok := params["proto"]
		version2 = r.opts.Version2 && p == "io.prometheus.write.v2.Request"
		if ok && !version2 && p != "prometheus.WriteRequest" {
			return nil, false, refuse(http.StatusUnsupportedMediaType, "message %.200q is not supported, want prometheus.WriteRequest (remote write 1.0)", p)
		}
	}
	switch ce := h.Get("Content-Encoding"); {
	case ce == "" || strings.EqualFold(ce, "snappy"):
		return (*scratch).unsnappy, version2, nil
	case r.zstd != nil && strings.EqualFold(ce, "zstd"):
		return r.unzstd, version2, nil
	default:
		return nil, false, refuse(http.StatusUnsupportedMediaType, "content encoding %.200q is not supported, want snappy", ce)
	}
}

// acquire waits for a slot and returns scratch space, which release takes back.
func (r *Receiver) acquire(ctx context.Context) (*scratch, error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, errAborted
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.free); n > 0 {
		s := r.free[n-1]
		r.free = r.free[:n-1]
		return s, nil
	}
	return &scratch{}, nil
}

func (r *Receiver) release(s *scratch) {
	if cap(s.body)+cap(s.decoded)+s.decoder.scratchBytes()+s.counter.scratchBytes() <= maxIdleScratch {
		r.mu.Lock()
		r.free = append(r.free, s)
		r.mu.Unlock()
	}
	<-r.slots
}

// readBody reads the request's body into s.body.
func (s *scratch) readBody(w http.ResponseWriter, req *http.Request, maxBytes int64) error {
	tooLarge := func() error {
		return refuse(http.StatusRequestEntityTooLarge, "body is larger than %d bytes (MaxBodyBytes)", maxBytes)
	}
	if req.ContentLength > maxBytes {
		return tooLarge()
	}
	s.body = s.body[:0]
	body := http.MaxBytesReader(w, req.Body, maxBytes)
	for {
		if len(s.body) == cap(s.body) {
			// Doubling what has arrived, rather than trusting Content-Length, keeps a liar from taking memory.
			s.body = slices.Grow(s.body, max(len(s.body), 16<<10))
		}
		n, err := body.Read(s.body[len(s.body):cap(s.body)])
		s.body = s.body[:len(s.body)+n]
		switch _, large := errors.AsType[*http.MaxBytesError](err); {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case large:
			return tooLarge()
		default:
			return fmt.Errorf("read body: %w: %w", errAborted, err)
		}
	}
}

// take decodes a request and counts it, and unless the receiver only counts, keeps its series. A malformed request
// leaves nothing behind. Of one which is well formed but has series with invalid labels, the others are taken.
func (r *Receiver) take(s *scratch) error {
	d := &s.decoder
	if r.opts.CountOnly {
		var v visitor
		if r.opts.CountPerSeries {
			s.counter.reset()
			v = &s.counter
		}
		if err := d.decode(s.decoded, v); err != nil {
			return refuse(http.StatusBadRequest, "decode write request: %w", err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if v != nil {
			s.counter.addTo(r.perSeries, r.opts.MaxSeries)
		}
	} else {
		if err := d.decode(s.decoded, nil); err != nil {
			return refuse(http.StatusBadRequest, "decode write request: %w", err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.store.begin(time.Now(), &r.totals)
		if err := d.decode(s.decoded, &r.store); err != nil {
			panic("receiver: the same message was read in two ways: " + err.Error())
		}
	}
	r.totals.add(d.found)
	r.totals.BodyBytes += uint64(len(s.body))
	r.totals.DecodedBytes += uint64(len(s.decoded))
	if d.invalid != nil {
		r.notifyLocked()
		return refuse(http.StatusBadRequest, "%d of %d series are invalid, the others were taken; the first: %w",
			d.found.InvalidSeries, d.found.TimeSeries, d.invalid)
	}
	r.totals.Requests++
	r.totals.Accepted++
	r.notifyLocked()
	return nil
}

// add adds what a decoder found.
func (t *Totals) add(o Totals) {
	t.TimeSeries += o.TimeSeries
	t.Samples += o.Samples
	t.StaleMarkers += o.StaleMarkers
	t.Exemplars += o.Exemplars
	t.Histograms += o.Histograms
	t.Metadata += o.Metadata
	t.Checksum += o.Checksum
	t.InvalidSeries += o.InvalidSeries
	t.UnsortedLabels += o.UnsortedLabels
	t.EmptyValues += o.EmptyValues
}
