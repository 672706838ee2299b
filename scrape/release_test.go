package scrape

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
)

// TestReleaseConnections pins that idle TLS connections go when memory is short, that plain ones stay, and that the next
// scrape connects anew.
func TestReleaseConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		l, err := w.net.Listen("a:443")
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/plain")
			_, _ = rw.Write([]byte("m 1\n"))
		}))
		_ = s.Listener.Close()
		s.Listener = l
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		defer s.Close()
		w.export("a:80", "n 2\n")
		w.apply("scrape_configs:\n- {job_name: tls, scheme: https, tls_config: {insecure_skip_verify: true}, static_configs: [{targets: ['a:443']}]}\n" +
			"- {job_name: plain, static_configs: [{targets: ['a:80']}]}\n")
		w.scrapeNow()
		before := w.m.ConnectionBytes()
		if got := w.m.ReleaseConnections(); got <= 4096 {
			t.Errorf("ReleaseConnections() = %d, want what a TLS connection holds", got)
		}
		after := w.m.ConnectionBytes()
		if after >= before || after == 0 {
			t.Errorf("connections hold %d bytes after the release and %d before, want the plain one's", after, before)
		}
		if again := w.m.ReleaseConnections(); again != 0 {
			t.Errorf("ReleaseConnections() = %d once more, want nothing", again)
		}
		w.scrapeNow()
		for _, x := range w.m.Snapshot().Targets {
			if x.Health != HealthUp || x.Scrapes != 2 {
				t.Errorf("%s: %v after %d scrapes, %q, want up after two", x.Job, x.Health, x.Scrapes, x.LastError)
			}
			if x.BatchBytes <= 0 || x.LabelBytes <= 0 || x.MemoryBytes <= 0 {
				t.Errorf("%s: table %d, labels %d, batch %d bytes, want what each takes", x.Job, x.MemoryBytes, x.LabelBytes, x.BatchBytes)
			}
		}
	})
}
