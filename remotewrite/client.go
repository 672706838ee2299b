package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	commoncfg "github.com/prometheus/common/config"
)

const (
	// maxHops bounds redirects, each of which sends the whole body again.
	maxHops = 5
	// maxAnswerBytes of an answer are read, so that its connection can be used again. A longer answer costs a connection.
	maxAnswerBytes = 64 << 10
	// maxQuoteBytes of an answer are kept for logs and pages.
	maxQuoteBytes = 1 << 10
	// answerTimeout bounds the reading of an answer's body: its status, which is all that matters, is known by then.
	answerTimeout = time.Second
)

// client makes the requests of one destination. It is immutable. A reload puts a new one in its place when something has
// changed, with the same transport if that concerns no request.
type client struct {
	dest Destination
	*transport
}

// transport is how requests of a destination are made.
type transport struct {
	url      *url.URL
	rt       http.RoundTripper
	stranger *strangerTransport
	header   http.Header
	redact   *redactor
	replaced chan struct{} // closed when it is out of use
}

func newTransport(d Destination, u *url.URL, o Options) (*transport, error) {
	t := &transport{
		url: u, header: protocolHeader(o.UserAgent), redact: newRedactor(d, u), replaced: make(chan struct{}),
		stranger: &strangerTransport{opts: o},
	}
	for k, v := range d.Headers {
		// The protocol's own headers say what the body is; they are not the user's to change.
		if name := http.CanonicalHeaderKey(k); t.header[name] == nil || name == "User-Agent" {
			t.header[name] = []string{v}
		}
	}
	if t.rt = d.Transport; t.rt == nil {
		var err error
		if t.rt, err = newRoundTripper(d.HTTP, o); err != nil {
			return nil, t.redact.error(err)
		}
	}
	return t, nil
}

// strangerTransport is for hosts which a redirect leads to: it has none of the destination's credentials. It is made when
// it is needed, which is hardly ever.
type strangerTransport struct {
	opts Options

	mu sync.Mutex
	rt http.RoundTripper
}

func (s *strangerTransport) get(d Destination) (http.RoundTripper, error) {
	if d.Transport != nil {
		return d.Transport, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rt != nil {
		return s.rt, nil
	}
	bare := d.HTTP
	bare.BasicAuth, bare.Authorization, bare.OAuth2 = nil, nil, nil
	bare.BearerToken, bare.BearerTokenFile, bare.HTTPHeaders = "", "", nil
	t := &bare.TLSConfig
	t.Cert, t.CertFile, t.CertRef, t.Key, t.KeyFile, t.KeyRef = "", "", "", "", "", ""
	t.ServerName = ""
	rt, err := newRoundTripper(bare, s.opts)
	s.rt = rt
	return rt, err
}

func (s *strangerTransport) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	closeIdle(s.rt)
}

func newRoundTripper(h commoncfg.HTTPClientConfig, o Options) (http.RoundTripper, error) {
	// Redirects are followed here, not there. The name is a label of the library's own metrics, which are never freed:
	// it is the same for all.
	var opts []commoncfg.HTTPClientOption
	if o.DialContext != nil {
		opts = append(opts, commoncfg.WithDialContextFunc(o.DialContext))
	}
	return commoncfg.NewRoundTripperFromConfig(h, "remotewrite", opts...)
}

func protocolHeader(userAgent string) http.Header {
	return http.Header{
		"Content-Type":                      {"application/x-protobuf"},
		"Content-Encoding":                  {"snappy"},
		"X-Prometheus-Remote-Write-Version": {"0.1.0"},
		"User-Agent":                        {userAgent},
		// Sending a block twice is no harm, so the transport may do it by itself when a connection which it kept turns
		// out to be dead. An empty list says that to the transport, and is not sent.
		"X-Idempotency-Key": {},
	}
}

// send makes one attempt to deliver blk, which it borrows: request bodies take holds of their own. It follows redirects.
// Attempt counts from 0; again is called when the transport sends the body once more by itself. Missed is how many exemplars a
// receiver which has the block says that it has not.
func (c *client) send(ctx context.Context, open *bodies, blk *block, attempt int, again func()) (missed int, fail *sendError) {
	ctx, cancel := context.WithTimeout(ctx, c.dest.Timeout)
	defer cancel()
	target, home := c.url, true
	for range maxHops + 1 {
		resp, err := c.post(ctx, open, blk, target, home, attempt, again)
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
				err = fmt.Errorf("no answer within the timeout of %v: %w", c.dest.Timeout, err)
			}
			return 0, &sendError{Err: c.redact.error(err)}
		}
		text := readAnswer(resp, cancel)
		code := resp.StatusCode
		what := judge(code, c.dest.OnAuthError)
		if what == delivered {
			return missedExemplars(resp.Header, blk), written(resp.Header, code, blk)
		}
		fail = &sendError{
			Status: code, Verdict: what, RetryAfter: retryAfter(resp.Header, time.Now()), Stored: stored(resp.Header), Understood: saysWritten(resp.Header),
			Words: c.redact.text(hideQuery(strings.TrimSpace(text), target)),
		}
		if code != http.StatusTemporaryRedirect && code != http.StatusPermanentRedirect {
			fail.Err = answerError(fail)
			if fail.Stored > 0 { // then it is not sent again
				missed = missedExemplars(resp.Header, blk)
			}
			return missed, fail
		}
		next, err := c.redirect(target, resp)
		if err != nil {
			fail.Err = c.redact.error(err)
			return 0, fail
		}
		target, home = next, home && sameHost(next, c.url)
		if ctx.Err() != nil {
			fail.Err = errors.New("redirect: no time left")
			return 0, fail
		}
	}
	return 0, &sendError{Err: fmt.Errorf("more than %d redirects", maxHops)}
}

