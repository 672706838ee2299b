// Package farm serves the targets which the measured agents scrape, as cheaply as it can: a goroutine per connection that
// reads a request without parsing its headers, and writes an answer which lay ready. What the next answer is made of
// (moved values, a gzip stream) is prepared after the last one went out, not while an agent waits.
//
// It does not know what the texts mean (package body does), and does not judge: it counts what it served, and when it
// was asked for it.
//
// Concurrency: all methods of Farm may be called from any goroutine. Ownership: a Target's Source is the farm's from Add
// on.
//
// Read this file first, then target.go for one target, and conn.go for the protocol.
package farm

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options configure a Farm.
type Options struct {
	// TLS is for the targets which are served over it.
	TLS *tls.Config
	// Token is what those targets want in an Authorization header. Empty: none.
	Token string
	// Port is the port of all targets, so that their addresses, and with them an agent's schedule, are the same each
	// time. Default 9100. If somebody has it, a free one is taken.
	Port int
}

// Farm is a set of targets, each at an address of its own in 127.0.0.0/8.
type Farm struct {
	opts Options
	wg   sync.WaitGroup
	hold chan struct{} // closed by Hold
	end  chan struct{} // closed by Close

	holding  atomic.Bool
	accepted atomic.Int64 // connections
	refused  atomic.Int64 // requests

	mu      sync.Mutex
	next    int                    // the next address
	servers map[netip.Addr]*server // those which were not removed
	conns   map[net.Conn]struct{}
	targets []*Target
	closed  bool
}

// server is one address, with one target per path.
type server struct {
	farm     *Farm
	addr     netip.Addr
	listener net.Listener
	tls      *tls.Config
	token    string

	paths map[string]*Target // immutable once the server accepts
}

// New returns a farm without targets.
func New(opts Options) *Farm {
	opts.Port = cmp.Or(opts.Port, 9100)
	return &Farm{opts: opts, hold: make(chan struct{}), end: make(chan struct{}),
		servers: make(map[netip.Addr]*server), conns: make(map[net.Conn]struct{})}
}

// Add starts to serve targets at an address which no other target has. Their Paths tell them apart.
func (f *Farm) Add(ctx context.Context, targets ...*Target) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	n := f.next
	// 127.1.0.2 and up: 127.0.0.1 is everybody's.
	addr := netip.AddrFrom4([4]byte{127, byte(1 + n/62500), byte(n / 250 % 250), byte(1 + n%250)})
	s := &server{farm: f, addr: addr, paths: make(map[string]*Target, len(targets))}
	if targets[0].TLS {
		s.tls, s.token = f.opts.TLS, f.opts.Token
	}
	if err := s.listenLocked(ctx); err != nil {
		return err
	}
	for _, t := range targets {
		t.address, t.addr, t.farm, t.added = s.listener.Addr().String(), addr, f, time.Now()
		t.Path = cmp.Or(t.Path, "/metrics")
		if t.Behaviour == Serve {
			t.prepare()
		}
		s.paths[t.Path] = t
	}
	f.servers[addr] = s
	f.targets = append(f.targets, targets...)
	f.wg.Go(s.accept)
	return nil
}

// listenLocked opens the server's address; the caller holds the farm's mutex. The first that finds the port taken decides on another for all that follow.
func (s *server) listenLocked(ctx context.Context) error {
	var lc net.ListenConfig
	for range 2 {
		l, err := lc.Listen(ctx, "tcp4", netip.AddrPortFrom(s.addr, uint16(s.farm.opts.Port)).String())
		if err == nil {
			s.listener = l
			if s.farm.opts.Port == 0 {
				s.farm.opts.Port = l.Addr().(*net.TCPAddr).Port
			}
			return nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || s.farm.opts.Port == 0 || len(s.farm.servers) > 0 {
			return fmt.Errorf("farm: %w", err)
		}
		s.farm.opts.Port = 0
	}
	return errors.New("farm: there is no free port")
}

func (s *server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.farm.accepted.Add(1)
		if s.tls != nil {
			c = tls.Server(c, s.tls)
		}
		if !s.farm.keep(c) {
			_ = c.Close()
			return
		}
		s.farm.wg.Go(func() {
			defer s.farm.forget(c)
			s.serve(c)
		})
	}
}

func (f *Farm) keep(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.conns[c] = struct{}{}
	return true
}

func (f *Farm) forget(c net.Conn) {
	_ = c.Close()
	f.mu.Lock()
	delete(f.conns, c)
	f.mu.Unlock()
}

// Remove stops serving a target's address: its listener and its connections are closed. The target keeps its counts.
func (f *Farm) Remove(t *Target) {
	t.mu.Lock()
	t.removed = time.Now()
	t.mu.Unlock()
	f.mu.Lock()
	s := f.servers[t.addr]
	delete(f.servers, t.addr)
	var open []net.Conn
	for c := range f.conns {
		if c.LocalAddr().String() == t.address {
			open = append(open, c)
		}
	}
	f.mu.Unlock()
	if s != nil {
		_ = s.listener.Close()
	}
	for _, c := range open {
		_ = c.Close()
	}
}

// Hold lets requests wait from now on, until Close: what was served until now is all that an agent can have got. It
// returns when no answer is being written any more.
func (f *Farm) Hold() {
	if f.holding.CompareAndSwap(false, true) {
		close(f.hold)
	}
	for _, t := range f.Targets() {
		t.Served() // waits for an answer in flight
	}
}

// Targets returns all targets which were ever added.
func (f *Farm) Targets() []*Target {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.targets)
}

// Connections is how many connections were accepted so far.
func (f *Farm) Connections() int64 { return f.accepted.Load() }

// Refused is how many requests asked for what there is not, or came without the token.
func (f *Farm) Refused() int64 { return f.refused.Load() }

// Served sums up what all targets served.
func (f *Farm) Served() (scrapes int, samples int64) {
	for _, t := range f.Targets() {
		n, s := t.Served()
		scrapes += n
		samples += s
	}
	return scrapes, samples
}

// Close ends all listeners and connections, and waits for their goroutines.
func (f *Farm) Close() {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	f.closed = true
	close(f.end)
	for _, s := range f.servers {
		_ = s.listener.Close()
	}
	for c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}
