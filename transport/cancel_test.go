package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scraper/internal/memnet"
	"scraper/transport"
)

// stages are the ways in which a server can keep a request waiting for ever.
var stages = []struct {
	name, url string
	buffer    int
	dial      func(context.Context, string, string) (net.Conn, error)
	serve     func(net.Conn)
}{
	{name: "dial", url: "http://target:80/", dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}},
	{name: "handshake", url: "https://target:80/", serve: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }},
	{name: "handshake, not read", url: "https://target:80/", buffer: 16},
	{name: "request, not read", url: "http://target:80/", buffer: 16},
	{name: "answer", url: "http://target:80/"},
	{name: "slow header", url: "http://target:80/", serve: func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
		for {
			if _, err := c.Write([]byte("y")); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}},
	{name: "slow interim answers", url: "http://target:80/", serve: func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}},
	{name: "body", url: "http://target:80/", serve: func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx") }},
	{name: "slow body", url: "http://target:80/", serve: func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			if _, err := io.WriteString(c, "1\r\nx\r\n"); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}},
	{name: "endless body", url: "http://target:80/", serve: func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		for {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}},
}

// atEachStage calls f in a bubble for each stage, with a transport whose server is stuck there.
func atEachStage(t *testing.T, f func(t *testing.T, tr *transport.Transport, url string)) {
	for _, st := range stages {
		t.Run(st.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := memnet.Network{BufferBytes: st.buffer}
				l, err := n.Listen("target:80")
				if err != nil {
					t.Fatal(err)
				}
				gone := make(chan struct{})
				script(t, l, func(_ int, c net.Conn) {
					if strings.HasPrefix(st.url, "http:") && st.buffer == 0 {
						if _, more := readRequest(bufio.NewReader(c)); !more {
							return
						}
					}
					if st.serve != nil && st.buffer == 0 {
						st.serve(c)
					}
					<-gone
				})
				t.Cleanup(func() { close(gone) })
				o := transport.Options{DialContext: n.DialContext, TLS: &tls.Config{InsecureSkipVerify: true}, HandshakeTimeout: time.Hour}
				if st.dial != nil {
					o.DialContext = st.dial
				}
				tr := newTransport(t, o)
				f(t, tr, st.url)
				if s := tr.Stats(); s.Open != 0 || s.Retries != 0 || s.Dials != 1 {
					t.Errorf("Stats() = %+v, want nothing open, 1 dial and no retries", s)
				}
			})
		})
	}
}

func TestDeadlineAtEachStage(t *testing.T) {
	atEachStage(t, func(t *testing.T, tr *transport.Transport, url string) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		a := ask(ctx, tr, "GET", url)
		if err := a.failed(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("RoundTrip = %v, want context.DeadlineExceeded", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("RoundTrip with a deadline in 10 s took %v", took)
		}
	})
}

func TestCancelAtEachStage(t *testing.T) {
	left := errors.New("the target has left")
	atEachStage(t, func(t *testing.T, tr *transport.Transport, url string) {
		start := time.Now()
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { cancel(left) })
		a := ask(ctx, tr, "GET", url)
		if err := a.failed(); !errors.Is(err, left) || !errors.Is(err, context.Canceled) {
			t.Errorf("RoundTrip = %v, want context.Canceled and its cause", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("RoundTrip with cancel after 3 s took %v", took)
		}
	})
}

func TestOwnTimeouts(t *testing.T) {
	f := func(stage int, o transport.Options, wantErr string) {
		t.Helper()
		st := stages[stage]
		synctest.Test(t, func(t *testing.T) {
			var n memnet.Network
			l, err := n.Listen("target:80")
			if err != nil {
				t.Fatal(err)
			}
			script(t, l, func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c) })
			if o.DialContext = n.DialContext; st.dial != nil {
				o.DialContext = st.dial
			}
			tr := newTransport(t, o)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			a := ask(ctx, tr, "GET", st.url)
			if a.err == nil || !strings.Contains(a.err.Error(), wantErr) || time.Since(start) != 2*time.Second {
				t.Errorf("RoundTrip at %s = %v after %v, want error with %q after 2 s", st.name, a.err, time.Since(start), wantErr)
			}
		})
	}
	f(0, transport.Options{DialTimeout: 2 * time.Second}, "connecting to target:80 took longer than 2s")
	f(1, transport.Options{HandshakeTimeout: 2 * time.Second}, "TLS handshake: no answer in 2s")
}

// The same over sockets, where waiting is done by the network poller.
func TestDeadlinesOverSockets(t *testing.T) {
	for _, text := range []string{"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"} {
		l, url := loopback(t)
		script(t, l, func(_ int, c net.Conn) {
			if _, more := readRequest(bufio.NewReader(c)); more {
				_, _ = io.WriteString(c, text)
				_, _ = io.Copy(io.Discard, c)
			}
		})
		tr := newTransport(t, transport.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		a := ask(ctx, tr, "GET", url)
		cancel()
		if err := a.failed(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("RoundTrip of %q = %v, want context.DeadlineExceeded", text, err)
		}
		if s := tr.Stats(); s.Open != 0 {
			t.Errorf("Stats() = %+v, want nothing open", s)
		}
	}
}
