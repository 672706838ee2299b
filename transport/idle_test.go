package transport_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"scraper/transport"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// wantStats fails the test unless so many connections were made, kept ones used, and requests sent again.
func wantStats(t testing.TB, tr *transport.Transport, dials, reuses, retries uint64) {
	t.Helper()
	if s := tr.Stats(); s.Dials != dials || s.Reuses != reuses || s.Retries != retries {
		t.Errorf("Stats() = %+v, want %d dials, %d reuses, %d retries", s, dials, reuses, retries)
	}
}

// A server may end a kept connection in many ways. Those which happened before the next request are seen in time, and
// cost no request.
func TestIdleConnectionIsGone(t *testing.T) {
	f := func(name string, end func(net.Conn)) {
		t.Helper()
		l, url := loopback(t)
		ended := make(chan bool)
		script(t, l, func(nth int, c net.Conn) {
			br := bufio.NewReader(c)
			for {
				if _, more := readRequest(br); !more {
					return
				}
				_, _ = io.WriteString(c, ok)
				if nth == 0 {
					end(c)
					ended <- true
				}
			}
		})
		tr := newTransport(t, transport.Options{})
		wantBody(t, get(t, tr, url), "ok")
		<-ended
		wantBody(t, get(t, tr, url), "ok")
		s := tr.Stats()
		if s.Dials != 2 || s.Reuses != 0 || s.Retries != 0 {
			t.Errorf("%s: Stats() = %+v, want 2 dials and nothing sent on the first connection again", name, s)
		}
	}
	f("closed", closeIt)
	f("half closed", func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() })
	f("reset", func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() })
	f("surprise", func(c net.Conn) { _, _ = io.WriteString(c, strings.Replace(ok, "ok", "no", 1)) })
	f("surprise and closed", func(c net.Conn) { _, _ = io.WriteString(c, "x"); _ = c.Close() })
}

// What happens after the request was sent is told by the answer which does not come, and the request is sent again.
func TestRetry(t *testing.T) {
	f := func(name string, second, fresh func(net.Conn), wantErr string, dials, retries uint64) {
		t.Helper()
		l, url := loopback(t)
		script(t, l, func(nth int, c net.Conn) {
			br := bufio.NewReader(c)
			if _, more := readRequest(br); !more {
				return
			}
			if nth > 0 {
				fresh(c)
				return
			}
			_, _ = io.WriteString(c, ok)
			if _, more := readRequest(br); more {
				second(c)
			}
		})
		tr := newTransport(t, transport.Options{})
		wantBody(t, get(t, tr, url), "ok")
		a := get(t, tr, url)
		if err := a.failed(); wantErr == "" && (err != nil || a.body != "ok") || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%s: RoundTrip = %q, %v, want error %q", name, a.body, err, wantErr)
		}
		if s := tr.Stats(); s.Dials != dials || s.Retries != retries {
			t.Errorf("%s: Stats() = %+v, want %d dials and %d retries", name, s, dials, retries)
		}
	}
	reset := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }
	say := func(text string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, text) }
	}
	f("closed", closeIt, say(ok), "", 2, 1)
	f("reset", reset, say(ok), "", 2, 1)
	f("closed twice", closeIt, closeIt, "unexpected EOF", 2, 1)
	f("reset twice", reset, reset, "connection reset", 2, 1)
	f("after the first byte", say("H"), say(ok), "malformed", 1, 0)
	f("nonsense", say("x\r\n\r\n"), say(ok), "malformed", 1, 0)
}

func TestNoRetryOnNewConnection(t *testing.T) {
	l, url := loopback(t)
	script(t, l, func(_ int, c net.Conn) { _, _ = readRequest(bufio.NewReader(c)) })
	tr := newTransport(t, transport.Options{})
	if a := get(t, tr, url); a.err == nil {
		t.Errorf("RoundTrip = %d, want an error", a.status)
	}
	wantStats(t, tr, 1, 0, 0)
	_ = l.Close()
	if a := get(t, tr, url); a.err == nil || !strings.Contains(a.err.Error(), "connection refused") {
		t.Errorf("RoundTrip = %v, want connection refused", a.err)
	}
	wantStats(t, tr, 2, 0, 0)
}

