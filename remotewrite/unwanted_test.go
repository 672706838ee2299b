package remotewrite

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/labelcompress"
	"scraper/receiver"
)

// TestUnwantedRows has destinations which want everything, and such as do not want exemplars or histograms: these get the
// rest, and their books balance without them.
func TestUnwantedRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dests := map[string]Destination{
			"all":       {},
			"floats":    {NoHistograms: true, NoExemplars: true},
			"exemplars": {NoHistograms: true},
		}
		var list []Destination
		for name, d := range dests {
			d.URL, d.Protocol = "http://"+name+".example"+receiver.WritePath, Protocol1
			list = append(list, d)
		}
		r := newRig(t, nil, list...)
		got := make(map[string]*receiver.Receiver)
		for name := range dests {
			got[name] = newReceiver(t, receiver.Options{})
			r.serve(name+".example:80", got[name])
		}
		r.run()
		b := r.empty(0, time.Now().UnixMilli())
		m, h := r.set(t, "__name__", "m"), r.set(t, "__name__", "h")
		b.Append(m, 1)
		b.AppendExtra(batch.KindExemplar, m, 5, batch.Extra{Payload: labelcompress.AppendLabel(nil, "trace_id", "x")})
		b.AppendExtra(batch.KindHistogram, h, 0, batch.Extra{Payload: []byte{1 << 3, 5}}) // a count of 5
		if lost := r.Commit(b); lost != (batch.Dropped{}) {
			t.Errorf("Commit dropped %+v", lost)
		}
		b.Reset()
		time.Sleep(2 * second)
		for name, d := range dests {
			wantHistograms, wantExemplars := uint64(1), uint64(1)
			if d.NoHistograms {
				wantHistograms = 0
			}
			if d.NoExemplars {
				wantExemplars = 0
			}
			if n := got[name].Totals(); n.Samples != 1 || n.Histograms != wantHistograms || n.Exemplars != wantExemplars {
				t.Errorf("%s got %d samples, %d histograms and %d exemplars, want 1, %d and %d",
					name, n.Samples, n.Histograms, n.Exemplars, wantHistograms, wantExemplars)
			}
		}
	})
}

// TestExemplarsGoWithTheirSamples: a receiver of 2.0 refuses exemplars which stand without a sample. So they do not begin a
// block, and go when their sample does.
func TestExemplarsGoWithTheirSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.MaxRowsPerBlock = 1 }, Destination{URL: "http://a.example" + receiver.WritePath, Protocol: Protocol2, NoHistograms: true})
		got := newReceiver(t, receiver.Options{Version2: true})
		requests := 0
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, rq *http.Request) {
			requests++
			got.ServeHTTP(w, rq)
			if n := got.Totals(); n.Exemplars > 2*n.Samples {
				t.Errorf("request %d had exemplars without a sample: %+v", requests, n)
			}
		}))
		r.run()
		b := r.empty(0, time.Now().UnixMilli())
		exemplar := batch.Extra{Payload: labelcompress.AppendLabel(nil, "trace_id", "x")}
		for i := range 3 {
			m := r.set(t, "__name__", "m", "i", fmt.Sprint(i))
			b.Append(m, 1)
			b.AppendExtra(batch.KindExemplar, m, 5, exemplar)
			b.AppendExtra(batch.KindExemplar, m, 6, exemplar)
		}
		h := r.set(t, "__name__", "h")
		b.AppendExtra(batch.KindHistogram, h, 0, batch.Extra{Payload: []byte{1 << 3, 5}})
		b.AppendExtra(batch.KindExemplar, h, 5, exemplar)
		if lost := r.Commit(b); lost != (batch.Dropped{}) {
			t.Errorf("Commit dropped %+v", lost)
		}
		b.Reset()
		time.Sleep(2 * second)
		if n := got.Totals(); n.Samples != 3 || n.Exemplars != 6 || n.Histograms != 0 || requests != 3 {
			t.Errorf("%d requests brought %d samples, %d exemplars and %d histograms, want 3 with 3, 6 and 0", requests, n.Samples, n.Exemplars, n.Histograms)
		}
	})
}

// TestRefusedExemplars has a receiver which takes all samples, and answers 400 because of the exemplars: no sample is
// refused, and nothing is sent again.
func TestRefusedExemplars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, Destination{URL: "http://a.example" + receiver.WritePath})
		requests := 0
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests++
			w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", "3")
			w.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", "0")
			http.Error(w, "out of order exemplar", http.StatusBadRequest)
		}))
		r.run()
		r.commit(t, r.Writer, 0, 3, time.Now().UnixMilli())
		time.Sleep(2 * second)
		s := r.Status()[0]
		if b := s.Books; b.Acknowledged != 3 || b.Refused != 0 || requests != 1 || len(s.Refusals) != 0 || !s.Healthy {
			t.Errorf("after %d requests: %+v", requests, s)
		}
	})
}
