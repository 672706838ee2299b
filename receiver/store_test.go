package receiver

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func samplesOf(t testing.TB, r *Receiver, name string) []Sample {
	t.Helper()
	found := r.Series(map[string]string{NameLabel: name})
	if len(found) != 1 {
		t.Fatalf("Series(%s) = %v, want one", name, found)
	}
	return found[0].Samples
}

func TestSeriesMatch(t *testing.T) {
	r := newReceiver(t, Options{})
	mustPush(t, r,
		series([]Sample{at(1, 1)}, "__name__", "up", "job", "b"),
		series([]Sample{at(1, 2)}, "A", "x", "__name__", "up", "job", "a"),
		series([]Sample{at(1, 3)}, "__name__", "down"))
	for _, tc := range []struct {
		match map[string]string
		want  []string
	}{
		{nil, []string{"down", `up{A="x",job="a"}`, `up{job="b"}`}},
		{map[string]string{NameLabel: "up"}, []string{`up{A="x",job="a"}`, `up{job="b"}`}},
		{map[string]string{NameLabel: "up", "job": "b"}, []string{`up{job="b"}`}},
		{map[string]string{NameLabel: "up", "A": ""}, []string{`up{job="b"}`}},
		{map[string]string{"job": ""}, []string{"down"}},
		{map[string]string{"job": "c"}, nil},
		{map[string]string{"nope": "x"}, nil},
	} {
		var got []string
		for _, s := range r.Series(tc.match) {
			got = append(got, s.String())
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("Series(%v): (-want +got)\n%s", tc.match, diff)
		}
	}
	if got := r.Len(); got != 3 {
		t.Errorf("Len() = %d, want 3", got)
	}
}

// The same labels in another order are the same series.
func TestIdentity(t *testing.T) {
	r := newReceiver(t, Options{})
	mustPush(t, r, series([]Sample{at(1, 1)}, "__name__", "m", "a", "1"))
	mustPush(t, r, series([]Sample{at(2, 2)}, "a", "1", "__name__", "m"))
	mustPush(t, r, series([]Sample{at(3, 3)}, "__name__", "m", "a", "1", "b", ""))
	if got := samplesOf(t, r, "m"); len(got) != 3 {
		t.Errorf("samples = %v, want 3 in one series", got)
	}
	if rep := r.Verify(); rep.UnsortedLabels != 1 || rep.EmptyValues != 1 || rep.OutOfOrder != 0 {
		t.Errorf("Verify() = %+v, want 1 unsorted and 1 empty value", rep)
	}
}

func TestOrderChecks(t *testing.T) {
	r := newReceiver(t, Options{})
	push := func(samples ...Sample) { mustPush(t, r, series(samples, "__name__", "m")) }
	push(at(10, 1), at(20, 2))
	if err := r.Verify().Err(); err != nil {
		t.Errorf("Verify().Err() = %v, want none yet", err)
	}
	push(at(20, 2))      // twice, the same
	push(at(20, 3))      // twice, another value
	push(at(15, 9))      // out of order
	push(at(10, 1))      // twice, an older one
	push(at(30, 3))      // as it should be
	push(StaleMarker(5)) // out of order, the first time and with the oldest time
	s := r.Series(nil)[0]
	want := []Sample{at(10, 1), at(20, 2), at(15, 9), at(30, 3), StaleMarker(5)}
	sameBits := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
	if diff := cmp.Diff(want, s.Samples, sameBits); diff != "" {
		t.Errorf("samples: (-want +got)\n%s", diff)
	}
	if s.Received != 8 || s.OutOfOrder != 2 || s.Duplicates != 3 || s.Conflicts != 1 {
		t.Errorf("series = %+v, want 8 received, 2 out of order, 3 duplicates, 1 conflict", s)
	}
	if got := s.Last(); got != at(30, 3) {
		t.Errorf("Last() = %v, want the newest, not the last to arrive", got)
	}
	rep := r.Verify()
	if rep.OutOfOrder != 2 || rep.Duplicates != 3 || rep.Conflicts != 1 || rep.Samples != 8 || rep.Series != 1 {
		t.Errorf("Verify() = %+v, want the series' counts", rep)
	}
	err := rep.Err()
	if err == nil || !strings.Contains(err.Error(), "2 samples out of order") || !strings.Contains(err.Error(), "\n\tm: of 8") {
		t.Errorf("Verify().Err() = %v, want the violations and the series", err)
	}
}

func TestStaleness(t *testing.T) {
	r := newReceiver(t, Options{})
	mustPush(t, r, series([]Sample{at(1, 1), StaleMarker(2)}, "__name__", "gone"), series([]Sample{at(1, 1), at(2, math.NaN())}, "__name__", "nan"),
		series([]Sample{StaleMarker(1), at(2, 1)}, "__name__", "back"))
	want := map[string]bool{"gone": true, "nan": false, "back": false}
	for _, s := range r.Series(nil) {
		if s.Stale() != want[s.Name()] {
			t.Errorf("%s: Stale() = %v, want %v", s, s.Stale(), want[s.Name()])
		}
	}
	if tot := r.Totals(); tot.StaleMarkers != 2 || tot.Samples != 6 {
		t.Errorf("Totals() = %+v, want 6 samples, 2 of them markers", tot)
	}
}

func TestGaps(t *testing.T) {
	s := Series{Samples: []Sample{at(0, 1), at(1000, 1), at(2400, 1), at(5400, 1), StaleMarker(6400), at(20000, 1), at(19000, 1)}}
	want := []Gap{{2400, 5400, 2}}
	if diff := cmp.Diff(want, s.Gaps(time.Second)); diff != "" {
		t.Errorf("Gaps(1s): (-want +got)\n%s", diff)
	}
	if got := s.Gaps(0); got != nil {
		t.Errorf("Gaps(0) = %v, want none", got)
	}
}

