package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"scraper/transport"
)

// open sends a request, and returns the answer with its body still to be read.
func open(t testing.TB, rt http.RoundTripper, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// Closing a body early costs the connection, unless the rest was there.
func TestCloseBeforeEnd(t *testing.T) {
	f := func(text string, read int, kept bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			l, url, o := memory(t)
			script(t, l, answering(text, nil))
			tr := newTransport(t, o)
			for range 2 {
				resp := open(t, tr, url)
				if n, err := io.ReadFull(resp.Body, make([]byte, read)); n != read || err != nil {
					t.Errorf("Read = %d, %v, want %d", n, err, read)
				}
				for range 2 {
					if err := resp.Body.Close(); err != nil {
						t.Errorf("Close() = %v, want nil", err)
					}
				}
				if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
					t.Errorf("Read after Close = %d, %v, want ErrBodyReadAfterClose", n, err)
				}
			}
			s := tr.Stats()
			if got := s.Dials == 1; got != kept || s.Open != s.IdlePlain {
				t.Errorf("Stats() after closing %.80q at %d = %+v, want it kept: %t", text, read, s, kept)
			}
		})
	}
	f(ok, 0, true)
	f(ok, 1, true)
	f(ok, 2, true)
	f("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", 1, false)
	f("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"+long, 1, false)
	f("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"+long, 20000, true)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 0, true)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 2, true)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", 1, false)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", 1, false)
	f("HTTP/1.1 200 OK\r\n\r\nok", 1, false)
}

func TestCloseBesideRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, url, o := memory(t)
		script(t, l, answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", nil))
		tr := newTransport(t, o)
		resp := open(t, tr, url)
		var got string
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			var b []byte
			b, err = io.ReadAll(resp.Body)
			got = string(b)
		}()
		synctest.Wait()
		if err := resp.Body.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
		<-done
		if got != "ok" || !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("Read beside Close = %q, %v, want ok and ErrBodyReadAfterClose", got, err)
		}
		if s := tr.Stats(); s.Open != 0 {
			t.Errorf("Stats() = %+v, want nothing open", s)
		}
	})
}

// A body which is closed again and again by others must not touch the connection's next request.
func TestLateCloseIsHarmless(t *testing.T) {
	l, url, o := memory(t)
	script(t, l, answering(ok, nil))
	tr := newTransport(t, o)
	first := open(t, tr, url)
	if b, err := io.ReadAll(first.Body); string(b) != "ok" || err != nil {
		t.Errorf("ReadAll = %q, %v, want ok", b, err)
	}
	second := open(t, tr, url)
	_ = first.Body.Close()
	if n, err := first.Body.Read(make([]byte, 2)); n != 0 || err == nil {
		t.Errorf("Read of a closed body = %d, %v, want an error", n, err)
	}
	if b, err := io.ReadAll(second.Body); string(b) != "ok" || err != nil {
		t.Errorf("ReadAll = %q, %v, want ok", b, err)
	}
	_ = second.Body.Close()
	wantStats(t, tr, 1, 1, 0)
}

