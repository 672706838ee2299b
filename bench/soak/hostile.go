package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"scraper/bench/agent"
	"scraper/bench/farm"
	"scraper/bench/report"
)

// attack is an answer which is made to hurt.
type attack struct {
	name  string
	write func(w io.Writer) error // the whole answer, with its head
	free  bool                    // its job has no sample_limit
}

// mostMoved is what an attack may add to resident memory, in bytes.
const mostMoved = 16 << 20

// hostile lets one target answer with bodies which are made to hurt, beside others which must not notice.
func hostile(ctx context.Context, t *trial) error {
	const interval = time.Second
	var now atomic.Pointer[attack]
	var answered atomic.Int64
	r, err := t.rig(ctx, rigOptions{args: []string{"-promscrape.maxScrapeSize=16777216", "-promscrape.dialect=prometheus"}})
	if err != nil {
		return err
	}
	defer r.close()
	for name, limit := range map[string]int{"hostile": 10_000, "hostile-free": 0} {
		server, err := startRaw(ctx, func(_ context.Context, c net.Conn, _ []byte) bool {
			if a := now.Load(); a != nil && a.free == (limit == 0) {
				_ = a.write(c) // the agent may have had enough
				answered.Add(1)
			}
			return false
		})
		if err != nil {
			return err
		}
		defer server.close()
		r.config.Jobs = append(r.config.Jobs, agent.Job{Name: name, Interval: pick[time.Duration](t.form, 1, 2, 2) * interval, HonorTimes: true, SampleLimit: limit,
			Groups: []agent.Group{{Targets: []string{server.address()}}}})
	}
	neighbours, err := r.load(ctx, 20, 1000, interval)
	if err != nil {
		return err
	}
	if err := r.scraped(ctx, neighbours, 3, time.Minute); err != nil {
		return err
	}
	if err := r.wait(ctx, 2*time.Second); err != nil {
		return err
	}
	begun, base := time.Now(), r.peak(time.Now().Add(-2*time.Second))
	all := attacks(pick(t.form, 4, 40, 400), t.form != short)
	for i := range all {
		a := &all[i]
		answered.Store(0)
		now.Store(a)
		from := time.Now()
		times := pick[int64](t.form, 1, 2, 10)
		if a.name == "cut" {
			times = 1
		}
		if err := r.until(ctx, a.name, 30*time.Second, func() bool { return answered.Load() >= times }); err != nil {
			return err
		}
		var health, reason string
		job := "hostile"
		if a.free {
			job += "-free"
		}
		err := r.until(ctx, a.name+": a failed scrape", 5*time.Second, func() bool {
			health, reason, err = r.health(job, from)
			return err == nil && health == "down" && reason != ""
		})
		t.want(err == nil, "%s: the target is %q because of %q, want it down with a reason", a.name, health, reason)
		moved := r.peak(from) - base
		if a.name != "cut" {
			t.figure("%s: %+.1f MiB; %s", a.name, mib(moved), shorten(reason))
		}
		t.wantAtMost(a.name+": resident memory moved by", mib(moved), mib[int64](mostMoved), "MiB")
	}
	now.Store(nil)
	t.onTime("neighbours", neighbours, begun, interval)
	return r.finish(ctx)
}

func shorten(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}

// onTime wants targets to have been scraped in each interval, and on time, since some moment.
func (t *trial) onTime(what string, targets []*farm.Target, since time.Time, interval time.Duration) {
	var late report.Lateness
	for _, target := range targets {
		late.Add(target.Arrivals(since, time.Now()), interval)
	}
	late.Finish()
	t.figure("%s: %d scrapes, %d left out, 99 %% at most %.0f ms late", what, late.Scrapes, late.Skipped, late.P99Millis)
	if t.form == short { // a test says nothing about speed: the machine may do much else
		return
	}
	// The cores are busy with targets as well; half a second is nobody's fault.
	t.want(late.Skipped <= late.Scrapes/1000, "%s: %d scrapes left out of %d", what, late.Skipped, late.Scrapes)
	t.wantAtMost(what+" late by", late.P99Millis, 500+float64(interval.Milliseconds())/20, "ms")
}

// health is what the agent says of the only target of a job, if it was scraped since from.
func (r *rig) health(job string, from time.Time) (health, reason string, err error) {
	text, err := r.get(http.MethodGet, "/api/v1/targets")
	if err != nil {
		return "", "", err
	}
	var page struct {
		Data struct {
			ActiveTargets []struct {
				Labels            map[string]string
				Health, LastError string
				LastScrape        time.Time
			}
		}
	}
	if err := json.Unmarshal(text, &page); err != nil {
		return "", "", err
	}
	for _, target := range page.Data.ActiveTargets {
		if target.Labels["job"] == job && target.LastScrape.After(from) {
			return target.Health, target.LastError, nil
		}
	}
	return "", "", nil
}

