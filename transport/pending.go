package transport

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync"
)

// Pending is the error by which RoundTrip says, with Options.Parking, that the request has to wait: for a connection, or
// for long already for the first byte of an answer. The caller lets its goroutine end, whose stack is most of what waiting
// costs, and calls Resume in another one when Notify's function was called. It must call both, once.
type Pending struct {
	t *Transport
	// req is what may have to be sent (again); nil on a new connection.
	req  *http.Request
	ctx  context.Context //nolint:containedctx // it is the request's
	key  hostKey
	base *tls.Config

	// b is the request which waits for its answer. Nil: the one that waits for a connection.
	b *body

	mu      sync.Mutex // held by Notify while it begins to wait
	dialled dialled
	ticket  ticket
	stop    func() bool
}

// dialled is what dialling has come to.
type dialled struct {
	c        *conn
	err      error
	panicked any
}

// Error implements error.
func (p *Pending) Error() string { return "transport: the request waits, and is to be resumed" }

// Notify has ready called once, when Resume need not wait or the request's context is done, possibly before it returns.
// Ready must not block, and must not call Resume itself.
func (p *Pending) Notify(ready func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.b == nil {
		go func() {
			p.dialled = p.t.dialSafely(p.ctx, p.key, p.base)
			ready()
		}()
		return
	}
	var once sync.Once
	call := func() { once.Do(ready) }
	p.stop = whenDone(p.ctx, call)
	p.ticket = p.t.opts.Parking.add(p.b.c.sock.raw, call)
}

// Resume goes on with the request as RoundTrip would, and like RoundTrip it may return a Pending.
func (p *Pending) Resume() (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.b == nil {
		c, err := p.dialled.result()
		if err != nil {
			return nil, err
		}
		resp, _, err := p.t.exchange(p.ctx, c, p.req)
		return resp, err
	}
	p.stop()
	p.t.opts.Parking.remove(p.ticket)
	resp, dead, err := p.b.answer()
	if dead {
		p.t.retries.Add(1)
		return p.t.sendFresh(p.ctx, p.key, p.base, p.req)
	}
	return resp, err
}

// result panics where the dialling goroutine would have, where it may be dealt with.
func (d dialled) result() (*conn, error) {
	if d.panicked != nil {
		panic(d.panicked)
	}
	return d.c, d.err
}
