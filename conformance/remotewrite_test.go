package conformance

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"scraper/batch"
	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/remotewrite"
)

// store is what stands behind the handler of remote write that Prometheus is built on: it decodes with Prometheus' types,
// and keeps everything as text.
type store struct {
	t *testing.T

	mu       sync.Mutex
	points   []string // samples, histograms and exemplars
	metadata map[string]bool
	types    map[remote.WriteMessageType]int
}

func (s *store) Store(req *http.Request, typ remote.WriteMessageType) (*remote.WriteResponse, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types[typ]++
	resp := remote.NewWriteResponse()
	if typ == remote.WriteV1MessageType {
		return resp, s.version1(body)
	}
	stats, err := s.version2(body)
	resp.Add(stats)
	return resp, err
}

func (s *store) version1(body []byte) error {
	var r prompb.WriteRequest
	if err := r.Unmarshal(body); err != nil {
		s.t.Errorf("Prometheus does not read the request: %v", err)
		return err
	}
	var b labels.ScratchBuilder
	for _, ts := range r.Timeseries {
		ls := ts.ToLabels(&b, nil)
		for _, p := range ts.Samples {
			s.point(ls, p.Value, p.Timestamp, 0)
		}
		for _, h := range ts.Histograms {
			s.histogram(ls, &h, h.Timestamp, 0)
		}
		for _, e := range ts.Exemplars {
			x := e.ToExemplar(&b, nil)
			s.exemplar(ls, x.Labels, x.Value, x.Ts)
		}
	}
	for _, m := range r.Metadata {
		s.metadata[fmt.Sprintf("%d %s: %s (%s)", m.Type, m.MetricFamilyName, m.Help, m.Unit)] = true
	}
	return nil
}

func (s *store) version2(body []byte) (stats remote.WriteResponseStats, _ error) {
	var r writev2.Request
	if err := r.Unmarshal(body); err != nil {
		s.t.Errorf("Prometheus does not read the request: %v", err)
		return stats, err
	}
	if len(r.Symbols) == 0 || r.Symbols[0] != "" {
		s.t.Errorf("the first symbol is not empty: %.100q", r.Symbols)
	}
	seen := make(map[string]bool)
	for _, text := range r.Symbols {
		if seen[text] {
			s.t.Errorf("symbol %q stands twice", text)
		}
		seen[text] = true
	}
	var b labels.ScratchBuilder
	for _, ts := range r.Timeseries {
		ls, err := ts.ToLabels(&b, r.Symbols)
		if err != nil {
			s.t.Error(err)
			return stats, err
		}
		for _, p := range ts.Samples {
			s.point(ls, p.Value, p.Timestamp, p.StartTimestamp)
			stats.Samples++
		}
		for _, h := range ts.Histograms {
			s.histogram(ls, h.ToFloatHistogram(), h.Timestamp, h.StartTimestamp)
			stats.Histograms++
		}
		for _, e := range ts.Exemplars {
			x, err := e.ToExemplar(&b, r.Symbols)
			if err != nil {
				s.t.Error(err)
			}
			s.exemplar(ls, x.Labels, x.Value, x.Ts)
			stats.Exemplars++
		}
		m, err := ts.ToMetadata(r.Symbols)
		if err != nil {
			s.t.Error(err)
		}
		if m.Help != "" {
			s.metadata[fmt.Sprintf("%d %s: %s (%s)", ts.Metadata.Type, strings.TrimSuffix(ls.Get("__name__"), "_total"), m.Help, m.Unit)] = true
		}
	}
	return stats, nil
}

func (s *store) point(ls labels.Labels, v float64, ts, start int64) {
	s.points = append(s.points, fmt.Sprintf("%s %x @%d from %d", ls, math.Float64bits(v), ts, start))
}

func (s *store) histogram(ls labels.Labels, h any, ts, start int64) {
	if p, ok := h.(*prompb.Histogram); ok {
		h = p.ToFloatHistogram()
	}
	s.points = append(s.points, fmt.Sprintf("%s histogram %v @%d from %d", ls, h, ts, start))
}

func (s *store) exemplar(ls, of labels.Labels, v float64, ts int64) {
	s.points = append(s.points, fmt.Sprintf("%s exemplar %s %v @%d", ls, of, v, ts))
}

