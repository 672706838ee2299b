// Package transport is an http.RoundTripper for scraping: HTTP/1.1 with keep-alive over TCP, TLS and unix sockets, for
// very many targets of which hardly any is being asked at a time.
//
// An idle connection has no goroutine and no buffer; net/http's has two of each. A request is served by its caller's
// goroutine alone, and takes a buffer for reading only once the first byte of the answer has come: targets which never
// answer cost little more than their sockets, and with Parking not even the goroutine. What idle TLS connections hold
// inside crypto/tls is bounded. All idle connections can be closed on demand; TLS sessions are resumed afterwards.
//
// It sends GET and HEAD without a body, and hands out the answer as it came: it follows no redirect, decompresses
// nothing, knows no proxy, no cookie, no HTTP/2 and no httptrace. ForConfig puts the credentials of a job on top.
//
// Concurrency: a Transport is for any number of goroutines. A response's body is for one reader, but may be closed by
// another goroutine, which ends a Read in progress. Nothing runs in the background but what dials, and, while requests are
// parked, one goroutine of Parking: who owns a Transport calls Sweep now
// and then, or the connections of targets which are gone stay open until Close.
//
// Ownership: a body holds its connection and its buffer until it was read to its end or closed. The context of the
// request bounds all of it.
//
// Read this file first, then exchange.go (one request), body.go (its end), pending.go (its pauses) and idle.go (what is
// kept).
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"scraper/bufpool"
)

const (
	// defaultMaxHeaderBytes is far above what exporters and the proxies before them send; net/http's megabytes would let
	// a thousand bad targets take a thousand times as much.
	defaultMaxHeaderBytes = 64 << 10
	// defaultMaxIdlePerHost: a host has one connection per target which is being scraped; more targets at one address
	// (a kubelet's endpoints, an exporter for many devices) are rarely due together.
	defaultMaxIdlePerHost = 2
	defaultIdleTimeout    = 5 * time.Minute
	defaultDialTimeout    = 30 * time.Second
	// defaultHandshakeTimeout: a server which accepts and does not speak TLS must not use up the whole scrape timeout of
	// slow targets.
	defaultHandshakeTimeout = 10 * time.Second
	// defaultReceiveBufferBytes bounds what the kernel holds for one connection: its memory counts towards the
	// container's limit too.
	defaultReceiveBufferBytes = 128 << 10
	// defaultMaxSessions: a ticket with the certificates that it stands for takes a few KiB. It saves the asymmetric part
	// of a handshake.
	defaultMaxSessions = 256
	// defaultMaxFatTLSBytes keeps a node's few large TLS targets connected, and bounds what many would hold.
	defaultMaxFatTLSBytes = 1 << 20
)

// ErrHeaderTooLarge is wrapped by the error for an answer whose header does not fit in Options.MaxHeaderBytes, or has
// more than a thousand lines.
var ErrHeaderTooLarge = errors.New("the answer's header is too large")

