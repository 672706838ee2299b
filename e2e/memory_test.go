package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"scraper/receiver"
)

// large answers with a body of about 200 bytes per series, written as it is made: nobody holds it.
func large(series int) answer {
	return func(n int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		b := bufio.NewWriterSize(w, 64<<10)
		fmt.Fprint(b, "# TYPE apiserver_request_duration_seconds_bucket counter\n")
		var text []byte
		for i := range series {
			text = append(text[:0], `apiserver_request_duration_seconds_bucket{namespace="team-`...)
			text = strconv.AppendInt(text, int64(i/1000), 10)
			text = append(text, `",pod="frontend-7d4b9c6f5d-`...)
			text = strconv.AppendInt(text, int64(i/20), 36)
			text = append(text, `",container="server",resource="deployments",verb="LIST",scope="cluster",component="apiserver",version="v1",le="`...)
			text = strconv.AppendInt(text, int64(i%20), 10)
			text = append(text, `"} `...)
			text = strconv.AppendInt(text, int64(n+i), 10)
			text = append(text, '\n')
			_, _ = b.Write(text) // the client may have gone
		}
		_ = b.Flush()
	}
}

// peak is the most resident anonymous memory that a process had.
type peak struct {
	mu    sync.Mutex
	bytes int64
}

func (p *peak) get() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// watch looks at the process until the returned function is called.
func (p *peak) watch(x *process) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if n, err := x.anonBytes(); err == nil {
				p.mu.Lock()
				p.bytes = max(p.bytes, n)
				p.mu.Unlock()
			}
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// TestMemoryOfOneLargeTarget scrapes one target with a huge body: its size must not show in the agent's memory.
func TestMemoryOfOneLargeTarget(t *testing.T) {
	t.Parallel()
	series, most, scrapes := 100_000, int64(100<<20), 3
	if *long {
		series, most, scrapes = 500_000, 150<<20, 5
	}
	interval := 5 * time.Second
	if *long {
		interval = 10 * time.Second
	}
	f := startFarm(t, 1)
	x := f.add("large", large(series))
	s := startSink(t, receiver.Options{CountOnly: true})
	conf := scrapeConfig(t, f, interval, x)
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url="+s.url)
	idle, err := a.anonBytes()
	if err != nil {
		t.Skipf("resident memory cannot be measured here: %v", err)
	}
	var p peak
	stop := p.watch(a.process)
	defer stop()
	per := uint64(series + len(automatic("vmagent")))
	waitLonger(t, "the scrapes", 3*time.Minute, func() bool { return s.Totals().Samples >= uint64(scrapes)*per })
	m := a.metrics(t)
	freeze(t, a, conf, x)
	want := uint64(x.count()) * per
	s.wait(t, fmt.Sprintf("%d samples", want), 2*patience, func() bool { return s.Totals().Samples >= want })
	if m := a.metrics(t); m[`scraper_scrape_scrapes_total{result="down"}`] > 0 {
		tooSlow(t, "scrapes failed: %s", tail(a.stderr.String()))
	}
	if got := s.Totals(); got.Samples != want || got.StaleMarkers != 0 {
		t.Errorf("the receiver got %d samples and %d markers of %d scrapes, want %d and none", got.Samples, got.StaleMarkers, x.count(), want)
	}
	if got := p.get(); got > most {
		t.Errorf("resident anonymous memory reached %d MiB with a target of %d series, want at most %d", got>>20, series, most>>20)
	}
	now, _ := a.anonBytes()
	a.terminate(t)
	t.Logf("figure: one target of %d series (%.0f MB per body, %d scrapes): resident anonymous memory %d MiB idle, peak %d MiB, afterwards %d MiB; heap in use %.0f MiB",
		series, m["scraper_scrape_body_bytes_total"]/m[`scraper_scrape_scrapes_total{result="up"}`]/1e6, x.count(), idle>>20, p.get()>>20, now>>20,
		m["go_memstats_heap_inuse_bytes"]/(1<<20))
}
