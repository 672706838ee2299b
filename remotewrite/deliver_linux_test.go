package remotewrite

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"syscall"
	"testing"
	"time"

	"scraper/bufpool"
)

// BenchmarkDeliver commits blocks of 10,000 samples, which go to disk and over loopback to a receiver that reads them and
// nothing else, in each protocol. CPU-ns/sample is all that the process takes for it, the receiver's reading included.
func BenchmarkDeliver(b *testing.B) {
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	const rows = 10_000
	tg := newTarget(b, pool)
	bt := steadyBatch(b, tg, rows)
	defer bt.Reset()
	for p := Protocol1; p < protocols; p++ {
		b.Run(fmt.Sprintf("protocol=%v", p), func(b *testing.B) {
			var bytes int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				bytes = n
				w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", fmt.Sprint(math.MaxInt32))
				w.WriteHeader(http.StatusNoContent)
			}))
			defer s.Close()
			w, err := New(Options{Pool: pool, Protocol: p, QueueDir: b.TempDir(), Destinations: []Destination{{URL: s.URL}}})
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- w.Run(ctx) }()
			sent := uint64(0)
			deliver := func() {
				w.Commit(bt)
				for sent += rows; w.Books()[0].Acknowledged < sent; time.Sleep(20 * time.Microsecond) {
					runtime.Gosched()
				}
			}
			deliver()
			before := processCPU(b)
			for b.Loop() {
				deliver()
			}
			b.ReportMetric(float64(processCPU(b)-before)/float64(b.N)/rows, "CPU-ns/sample")
			b.ReportMetric(float64(bytes)/rows, "wire-B/sample")
			stop()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}

// processCPU is the time of processors which this process has taken.
func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
