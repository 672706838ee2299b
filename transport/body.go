package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// The states of a body. It leaves the first one once.
const (
	bodyOpen  int32 = iota
	bodyOver        // read to its end, or failed, or closed by its reader: the connection is not its own any more
	bodyAbort       // closed beside a Read, which will end it
)

var _ Waiter = (*body)(nil)

// body is one request's hold on a connection, and the body of its answer.
type body struct {
	// Immutable once the answer was handed out.
	t     *Transport
	c     *conn
	ctx   context.Context //nolint:containedctx // it is the request's, and ends with it
	stop  func() bool     // of what cuts the connection when ctx is done; nil if it never is
	inner io.Reader       // net/http's body, over br
	keep  bool            // the connection may be used again afterwards
	head  bool            // the request is a HEAD

	state  atomic.Int32
	closed atomic.Bool

	mu     sync.Mutex
	src    source
	br     *bufio.Reader // nil before the first byte, and when all is over
	err    error         // what Read returns from now on
	looked bool          // await has seen that there was nothing

	chunked bool // and not known to be large yet
}

// Read reads the body. Once it has returned an error, io.EOF among them, the connection and the buffer are given back.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.chunked && b.src.read > largeBody {
		b.chunked = false
		b.enlarge()
	}
	n, err := b.inner.Read(p)
	if err != nil {
		b.end(err)
	}
	return n, b.err
}

// enlarge gives the body's reader, which net/http knows by its address, a larger buffer. The caller holds mu.
func (b *body) enlarge() {
	large := b.t.opts.Readers.get(&b.src, largeReader)
	b.src.again, _ = b.br.Peek(b.br.Buffered())
	_, _ = large.Peek(len(b.src.again)) // takes over all of it
	*b.br, *large = *large, *b.br
	b.t.opts.Readers.put(large) // which is the small one now
}

// Wait implements Waiter.
func (b *body) Wait() {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err != nil, b.br.Buffered() > 0:
	case b.c.secure(): // whose own buffers cannot be seen
		_, _ = b.br.Peek(1)
	default:
		b.await(false)
	}
}

// Close gives back the connection: to be used again, if the rest of the body was in the buffer already, otherwise to be
// closed. Beside a Read it makes that one fail.
func (b *body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	if !b.mu.TryLock() {
		if b.state.CompareAndSwap(bodyOpen, bodyAbort) {
			b.c.abort()
		}
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.err == nil {
		b.src.offline = true
		_, err := io.Copy(io.Discard, b.inner)
		b.over(b.keep && err == nil)
	}
	b.err = http.ErrBodyReadAfterClose
	return nil
}

// end notes why the body is over. The caller holds mu.
func (b *body) end(err error) {
	b.over(b.keep && errors.Is(err, io.EOF))
	switch {
	case b.closed.Load():
		b.err = http.ErrBodyReadAfterClose
	case errors.Is(err, io.EOF):
		b.err = io.EOF
	case b.ctx.Err() != nil:
		b.err = causeOf(b.ctx)
	case errors.Is(b.src.err, io.EOF): // net/http has other words for it within trailers
		b.err = io.ErrUnexpectedEOF
	default:
		b.err = bounded(err)
	}
}

// over gives back the reader, and the connection: for another request if it may be reused and nothing speaks against it,
// otherwise closed. It is called once. The caller holds mu, or has not shown b to anybody.
func (b *body) over(reuse bool) {
	mine := b.state.CompareAndSwap(bodyOpen, bodyOver)
	stopped := b.stop == nil || b.stop() // else the connection has been cut, or will be
	if b.br != nil {
		reuse = reuse && b.br.Buffered() == 0
		b.t.opts.Readers.put(b.br)
		b.br = nil
	}
	b.t.bytes.Add(uint64(b.src.read))
	if reuse && mine && stopped && b.src.err == nil && b.c.settled() {
		b.t.put(b.c)
		return
	}
	b.c.abort()
}