// attacks are all attacks, cuts of them at random places of a body, with those against a job without limits if asked for.
func attacks(cuts int, unlimited bool) []attack {
	plain := func(w io.Writer, more string, body func(w io.Writer) error) error {
		if _, err := fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n%sConnection: close\r\n\r\n", more); err != nil {
			return err
		}
		return body(w)
	}
	repeat := func(text string, bytes int) func(w io.Writer) error {
		block := strings.Repeat(text, max(1, (64<<10)/len(text)))
		return func(w io.Writer) error {
			for n := 0; n < bytes; n += len(block) { // a block more than asked for at the most
				if _, err := io.WriteString(w, block); err != nil {
					return err
				}
			}
			return nil
		}
	}
	bomb := func(w io.Writer) error {
		return plain(w, "Content-Encoding: gzip\r\n", func(w io.Writer) error { _, err := w.Write(gzipBomb()); return err })
	}
	const endless = 1 << 30
	all := []attack{
		{name: "endless line", write: func(w io.Writer) error { return plain(w, "", repeat("a", endless)) }},
		{name: "endless comment", write: func(w io.Writer) error {
			return plain(w, "", func(w io.Writer) error {
				_, _ = io.WriteString(w, "# HELP a ")
				return repeat("a ", endless)(w)
			})
		}},
		{name: "gzip bomb", write: bomb},
		{name: "zstd with a window of 3.75 GiB", write: func(w io.Writer) error {
			return plain(w, "Content-Encoding: zstd\r\n", func(w io.Writer) error { _, err := w.Write(zstdWindow(0xaf)); return err })
		}},
		{name: "zstd with a window of 8 MiB", write: func(w io.Writer) error {
			return plain(w, "Content-Encoding: zstd\r\n", func(w io.Writer) error { _, err := w.Write(zstdWindow(13 << 3)); return err })
		}},
		{name: "100,000 labels", write: func(w io.Writer) error {
			return plain(w, "", func(w io.Writer) error {
				b := []byte("a{")
				for i := range 100_000 {
					b = fmt.Appendf(b, `l%d="v",`, i)
				}
				_, err := w.Write(append(b, "} 1\n"...))
				return err
			})
		}},
		{name: "a label of 10 MB", write: func(w io.Writer) error {
			return plain(w, "", func(w io.Writer) error {
				_, _ = io.WriteString(w, `a{l="`)
				if err := repeat("v", 10_000_000)(w); err != nil {
					return err
				}
				_, err := io.WriteString(w, "\"} 1\n")
				return err
			})
		}},
		{name: "1,000,000 families", write: func(w io.Writer) error {
			return plain(w, "", func(w io.Writer) error {
				var b []byte
				for i := range 1_000_000 {
					b = fmt.Appendf(b, "# HELP family_%d It is the only one of its name.\n# TYPE family_%d counter\nfamily_%d 1\n", i, i, i)
					if len(b) > 64<<10 || i == 999_999 {
						if _, err := w.Write(b); err != nil {
							return err
						}
						b = b[:0]
					}
				}
				return nil
			})
		}},
		{name: "endless head", write: func(w io.Writer) error {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nX: ")
			return repeat("a", endless)(w)
		}},
		{name: "endless chunk size", write: func(w io.Writer) error {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			return repeat("0", endless)(w)
		}},
		{name: "no HTTP", write: func(w io.Writer) error { _, err := w.Write(bytes.Repeat([]byte{0xff, 0}, 10000)); return err }},
	}
	var text []byte
	for i := range 50 {
		text = fmt.Appendf(text, "# TYPE family_%d counter\nfamily_%d{label=\"a value\"} %d\n", i, i, i)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range cuts {
		at := random.IntN(len(text))
		all = append(all, attack{name: "cut", write: func(w io.Writer) error {
			return plain(w, "Content-Length: "+strconv.Itoa(len(text))+"\r\n", func(w io.Writer) error { _, err := w.Write(text[:at]); return err })
		}})
	}
	// The last one: what it leaves behind goes when the next garbage collection comes.
	if unlimited {
		all = append(all,
			attack{name: "1,000,000 families, without sample_limit", free: true, write: func(w io.Writer) error {
				return plain(w, "", func(w io.Writer) error {
					var b []byte
					for i := range 1_000_000 {
						b = fmt.Appendf(b, "# TYPE f%d counter\nf%d 1\n", i, i)
						if len(b) > 64<<10 || i == 999_999 {
							if _, err := w.Write(b); err != nil {
								return err
							}
							b = b[:0]
						}
					}
					return nil
				})
			}},
			attack{name: "gzip bomb, without sample_limit", free: true, write: bomb})
	}
	return all
}

// gzipBomb is a gigabyte of one line, in a megabyte.
func gzipBomb() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	line := bytes.Repeat([]byte("a 1\n"), 16<<10)
	for range (64 << 20) / len(line) {
		_, _ = w.Write(line) // a bytes.Buffer takes all
	}
	_ = w.Close()
	return b.Bytes()
}

// zstdWindow is the head of a frame whose descriptor asks for a window, and blocks which repeat one byte.
func zstdWindow(descriptor byte) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, descriptor}
	const blockBytes = 128 << 10
	for range 10_000 { // more than a gigabyte
		head := uint32(blockBytes)<<3 | 1<<1 // RLE, not the last one
		b = append(b, byte(head), byte(head>>8), byte(head>>16), 'a')
	}
	return b
}
