package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scraper/bufpool"
	"scraper/transport"
)

// finish goes on with a request for as long as it is pending, and returns the answer and how often it was.
func finish(rt http.RoundTripper, req *http.Request) (a answer, pended int) {
	resp, err := rt.RoundTrip(req)
	for {
		p, ok := errors.AsType[*transport.Pending](err)
		if !ok {
			break
		}
		pended++
		ready := make(chan struct{})
		p.Notify(func() { close(ready) })
		<-ready
		resp, err = p.Resume()
	}
	if a.err = err; err == nil {
		b, berr := io.ReadAll(resp.Body)
		a.status, a.body, a.bodyErr = resp.StatusCode, string(b), berr
		_ = resp.Body.Close()
	}
	return a, pended
}

func parking(t *testing.T) *transport.Parking {
	p := &transport.Parking{After: time.Millisecond}
	t.Cleanup(func() {
		if n := p.Parked(); n != 0 {
			t.Errorf("%d requests are parked at the end", n)
		}
		p.Wait()
	})
	return p
}

// needsParking skips tests of what other systems do not have.
func needsParking(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("requests are parked on Linux only")
	}
}

// Whatever becomes of a request that was parked is what would have become of one that waits.
func TestPending(t *testing.T) {
	needsParking(t)
	f := func(name string, say func(nth int, c net.Conn), want, wantErr string, requests int) {
		t.Helper()
		l, url := loopback(t)
		script(t, l, func(nth int, c net.Conn) {
			br := bufio.NewReader(c)
			for {
				if _, more := readRequest(br); !more {
					return
				}
				time.Sleep(20 * time.Millisecond) // so that it is parked, whose wait is 1 ms
				say(nth, c)
			}
		})
		tr := newTransport(t, transport.Options{Parking: parking(t)})
		for i := range requests {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			a, pended := finish(tr, req)
			cancel()
			last := i == requests-1
			if err := a.failed(); !last && err != nil || last && (wantErr == "") != (err == nil) || last && wantErr != "" && !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%s: request %d = %v, want %q", name, i, err, wantErr)
			}
			if wantErr == "" && a.body != want {
				t.Errorf("%s: request %d = %q, want %q", name, i, a.body, want)
			}
			if i == 0 && pended < 2 || i > 0 && pended < 1 {
				t.Errorf("%s: request %d was pending %d times, want it for the connection and for the answer", name, i, pended)
			}
		}
	}
	write := func(text string) func(int, net.Conn) {
		return func(_ int, c net.Conn) { _, _ = io.WriteString(c, text) }
	}
	f("late", write(ok), "ok", "", 3)
	f("one byte", func(_ int, c net.Conn) {
		_, _ = io.WriteString(c, ok[:1])
		time.Sleep(20 * time.Millisecond)
		_, _ = io.WriteString(c, ok[1:])
	}, "ok", "", 2)
	f("byte by byte", func(_ int, c net.Conn) {
		for i := range ok {
			_, _ = io.WriteString(c, ok[i:i+1])
			time.Sleep(5 * time.Millisecond)
		}
	}, "ok", "", 2)
	f("line by line, after an interim answer", func(_ int, c net.Conn) {
		for line := range strings.Lines("HTTP/1.1 103 Early Hints\n\n" + ok) {
			_, _ = io.WriteString(c, line)
			time.Sleep(5 * time.Millisecond)
		}
	}, "ok", "", 2)
	f("cut in its header", func(_ int, c net.Conn) {
		_, _ = io.WriteString(c, ok[:17])
		time.Sleep(20 * time.Millisecond)
		closeIt(c)
	}, "", "unexpected EOF", 1)
	f("a large header, slowly", func(_ int, c net.Conn) {
		large := "HTTP/1.1 200 OK\r\nX: " + long[:9000] + ok[strings.Index(ok, "\r\n"):]
		for i := 0; i < len(large); i += 1000 {
			_, _ = io.WriteString(c, large[i:min(i+1000, len(large))])
			time.Sleep(5 * time.Millisecond)
		}
	}, "ok", "", 2)
	f("closed", func(_ int, c net.Conn) { closeIt(c) }, "", "unexpected EOF", 1)
	f("reset", func(_ int, c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }, "", "connection reset", 1)
	f("half closed", func(_ int, c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }, "", "unexpected EOF", 1)
	var answered atomic.Bool
	f("dead when it was used again", func(_ int, c net.Conn) {
		if answered.Swap(true) { // once
			answered.Store(false)
			closeIt(c)
			return
		}
		_, _ = io.WriteString(c, ok)
	}, "ok", "", 2)
}

