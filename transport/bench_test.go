package transport_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"scraper/transport"
)

// BenchmarkRoundTrip asks a server in another process, over loopback, as a scrape does: with a deadline, and until the
// body's end.
func BenchmarkRoundTrip(b *testing.B) {
	plain, secure := startChild(b)
	cfg := &tls.Config{InsecureSkipVerify: true}
	for _, size := range []int{1000, 100_000} {
		for _, scheme := range []string{"http", "https", "https-resumed"} {
			url := plain
			if scheme != "http" {
				url = secure
			}
			url = fmt.Sprintf("%s/?bytes=%d", url, size)
			name := func(who string) string { return fmt.Sprintf("%s/body=%d/%s", scheme, size, who) }
			b.Run(name("transport"), func(b *testing.B) {
				tr := newTransport(b, transport.Options{TLS: cfg})
				roundTrips(b, tr, url, func() {
					if scheme == "https-resumed" {
						tr.CloseIdle()
					}
				})
			})
			if scheme == "https-resumed" {
				continue
			}
			b.Run(name("net-http"), func(b *testing.B) {
				tr := &http.Transport{TLSClientConfig: cfg, DisableCompression: true}
				defer tr.CloseIdleConnections()
				roundTrips(b, tr, url, func() {})
			})
		}
	}
}

func roundTrips(b *testing.B, rt http.RoundTripper, url string, after func()) {
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	before := processorTime()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Accept", "text/plain")
		req.Header.Set("User-Agent", "x")
		resp, err := rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err = resp.Body.Read(buf); err != nil {
				break
			}
		}
		if err != io.EOF { //nolint:errorlint // as io.Reader has it
			b.Fatal(err)
		}
		_ = resp.Body.Close()
		cancel()
		after()
	}
	b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used, without the server's.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
