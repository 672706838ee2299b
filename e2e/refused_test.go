package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"scraper/receiver"
)

// plainBody returns what a write request holds, decompressed, and leaves the request as it was.
func plainBody(r *http.Request) []byte {
	packed, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(packed))
	if r.Header.Get("Content-Encoding") == "zstd" {
		d, err := zstd.NewReader(nil)
		if err != nil {
			return nil
		}
		defer d.Close()
		raw, _ := d.DecodeAll(packed, nil)
		return raw
	}
	raw, _ := snappy.Decode(nil, packed)
	return raw
}

// TestRefusedSeries has a receiver which takes no request with a certain series: all others arrive, and the page and the
// API say which one it is, with the receiver's words.
func TestRefusedSeries(t *testing.T) {
	t.Parallel()
	const series = 300
	f := startFarm(t, 1)
	good := addTargets(f, 3, func(int) answer { return counting(series) })
	evil := f.add("evil", func(_ int, w http.ResponseWriter, _ *http.Request) {
		write(w, []byte("fine 1\nnot_wanted{why=\"too long\"} 1\nfine_too 2\n"))
	})
	s := startSink(t, receiver.Options{Version2: true, Zstd: true, Intercept: func(w http.ResponseWriter, r *http.Request) bool {
		if !bytes.Contains(plainBody(r), []byte("not_wanted")) {
			return false
		}
		http.Error(w, "label value is too long", http.StatusBadRequest)
		return true
	}})
	conf := scrapeConfig(t, f, time.Second, append([]*target{evil}, good...)...)
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url="+s.url)
	waitFor(t, "some scrapes", func() bool { return evil.count() >= 3 && good[0].count() >= 3 })
	freeze(t, a, conf, append([]*target{evil}, good...)...)
	var refusedOf float64
	waitFor(t, "everything to be settled", func() bool {
		m := a.metrics(t)
		refusedOf = sum(m, "scraper_remotewrite_refused_samples_total")
		return sum(m, "scraper_remotewrite_pending_samples") == 0 && refusedOf >= 3
	})
	if refusedOf != float64(evil.count()) {
		t.Errorf("%v samples were refused, want %d: one of each scrape", refusedOf, evil.count())
	}
	for _, x := range good {
		wantCounted(t, s, x, series, x.count())
	}
	if got := s.Series(map[string]string{"__name__": "fine_too"}); len(got) != 1 || len(got[0].Samples) != evil.count() {
		t.Errorf("%v arrived beside the refused series, want %d samples", got, evil.count())
	}
	if err := s.Verify().Err(); err != nil {
		t.Error(err)
	}

	_, text := fetch(t, http.MethodGet, a.url+"/api/v1/destinations")
	var api struct {
		Data struct {
			Destinations []struct {
				Refusals []struct {
					Status         int
					Answer, Series string
					SeriesCount    int
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &api); err != nil {
		t.Fatalf("GET /api/v1/destinations = %s: %v", text, err)
	}
	for _, r := range api.Data.Destinations[0].Refusals {
		if r.Status != 400 || r.Answer != "label value is too long" || r.SeriesCount != 1 || !strings.HasPrefix(r.Series, "not_wanted{") {
			t.Errorf("refusal %+v", r)
		}
	}
	if len(api.Data.Destinations[0].Refusals) == 0 {
		t.Errorf("GET /api/v1/destinations shows no refusal: %s", text)
	}
	if _, page := fetch(t, http.MethodGet, a.url+"/destinations"); !strings.Contains(page, "label value is too long") || !strings.Contains(page, "not_wanted") {
		t.Errorf("GET /destinations does not show the refused series:\n%s", page)
	}
	if log := a.stderr.String(); !strings.Contains(log, "receiver refused samples") || !strings.Contains(log, "label value is too long") {
		t.Error("the log does not tell of it")
	}
	a.terminate(t)
}