// post makes one request. Home says that target is the configured host, which alone gets what is meant for it.
func (c *client) post(ctx context.Context, open *bodies, blk *block, target *url.URL, home bool, attempt int, again func()) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), nil)
	if err != nil {
		return nil, err
	}
	rt := c.rt
	if home {
		req.Header = c.header.Clone()
		if h := req.Header.Get("Host"); h != "" {
			req.Host = h
		}
		if u := c.url.User; u != nil && req.Header.Get("Authorization") == "" {
			password, _ := u.Password()
			req.SetBasicAuth(u.Username(), password)
		}
	} else {
		req.Header = protocolHeader(c.header.Get("User-Agent"))
		if rt, err = c.stranger.get(c.dest); err != nil {
			return nil, err
		}
	}
	blk.protocol.setHeader(req.Header)
	if attempt > 0 {
		req.Header.Set("Retry-Attempt", strconv.Itoa(attempt))
	}
	if err := open.attach(req, blk, again); err != nil {
		return nil, err
	}
	first := req.Body
	resp, err := rt.RoundTrip(req)
	if err != nil {
		// A transport has to close the body, and some do not when they fail early. Nobody needs it any more.
		first.Close()
		return nil, err
	}
	return resp, nil
}

// redirect returns where a 307 or 308 answer leads.
func (c *client) redirect(from *url.URL, resp *http.Response) (*url.URL, error) {
	if !c.dest.HTTP.FollowRedirects && c.dest.Transport == nil {
		return nil, errors.New("a redirect, which follow_redirects forbids")
	}
	loc := resp.Header.Get("Location")
	if loc == "" {
		return nil, errors.New("a redirect which does not say where to")
	}
	to, err := from.Parse(loc)
	if err != nil {
		return nil, errors.New("a redirect to something which is no URL")
	}
	switch {
	case to.Scheme != "http" && to.Scheme != "https", to.Host == "":
		return nil, errors.New("a redirect to something which is no HTTP URL")
	case from.Scheme == "https" && to.Scheme == "http":
		return nil, errors.New("a redirect from https to http")
	}
	return to, nil
}

// sameHost reports whether a and b name the same host and port, with the same protection.
func sameHost(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(hostPort(a), hostPort(b)) ||
		// From http to https of the same host and its usual port, credentials are only safer than before.
		b.Scheme == "http" && a.Scheme == "https" && strings.EqualFold(a.Hostname(), b.Hostname()) && a.Port() == "" && b.Port() == ""
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// readAnswer reads and closes an answer's body, and returns its beginning. Cancel ends the request, and is called when the
// answer takes too long.
func readAnswer(resp *http.Response, cancel func()) string {
	defer resp.Body.Close()
	if resp.ContentLength == 0 {
		return ""
	}
	defer time.AfterFunc(answerTimeout, cancel).Stop()
	var text [maxQuoteBytes]byte
	n, err := io.ReadFull(resp.Body, text[:])
	if err == nil {
		// Errors do not matter here: they make the connection unusable, and nothing else.
		_, _ = io.CopyN(io.Discard, resp.Body, maxAnswerBytes-maxQuoteBytes)
	}
	return string(text[:n])
}

// answerError is what an answer says beside its status; nil if nothing.
func answerError(fail *sendError) error {
	switch {
	case fail.Status >= 300 && fail.Status < 400:
		return errors.New("a redirect which would change the request; only 307 and 308 are followed")
	case fail.Words == "":
		return nil
	}
	return errors.New(strconv.Quote(fail.Words))
}

// hideQuery takes the query of the URL which was asked out of an answer: a redirect may have added one that is secret.
func hideQuery(text string, asked *url.URL) string {
	if len(asked.RawQuery) < minSecretBytes {
		return text
	}
	return strings.ReplaceAll(text, asked.RawQuery, "<hidden>")
}

// retire tells those who use the transport that there is another one.
func (t *transport) retire() {
	close(t.replaced)
	t.closeIdle()
}

// isOut reports whether it was retired.
func (t *transport) isOut() bool {
	select {
	case <-t.replaced:
		return true
	default:
		return false
	}
}

// closeIdle closes connections which nobody uses.
func (t *transport) closeIdle() {
	closeIdle(t.rt)
	t.stranger.closeIdle()
}

func closeIdle(rt http.RoundTripper) {
	if ci, ok := rt.(interface{ CloseIdleConnections() }); ok {
		ci.CloseIdleConnections()
	}
}
