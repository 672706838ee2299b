package memnet

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Pipe returns two connected ends without a listener.
func Pipe() (*Conn, *Conn) {
	return pair("pipe:1", "pipe:2", DefaultBufferBytes)
}

func pair(a, b Addr, size int) (*Conn, *Conn) {
	ab, ba := newHalf(size), newHalf(size)
	return &Conn{in: ba, out: ab, local: a, remote: b}, &Conn{in: ab, out: ba, local: b, remote: a}
}

// Conn is one end of a connection.
type Conn struct {
	in, out       *half
	local, remote Addr
}

// Read reads what has arrived. When the peer has closed and all was read, it returns io.EOF.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	if err != nil {
		err = opError("read", c.remote, err)
	}
	return n, err
}

// Write returns when all of p is in the buffer, or with what could be written before a deadline or a close.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if err != nil {
		err = opError("write", c.remote, err)
	}
	return n, err
}

// Close closes both directions. The peer reads what was written, then io.EOF; what it writes fails.
func (c *Conn) Close() error {
	c.out.shut(io.EOF, net.ErrClosed)
	c.in.shut(net.ErrClosed, syscall.EPIPE)
	return nil
}

// CloseWrite closes the direction to the peer only, which reads io.EOF after what was written.
func (c *Conn) CloseWrite() error {
	c.out.shut(io.EOF, net.ErrClosed)
	return nil
}

// Reset breaks the connection: what was not read is lost, and the peer gets syscall.ECONNRESET from its calls.
func (c *Conn) Reset() {
	c.out.drop()
	c.out.shut(syscall.ECONNRESET, net.ErrClosed)
	c.in.shut(net.ErrClosed, syscall.ECONNRESET)
}

// LocalAddr returns the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines. The zero time means none.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline makes Read return os.ErrDeadlineExceeded from t on, calls in progress included.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.in.setDeadline(&c.in.reader, t) }

// SetWriteDeadline makes Write return os.ErrDeadlineExceeded from t on, calls in progress included.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.out.setDeadline(&c.out.writer, t) }

// half is one direction of a connection. Its ends are closed apart, each with an error of its own.
type half struct {
	size int // immutable

	mu     sync.Mutex
	moved  sync.Cond // anything below has changed
	buf    []byte    // written, not read yet; at most size
	reader side
	writer side
}

// side is what half knows of one of its ends.
type side struct {
	err     error // which this end gets for good; a reader first reads what is left unless it closed itself
	expired bool
	timer   *time.Timer
}

func newHalf(size int) *half {
	h := &half{size: size}
	h.moved.L = &h.mu
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case errors.Is(h.reader.err, net.ErrClosed):
			return 0, h.reader.err
		case h.reader.expired:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[:copy(h.buf, h.buf[n:])]
			h.moved.Broadcast()
			return n, nil
		case h.reader.err != nil:
			return 0, h.reader.err
		}
		h.moved.Wait()
	}
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.writer.err != nil:
			return n, h.writer.err
		case h.writer.expired:
			return n, os.ErrDeadlineExceeded
		}
		if k := min(len(p), h.size-len(h.buf)); k > 0 {
			h.buf = append(h.buf, p[:k]...)
			n, p = n+k, p[k:]
			h.moved.Broadcast()
		}
		if len(p) == 0 {
			return n, nil
		}
		h.moved.Wait()
	}
}

// shut gives both ends their errors, unless they have some already. An end which closed itself knows only that.
func (h *half) shut(reader, writer error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reader.shut(reader)
	h.writer.shut(writer)
	h.moved.Broadcast()
}

func (s *side) shut(err error) {
	if s.err == nil || errors.Is(err, net.ErrClosed) {
		s.err = err
	}
	if errors.Is(err, net.ErrClosed) && s.timer != nil {
		s.timer.Stop()
	}
}

// drop loses what was written and not read.
func (h *half) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf = nil
}

func (h *half) setDeadline(s *side, t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if errors.Is(s.err, net.ErrClosed) {
		return s.err
	}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.expired = false
	if t.IsZero() {
		return nil
	}
	wait := time.Until(t)
	if wait <= 0 {
		s.expired = true
		h.moved.Broadcast()
		return nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if s.timer == timer { // else a later deadline took its place
			s.expired = true
			h.moved.Broadcast()
		}
	})
	s.timer = timer
	return nil
}
