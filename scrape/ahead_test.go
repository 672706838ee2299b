package scrape

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/bufpool/bufpooltest"
	"scraper/config"
	"scraper/relabel"
	"scraper/streamparse"
)

// TestReadAhead pins that a body is the same whether its rest is read ahead or not, how often ever that is read beside, and that an
// error comes before what precedes it once it is.
func TestReadAhead(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	broken := errors.New("broken")
	const piece = 1000
	for name, dir := range map[string]string{"with a file": t.TempDir(), "without a disk": file} {
		for _, from := range []int{0, 1000, len(body), len(body) + 1} {
			for _, end := range []error{nil, broken} {
				spool := batch.NewSpool(batch.SpoolOptions{Dir: dir})
				pauses := 0
				r := io.Reader(bytes.NewReader(body))
				if end != nil {
					r = io.MultiReader(r, iotest.ErrReader(end))
				}
				learnt := int64(0)
				a := &aheadReader{r: r, spool: spool, pool: bufpooltest.New(t), learnt: func() int64 { return learnt },
					pause: func() error { pauses++; return nil }}
				var got []byte
				var err error
				for p := make([]byte, piece); err == nil; {
					if len(got) >= from {
						learnt = aheadBytes + 1
					}
					if a.isDue(int64(len(got))) {
						if err = a.fetch(); err != nil {
							break
						}
					}
					if a.unseen {
						rest := a.rest
						if beside, err := io.ReadAll(&rest); err != nil || !bytes.Equal(beside, body[len(got):]) {
							t.Errorf("%s, from %d: %d bytes and %v beside, want %d", name, from, len(beside), err, len(body)-len(got))
						}
						a.unseen = false
					}
					var n int
					n, err = a.Read(p)
					got = append(got, p[:n]...)
				}
				if inFile := dir != file && from < len(body) && end == nil; inFile != (pauses > 0) {
					t.Errorf("%s, from %d, with the end %v: %d pauses", name, from, end, pauses)
				}
				a.close()
				want, wantErr := body, io.EOF
				if end != nil {
					wantErr = end
					if dir != file && from < len(body) { // it is looked at once in a while, after a whole read
						look := min((from+aheadPiece-1)/aheadPiece*aheadPiece, len(body))
						want = body[:min((look+piece-1)/piece*piece, len(body))]
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
	t.Parallel()
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
		if n := len(w.metadata()); n < series/2 { // as many as maxFamilyBytes holds
			t.Errorf("a good body: %d families of %d", n, series)
		}
	})
}

// TestLargeTargetWithoutDisk: a target whose samples are too many for the memory of a batch is up whether the rest of them can
// be written to a file or not.
func TestLargeTargetWithoutDisk(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const series = 25_000
	var text strings.Builder
	for i := range series {
		fmt.Fprintf(&text, "m{i=\"%d\"} 1\n", i)
	}
	for name, o := range map[string]Options{
		"a data path which cannot be written": {SpoolDir: file, MaxBatchBytes: 1},
		"no room":                             {SpoolDir: t.TempDir(), MaxBatchBytes: 1, MaxSpoolBytes: 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, o, func(w *world) {
				w.reg.MustRegister(NewMemoryCollector(w.m))
				w.export("a:80", text.String())
				w.apply(oneJob())
				w.run()
				for range 2 {
					if got := w.scrapeNow(); len(own(got)) != series || value(got, "up") != 1 {
						t.Errorf("%d samples, up = %v, %q, want %d and 1", len(own(got)), value(got, "up"), w.only().LastError, series)
					}
				}
				if n := w.metric("scraper_scrape_spool_failures_total", ""); n == 0 {
					t.Error("nothing is counted as having failed")
				}
				if n := w.metric("scraper_scrape_spool_bytes", ""); n != 0 {
					t.Errorf("after the scrapes files hold %v bytes", n)
				}
				if s := w.only(); s.BatchBytes < 12*series-100_000 {
					t.Errorf("the scrape of %d samples took %d bytes of memory", series, s.BatchBytes)
				}
			})
		})
	}
}

// TestAheadFilesAreBounded: targets which send comments without end do not fill the disk, together, while they stall.
func TestAheadFilesAreBounded(t *testing.T) {
	const targets, most = 3, 1 << 20
	var text strings.Builder
	for i := range 3000 { // more than aheadBytes
		fmt.Fprintf(&text, "m{i=\"%01000d\"} 1\n", i)
	}
	for range 1 << 5 {
		fmt.Fprintf(&text, "# %s\n", strings.Repeat("x", 1<<16))
	}
	bubble(t, Options{SpoolDir: t.TempDir(), MaxSpoolBytes: most, Workers: targets}, func(w *world) {
		var config strings.Builder
		for i := range targets {
			addr := fmt.Sprintf("t%d:80", i)
			w.serve(addr, http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
				rw.Header().Set("Content-Type", "text/plain; version=0.0.4")
				_, _ = io.WriteString(rw, text.String())
				_ = http.NewResponseController(rw).Flush()
				<-rq.Context().Done()
			}))
			fmt.Fprintf(&config, ", '%s'", addr)
		}
		w.apply("scrape_configs:\n- job_name: j\n  scrape_interval: 10s\n  static_configs: [{targets: [" + config.String()[2:] + "]}]\n")
		w.run()
		held := int64(0)
		for range 19 {
			time.Sleep(time.Second)
			synctest.Wait()
			held = max(held, w.m.SpoolBytes())
		}
		if held < most/2 || held > most {
			t.Errorf("files held %d bytes at the most, want no more than %d", held, most)
		}
		w.stop()
		if got := w.m.SpoolBytes(); got != 0 {
			t.Errorf("files hold %d bytes in the end", got)
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

// TestForeseen: whatever is wrong with a body, the scrape fails with the same words and counts whether its rest was read ahead or not,
// and nothing is wrong with a good one.
func TestForeseen(t *testing.T) {
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, "# HELP m%d Some text.\n# TYPE m%d counter\nm%d{a=\"%d\",le=\"1\"} %d\n", i, i, i, i%7, i)
	}
	good := many.String()
	for name, tt := range map[string]struct {
		known, body string
		set         func(r *rig)
	}{
		"good":              {"", good, nil},
		"good, known":       {good, good + "# other\nx 1\n", nil},
		"a bad line":        {"", good + "bad{ 1\nm 1\n", nil},
		"a bad line, known": {good, good + "x 1\nbad{ 1\nm 1\n", nil},
		"repeated label":    {"", good + "x{a=\"1\",a=\"2\"} 1\n", nil},
		"sample_limit":      {"", good + good, func(r *rig) { r.limit = 150 }},
		"both":              {"", good + "bad{ 1\n", func(r *rig) { r.limit = 150 }},
		"at the limit":      {"", good, func(r *rig) { r.limit = 200 }},
		"label_limit":       {"", good + "x{a=\"1\",b=\"2\",c=\"3\",d=\"4\"} 1\nx 1\n", func(r *rig) { r.learn.limits.count = 6 }},
		"label length":      {"", good + "x{a=\"12345678901234567890\"} 1\nx 1\n", func(r *rig) { r.learn.limits.value = 15 }},
		"relabeled":         {good, good + "x{a=\"1\"} 1\n", func(r *rig) { r.limit = 190 }},
		"bad lines skipped": {"", good + "x{a=\"1\",a=\"2\"} 1\n" + good, func(r *rig) { r.learn.skipBad = true }},
	} {
		t.Run(name, func(t *testing.T) {
			type result struct {
				rows []string
				c    counts
				err  string
			}
			var plain, ahead result
			for _, x := range []*result{&plain, &ahead} {
				r := newRig(t)
				r.rules(t, relabel.Config{Action: "drop", SourceLabels: []string{"a"}, Regex: new("3")})
				if _, _, err := r.scrape(tt.known); err != nil {
					t.Fatal(err)
				}
				if tt.set != nil {
					tt.set(r)
				}
				if x == &ahead {
					r.spool = batch.NewSpool(batch.SpoolOptions{Dir: t.TempDir()})
				}
				var err error
				x.rows, x.c, err = r.scrape(tt.body)
				if x.err = fmt.Sprint(err); err != nil {
					x.c = counts{Scraped: x.c.Scraped, Relabeled: x.c.Relabeled, Limited: x.c.Limited, Bad: x.c.Bad}
				}
				if r.spool != nil && r.spool.Close() != nil {
					t.Error("the file was not given back")
				}
			}
			if !reflect.DeepEqual(ahead, plain) {
				t.Errorf("read ahead: %d rows, %+v, %s\nwant %d rows, %+v, %s", len(ahead.rows), ahead.c, ahead.err, len(plain.rows), plain.c, plain.err)
			}
		})
	}
}

// TestOneMetricIsGivenUp: while the buckets of one metric are learnt, of which all bytes are there, others have the worker now and then,
// and the scrape ends when it is given up.
func TestOneMetricIsGivenUp(t *testing.T) {
	field := func(dst []byte, number byte, content []byte) []byte {
		return append(binary.AppendUvarint(append(dst, number<<3|2), uint64(len(content))), content...)
	}
	const buckets = 20_000
	label := field(field(nil, 1, []byte("path")), 2, bytes.Repeat([]byte("x"), 200))
	var h []byte
	for i := range buckets {
		h = field(h, 3, binary.LittleEndian.AppendUint64([]byte{1 << 3, 1, 2<<3 | 1}, math.Float64bits(float64(i))))
	}
	family := append(field(nil, 1, []byte("h")), 3<<3, 4) // a histogram
	family = field(family, 4, field(field(nil, 1, label), 7, h))
	body := append(binary.AppendUvarint(nil, uint64(len(family))), family...)
	for name, giveUpAt := range map[string]int{"to its end": 0, "given up": 2} {
		r := newRig(t)
		pauses := 0
		ahead := &aheadReader{r: bytes.NewReader(body), learnt: func() int64 { return 0 }, pause: func() error {
			if pauses++; pauses == giveUpAt {
				return errStopping
			}
			return nil
		}}
		r.parser.ResetBody(ahead, streamparse.Body{Format: streamparse.FormatProtobuf})
		r.b.Sets = r.tab.sets
		r.tab.begin()
		rd := reading{ahead: ahead, p: r.parser, tab: r.tab, b: r.b, learn: &r.learn, sampleLimit: noLimit, now: time.UnixMilli(r.clock)}
		err := rd.body()
		if giveUpAt == 0 && (err != nil || rd.Committed != buckets+3 || pauses < 3) {
			t.Errorf("%s: %d samples, %d pauses, %v, want all, and several pauses", name, rd.Committed, pauses, err)
		}
		if giveUpAt != 0 && (!errors.Is(err, errStopping) || rd.Committed > buckets*3/4) {
			t.Errorf("%s: %d samples, %v, want a part of them, and %v", name, rd.Committed, err, errStopping)
		}
		r.b.Reset()
		r.tab.abort()
	}
}
