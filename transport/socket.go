package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// socket is what a connection is made of: a TCP or unix socket, or whatever DialContext returns. One goroutine at a time
// may read or write.
//
// It does not read and write by net.Conn where it need not: that tells the scheduler of each call, which then wakes a
// thread to watch over it. Calls which cannot wait need no watching, and for an agent which does a little every now and
// then, waking threads is most of its work.
type socket struct {
	net.Conn
	raw  syscall.RawConn // nil if it has none
	call transfer
	// readSize is that of the largest buffer that was read into, which crypto/tls keeps with the connection. (Reading large
	// records apart from what follows them would not help: the buffer doubles, and servers like Go's come to their largest
	// records step by step.)
	readSize int
}

// transfer is one call for RawConn.Read or Write, which wait while it returns false. It borrows p.
type transfer struct {
	p   []byte
	n   int
	err error
}

func (x *transfer) receive(fd uintptr) bool {
	x.n, x.err = receive(fd, x.p)
	return !errors.Is(x.err, syscall.EAGAIN)
}

func (x *transfer) send(fd uintptr) bool {
	for x.n < len(x.p) {
		var n int
		if n, x.err = send(fd, x.p[x.n:]); x.err != nil {
			return !errors.Is(x.err, syscall.EAGAIN)
		}
		x.n += n
	}
	return true
}

// Read borrows p.
func (s *socket) Read(p []byte) (int, error) {
	s.readSize = max(s.readSize, len(p))
	if !directCalls || s.raw == nil || len(p) == 0 {
		return s.Conn.Read(p)
	}
	s.call = transfer{p: p}
	n, err := s.done(s.raw.Read(s.call.receive), "read")
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write borrows p.
func (s *socket) Write(p []byte) (int, error) {
	if !directCalls || s.raw == nil {
		return s.Conn.Write(p)
	}
	s.call = transfer{p: p}
	return s.done(s.raw.Write(s.call.send), "write")
}

// done ends a call, for which RawConn has returned err.
func (s *socket) done(err error, what string) (int, error) {
	x := s.call
	s.call = transfer{}
	switch {
	case err != nil:
	case x.err != nil:
		local := s.LocalAddr()
		err = &net.OpError{Op: what, Net: local.Network(), Source: local, Addr: s.RemoteAddr(), Err: os.NewSyscallError(what, x.err)}
	}
	return x.n, err
}

// nothingToRead reports whether a socket is open and has nothing for us. An error of the socket is told once: whoever
// asks afterwards finds the end.
func nothingToRead(fd uintptr) (bool, error) {
	for {
		err := peek(fd)
		switch {
		case err == nil:
			return false, nil
		case errors.Is(err, syscall.EAGAIN):
			return true, nil
		case !errors.Is(err, syscall.EINTR):
			return false, os.NewSyscallError("recvfrom", err)
		}
	}
}
