package web

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// compressChunk is how much of an answer is held before it is compressed or sent. Smaller chunks compress worse, since
// chunks know nothing of each other; larger ones are memory per request.
const compressChunk = 32 << 10

// compressMin is the shortest answer worth compressing: about one packet.
const compressMin = 1400

// compressor sends an answer with gzip if the client takes it and it is worth it. The compression keeps no state
// between chunks, so that a request costs one chunk, not the megabyte of an ordinary encoder.
//
// Invariant: len(buf) ≤ compressChunk; once sent is true the header is on its way.
type compressor struct {
	http.ResponseWriter
	gzip bool // the client takes it
	head bool
	code int
	buf  []byte
	sent bool
	gz   *gzip.Writer // nil if the answer goes out as it is
}

func newCompressor(w http.ResponseWriter, r *http.Request) *compressor {
	return &compressor{ResponseWriter: w, gzip: acceptsGzip(r.Header), head: r.Method == http.MethodHead}
}

// Unwrap is for http.ResponseController.
func (c *compressor) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *compressor) WriteHeader(code int) {
	if c.code == 0 {
		c.code = code
	}
}

func (c *compressor) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if c.buf == nil {
			c.buf = make([]byte, 0, compressChunk)
		}
		k := min(len(p), compressChunk-len(c.buf))
		c.buf = append(c.buf, p[:k]...)
		p = p[k:]
		if len(c.buf) == compressChunk {
			if err := c.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// start sends the header.
func (c *compressor) start() {
	c.sent = true
	if c.code == 0 {
		c.code = http.StatusOK
	}
	if h := c.Header(); c.gzip && h.Get("Content-Encoding") == "" && len(c.buf) >= compressMin {
		h.Set("Content-Encoding", "gzip")
		h.Del("Content-Length")
		// The level is a constant which the package knows: there is no error.
		c.gz, _ = gzip.NewWriterLevel(c.ResponseWriter, gzip.StatelessCompression)
	}
	c.ResponseWriter.WriteHeader(c.code)
}

// flush sends what is held.
func (c *compressor) flush() error {
	if !c.sent {
		c.start()
	}
	var err error
	if c.head {
		// A HEAD request has no body, and the compressed length is not known.
	} else if c.gz != nil {
		_, err = c.gz.Write(c.buf)
	} else {
		_, err = c.ResponseWriter.Write(c.buf)
	}
	c.buf = c.buf[:0]
	return err
}

// finish sends the rest. Its errors are the client's, who has gone.
func (c *compressor) finish() {
	if !c.sent && c.code != http.StatusNoContent && c.code != http.StatusNotModified &&
		(len(c.buf) < compressMin || !c.gzip) && c.Header().Get("Content-Length") == "" {
		c.Header().Set("Content-Length", strconv.Itoa(len(c.buf)))
	}
	if c.flush() == nil && c.gz != nil && !c.head {
		_ = c.gz.Close()
	}
}

// acceptsGzip reads Accept-Encoding: gzip or * with a weight which is not zero.
func acceptsGzip(h http.Header) bool {
	star := false
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(part, ";")
		weight := 1.0
		if name, v, ok := strings.Cut(strings.TrimSpace(params), "="); ok && strings.EqualFold(name, "q") {
			weight, _ = strconv.ParseFloat(v, 64)
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip":
			return weight > 0
		case "*":
			star = weight > 0
		}
	}
	return star
}