func TestIdleLimits(t *testing.T) {
	l, url, o := memory(t)
	const most = 5
	var together sync.WaitGroup
	together.Add(most)
	script(t, l, func(_ int, c net.Conn) {
		br := bufio.NewReader(c)
		for first := true; ; first = false {
			if _, more := readRequest(br); !more {
				return
			}
			if first {
				together.Done()
				together.Wait()
			}
			_, _ = io.WriteString(c, ok)
		}
	})
	o.MaxIdlePerHost = 3
	tr := newTransport(t, o)
	var wg sync.WaitGroup
	for range most {
		wg.Go(func() { wantBody(t, get(t, tr, url), "ok") })
	}
	wg.Wait()
	s := tr.Stats()
	if s.Dials != most || s.IdlePlain != 3 || s.Open != 3 || s.IdleBytes < 3*100 || s.IdleBytes > 3*1024 {
		t.Errorf("Stats() = %+v, want %d dials, 3 idle connections and less than 1 KiB for each", s, most)
	}
	if f := tr.CloseIdleTLS(); f.Conns != 0 || f.Bytes != 0 {
		t.Errorf("CloseIdleTLS() = %+v, want nothing", f)
	}
	if f := tr.Sweep(); f.Conns != 0 {
		t.Errorf("Sweep() = %+v, want nothing", f)
	}
	wantBody(t, get(t, tr, url), "ok")
	tr.AgeIdle(4 * time.Minute)
	wantBody(t, get(t, tr, url), "ok") // makes the newest new again
	tr.AgeIdle(2 * time.Minute)
	if f := tr.Sweep(); f.Conns != 2 || f.Bytes != 2*s.IdleBytes/3 {
		t.Errorf("Sweep() = %+v, want the two connections which were idle for 6 min, and 2/3 of %d bytes", f, s.IdleBytes)
	}
	wantStats(t, tr, most, 2, 0)
	if f := tr.CloseIdle(); f.Conns != 1 {
		t.Errorf("CloseIdle() = %+v, want the last connection", f)
	}
	if tr.Hosts() != 0 {
		t.Errorf("%d hosts have idle connections, want 0", tr.Hosts())
	}
}

func TestIdleTimeoutCountsWithoutSweep(t *testing.T) {
	l, url, o := memory(t)
	script(t, l, answering(ok, nil))
	tr := newTransport(t, o)
	for range 2 {
		wantBody(t, get(t, tr, url), "ok")
		tr.AgeIdle(6 * time.Minute)
	}
	wantStats(t, tr, 2, 0, 0)
}

func TestNothingIsKeptIfSo(t *testing.T) {
	l, url, o := memory(t)
	script(t, l, answering(ok, nil))
	o.MaxIdlePerHost = -1
	tr := newTransport(t, o)
	for range 2 {
		wantBody(t, get(t, tr, url), "ok")
	}
	wantStats(t, tr, 2, 0, 0)
}

// http.Client works on it, with its redirects and its name for CloseIdle.
func TestUnderClient(t *testing.T) {
	l, url, o := memory(t)
	script(t, l, func(_ int, c net.Conn) {
		br := bufio.NewReader(c)
		for {
			r, more := readRequest(br)
			if !more {
				return
			}
			if strings.HasPrefix(r, "GET /metrics ") {
				_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 2\r\n\r\nno")
			} else {
				_, _ = io.WriteString(c, ok)
			}
		}
	})
	tr := newTransport(t, o)
	client := http.Client{Transport: tr, Timeout: 10 * time.Second}
	for range 2 {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "ok" || err != nil {
			t.Errorf("Get(%s) = %q, %v, want ok", url, b, err)
		}
		_ = resp.Body.Close()
	}
	wantStats(t, tr, 1, 3, 0)
	client.CloseIdleConnections()
	if s := tr.Stats(); s.Open != 0 {
		t.Errorf("Stats() after CloseIdleConnections = %+v, want nothing open", s)
	}
}