func TestBounds(t *testing.T) {
	r := newReceiver(t, Options{MaxSeries: 2, MaxSamplesPerSeries: 3})
	for i := range 3 {
		mustPush(t, r, series([]Sample{at(1, 1)}, "__name__", fmt.Sprintf("m%d", i)))
	}
	for i := range 10 {
		mustPush(t, r, series([]Sample{at(int64(2+i), 1)}, "__name__", "m0"))
	}
	if diff := cmp.Diff([]Sample{at(9, 1), at(10, 1), at(11, 1)}, samplesOf(t, r, "m0")); diff != "" {
		t.Errorf("samples: (-want +got)\n%s", diff)
	}
	if tot := r.Totals(); r.Len() != 2 || tot.NotKept != 1 || tot.Samples != 13 {
		t.Errorf("Len() = %d, Totals() = %+v, want 2 series, 1 sample not kept of 13", r.Len(), tot)
	}
	if err := r.Verify().Err(); err == nil {
		t.Error("Verify().Err() = nil, want an error which says that it has not seen all")
	}
}

func TestLabelBytesBound(t *testing.T) {
	r := newReceiver(t, Options{MaxLabelBytes: 1000})
	for i := range 10 {
		mustPush(t, r, series([]Sample{at(1, 1)}, "__name__", "m", "a", strings.Repeat("x", 300)+fmt.Sprint(i)))
	}
	if got := r.Len(); got != 3 {
		t.Errorf("Len() = %d, want 3 series of 300 bytes within 1000", got)
	}
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, Options{Retention: time.Minute})
		mustPush(t, r, series([]Sample{at(0, 1)}, "__name__", "old"))
		for i := range 10 {
			time.Sleep(10 * time.Second)
			mustPush(t, r, series([]Sample{at(int64(i)*10_000, 1)}, "__name__", "m"))
		}
		got := samplesOf(t, r, "m")
		if len(got) != 7 || got[0].TimestampMillis != 30_000 {
			t.Errorf("samples = %v, want those of the last minute", got)
		}
		if n := r.Len(); n != 1 {
			t.Errorf("Len() = %d, want the series of which nothing came any more gone", n)
		}
		time.Sleep(2 * time.Minute)
		if n := r.Len(); n != 0 {
			t.Errorf("Len() = %d without any request, want 0", n)
		}
	})
}

func TestReset(t *testing.T) {
	r := newReceiver(t, Options{})
	mustPush(t, r, series([]Sample{at(2, 1), at(1, 1)}, "__name__", "m"))
	r.Reset()
	if r.Len() != 0 || r.Totals() != (Totals{}) || r.Verify().Err() != nil {
		t.Errorf("after Reset: Len() = %d, Totals() = %+v, Verify() = %+v, want nothing", r.Len(), r.Totals(), r.Verify())
	}
	mustPush(t, r, series([]Sample{at(1, 1)}, "__name__", "m"))
	if got := r.Totals().Samples; got != 1 {
		t.Errorf("Totals().Samples = %d, want 1", got)
	}
}

func TestLatest(t *testing.T) {
	r := newReceiver(t, Options{})
	mustPush(t, r, series([]Sample{at(1, 1), at(2, 5)}, "__name__", "b", "job", "Shop"), series([]Sample{at(1, 7)}, "__name__", "a"),
		series([]Sample{StaleMarker(3)}, "__name__", "c", "job", "shop"), series(nil, "__name__", "never"))
	texts := func(values []LatestValue) (s []string) {
		for _, v := range values {
			s = append(s, fmt.Sprintf("%s=%v@%d stale=%v", v.Series, v.Value, v.TimestampMillis, v.Stale))
		}
		return s
	}
	for _, tc := range []struct {
		limit  int
		filter string
		want   []string
	}{
		{0, "", []string{"a=7@1 stale=false", `b{job="Shop"}=5@2 stale=false`, `c{job="shop"}=NaN@3 stale=true`}},
		{1, "", []string{"a=7@1 stale=false"}},
		{10, `JOB="SHOP`, []string{`b{job="Shop"}=5@2 stale=false`, `c{job="shop"}=NaN@3 stale=true`}},
		{10, "zzz", nil},
	} {
		if diff := cmp.Diff(tc.want, texts(r.Latest(tc.limit, tc.filter))); diff != "" {
			t.Errorf("Latest(%d, %q): (-want +got)\n%s", tc.limit, tc.filter, diff)
		}
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, Options{})
		go func() {
			for i := range 3 {
				time.Sleep(time.Second)
				mustPush(t, r, series([]Sample{at(int64(i), 1)}, "__name__", "m"))
			}
		}()
		if err := r.Wait(t.Context(), func() bool { return r.Totals().Samples == 3 }); err != nil {
			t.Errorf("Wait = %v, want nil", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Wait(ctx, func() bool { return false }); err == nil {
			t.Error("Wait = nil for what never happens, want an error")
		}
	})
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{MaxSeries: -1, Retention: -1}); err == nil || !strings.Contains(err.Error(), "MaxSeries") || !strings.Contains(err.Error(), "Retention") {
		t.Errorf("New = %v, want both problems", err)
	}
	if _, err := New(Options{CountPerSeries: true}); err == nil {
		t.Error("New(CountPerSeries without CountOnly) = nil, want an error")
	}
}
