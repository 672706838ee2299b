package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// What a connection holds in Go's heap, beside its buffers: the socket's file, addresses and this package's part. A
	// test compares these with what is measured.
	plainConnBytes = 512
	tlsConnBytes   = plainConnBytes + 5<<10

	// tlsAllowance is what an idle TLS connection may hold without counting as fat.
	tlsAllowance = 16 << 10
)

// conn is a connection. It belongs to the idle set or to one exchange; who has it closes it or passes it on.
type conn struct {
	// Immutable after dial.
	key  hostKey
	nc   net.Conn    // what is spoken on: &sock, or TLS over it
	base *tls.Config // which was current when the connection was made; nil for plain ones
	t    *Transport

	closed atomic.Bool
	sock   socket

	// Owned by the holder.
	next  *conn // in the idle set
	since int64 // when it became idle, in nanoseconds after the transport's start
	used  bool  // at least one answer has come
	quiet bool  // what peek has found: nothing to read, and no end
	one   [1]byte
}

// dialAside dials on a stack of its own: connecting, and a handshake all the more, makes a stack grow, which the caller
// would keep while it waits for the answer.
func (t *Transport) dialAside(ctx context.Context, key hostKey, base *tls.Config) (*conn, error) {
	done := make(chan dialled, 1)
	go func() { done <- t.dialSafely(ctx, key, base) }()
	return (<-done).result()
}

// dialSafely dials, and catches what it panics with, for which its goroutine has nobody.
func (t *Transport) dialSafely(ctx context.Context, key hostKey, base *tls.Config) (d dialled) {
	defer func() {
		if p := recover(); p != nil {
			d.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	d.c, d.err = t.dial(ctx, key, base)
	return d
}

// dial makes a connection, within the context and the timeouts of the options.
func (t *Transport) dial(ctx context.Context, key hostKey, base *tls.Config) (*conn, error) {
	t.dials.Add(1)
	network, addr := "tcp", key.addr
	if t.opts.Address != nil {
		addr = t.opts.Address(addr)
		if path, ok := strings.CutPrefix(addr, "unix:"); ok {
			network, addr = "unix", path
		}
	}
	nc, err := t.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &conn{key: key, base: base, t: t, sock: socket{Conn: nc}}
	c.nc = &c.sock
	c.key.addr = strings.Clone(key.addr) // which may be part of a larger string
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.sock.raw = raw
		}
	}
	t.open.Add(1)
	if base == nil {
		return c, nil
	}
	tc := tls.Client(&c.sock, t.tlsFor(c))
	if err := t.handshake(ctx, tc); err != nil {
		c.abort()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	c.nc = tc
	return c, nil
}

func (t *Transport) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	dialCtx, cancel := within(ctx, t.opts.DialTimeout, "connecting to "+addr+" took longer than ")
	defer cancel()
	socket, err := t.opts.DialContext(dialCtx, network, addr)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		if end, _ := dialCtx.Deadline(); !time.Now().Before(end) {
			<-dialCtx.Done() // a moment after the socket's timer, which does not know whose the deadline was
		}
	}
	switch {
	case err == nil:
		return socket, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("connect to %s: %w", addr, causeOf(ctx))
	case dialCtx.Err() != nil:
		return nil, causeOf(dialCtx)
	}
	return nil, err
}

// within returns ctx, or one which ends after the limit, with what and the limit for its cause. Most requests have less
// time than that anyway.
func within(ctx context.Context, limit time.Duration, what string) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= limit {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, limit, errors.New(what+limit.String()))
}

// tlsFor returns the configuration for a new connection. It is the connection's own, since crypto/tls wants the
// server's name in it.
func (t *Transport) tlsFor(c *conn) *tls.Config {
	cfg := c.base.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = hostOf(c.key.addr)
	}
	cfg.NextProtos = []string{"http/1.1"}
	cfg.Renegotiation = tls.RenegotiateNever
	t.mu.Lock()
	sessions := t.sessions
	t.mu.Unlock()
	cfg.ClientSessionCache = nil
	if sessions != nil {
		cfg.ClientSessionCache = &hostSessions{sessions, c.key.addr}
	}
	return cfg
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

// hostSessions is a session cache by address, where crypto/tls would take the server's name for the key: targets behind
// one name are different servers.
type hostSessions struct {
	cache tls.ClientSessionCache
	addr  string
}

func (s *hostSessions) Get(string) (*tls.ClientSessionState, bool)  { return s.cache.Get(s.addr) }
func (s *hostSessions) Put(_ string, state *tls.ClientSessionState) { s.cache.Put(s.addr, state) }

func (t *Transport) handshake(ctx context.Context, tc *tls.Conn) error {
	limited, cancel := within(ctx, t.opts.HandshakeTimeout, "no answer in ")
	defer cancel()
	err := tc.HandshakeContext(limited)
	switch {
	case err == nil:
	case limited.Err() != nil:
		return causeOf(limited)
	default:
		if re, ok := errors.AsType[tls.RecordHeaderError](err); ok && string(re.RecordHeader[:]) == "HTTP/" {
			return errors.New("the server answers in plain HTTP; scheme: http would speak that")
		}
		return err
	}
	t.handshakes.Add(1)
	if tc.ConnectionState().DidResume {
		t.resumed.Add(1)
	}
	return nil
}

// alive reports whether an idle connection looks as if it could be used: the server has neither closed it nor sent what
// nobody asked for.
func (c *conn) alive() bool {
	if c.sock.raw == nil {
		return true
	}
	c.quiet = false
	return c.sock.raw.Read(c.peek) == nil && c.quiet
}

// peek looks whether there is something to read. It is for RawConn.Read, and has it not wait.
func (c *conn) peek(fd uintptr) bool {
	c.quiet, _ = nothingToRead(fd)
	return true
}

// settled reports whether TLS has nothing left in its own buffers, neither data nor an alert. Plain connections have no
// such buffers.
func (c *conn) settled() bool {
	if !c.secure() {
		return true
	}
	if c.nc.SetReadDeadline(past) != nil {
		return false
	}
	n, err := c.nc.Read(c.one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.nc.SetReadDeadline(time.Time{}) == nil
}

// cut ends all calls in progress with a timeout. The connection is of no use afterwards.
func (c *conn) cut() { _ = c.sock.SetDeadline(past) }

// secure reports whether it is a TLS connection.
func (c *conn) secure() bool { return c.base != nil }

// close ends a connection in peace: the server is told by TLS, too.
func (c *conn) close() { c.shut(c.nc) }

// abort ends a connection at once. It may be called beside calls in progress.
func (c *conn) abort() { c.shut(&c.sock) }

func (c *conn) shut(end net.Conn) {
	if !c.closed.Swap(true) {
		c.t.open.Add(-1)
		_ = end.Close()
	}
}

// memory is about what the connection holds in Go's heap while it is idle, in bytes.
func (c *conn) memory() int64 {
	if !c.secure() {
		return plainConnBytes
	}
	return tlsConnBytes + int64(c.sock.readSize)
}

// fat is how much more than an ordinary idle TLS connection it holds.
func (c *conn) fat() int64 {
	if !c.secure() {
		return 0
	}
	return max(0, c.memory()-tlsAllowance)
}
