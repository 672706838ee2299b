package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"scraper/transport"
)

const (
	maxRedirects = 10
	// maxErrorBytes is how much of an answer that is not a body is read, so that its connection can be used again.
	maxErrorBytes = 64 << 10
	// errorPatience is for how long that is waited for.
	errorPatience = time.Second

	// acceptCompressed takes zstd from those who have nothing else: its windows are hundred times those of gzip, on both
	// sides.
	acceptCompressed = "gzip, zstd;q=0.5"
)

// ErrBodyTooLarge is wrapped by the error for a body beyond its limit.
var ErrBodyTooLarge = errors.New("body too large")

// request is what one scrape asks for.
type request struct {
	url       string
	accept    string
	timeout   time.Duration
	userAgent string
	// compressed: the answer may be.
	compressed bool
	maxBytes   int64 // of the decompressed body
}

// StatusError says that a target answered with something other than 200.
type StatusError struct{ Code int }

func (e *StatusError) Error() string {
	return fmt.Sprintf("server returned HTTP status %d %s", e.Code, http.StatusText(e.Code))
}

// fetching is a request on its way, through redirects, to the header of its answer.
type fetching struct {
	rq     request
	c      *jobClient
	client http.RoundTripper // the client's full or bare one
	socket string            // the unix socket where it is asked for now; empty: TCP
	at     *url.URL          // where the last redirect led; nil: the target's own URL
	hops   int
	// pending is what the request waits for without a goroutine; nil if it does not.
	pending *transport.Pending
}

// next sends the request, or goes on with it, until there is an answer, which may take long, or until pending is set: then
// it is to be called again once that is ready. The caller closes the returned body.
func (f *fetching) next(ctx context.Context) (*http.Response, error) {
	for ; ; f.hops++ {
		var resp *http.Response
		var err error
		if p := f.pending; p != nil {
			f.pending = nil
			resp, err = p.Resume()
		} else {
			resp, err = f.do(ctx)
		}
		if err != nil {
			if p, ok := errors.AsType[*transport.Pending](err); ok {
				f.pending = p
				return nil, err
			}
			return nil, withoutURL(err)
		}
		if over, err := f.redirected(resp); err != nil || over {
			return resp, err
		}
	}
}

// redirected reports whether the answer is the last one, or an error, with which it is closed; else the next place is set.
func (f *fetching) redirected(resp *http.Response) (over bool, err error) {
	if !isRedirect(resp.StatusCode) || !f.c.followRedirects {
		if resp.StatusCode != http.StatusOK {
			discard(resp)
			return false, &StatusError{resp.StatusCode}
		}
		return true, nil
	}
	location := resp.Header.Get("Location")
	discard(resp)
	if location == "" {
		return false, &StatusError{resp.StatusCode}
	}
	if f.at == nil {
		if f.at, err = url.Parse(f.rq.url); err != nil {
			return false, errors.New("the target's URL cannot be parsed")
		}
	}
	if f.hops == maxRedirects {
		return false, fmt.Errorf("more than %d redirects", maxRedirects)
	}
	to, err := f.at.Parse(location)
	if err != nil {
		return false, errors.New("the target redirects to something that is not a URL")
	}
	if to.Scheme != "http" && to.Scheme != "https" {
		return false, fmt.Errorf("the target redirects to scheme %q", to.Scheme)
	}
	if f.at.Scheme == "https" && to.Scheme == "http" {
		return false, errors.New("the target redirects from https to http")
	}
	if to.Scheme != f.at.Scheme || to.Host != f.at.Host {
		f.socket = ""
		f.client = f.c.bare // and stays so: whoever we are sent to may send us back
	}
	f.at = to
	return false, nil
}

