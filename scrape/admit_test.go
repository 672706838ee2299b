package scrape

import (
	"net/http"
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
