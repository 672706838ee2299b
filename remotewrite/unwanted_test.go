package remotewrite

import (
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
