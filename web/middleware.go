package web

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// csp lets pages use what the agent itself serves, and nothing else: no inline script, no foreign origin, no frame.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// renderWait bounds how long a request waits for its turn to be rendered.
const renderWait = 10 * time.Second

// recorder notes the status code of an answer.
type recorder struct {
	http.ResponseWriter
	code int
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// wrap puts around a route's handler what all of them need: counting, headers, method, deadlines, authentication,
// a turn to render, and compression.
func (s *Server) wrap(rt route) http.Handler {
	label, _, _ := strings.Cut(rt.path, "{")
	if rt.path == "/" {
		label = "other"
	}
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		defer func() {
			p := recover()
			abort := p == http.ErrAbortHandler //nolint:errorlint // a panic's value, which net/http compares so too
			if p != nil && !abort {
				s.log.Error("a request panicked, which is a bug", slog.String("path", label), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
				if abort = rec.code != 0; !abort {
					http.Error(rec, "internal error, see the log", http.StatusInternalServerError)
				}
			}
			s.o.Metrics.request(label, rec.code)
			if abort {
				panic(http.ErrAbortHandler) // half an answer must not pass for a whole one
			}
		}()
		setHeaders(rec.Header())

		allow := "GET, HEAD"
		ok := r.Method == http.MethodGet || r.Method == http.MethodHead
		if rt.change {
			allow, ok = "POST, PUT", r.Method == http.MethodPost || r.Method == http.MethodPut
		}
		if !ok && !rt.anyMethod {
			rec.Header().Set("Allow", allow)
			http.Error(rec, "only "+allow+" requests are allowed here", http.StatusMethodNotAllowed)
			return
		}
		rc := http.NewResponseController(rec)
		deadline := time.Now().Add(writeTimeout)
		if rt.slow {
			deadline = time.Time{}
		}
		_ = rc.SetWriteDeadline(deadline) // fails in tests only, where no one can be slow
		if r.ContentLength != 0 {
			_ = rc.SetReadDeadline(time.Now().Add(readBodyTimeout))
		}
		if rt.change {
			if err := cross.Check(r); err != nil {
				http.Error(rec, "a page of another site must not do this", http.StatusForbidden)
				return
			}
		}
		if d := s.authorize(rec, r, rt.access); d != nil {
			if d.basic {
				rec.Header().Set("WWW-Authenticate", `Basic realm="scraper", charset="UTF-8"`)
			}
			http.Error(rec, d.reason, d.code)
			return
		}
		if rt.render {
			release, ok := s.turn(r.Context(), rt.large)
			if !ok {
				rec.Header().Set("Retry-After", "5")
				http.Error(rec, "too many pages are being made", http.StatusServiceUnavailable)
				return
			}
			defer release()
		}
		if rt.raw {
			rt.h(rec, r)
			return
		}
		rec.Header().Add("Vary", "Accept-Encoding")
		c := newCompressor(rec, r)
		rt.h(c, r)
		c.finish()
	})
}

// turn waits until a page may be made.
func (s *Server) turn(ctx context.Context, large bool) (release func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, renderWait)
	defer cancel()
	slots := []chan struct{}{s.renders}
	if large && s.o.MemoryShort() {
		slots = []chan struct{}{s.alone, s.renders} // who waits to be alone keeps nobody else waiting
	}
	release = func() {
		for _, slot := range slots {
			<-slot
		}
	}
	for i, slot := range slots {
		select {
		case slot <- struct{}{}:
		case <-ctx.Done():
			slots = slots[:i]
			release()
			return nil, false
		}
	}
	return release, true
}

func setHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", csp)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}
