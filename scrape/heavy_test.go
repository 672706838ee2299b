package scrape

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestHeavyScrapes: a large body is read when the one before it has been read, but waits for no longer than half of its
// timeout; small ones do not wait.
func TestHeavyScrapes(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.export("big:80", strings.Repeat("# "+strings.Repeat("x", 1<<16)+"\n", heavyBytes>>16)+"m 1\n")
		w.export("small:80", "m 1\n")
		f := func(target string, busy, want time.Duration) {
			t.Helper()
			w.apply("scrape_configs:\n- job_name: j\n  scrape_interval: 10s\n  scrape_timeout: 8s\n  enable_compression: false\n  static_configs: [{targets: ['" + target + "']}]\n")
			w.scrapeNow() // whose size is remembered
			w.m.heavy <- struct{}{}
			time.AfterFunc(busy, func() { <-w.m.heavy })
			start := time.Now()
			if got := w.scrapeNow(); value(got, "up") != 1 {
				t.Errorf("%s failed: %s", target, w.only().LastError)
			}
			if got := time.Since(start); got != want {
				t.Errorf("%s took %v while another body was read for %v, want %v", target, got, busy, want)
			}
			time.Sleep(busy)
			synctest.Wait()
			if n := len(w.m.heavy); n != 0 {
				t.Errorf("after %s it is still somebody's turn", target)
			}
		}
		f("big:80", 3*time.Second, 3*time.Second)
		f("big:80", 7*time.Second, 4*time.Second)
		f("small:80", 3*time.Second, 0)
	})
}
