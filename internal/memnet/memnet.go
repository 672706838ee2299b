// Package memnet is a network in memory, for tests.
//
// A Network has listeners at addresses that exist nowhere else. Dial connects to them with buffered, ordered, reliable
// streams, which behave as TCP's where a program can tell: a write succeeds before the peer reads, until the buffers are
// full; deadlines; half-closed connections; refused and reset ones. There is no latency and no loss.
//
// It works in synctest bubbles, where everything blocked on it counts as idle: make the Network inside the bubble.
//
// Concurrency: everything is for any number of goroutines. Ownership: Read and Write borrow their argument.
//
// Read this file first, then conn.go.
package memnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
)

// DefaultBufferBytes is how much one direction of a connection holds unless Network.BufferBytes says otherwise.
const DefaultBufferBytes = 64 << 10

// backlog is how many connections wait for Accept before Dial blocks.
const backlog = 128

// Network is a set of listeners. The zero value is an empty network, ready for use.
type Network struct {
	// BufferBytes is how much one direction of a connection holds. Set it before the first Dial.
	BufferBytes int

	mu        sync.Mutex
	listeners map[string]*Listener
	ports     int // the last port that was made up
}

// Listen returns a listener at addr ("10.0.0.1:9100", "kubelet:10250"). Port 0 takes one which is free.
func (n *Network) Listen(addr string) (*Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("memnet: listen: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		addr = n.freeAddrLocked(host)
	}
	if n.listeners[addr] != nil {
		return nil, opError("listen", Addr(addr), syscall.EADDRINUSE)
	}
	l := &Listener{network: n, addr: Addr(addr), conns: make(chan *Conn, backlog), closed: make(chan struct{})}
	if n.listeners == nil {
		n.listeners = make(map[string]*Listener)
	}
	n.listeners[addr] = l
	return l, nil
}

func (n *Network) freeAddrLocked(host string) string {
	for {
		n.ports++
		if addr := net.JoinHostPort(host, fmt.Sprint(40000+n.ports)); n.listeners[addr] == nil {
			return addr
		}
	}
}

// DialContext connects to the listener at addr; it fits http.Transport.DialContext. Without a listener the connection is
// refused. The network is ignored: everything is a stream.
func (n *Network) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	local := Addr(n.freeAddrLocked("127.0.0.1"))
	size := n.BufferBytes
	n.mu.Unlock()
	if l == nil {
		return nil, opError("dial", Addr(addr), syscall.ECONNREFUSED)
	}
	if size <= 0 {
		size = DefaultBufferBytes
	}
	client, server := pair(local, l.addr, size)
	select {
	case <-l.closed: // first, since select would choose at random
		return nil, opError("dial", l.addr, syscall.ECONNREFUSED)
	default:
	}
	select {
	case l.conns <- server:
		select {
		case <-l.closed: // meanwhile, and nobody will see it
			server.Reset()
		default:
		}
		return client, nil
	case <-l.closed:
		return nil, opError("dial", l.addr, syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, opError("dial", l.addr, ctx.Err())
	}
}

// Listener is a net.Listener of a Network.
type Listener struct {
	network *Network
	addr    Addr
	conns   chan *Conn
	once    sync.Once
	closed  chan struct{}
}

// Accept waits for a connection. After Close it returns net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, opError("accept", l.addr, net.ErrClosed)
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, opError("accept", l.addr, net.ErrClosed)
	}
}

// Close frees the address, and resets the connections which nobody accepted. Accepted ones live on.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, string(l.addr))
		l.network.mu.Unlock()
		close(l.closed)
	})
	for {
		select {
		case c := <-l.conns:
			c.Reset()
		default:
			return nil
		}
	}
}

// Addr returns the address of the listener.
func (l *Listener) Addr() net.Addr { return l.addr }

// Addr is an address in a Network.
type Addr string

// Network returns "tcp", which is what programs expect.
func (Addr) Network() string { return "tcp" }

func (a Addr) String() string { return string(a) }

func opError(op string, addr net.Addr, err error) error {
	if errors.Is(err, io.EOF) { // callers compare it
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Addr: addr, Err: err}
}