// Parked requests have no goroutine, and end with their context.
func TestParkedRequestsAreCheap(t *testing.T) {
	needsParking(t)
	l, url := loopback(t)
	script(t, l, func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	p := parking(t)
	tr := newTransport(t, transport.Options{Parking: p})
	ctx, cancel := context.WithCancelCause(t.Context())
	goroutines := runtime.NumGoroutine()
	const n = 100
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	wg.Add(n)
	var goOn func(resp *http.Response, err error)
	goOn = func(resp *http.Response, err error) {
		if p, pending := errors.AsType[*transport.Pending](err); pending {
			p.Notify(func() { go func() { goOn(p.Resume()) }() })
			return
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		mu.Lock()
		errs = append(errs, err)
		mu.Unlock()
		wg.Done()
	}
	for range n {
		go func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			goOn(tr.RoundTrip(req))
		}()
	}
	until(t, "all of them to be parked", func() bool { return p.Parked() == n })
	if !bufpool.Checked { // the server's goroutines, one per connection and one for all parked requests
		until(t, "the requests' goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+n+1 })
	}
	why := errors.New("enough")
	cancel(why)
	wg.Wait()
	for _, err := range errs {
		if !errors.Is(err, why) {
			t.Fatalf("a parked request ended with %v, want %v", err, why)
		}
	}
	if s := tr.Stats(); s.Open != 0 {
		t.Errorf("Stats() = %+v, want no connection open", s)
	}
}

// A context which has ended before ends the request, wherever it waits.
func TestPendingAfterTheEnd(t *testing.T) {
	needsParking(t)
	l, url := loopback(t)
	script(t, l, func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	tr := newTransport(t, transport.Options{Parking: parking(t)})
	for stage := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		_, err := tr.RoundTrip(req)
		for range stage {
			p, _ := errors.AsType[*transport.Pending](err)
			ready := make(chan struct{})
			p.Notify(func() { close(ready) })
			<-ready
			_, err = p.Resume()
		}
		cancel()
		p, pending := errors.AsType[*transport.Pending](err)
		if !pending {
			t.Fatalf("stage %d: RoundTrip = %v, want a Pending", stage, err)
		}
		ready := make(chan struct{})
		p.Notify(func() { close(ready) })
		<-ready
		if _, err := p.Resume(); !errors.Is(err, context.Canceled) {
			t.Errorf("stage %d: Resume = %v, want %v", stage, err, context.Canceled)
		}
	}
}

func TestPendingTLS(t *testing.T) {
	needsParking(t)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond)
		_, _ = io.WriteString(w, "ok")
	}))
	defer s.Close()
	tr := newTransport(t, transport.Options{Parking: parking(t), TLS: &tls.Config{InsecureSkipVerify: true}})
	for range 3 {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if a, pended := finish(tr, req); a.failed() != nil || a.body != "ok" || pended == 0 {
			t.Errorf("RoundTrip = %q, %v after %d waits, want ok", a.body, a.failed(), pended)
		}
	}
	wantStats(t, tr, 1, 2, 0)
}

// What dialling panics with comes out where it may be dealt with.
func TestPanicWhileDialling(t *testing.T) {
	for _, p := range []*transport.Parking{nil, {}} {
		tr := newTransport(t, transport.Options{Parking: p, DialContext: func(context.Context, string, string) (net.Conn, error) { panic("oops") }})
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://target/", nil)
		func() {
			defer func() {
				if r, _ := recover().(string); !strings.HasPrefix(r, "oops\n") {
					t.Errorf("recover() = %q, want oops with its stack", r)
				}
			}()
			_, _ = finish(tr, req)
		}()
	}
}
