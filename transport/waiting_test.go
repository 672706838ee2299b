package transport_test

import (
	"bufio"
	"context"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"scraper/bufpool"
	"scraper/transport"
)

// Requests which wait for an answer that does not come cost their caller's goroutine, and little more.
func TestWaitingRequestsAreCheap(t *testing.T) {
	l, url := loopback(t)
	defer l.Close()
	const n = 300
	tr := newTransport(t, transport.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	before, goroutines := heapAndStacks(), runtime.NumGoroutine()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if resp, err := tr.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
				t.Error("RoundTrip = nil, want an error")
			}
		})
	}
	for range n {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, more := readRequest(bufio.NewReader(c)); !more {
			t.Error("the connection ended before its request")
		}
	}
	per := (heapAndStacks() - before) / n // with the server's end, some 400 bytes
	t.Logf("%d bytes per waiting request", per)
	if got := runtime.NumGoroutine() - goroutines; got > n {
		t.Errorf("%d more goroutines with %d waiting requests, want their callers' only", got, n)
	}
	if !bufpool.Checked && per > 10<<10 {
		t.Errorf("%d bytes per waiting request, want at most 10 KiB", per)
	}
	cancel()
	wg.Wait()
}