func isRedirect(code int) bool {
	switch code {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// do sends the request. Nothing of it is held while it waits.
func (f *fetching) do(ctx context.Context) (*http.Response, error) {
	req, err := newRequest(ctx, f.at, &f.rq)
	if err != nil {
		return nil, err
	}
	if f.socket != "" {
		req.URL.Host = socketHost(f.socket) // Host stays what it is
	}
	return f.client.RoundTrip(req)
}

// newRequest makes the request for a URL, the target's own if it is nil.
func newRequest(ctx context.Context, at *url.URL, rq *request) (*http.Request, error) {
	to := rq.url
	if at != nil {
		to = at.String()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return nil, errors.New("the target's URL makes no request")
	}
	accepted := "identity"
	if rq.compressed {
		accepted = acceptCompressed
	}
	values := [...]string{rq.accept, accepted, rq.userAgent, strconv.FormatFloat(rq.timeout.Seconds(), 'f', -1, 64)}
	req.Header = http.Header{
		"Accept":                              values[0:1:1],
		"Accept-Encoding":                     values[1:2:2],
		"User-Agent":                          values[2:3:3],
		"X-Prometheus-Scrape-Timeout-Seconds": values[3:4:4],
	}
	if user := req.URL.User; user != nil {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	return req, nil
}

// withoutURL takes the URLs out of an error of net/http, that of an OAuth2 server inside it included: they may hold secrets,
// and the reader knows the target. What such a server answered goes too, since it may quote the request.
func withoutURL(err error) error {
	for {
		ue, ok := errors.AsType[*url.Error](err)
		if !ok {
			break
		}
		err = ue.Err
	}
	if line, _, more := strings.Cut(err.Error(), "\n"); more {
		return errors.New(line)
	}
	return err
}

// discard reads the rest of a small answer, so that its connection can be used again, and closes it. It does not take long.
func discard(resp *http.Response) {
	late := time.AfterFunc(errorPatience, func() { _ = resp.Body.Close() }) // which ends a Read
	defer late.Stop()
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBytes)
	_ = resp.Body.Close()
}

func cut(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}

// limitedReader fails with ErrBodyTooLarge once more than max bytes were read; with strict, max bytes are too many, too,
// as in Prometheus.
type limitedReader struct {
	r      io.Reader
	n      int64
	max    int64
	strict bool
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.n += int64(n)
	if l.isOver(l.n) {
		return n, l.tooLarge()
	}
	return n, err
}

// isOver reports whether a body of n bytes is too large.
func (l *limitedReader) isOver(n int64) bool { return n > l.max || l.strict && n == l.max }

func (l *limitedReader) tooLarge() error {
	return fmt.Errorf("%w: more than %d bytes; max_scrape_size, body_size_limit or -promscrape.maxScrapeSize would allow more", ErrBodyTooLarge, l.max)
}

// workers bounds how many bodies are being parsed at once. A body whose bytes are not there yet takes none.
type workers chan struct{}

func (w workers) acquire(ctx context.Context) error {
	select {
	case w <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w workers) release() { <-w }

// yieldingReader gives its worker back while it waits for bytes.
type yieldingReader struct {
	ctx  context.Context //nolint:containedctx // it lives for one body
	r    io.Reader
	w    workers
	held *bool
	slow *slowness // nil if the reservation stays as it is
}

// pause lets others have the worker for a moment, for who has much to parse that is here. It returns an error if the scrape was
// given up; what came in time may take longer, as in Prometheus.
func (y *yieldingReader) pause() error {
	y.w.release()
	*y.held = false
	y.w <- struct{}{}
	*y.held = true
	if cause, ok := errors.AsType[giveUp](context.Cause(y.ctx)); ok {
		return cause
	}
	return nil
}

func (y *yieldingReader) Read(p []byte) (int, error) {
	y.w.release()
	*y.held = false
	y.slow.waits()
	if w, ok := y.r.(transport.Waiter); ok {
		w.Wait() // without a read buffer, too; what comes may still be less than Read needs
	}
	n, err := y.r.Read(p)
	y.slow.goesOn()
	if aerr := y.w.acquire(y.ctx); aerr != nil {
		return n, aerr
	}
	*y.held = true
	return n, err
}
