package memnet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestConn runs the conformance tests which every net.Conn should pass.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		var n Network
		l, err := n.Listen("a:0")
		if err != nil {
			return nil, nil, nil, err
		}
		if c1, err = n.DialContext(t.Context(), "tcp", l.Addr().String()); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { c1.Close(); c2.Close(); l.Close() }, nil
	})
}

func TestAddresses(t *testing.T) {
	var n Network
	listen := func(addr string, want error) *Listener {
		t.Helper()
		l, err := n.Listen(addr)
		if !errors.Is(err, want) {
			t.Errorf("Listen(%s) = %v, want %v", addr, err, want)
		}
		return l
	}
	dial := func(addr string, want error) {
		t.Helper()
		c, err := n.DialContext(t.Context(), "tcp", addr)
		if !errors.Is(err, want) {
			t.Errorf("Dial(%s) = %v, want %v", addr, err, want)
		}
		if err == nil {
			c.Close()
		}
	}
	dial("node:9100", syscall.ECONNREFUSED)
	l := listen("node:9100", nil)
	listen("node:9100", syscall.EADDRINUSE)
	dial("node:9100", nil)
	a, b := listen("node:0", nil), listen("node:0", nil)
	if a.Addr() == b.Addr() {
		t.Errorf("two listeners at %v", a.Addr())
	}
	dial(a.Addr().String(), nil)
	l.Close()
	l.Close()
	dial("node:9100", syscall.ECONNREFUSED)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close = %v, want %v", err, net.ErrClosed)
	}
	listen("node:9100", nil)
	if _, err := n.Listen("noport"); err == nil {
		t.Error("Listen(noport) = nil, want an error")
	}
}

func TestCloseListenerResetsPendingConnections(t *testing.T) {
	var n Network
	l, _ := n.Listen("a:1")
	c, err := n.DialContext(t.Context(), "tcp", "a:1")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read = %v, want %v", err, syscall.ECONNRESET)
	}
}

func TestHowConnectionsEnd(t *testing.T) {
	read := func(c net.Conn) (string, error) {
		b, err := io.ReadAll(c)
		return string(b), err
	}
	write := func(c net.Conn) error { _, err := c.Write([]byte("x")); return err }

	a, b := Pipe()
	a.Write([]byte("last"))
	a.CloseWrite()
	if got, err := read(b); got != "last" || err != nil {
		t.Errorf("after CloseWrite the peer read %q, %v, want %q", got, err, "last")
	}
	if err := write(b); err != nil {
		t.Errorf("after CloseWrite the peer's Write = %v, want nil", err)
	}
	if err := write(a); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after CloseWrite = %v, want %v", err, net.ErrClosed)
	}

	a, b = Pipe()
	a.Write([]byte("last"))
	a.Close()
	if got, err := read(b); got != "last" || err != nil {
		t.Errorf("after Close the peer read %q, %v, want %q", got, err, "last")
	}
	if err := write(b); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("after Close the peer's Write = %v, want %v", err, syscall.EPIPE)
	}
	if _, err := read(a); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close = %v, want %v", err, net.ErrClosed)
	}

	a, b = Pipe()
	a.Write([]byte("lost"))
	a.Reset()
	if got, err := read(b); got != "" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after Reset the peer read %q, %v, want %v", got, err, syscall.ECONNRESET)
	}
	if err := write(b); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after Reset the peer's Write = %v, want %v", err, syscall.ECONNRESET)
	}
}

// TestBuffer pins what tells a buffered connection from net.Pipe.
func TestBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair("a", "b", 10)
		if n, err := a.Write(make([]byte, 10)); n != 10 || err != nil {
			t.Errorf("Write into the buffer = %d, %v, want 10", n, err)
		}
		a.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := a.Write(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write into a full buffer = %d, %v, want %v", n, err, os.ErrDeadlineExceeded)
		}
		a.SetWriteDeadline(time.Time{})
		go func() {
			time.Sleep(time.Minute)
			io.ReadFull(b, make([]byte, 25))
		}()
		begin := time.Now()
		if n, err := a.Write(make([]byte, 20)); n != 20 || err != nil {
			t.Errorf("Write with a late reader = %d, %v, want 20", n, err)
		}
		if got := time.Since(begin); got != time.Minute {
			t.Errorf("Write with a late reader took %v, want 1m", got)
		}
	})
}

// TestHTTP is the use that this package has: a client and a server in one bubble.
func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n Network
		l, err := n.Listen("kubelet:10250")
		if err != nil {
			t.Fatal(err)
		}
		body := bytes.Repeat([]byte("line\n"), 100_000)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-r.Context().Done()
				return
			}
			w.Write(body)
		})}
		go srv.Serve(l)
		defer srv.Close()
		tr := &http.Transport{DialContext: n.DialContext}
		defer tr.CloseIdleConnections()
		get := func(ctx context.Context, path string) (int, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://kubelet:10250"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				return 0, err
			}
			defer resp.Body.Close()
			lines := 0
			for s := bufio.NewScanner(resp.Body); s.Scan(); {
				lines++
			}
			return lines, nil
		}
		if lines, err := get(t.Context(), "/metrics"); lines != 100_000 || err != nil {
			t.Errorf("read %d lines, %v, want 100000", lines, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := get(ctx, "/slow"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a slow server: %v, want %v", err, context.DeadlineExceeded)
		}
	})
}