// Options are the settings of a Transport. The zero value means the defaults.
type Options struct {
	// DialContext makes connections instead of Dialer. The requests' connections are kept by the host and port of their
	// URLs, wherever this leads them. Connections which do not implement syscall.Conn work, but one that the server has
	// closed or written to while it was idle is noticed late.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Dialer makes connections, with its resolver and local address, if DialContext is nil. It is copied. TCP's
	// keep-alive probes are off unless it asks for them: every request has a deadline, and idle connections are proved
	// by their next use. Its Control functions are replaced.
	Dialer *net.Dialer
	// Address says where to connect to for a URL's host and port: another "host:port", or "unix:" and the path of a
	// socket. Nil connects to the host and port.
	Address func(hostPort string) string
	// DialTimeout and HandshakeTimeout bound the making of a connection, beside the request's context.
	// Defaults: 30 s and 10 s.
	DialTimeout      time.Duration
	HandshakeTimeout time.Duration
	// ReceiveBufferBytes is the kernel's receive buffer (SO_RCVBUF) of a TCP connection made by Dialer. Default: 128 KiB.
	// Negative: the kernel's choice.
	ReceiveBufferBytes int

	// TLS is the client configuration for https. It is not changed, and must not be changed by the caller either. ALPN
	// offers http/1.1 whatever it says, and renegotiation is refused.
	TLS *tls.Config
	// CurrentTLS, instead of TLS, is asked at every https request, so it must be fast. When it returns another
	// configuration than before, connections and sessions made with the old one are not used any more.
	CurrentTLS func(context.Context) (*tls.Config, error)
	// MaxSessions bounds the TLS sessions kept for resumption. Default: 256. Negative: none.
	MaxSessions int

	// MaxHeaderBytes bounds an answer's header, together with all interim (1xx) answers before it. Default: 64 KiB.
	MaxHeaderBytes int
	// MaxIdlePerHost bounds the idle connections to one host and port. Default: 2. Negative: none is kept.
	MaxIdlePerHost int
	// IdleTimeout is how long an idle connection is good for. It is checked when the connection is about to be used, and
	// by Sweep. Default: 5 min.
	IdleTimeout time.Duration
	// MaxFatTLSBytes bounds what idle TLS connections hold beyond 16 KiB each, all together: after large records a
	// connection holds some 50 KiB. What does not fit in is closed instead of kept. Default: 1 MiB. Negative: 0.
	MaxFatTLSBytes int

	// Pool has the buffers from which requests are written. Default: one that keeps nothing.
	Pool *bufpool.Pool
	// Readers has the buffers through which answers are read. Transports may share it. Default: its own.
	Readers *Readers
	// Parking lets RoundTrip return a Pending instead of waiting for a connection, and on Linux instead of waiting for long
	// for an answer. Nil: RoundTrip waits.
	Parking *Parking
}

func (o Options) withDefaults() Options {
	setDefault(&o.DialTimeout, defaultDialTimeout)
	setDefault(&o.HandshakeTimeout, defaultHandshakeTimeout)
	setDefault(&o.ReceiveBufferBytes, defaultReceiveBufferBytes)
	setDefault(&o.MaxSessions, defaultMaxSessions)
	setDefault(&o.MaxHeaderBytes, defaultMaxHeaderBytes)
	setDefault(&o.MaxIdlePerHost, defaultMaxIdlePerHost)
	setDefault(&o.IdleTimeout, defaultIdleTimeout)
	setDefault(&o.MaxFatTLSBytes, defaultMaxFatTLSBytes)
	setDefault(&o.Pool, &bufpool.Pool{})
	setDefault(&o.Readers, &Readers{})
	if o.DialContext == nil {
		o.DialContext = o.dialer().DialContext
	}
	if o.CurrentTLS == nil {
		cfg := o.TLS
		if cfg == nil {
			cfg = &tls.Config{}
		}
		o.CurrentTLS = func(context.Context) (*tls.Config, error) { return cfg, nil }
	}
	return o
}

func setDefault[T comparable](option *T, value T) {
	var zero T
	if *option == zero {
		*option = value
	}
}

func (o Options) validate() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"DialTimeout", o.DialTimeout}, {"HandshakeTimeout", o.HandshakeTimeout}, {"IdleTimeout", o.IdleTimeout}} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %v, want a positive duration", d.name, d.value))
		}
	}
	if o.MaxHeaderBytes < 0 {
		errs = append(errs, fmt.Errorf("MaxHeaderBytes is %d, want a positive number", o.MaxHeaderBytes))
	}
	if o.TLS != nil && o.CurrentTLS != nil {
		errs = append(errs, errors.New("both TLS and CurrentTLS are set, want one of them"))
	}
	if o.Dialer != nil && o.DialContext != nil {
		errs = append(errs, errors.New("both Dialer and DialContext are set, want one of them"))
	}
	return errors.Join(errs...)
}

