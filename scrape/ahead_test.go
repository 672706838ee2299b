package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"scraper/batch"
	"scraper/bufpool/bufpooltest"
	"scraper/config"
)

// TestReadAhead pins that a body is the same whether its rest is read ahead or not, and that an error comes before what
// precedes it once it is.
func TestReadAhead(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	broken := errors.New("broken")
	for name, dir := range map[string]string{"with a file": t.TempDir(), "without a disk": file} {
		for _, from := range []int{0, 1000, len(body), len(body) + 1} {
			for _, end := range []error{nil, broken} {
				spool := batch.NewSpool(dir, 0)
				read := 0
				r := io.Reader(bytes.NewReader(body))
				if end != nil {
					r = io.MultiReader(r, iotest.ErrReader(end))
				}
				a := &aheadReader{r: r, spool: spool, pool: bufpooltest.New(t), learnt: func() int64 {
					if read >= from {
						return aheadBytes + 1
					}
					return 0
				}}
				var got []byte
				var err error
				for p := make([]byte, 1000); err == nil; {
					var n int
					n, err = a.Read(p)
					got = append(got, p[:n]...)
					read += n
				}
				a.close()
				want, wantErr := body, io.EOF
				if end != nil {
					wantErr = end
					if dir != file && from <= len(body) {
						want = body[:from]
					}
				}
				if !bytes.Equal(got, want) || !errors.Is(err, wantErr) {
					t.Errorf("%s, from %d, with the end %v: %d bytes and %v, want %d and %v", name, from, end, len(got), err, len(want), wantErr)
				}
				if err := spool.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// TestLargeNewBodies: a body of many new series is taken whole where it is good, and where it is too large or cut off, not
// many of them are learnt before that is known.
func TestLargeNewBodies(t *testing.T) {
	const series = 80_000
	var text strings.Builder
	for i := range series {
		fmt.Fprintf(&text, "# TYPE family_%d gauge\nfamily_%d 1\n", i, i)
	}
	bubble(t, Options{Dialect: config.Prometheus, Metadata: true, SpoolDir: t.TempDir(), MaxScrapeBytes: int64(text.Len()) + 1}, func(w *world) {
		more, cut := "", false
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = io.WriteString(rw, text.String()+more)
			if cut {
				panic(http.ErrAbortHandler)
			}
		}))
		w.apply(oneJob())
		w.run()
		failed := 0.0
		fails := func(when, want string) {
			t.Helper()
			got := w.scrapeNow()
			if s := w.only(); s.Health != HealthDown || !strings.Contains(s.LastError, want) {
				t.Errorf("%s: %v, %q, want down with %q", when, s.Health, s.LastError, want)
			}
			before := failed
			failed = w.metric("scraper_scrape_samples_dropped_total", dropFailed)
			if n := failed - before; n == 0 || n > series*3/4 {
				t.Errorf("%s: %v samples were read before the scrape failed, want a part of %d", when, n, series)
			}
			if n := len(own(got)); n != 0 {
				t.Errorf("%s: %d samples were sent", when, n)
			}
		}
		more = "# too large\n"
		fails("too large", "body too large")
		more, cut = "", true
		fails("cut off", "EOF")
		cut = false
		if got := own(w.scrapeNow()); len(got) != series {
			t.Errorf("a good body: %d samples, want %d", len(got), series)
		}
		if n := len(w.metadata()); n != series {
			t.Errorf("a good body: %d families, want %d", n, series)
		}
	})
}

// TestKnownToBeTooLarge: a body which says that it is too large is not waited for.
func TestKnownToBeTooLarge(t *testing.T) {
	bubble(t, Options{MaxScrapeBytes: 1000}, func(w *world) {
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
			rw.Header().Set("Content-Type", "text/plain; version=0.0.4")
			rw.Header().Set("Content-Length", "1001")
			_, _ = io.WriteString(rw, "a 1\n")
			_ = http.NewResponseController(rw).Flush()
			<-rq.Context().Done()
		}))
		w.apply(oneJob())
		w.run()
		w.scrapeNow()
		if s := w.only(); !strings.Contains(s.LastError, "body too large") || s.LastScrapeDuration > time.Second {
			t.Errorf("the scrape ended with %q after %v", s.LastError, s.LastScrapeDuration)
		}
	})
}
