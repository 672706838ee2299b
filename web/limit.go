package web

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// connLimit bounds the open connections. When all are taken and one more arrives, the one which has been idle longest
// is closed in its favour; if none is idle the new one waits. So idle browsers cannot lock a probe out.
type connLimit struct {
	slots chan struct{} // one element per open connection
	done  chan struct{} // closed by stop
	open  prometheus.Gauge
	once  sync.Once

	// serving counts the connections whose goroutines live. It grows only while http.Server.Serve runs.
	serving sync.WaitGroup

	mu      sync.Mutex // guards what follows
	idle    map[net.Conn]time.Time
	waiting bool // a new connection waits for a place: the next one that falls idle goes
}

func (l *connLimit) init(limit int, open prometheus.Gauge) {
	l.slots = make(chan struct{}, limit)
	l.done = make(chan struct{})
	l.idle = make(map[net.Conn]time.Time)
	l.open = open
}

// stop lets an Accept that waits give up.
func (l *connLimit) stop() { l.once.Do(func() { close(l.done) }) }

// state is for http.Server.ConnState.
func (l *connLimit) state(c net.Conn, st http.ConnState) {
	switch st {
	case http.StateNew:
		l.serving.Add(1)
	case http.StateClosed, http.StateHijacked:
		defer l.serving.Done()
	}
	l.mu.Lock()
	delete(l.idle, c)
	full := false
	if st == http.StateIdle {
		if full = l.waiting; full {
			l.waiting = false
		} else {
			l.idle[c] = time.Now()
		}
	}
	l.mu.Unlock()
	if full {
		_ = c.Close()
	}
}

// shed closes the connection which has been idle longest, or else the next one that falls idle.
func (l *connLimit) shed() {
	l.mu.Lock()
	var oldest net.Conn
	var since time.Time
	for c, t := range l.idle {
		if oldest == nil || t.Before(since) {
			oldest, since = c, t
		}
	}
	delete(l.idle, oldest)
	l.waiting = oldest == nil
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // it may have gone by itself
	}
}

// satisfied says that the connection which waited has its place.
func (l *connLimit) satisfied() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = false
}

func (l *connLimit) listener(ln net.Listener) *limitListener { return &limitListener{ln, l} }

// limitListener accepts as many connections as its limit lets live.
type limitListener struct {
	net.Listener
	limit *connLimit
}

// Accept waits for a connection, and for room for it.
func (ln *limitListener) Accept() (net.Conn, error) {
	c, err := ln.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l := ln.limit
	select {
	case l.slots <- struct{}{}:
	default:
		l.shed()
		select {
		case l.slots <- struct{}{}:
			l.satisfied()
		case <-l.done:
			_ = c.Close()
			return nil, net.ErrClosed
		}
	}
	l.open.Inc()
	return &limitConn{Conn: c, limit: l}, nil
}

// limitConn gives its place back when it is closed.
type limitConn struct {
	net.Conn
	limit *connLimit
	once  sync.Once
}

// Close closes the connection.
func (c *limitConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		<-c.limit.slots
		c.limit.open.Dec()
	})
	return err
}
