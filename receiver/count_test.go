package receiver

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scraper/internal/alloctest"
)

func TestCountOnly(t *testing.T) {
	a := series([]Sample{at(1, 1), at(2, 2)}, "__name__", "m", "a", "1")
	b := series([]Sample{at(1, 1)}, "__name__", "m", "a", "2")
	stored := newReceiver(t, Options{})
	counted := newReceiver(t, Options{CountOnly: true, CountPerSeries: true})
	for _, r := range []*Receiver{stored, counted} {
		mustPush(t, r, a, b)
		mustPush(t, r, b)
	}
	if got := counted.Totals(); got.Samples != 4 || got.Duplicates != 0 || counted.Len() != 0 {
		t.Errorf("Totals() = %+v, Len() = %d, want 4 samples, and none kept", got, counted.Len())
	}
	if got, want := counted.Totals().Checksum, stored.Totals().Checksum; got != want || got == 0 {
		t.Errorf("checksum = %x when counting, %x when storing, want the same", got, want)
	}
	want := map[uint64]uint64{HashLabels(a.labelList()): 2, HashLabels(b.labelList()): 2}
	if diff := cmp.Diff(want, counted.PerSeries()); diff != "" {
		t.Errorf("PerSeries: (-want +got)\n%s", diff)
	}
	if got := stored.PerSeries(); len(got) != 0 {
		t.Errorf("PerSeries() = %v without CountPerSeries, want none", got)
	}
}

// A marker says that there is no sample.
func TestCountPerSeriesLeavesOutMarkers(t *testing.T) {
	r := newReceiver(t, Options{CountOnly: true, CountPerSeries: true})
	a := series([]Sample{at(1, 1), StaleMarker(2)}, "__name__", "m")
	mustPush(t, r, a)
	want := map[uint64]uint64{HashLabels(a.labelList()): 1}
	if diff := cmp.Diff(want, r.PerSeries()); diff != "" || r.Totals().StaleMarkers != 1 {
		t.Errorf("PerSeries: (-want +got)\n%s, and %d markers, want 1", diff, r.Totals().StaleMarkers)
	}
}

func TestCountPerSeriesIsBounded(t *testing.T) {
	r := newReceiver(t, Options{CountOnly: true, CountPerSeries: true, MaxSeries: 3})
	for i := range 20 {
		mustPush(t, r, series([]Sample{at(1, 1)}, "__name__", fmt.Sprint("m", i%10)))
	}
	if got := r.PerSeries(); len(got) != 3 {
		t.Errorf("PerSeries() = %v, want 3 series", got)
	}
}

// The checksum tells apart what a receiver must not confuse, and does not depend on the order.
func TestChecksum(t *testing.T) {
	push := func(all ...ts) uint64 {
		r := newReceiver(t, Options{CountOnly: true})
		mustPush(t, r, all...)
		return r.Totals().Checksum
	}
	x := series([]Sample{at(1, 1)}, "__name__", "x")
	y := series([]Sample{at(2, 2)}, "__name__", "y")
	base := push(x, y)
	if got := push(y, x); got != base {
		t.Errorf("checksum = %x in another order, want %x", got, base)
	}
	seen := map[uint64]string{base: "base"}
	for name, sum := range maps.All(map[string]uint64{
		"one missing":     push(x),
		"one twice":       push(x, y, y),
		"values swapped":  push(series([]Sample{at(1, 2)}, "__name__", "x"), series([]Sample{at(2, 1)}, "__name__", "y")),
		"times swapped":   push(series([]Sample{at(2, 1)}, "__name__", "x"), series([]Sample{at(1, 2)}, "__name__", "y")),
		"samples swapped": push(series([]Sample{at(2, 2)}, "__name__", "x"), series([]Sample{at(1, 1)}, "__name__", "y")),
		"boundary moved":  push(x, series([]Sample{at(2, 2)}, "__name__", "y", "a", "b")),
	}) {
		if other, ok := seen[sum]; ok {
			t.Errorf("checksum of %q is that of %q", name, other)
		}
		seen[sum] = name
	}
}

// Counting costs a sender's machine no garbage.
func TestCountingAllocatesNothing(t *testing.T) {
	block, _ := benchmarkBody()
	s := &scratch{body: block}
	r := newReceiver(t, Options{CountOnly: true, CountPerSeries: true})
	alloctest.WantAllocs(t, 0, func() {
		if err := errors.Join(s.unsnappy(r.opts.MaxDecodedBytes), r.take(s)); err != nil {
			t.Fatal(err)
		}
	})
}

// benchmarkBody is one block of a sender: 10 labels per series, one sample each.
func benchmarkBody() (body1 []byte, samples int) {
	var all []ts
	for i := range 2000 {
		all = append(all, series([]Sample{at(1_700_000_000_000, float64(i)*1.5)},
			"__name__", "container_network_transmit_bytes_total", "container", "server", "id", fmt.Sprintf("/kubepods/pod%08x", i*7919),
			"image", "registry.example/shop/server:1.2.3", "instance", "10.0.0.1:10250", "interface", "eth0", "job", "kubelet",
			"name", fmt.Sprintf("k8s_server_%d", i), "namespace", "shop", "pod", fmt.Sprintf("server-%d", i)))
	}
	return body(all...), len(all)
}

func BenchmarkWrite(b *testing.B) {
	for _, mode := range []struct {
		name string
		opts Options
	}{
		{"mode=count", Options{CountOnly: true}},
		{"mode=count-per-series", Options{CountOnly: true, CountPerSeries: true}},
		{"mode=store", Options{MaxSamplesPerSeries: 16}},
	} {
		b.Run(mode.name, func(b *testing.B) {
			r := newReceiver(b, mode.opts)
			block, samples := benchmarkBody()
			reader := bytes.NewReader(block)
			req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, WritePath, reader)
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(block)
				req.Body = readCloser{reader}
				r.ServeHTTP(httptest.NewRecorder(), req)
			}
			b.ReportMetric(float64(b.N*samples)/b.Elapsed().Seconds(), "samples/s")
			if t := r.Totals(); t.Accepted != t.Requests {
				b.Fatalf("Totals() = %+v, want all accepted", t)
			}
		})
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
