package scrape

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// stalling answers with a piece of a body, of which nothing else comes before the scrape is over.
func stalling(encoding string, piece []byte) http.HandlerFunc {
	return func(rw http.ResponseWriter, rq *http.Request) {
		if encoding != "" {
			rw.Header().Set("Content-Encoding", encoding)
		}
		_, _ = rw.Write(piece)
		_ = http.NewResponseController(rw).Flush()
		<-rq.Context().Done()
	}
}

// The window of a decoder is reserved before it is made: a few bytes which stall must not take megabytes that nobody
// counted, and who does not get them fails at once.
func TestDecodersAreReserved(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		w.serve("a:80", stalling("zstd", zeros(8<<20, 23)[:200]))
		w.apply("scrape_configs:\n- {job_name: j, scrape_interval: 10s, scrape_timeout: 10s, static_configs: [{targets: ['a:80']}]}\n")
		w.run()
		w.pass(12 * time.Second)
		const takes = 8 << 20
		if got := mem.admission.Stats().Granted; got < takes {
			t.Errorf("%d bytes are reserved while a body stalls whose window takes %d", got, takes)
		}
		mem.room.Store(takes)
		w.pass(20 * time.Second)
		if got := w.target("a").LastError; !strings.Contains(got, "memory limit") {
			t.Errorf("LastError = %q, want one about the memory limit", got)
		}
		if got := w.m.DecoderBytes(); got != 0 {
			t.Errorf("DecoderBytes() = %d after that, want 0", got)
		}
	})
}

// A line for which the window grows is reserved as the window is, while it is incomplete, too.
func TestLongLinesAreReserved(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		line := []byte(`m{l="` + strings.Repeat("x", 520<<10))
		w.serve("a:80", stalling("", line))
		w.apply("scrape_configs:\n- {job_name: j, scrape_interval: 10s, scrape_timeout: 10s, static_configs: [{targets: ['a:80']}]}\n")
		w.run()
		w.pass(12 * time.Second)
		if got := mem.admission.Stats().Granted; got < int64(2*len(line)) {
			t.Errorf("%d bytes are reserved while a line stalls whose window takes more than %d", got, 2*len(line))
		}
		mem.room.Store(int64(2 * len(line)))
		w.pass(20 * time.Second)
		if got := w.target("a").LastError; !strings.Contains(got, "memory limit") {
			t.Errorf("LastError = %q, want one about the memory limit", got)
		}
	})
}

// A large header is not held until the body is there.
func TestHeadersAreNotHeld(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		const n = 100
		answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: 10\r\n")
		for i := range 900 {
			answer = fmt.Appendf(answer, "X-%d: %s\r\n", i, strings.Repeat("y", 50))
		}
		answer = append(answer, "\r\nm "...)
		var targets []string
		for i := range n {
			addr := fmt.Sprintf("t%d:80", i)
			targets = append(targets, "'"+addr+"'")
			l, err := w.net.Listen(addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			w.wg.Go(func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					go func() {
						_, _ = c.Write(answer)
						_, _ = io.Copy(io.Discard, c)
						_ = c.Close()
					}()
				}
			})
		}
		w.apply("scrape_configs:\n- {job_name: j, scrape_interval: 10s, scrape_timeout: 10s, static_configs: [{targets: [" + strings.Join(targets, ", ") + "]}]}\n")
		w.run()
		runtime.GC()
		before := heapBytes()
		w.pass(12 * time.Second)
		runtime.GC()
		// The network in memory keeps as much as it took at a time.
		if got, want := (heapBytes()-before)/n, int64(2*len(answer)); got > want {
			t.Errorf("a target whose body stalls takes %d bytes, want at most %d: its header is gone", got, want)
		}
	})
}

// Bodies which stall keep what they take, and no more, so that others find room.
func TestStallingBodiesTakeNoRoom(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		const n = 100
		mem.room.Store(2 << 20) // a twelfth of what they reserve to begin with
		var targets []string
		for i := range n {
			addr := fmt.Sprintf("t%d:80", i)
			targets = append(targets, "'"+addr+"'")
			h := stalling("", []byte("m "))
			if i%2 > 0 {
				h = dribbling
			}
			w.serve(addr, h)
		}
		const job = "- {job_name: %s, scrape_interval: 60s, scrape_timeout: 60s, static_configs: [{targets: [%s]}]}\n"
		w.export("good:80", seriesOf("good", 0, 2000))
		w.apply("scrape_configs:\n" + fmt.Sprintf(job, "stalling", strings.Join(targets, ", ")))
		w.run()
		w.pass(3 * time.Minute)
		w.apply("scrape_configs:\n" + fmt.Sprintf(job, "stalling", strings.Join(targets, ", ")) + fmt.Sprintf(job, "good", "'good:80'"))
		up := 0
		for _, s := range w.pass(5 * time.Minute) {
			if s.name == "up" && strings.Contains(s.full, `"good:80"`) && s.value == 1 {
				up++
			}
		}
		if up != 5 {
			t.Errorf("beside stalling bodies a good one was up %d of 5 times: %s", up, w.target("good").LastError)
		}
	})
}

// dribbling sends a byte now and then.
func dribbling(rw http.ResponseWriter, rq *http.Request) {
	for rq.Context().Err() == nil {
		_, _ = rw.Write([]byte("\n"))
		_ = http.NewResponseController(rw).Flush()
		select {
		case <-time.After(700 * time.Millisecond):
		case <-rq.Context().Done():
		}
	}
}