// dialer returns what connects when there is no DialContext.
func (o Options) dialer() *net.Dialer {
	var d net.Dialer
	if o.Dialer != nil {
		d = *o.Dialer
	}
	if d.KeepAlive == 0 && !d.KeepAliveConfig.Enable {
		d.KeepAlive = -1
	}
	d.Control, d.ControlContext = nil, nil
	if bytes := o.ReceiveBufferBytes; bytes > 0 {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				// A kernel that refuses serves us with its default.
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes)
			})
		}
	}
	return &d
}

// Transport is an http.RoundTripper. Use New.
type Transport struct {
	opts    Options   // immutable after New
	started time.Time // immutable after New

	open                       atomic.Int64
	dials, reuses, retries     atomic.Uint64
	handshakes, resumed, bytes atomic.Uint64

	mu     sync.Mutex
	closed bool
	idle   map[hostKey]*conn // the newest idle connection of each host, which links to the next older one
	counts idleCounts
	// mostIdle is how many hosts idle once had.
	mostIdle int
	// tlsConfig is what CurrentTLS returned last, and sessions has what was negotiated with it.
	tlsConfig *tls.Config
	sessions  tls.ClientSessionCache
}

// New returns a Transport without connections. It starts nothing and reads nothing.
func New(opts Options) (*Transport, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	return &Transport{
		opts:    opts.withDefaults(),
		started: time.Now(),
		idle:    make(map[hostKey]*conn),
	}, nil
}

// Waiter is what an answer's body implements, too.
type Waiter interface {
	// Wait blocks until there is something to read, the end and errors included. It may return early when it cannot tell.
	// Thereby a reader can wait before it takes a large buffer, or its turn. Like Read it is for one goroutine.
	Wait()
}

// RoundTrip sends a GET or HEAD request without a body, and returns the answer once its header is there. The caller
// closes the answer's body, which is http.NoBody or implements Waiter; its trailers are there once it was read to its
// end. The answer does not refer to the request.
//
// If a kept connection proves dead before the first byte of an answer, the request is sent once more, on a new one.
// With Options.Parking the error may be a *Pending, for both ways of waiting.
// Errors of the network are returned as they are, with what was tried before them; those which the context caused wrap
// its cause.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := checkRequest(req); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	ctx := req.Context()
	if err := ctx.Err(); err != nil {
		return nil, causeOf(ctx)
	}
	key, err := keyOf(req.URL)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	base, err := t.currentTLS(ctx, key)
	if err != nil {
		return nil, err
	}
	if c := t.take(key, base); c != nil {
		t.reuses.Add(1)
		resp, dead, err := t.exchange(ctx, c, req)
		if !dead {
			return resp, err
		}
		t.retries.Add(1)
	}
	return t.sendFresh(ctx, key, base, req)
}

// sendFresh sends the request on a new connection.
func (t *Transport) sendFresh(ctx context.Context, key hostKey, base *tls.Config, req *http.Request) (*http.Response, error) {
	if t.opts.Parking != nil {
		return nil, &Pending{t: t, req: req, ctx: ctx, key: key, base: base}
	}
	c, err := t.dialAside(ctx, key, base)
	if err != nil {
		return nil, err
	}
	resp, _, err := t.exchange(ctx, c, req)
	return resp, err
}

// currentTLS returns the configuration for connections of key, nil for plain ones. It lets go of what was made with
// another one.
func (t *Transport) currentTLS(ctx context.Context, key hostKey) (*tls.Config, error) {
	if !key.tls {
		return nil, nil
	}
	cfg, err := t.opts.CurrentTLS(ctx)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	if t.tlsConfig == cfg {
		t.mu.Unlock()
		return cfg, nil
	}
	t.tlsConfig = cfg
	t.sessions = nil
	if t.opts.MaxSessions > 0 {
		t.sessions = tls.NewLRUClientSessionCache(t.opts.MaxSessions)
	}
	old := t.collectLocked(func(c *conn) bool { return c.key.tls })
	t.mu.Unlock()
	closeAll(old)
	return cfg, nil
}

// causeOf is why the context of a request has ended. It wraps what ctx.Err says, too.
func causeOf(ctx context.Context) error {
	cause, err := context.Cause(ctx), ctx.Err()
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w (%w)", cause, err)
}
