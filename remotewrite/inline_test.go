package remotewrite

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/receiver"
	"scraper/relabel"
)

// TestSeriesInNoDictionary commits batches in which series with and without label sets alternate, to a destination
// without rules and one with them: both get all of them, as if there were no difference.
func TestSeriesInNoDictionary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil,
			Destination{URL: "http://plain.example" + receiver.WritePath},
			Destination{URL: "http://rules.example" + receiver.WritePath, Relabel: rules(t,
				relabel.Config{Action: "drop", SourceLabels: []string{"i"}, Regex: ptr("7")},
				relabel.Config{Action: "labeldrop", Regex: ptr("gone")},
				relabel.Config{Action: "replace", TargetLabel: "added", Replacement: ptr("yes")})})
		plain, ruled := newReceiver(t, receiver.Options{}), newReceiver(t, receiver.Options{})
		r.serve("plain.example:80", plain)
		r.serve("rules.example:80", ruled)
		r.run()
		long := strings.Repeat("x", 5000)
		for round := range int64(2) {
			b := r.empty(0, 1000*(round+1))
			for i := range 10 {
				v := fmt.Sprint(i)
				if i%2 == 0 {
					b.Append(r.set(t, "__name__", "m", "gone", long, "i", v), float64(i))
					continue
				}
				var wire []byte
				for _, l := range [][2]string{{"__name__", "m"}, {"gone", long}, {"i", v}} {
					wire = labelcompress.AppendLabel(wire, l[0], l[1])
				}
				if i == 5 {
					b.AppendExtraTimed(batch.KindSample, 0, float64(i), 1000*(round+1)+5, batch.Extra{Labels: wire})
				} else {
					b.AppendExtra(batch.KindSample, 0, float64(i), batch.Extra{Labels: wire})
				}
			}
			if lost := r.Commit(b); lost != (batch.Dropped{Relabeled: 1}) {
				t.Errorf("Commit dropped %+v, want the one that the rules drop", lost)
			}
			b.Reset()
			time.Sleep(2 * second)
		}
		for i := range 10 {
			got := plain.Series(map[string]string{"i": fmt.Sprint(i), "__name__": "m", "gone": long})
			if len(got) != 1 || len(got[0].Samples) != 2 || got[0].Last().Value != float64(i) {
				t.Errorf("without rules series %d arrived as %.100v", i, got)
			} else if at := got[0].Last().TimestampMillis; (at == 2005) != (i == 5) {
				t.Errorf("series %d has the timestamp %d", i, at)
			}
			got = ruled.Series(map[string]string{"i": fmt.Sprint(i), "__name__": "m", "added": "yes", "gone": ""})
			if want := i != 7; (len(got) == 1 && len(got[0].Samples) == 2) != want {
				t.Errorf("with rules series %d arrived as %.100v, want it: %v", i, got, want)
			}
		}
		r.store.Close()
		r.store = labelset.New(r.dict, nil)
	})
}