// TestRemoteWrite sends the same batches, with rows of all kinds, in each protocol to the handler that Prometheus is built
// on, and compares what arrives.
func TestRemoteWrite(t *testing.T) {
	got := make(map[remotewrite.Protocol]*store)
	for _, p := range []remotewrite.Protocol{remotewrite.Protocol1, remotewrite.ProtocolVM, remotewrite.Protocol2, remotewrite.ProtocolAuto} {
		s := &store{t: t, metadata: make(map[string]bool), types: make(map[remote.WriteMessageType]int)}
		got[p] = s
		h := remote.NewWriteHandler(s, remote.MessageTypes{remote.WriteV1MessageType, remote.WriteV2MessageType})
		if p == remotewrite.ProtocolVM {
			h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Content-Encoding") != "zstd" || r.Header.Get("X-VictoriaMetrics-Remote-Write-Version") != "1" {
					t.Errorf("headers are %v", r.Header)
				}
				d, err := zstd.NewReader(r.Body)
				if err != nil {
					t.Error(err)
					return
				}
				defer d.Close()
				r.Body = d.IOReadCloser()
				if _, err := s.Store(r, remote.WriteV1MessageType); err != nil {
					w.WriteHeader(http.StatusBadRequest)
				}
			})
		}
		send(t, p, h)
		slices.Sort(s.points)
	}
	one, vm, two, auto := got[remotewrite.Protocol1], got[remotewrite.ProtocolVM], got[remotewrite.Protocol2], got[remotewrite.ProtocolAuto]
	// Only 2.0 has start timestamps and custom buckets, and only VictoriaMetrics' form no exemplars.
	plain := func(points []string, exemplars bool) (out []string) {
		for _, p := range points {
			if strings.Contains(p, "[-Inf,1]:2.5") || strings.Contains(p, "custom buckets") {
				continue
			}
			if exemplars || !strings.Contains(p, " exemplar ") {
				before, _, _ := strings.Cut(p, " from ")
				out = append(out, before)
			}
		}
		slices.Sort(out)
		return out
	}
	if d := cmp.Diff(plain(two.points, true), plain(one.points, true)); d != "" || len(two.points) < 5000 {
		t.Errorf("2.0 (-) and 1.0 (+) differ, or there are only %d points:\n%.3000s", len(two.points), d)
	}
	if d := cmp.Diff(plain(two.points, false), plain(vm.points, true)); d != "" {
		t.Errorf("2.0 (-) and vm (+) differ:\n%.3000s", d)
	}
	if d := cmp.Diff(two.points, auto.points); d != "" || auto.types[remote.WriteV1MessageType] > 0 {
		t.Errorf("2.0 (-) and auto (+) differ, or it is not 2.0 (%v):\n%.3000s", auto.types, d)
	}
	want := map[string]bool{"1 m1: Help of 1. (bytes)": true, "4 m2: Help of 2. ()": true}
	for name, s := range map[string]*store{"1.0": one, "vm": vm, "2.0": two} {
		if d := cmp.Diff(want, s.metadata); d != "" {
			t.Errorf("metadata in %s (-want +got):\n%s", name, d)
		}
	}
	for _, kind := range []string{" histogram ", " exemplar ", " from 17", "trace_id"} {
		if !strings.Contains(strings.Join(two.points, "\n"), kind) {
			t.Errorf("there is nothing like %q", kind)
		}
	}
}

