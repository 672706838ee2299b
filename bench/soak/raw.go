package main

import (
	"bytes"
	"context"
	"net"
	"sync"
)

// raw is a server which answers requests as it likes: handle is called with each connection and the head of each request,
// and returns false to close the connection. Bodies of requests are not read.
type raw struct {
	listener net.Listener
	handle   func(ctx context.Context, c net.Conn, head []byte) bool
	wg       sync.WaitGroup
	cancel   context.CancelFunc
}

// startRaw starts one at a free loopback port. The caller closes it.
func startRaw(ctx context.Context, handle func(ctx context.Context, c net.Conn, head []byte) bool) (*raw, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &raw{listener: l, handle: handle}
	ctx, s.cancel = context.WithCancel(ctx)
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(ctx, c) })
		}
	})
	return s, nil
}

// address is where it listens.
func (s *raw) address() string { return s.listener.Addr().String() }

func (s *raw) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	buf := make([]byte, 0, 16<<10)
	for {
		end := bytes.Index(buf, []byte("\r\n\r\n"))
		for end < 0 {
			n, err := c.Read(buf[len(buf):cap(buf)])
			if err != nil || len(buf)+n == cap(buf) {
				return
			}
			buf = buf[:len(buf)+n]
			end = bytes.Index(buf, []byte("\r\n\r\n"))
		}
		if !s.handle(ctx, c, buf[:end+4]) {
			return
		}
		buf = buf[:copy(buf, buf[end+4:])]
	}
}

// close ends it and its connections.
func (s *raw) close() {
	s.cancel()
	_ = s.listener.Close()
	s.wg.Wait()
}

// never does not answer before the server ends or the connection does.
func never(ctx context.Context, c net.Conn, _ []byte) bool {
	buf := make([]byte, 64<<10)
	for ctx.Err() == nil {
		if _, err := c.Read(buf); err != nil {
			return false
		}
	}
	return false
}
