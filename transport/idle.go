package transport

import (
	"crypto/tls"
	"time"

	"scraper/internal/slack"
)

// idleCounts is what the idle set holds.
type idleCounts struct {
	plain, tls int
	bytes      int64 // in Go's heap, about
	fat        int64 // beyond the allowance of TLS connections
}

func (n *idleCounts) add(c *conn, sign int) {
	if c.secure() {
		n.tls += sign
	} else {
		n.plain += sign
	}
	n.bytes += int64(sign) * c.memory()
	n.fat += int64(sign) * c.fat()
}

// Stats is what a Transport has, and has done since New.
type Stats struct {
	// Open counts connections, in use and idle; a connection counts from its TCP handshake on.
	Open int
	// IdlePlain and IdleTLS count idle connections, and IdleBytes is about what they hold in Go's heap.
	IdlePlain, IdleTLS int
	IdleBytes          int64
	// Dials counts attempts to connect, Reuses requests on kept connections, Retries those of them which were sent again.
	Dials, Reuses, Retries uint64
	// Handshakes counts completed TLS handshakes, and Resumed those of them which resumed a session.
	Handshakes, Resumed uint64
	// BytesRead counts what was read of answers which are over, headers included, after TLS.
	BytesRead uint64
}

// Stats returns the current numbers.
func (t *Transport) Stats() Stats {
	t.mu.Lock()
	n := t.counts
	t.mu.Unlock()
	return Stats{
		Open:      int(t.open.Load()),
		IdlePlain: n.plain, IdleTLS: n.tls, IdleBytes: n.bytes,
		Dials: t.dials.Load(), Reuses: t.reuses.Load(), Retries: t.retries.Load(),
		Handshakes: t.handshakes.Load(), Resumed: t.resumed.Load(),
		BytesRead: t.bytes.Load(),
	}
}

// Freed says what was closed: connections, and about how many bytes of Go's heap the collector may now take.
type Freed struct {
	Conns int
	Bytes int64
}

// CloseIdle closes all idle connections.
func (t *Transport) CloseIdle() Freed {
	return t.closeIdle(func(*conn) bool { return true })
}

// CloseIdleTLS closes the idle TLS connections, which hold by far the most memory. Their sessions can be resumed.
func (t *Transport) CloseIdleTLS() Freed {
	return t.closeIdle(func(c *conn) bool { return c.secure() })
}

// CloseHost closes the idle connections to a URL's host and port, "host:port", and forgets its TLS session: for a target which
// is gone.
func (t *Transport) CloseHost(hostPort string) Freed {
	t.mu.Lock()
	var conns []*conn
	for _, key := range []hostKey{{tls: false, addr: hostPort}, {tls: true, addr: hostPort}} {
		for c := t.idle[key]; c != nil; {
			next := c.next
			c.next = nil
			t.counts.add(c, -1)
			conns = append(conns, c)
			c = next
		}
		delete(t.idle, key)
	}
	t.idle = slack.Map(t.idle, &t.mostIdle)
	sessions := t.sessions
	t.mu.Unlock()
	if sessions != nil {
		if _, ok := sessions.Get(hostPort); ok {
			sessions.Put(hostPort, nil) // with the certificates that it was made with
		}
	}
	return closed(conns)
}

// CloseIdleConnections is CloseIdle, under the name by which http.Client asks for it.
func (t *Transport) CloseIdleConnections() { t.CloseIdle() }

// Sweep closes the connections which were idle for longer than Options.IdleTimeout. Call it every minute or so.
func (t *Transport) Sweep() Freed {
	now := t.now()
	return t.closeIdle(func(c *conn) bool { return t.expired(c, now) })
}

// Close closes the idle connections, and keeps none from then on. Requests still work: who began with a Transport which another
// has replaced need not fail for it. Answers which are being read can be read on; their
// connections are closed afterwards. Closing again does nothing.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.CloseIdle()
	return nil
}

func (t *Transport) closeIdle(which func(*conn) bool) Freed {
	t.mu.Lock()
	conns := t.collectLocked(which)
	t.mu.Unlock()
	return closed(conns)
}

// closed closes connections which are not in the idle set any more.
func closed(conns []*conn) Freed {
	f := Freed{Conns: len(conns)}
	for _, c := range conns {
		f.Bytes += c.memory()
	}
	closeAll(conns)
	return f
}

// collectLocked takes the connections for which the predicate holds out of the idle set.
func (t *Transport) collectLocked(which func(*conn) bool) (taken []*conn) {
	for key, top := range t.idle {
		var kept *conn // the top of those which stay
		link := &kept
		for c := top; c != nil; {
			next := c.next
			c.next = nil
			if which(c) {
				t.counts.add(c, -1)
				taken = append(taken, c)
			} else {
				*link = c
				link = &c.next
			}
			c = next
		}
		switch kept {
		case top:
		case nil:
			delete(t.idle, key)
		default:
			t.idle[kept.key] = kept
		}
	}
	t.idle = slack.Map(t.idle, &t.mostIdle)
	return taken
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.close()
	}
}

// now is the time for conn.since.
func (t *Transport) now() int64 { return int64(time.Since(t.started)) }

func (t *Transport) expired(c *conn, now int64) bool { return now-c.since > int64(t.opts.IdleTimeout) }

// take returns ownership of an idle connection which looks alive, or nil if there is none.
func (t *Transport) take(key hostKey, base *tls.Config) *conn {
	for {
		t.mu.Lock()
		c := t.idle[key]
		if c != nil {
			if c.next != nil {
				t.idle[c.next.key] = c.next
				c.next = nil
			} else {
				delete(t.idle, key)
			}
			t.counts.add(c, -1)
		}
		t.mu.Unlock()
		switch {
		case c == nil:
			return nil
		case c.base == base && !t.expired(c, t.now()) && c.alive():
			return c
		}
		c.close()
	}
}

// put takes ownership of a connection on which a request may be sent. It closes those which it does not keep.
func (t *Transport) put(c *conn) {
	c.since = t.now()
	t.mu.Lock()
	keep := !t.closed && (!c.secure() || c.base == t.tlsConfig && t.counts.fat+c.fat() <= int64(max(0, t.opts.MaxFatTLSBytes)))
	if keep {
		n := 0
		top := t.idle[c.key]
		for i := top; i != nil; i = i.next {
			n++
		}
		if keep = n < t.opts.MaxIdlePerHost; keep {
			c.next = top
			t.idle[c.key] = c
			t.mostIdle = max(t.mostIdle, len(t.idle))
			t.counts.add(c, 1)
		}
	}
	t.mu.Unlock()
	if !keep {
		c.close()
	}
}