// A server which does not answer, or stops, costs no reader until something comes.
func TestWaitingTakesNoReader(t *testing.T) {
	l, url := loopback(t)
	asked, say := make(chan bool), make(chan string)
	script(t, l, func(_ int, c net.Conn) {
		if _, more := readRequest(bufio.NewReader(c)); more {
			asked <- true
			for text := range say {
				_, _ = io.WriteString(c, text)
			}
		}
	})
	readers := &transport.Readers{}
	tr := newTransport(t, transport.Options{Readers: readers})
	got := make(chan *http.Response)
	go func() { got <- open(t, tr, url) }()
	<-asked
	if s := readers.Stats(); s.InUse != 0 || s.InUseBytes != 0 {
		t.Errorf("Readers.Stats() before the first byte = %+v, want none in use", s)
	}
	say <- "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\no"
	resp := <-got
	if s := readers.Stats(); s.InUse != 1 || s.InUseBytes != 4096 {
		t.Errorf("Readers.Stats() within the body = %+v, want one in use", s)
	}
	w, can := resp.Body.(transport.Waiter)
	if !can {
		t.Fatal("the body is no Waiter")
	}
	b := make([]byte, 10)
	w.Wait()
	if n, err := resp.Body.Read(b); string(b[:n]) != "o" || err != nil {
		t.Errorf("Read after Wait = %q, %v, want o", b[:n], err)
	}
	waited := make(chan bool)
	go func() { w.Wait(); close(waited) }()
	say <- "k"
	<-waited
	if n, err := resp.Body.Read(b); string(b[:n]) != "k" || err != nil {
		t.Errorf("Read after Wait = %q, %v, want k", b[:n], err)
	}
	close(say)
	w.Wait()
	if n, err := resp.Body.Read(b); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Read after Wait = %d, %v, want io.ErrUnexpectedEOF", n, err)
	}
	w.Wait()
	_ = resp.Body.Close()
	if s := readers.Stats(); s.InUse != 0 || s.Idle != 1 || s.IdleBytes != 4096 {
		t.Errorf("Readers.Stats() = %+v, want one idle", s)
	}
	if n := readers.Shrink(); n != 4096 {
		t.Errorf("Shrink() = %d, want 4096", n)
	}
	if s := readers.Stats(); s.Idle != 0 {
		t.Errorf("Readers.Stats() after Shrink = %+v, want none", s)
	}
}

func TestReadersAreBounded(t *testing.T) {
	l, url, o := memory(t)
	script(t, l, answering("HTTP/1.1 200 OK\r\n\r\n", nil))
	o.Readers = &transport.Readers{}
	tr := newTransport(t, o)
	var all []*http.Response
	for range 40 {
		all = append(all, open(t, tr, url))
	}
	if s := o.Readers.Stats(); s.InUse != 40 {
		t.Errorf("Readers.Stats() = %+v, want 40 in use", s)
	}
	for _, resp := range all {
		_ = resp.Body.Close()
	}
	if s := o.Readers.Stats(); s.InUse != 0 || s.Idle > 16 {
		t.Errorf("Readers.Stats() = %+v, want at most 16 idle", s)
	}
}

// Bodies are read in pieces of any size. Within a large one of many chunks the reader is exchanged for a larger one.
func TestReadSizes(t *testing.T) {
	l, url, o := memory(t)
	var body, chunks strings.Builder
	for i := range 200 {
		part := fmt.Sprint(i, long[:i*5])
		body.WriteString(part)
		fmt.Fprintf(&chunks, "%x\r\n%s\r\n", len(part), part)
	}
	script(t, l, answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks.String()+"0\r\n\r\n", nil))
	o.Readers = &transport.Readers{}
	tr := newTransport(t, o)
	for _, size := range []int{1, 7, 4095, 4096, 4097, 100000} {
		resp := open(t, tr, url)
		var got strings.Builder
		if n, err := resp.Body.Read(nil); n != 0 || err != nil {
			t.Errorf("Read(nil) = %d, %v, want 0, nil", n, err)
		}
		b := make([]byte, size)
		for {
			n, err := resp.Body.Read(b)
			got.Write(b[:n])
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("Read = %v, want io.EOF", err)
				}
				break
			}
		}
		if got.String() != body.String() {
			t.Errorf("read %d bytes in pieces of %d, want the body of %d", got.Len(), size, body.Len())
		}
		_ = resp.Body.Close()
		if s := o.Readers.Stats(); s.InUse != 0 || s.Idle != 2 || s.IdleBytes != 20<<10 {
			t.Errorf("Readers.Stats() after a large body = %+v, want a small and a large one idle", s)
		}
	}
	wantStats(t, tr, 1, 5, 0)
}

// When the context ends after the body, its connection is still good; when it ends within, it is not.
func TestContextAfterBody(t *testing.T) {
	l, url, o := memory(t)
	script(t, l, answering(ok, nil))
	tr := newTransport(t, o)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		wantBody(t, ask(ctx, tr, "GET", url), "ok")
		cancel()
	}
	wantStats(t, tr, 1, 2, 0)
}