// send sends made-up batches to h, and returns when all has arrived.
func send(t *testing.T, p remotewrite.Protocol, h http.Handler) {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := remotewrite.New(remotewrite.Options{
		Pool: pool, MaxRowsPerBlock: 700, DrainTimeout: 20 * time.Second, Destinations: []remotewrite.Destination{{URL: srv.URL, Protocol: p}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()

	dict := labelcompress.New(labelcompress.Options{})
	sets := labelset.New(dict, nil)
	rnd := rand.New(rand.NewPCG(7, 8))
	rows, custom := 0, 0
	for round := range int64(4) {
		b := batch.New(pool)
		b.Slot, b.TimestampMillis, b.Sets = uint64(round), 1_790_000_000_000+round, sets
		n, k := fill(t, b, dict, sets, rnd)
		rows, custom = rows+n, custom+k
		if lost := w.Commit(b); lost != (batch.Dropped{}) {
			t.Errorf("Commit dropped %+v", lost)
		}
		b.Reset()
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if p == remotewrite.Protocol1 || p == remotewrite.ProtocolVM { // custom buckets are not sent
		rows -= custom
	} else {
		custom = 0
	}
	for _, b := range w.Books() {
		if b.Acknowledged != uint64(rows) || b.Dropped.Unsupported != uint64(custom) || b.Unbalanced() != 0 {
			t.Errorf("%v: %v, want %d acknowledged, and %d dropped", p, b, rows, custom)
		}
	}
}

// fill adds rows of all kinds, and returns how many of them are samples or histograms, and how many of those are histograms
// with custom buckets.
func fill(t *testing.T, b *batch.Batch, dict *labelcompress.Dict, sets *labelset.Store, rnd *rand.Rand) (rows, left int) {
	integers := &prompb.Histogram{
		Count: &prompb.Histogram_CountInt{CountInt: 6}, Sum: 1.5, Schema: 1, ZeroThreshold: 0.001,
		ZeroCount: &prompb.Histogram_ZeroCountInt{ZeroCountInt: 2}, PositiveSpans: []prompb.BucketSpan{{Offset: -1, Length: 2}},
		PositiveDeltas: []int64{1, 2},
	}
	custom := &prompb.Histogram{
		Count: &prompb.Histogram_CountFloat{CountFloat: 2.5}, Sum: 3, Schema: -53, PositiveSpans: []prompb.BucketSpan{{Length: 1}},
		PositiveCounts: []float64{2.5}, CustomValues: []float64{1, 2.5},
	}
	var payloads [][]byte
	for _, h := range []*prompb.Histogram{integers, custom} {
		p, err := h.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, p)
	}
	var scratch []byte
	for i := range 1500 {
		switch i {
		case 300:
			b.AppendMetadata(batch.Metadata{Type: 1, Family: []byte("m1"), Help: []byte("Help of 1."), Unit: []byte("bytes")}, &scratch)
		case 600:
			b.AppendMetadata(batch.Metadata{Type: 4, Family: []byte("m2"), Help: []byte("Help of 2.")}, &scratch)
		}
		var pairs [][2]string
		name := [...]string{"m0", "m1_total", "m2", "m2", "m0"}[i/300]
		pairs = append(pairs, [2]string{"__name__", name})
		for _, l := range []string{"a", "b", "job", "z"} {
			if rnd.IntN(3) > 0 {
				pairs = append(pairs, [2]string{l, strings.Repeat(fmt.Sprint(rnd.IntN(30)), 1+rnd.IntN(60)) + "é\n"})
			}
		}
		pairs = append(pairs, [2]string{"zz", fmt.Sprint(i)})
		var refs []labelcompress.Ref
		var wire []byte
		for _, l := range pairs {
			r, err := dict.InternString(l[0], l[1])
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, r)
			wire = labelcompress.AppendLabel(wire, l[0], l[1])
		}
		id, err := sets.Add(refs)
		if err != nil {
			t.Fatal(err)
		}
		rows++
		v := rnd.NormFloat64()
		trace := labelcompress.AppendLabel(labelcompress.AppendLabel[string](nil, "trace_id", fmt.Sprintf("%x", rnd.Uint64())), "job", "other")
		switch k := rnd.IntN(10); k {
		case 0:
			b.AppendTimed(id, v, 1_780_000_000_000+int64(i))
		case 1:
			b.AppendStale(id)
		case 2:
			b.AppendExtra(batch.KindSample, 0, v, batch.Extra{Labels: wire})
		case 3:
			b.AppendExtra(batch.KindSample, id, 0, batch.Extra{StartMillis: 1_770_000_000_000})
			b.AppendExtraTimed(batch.KindExemplar, id, v, 1_780_000_000_123, batch.Extra{Payload: trace})
			b.AppendExtra(batch.KindExemplar, id, 0, batch.Extra{})
		case 4, 5:
			b.AppendExtra(batch.KindHistogram, id, 0, batch.Extra{Payload: payloads[k-4], StartMillis: int64(k-4) * 1_770_000_000_001})
			if k == 5 {
				left++
				trace = labelcompress.AppendLabel(trace, "of", "custom buckets")
			}
			b.AppendExtra(batch.KindExemplar, id, v, batch.Extra{Payload: trace})
		default:
			b.Append(id, v)
		}
	}
	return rows, left
}
