package web

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// headerGrace is how long a new connection may take to send its first request while others wait for its place.
const headerGrace = 500 * time.Millisecond

// connLimit bounds the open connections. When all are taken and one more arrives, the one which has been idle longest
// is closed in its favour; if none is idle, the oldest which owes its first request for headerGrace; else the new one waits.
// So neither idle browsers nor who sends slowly can lock a probe out.
type connLimit struct {
	slots chan struct{} // one element per open connection
	done  chan struct{} // closed by stop
	open  prometheus.Gauge
	once  sync.Once

	// serving counts the connections whose goroutines live. It grows only while http.Server.Serve runs.
	serving sync.WaitGroup

	mu      sync.Mutex // guards what follows
	idle    map[net.Conn]time.Time
	fresh   map[net.Conn]time.Time // those which have not sent a request yet, since when
	waiting bool                   // a new connection waits for a place: the next one that falls idle goes
}

func (l *connLimit) init(limit int, open prometheus.Gauge) {
	l.slots = make(chan struct{}, limit)
	l.done = make(chan struct{})
	l.idle, l.fresh = make(map[net.Conn]time.Time), make(map[net.Conn]time.Time)
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
	delete(l.fresh, c)
	full := false
	switch {
	case st == http.StateNew:
		l.fresh[c] = time.Now()
	case st == http.StateIdle && l.waiting:
		full, l.waiting = true, false
	case st == http.StateIdle:
		l.idle[c] = time.Now()
	}
	l.mu.Unlock()
	if full {
		_ = c.Close()
	}
}

// shed closes the connection which has been idle longest, or else has owed its request longest, or else the next one that
// falls idle.
func (l *connLimit) shed() {
	l.mu.Lock()
	oldest := takeOldest(l.idle, time.Now())
	if oldest == nil {
		oldest = takeOldest(l.fresh, time.Now().Add(-headerGrace))
	}
	l.waiting = oldest == nil
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // it may have gone by itself
	}
}

// takeOldest removes the connection with the earliest time, if that is not after latest.
func takeOldest(conns map[net.Conn]time.Time, latest time.Time) (oldest net.Conn) {
	for c, t := range conns {
		if !t.After(latest) {
			oldest, latest = c, t
		}
	}
	delete(conns, oldest)
	return oldest
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
	if !l.enter() {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	l.open.Inc()
	return &limitConn{Conn: c, limit: l}, nil
}

// enter waits for a place, and reports whether there is one: not after stop.
func (l *connLimit) enter() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	default:
	}
	defer l.satisfied()
	for {
		l.shed()
		select {
		case l.slots <- struct{}{}:
			return true
		case <-time.After(headerGrace): // by now others are overdue
		case <-l.done:
			return false
		}
	}
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
