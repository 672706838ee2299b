package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	storageremote "github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"scraper/batch"
	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/remotewrite"
)

// database is Prometheus' own: its handler of remote write before its storage.
type database struct {
	*tsdb.DB
	t       *testing.T
	url     string
	reg     *prometheus.Registry
	answers map[int]int // by status
}

func newDatabase(t *testing.T, accepts ...remote.WriteMessageType) *database {
	t.Helper()
	o := tsdb.DefaultOptions()
	o.EnableExemplarStorage, o.MaxExemplars, o.EnableMetadataWALRecords = true, 1000, true
	db, err := tsdb.Open(t.TempDir(), slog.New(slog.DiscardHandler), nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &database{DB: db, t: t, reg: prometheus.NewRegistry(), answers: make(map[int]int)}
	h := storageremote.NewWriteHandler(slog.New(slog.DiscardHandler), d.reg, db, accepts, false, true)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(rec, r)
		d.answers[rec.status]++ // one slot is used, so one request at a time
	}))
	t.Cleanup(func() {
		srv.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	d.url = srv.URL
	return d
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// content is what the database holds: of each series how many samples, markers and histograms.
func (d *database) content() map[string]string {
	d.t.Helper()
	q, err := d.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		d.t.Fatal(err)
	}
	defer q.Close()
	held := make(map[string]string)
	all := q.Select(d.t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	for all.Next() {
		samples, markers, histograms := 0, 0, 0
		it := all.At().Iterator(nil)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			if typ != chunkenc.ValFloat {
				histograms++
			} else if _, v := it.At(); value.IsStaleNaN(v) {
				markers++
			} else {
				samples++
			}
		}
		held[all.At().Labels().Get("__name__")] = fmt.Sprintf("%d samples, %d markers, %d histograms", samples, markers, histograms)
	}
	if err := all.Err(); err != nil {
		d.t.Error(err)
	}
	return held
}

// exemplars is how many the database holds of a series.
func (d *database) exemplars(name string) int {
	d.t.Helper()
	q, err := d.ExemplarQuerier(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	found, err := q.Select(math.MinInt64, math.MaxInt64, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", name)})
	if err != nil {
		d.t.Fatal(err)
	}
	n := 0
	for _, r := range found {
		n += len(r.Exemplars)
	}
	return n
}

// without is what the handler counts of samples which it got without metadata.
func (d *database) without() (n float64) {
	families, err := d.reg.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasSuffix(f.GetName(), "without_metadata_appended_samples_total") {
			n += f.Metric[0].Counter.GetValue()
		}
	}
	return n
}

// TestPrometheusReceives sends rows of all kinds to Prometheus' handler and database, and asks that what it holds. One
// sample is out of order, which it answers by 400: all others are there all the same, and it alone is counted as refused.
func TestPrometheusReceives(t *testing.T) {
	const v1, v2 = remote.WriteV1MessageType, remote.WriteV2MessageType
	for _, c := range []struct {
		name     string
		protocol remotewrite.Protocol
		accepts  remote.MessageTypes
		speaks   string
		refusals int // answers which are no success; -1: whatever it takes to find the sample
	}{
		{"2.0", remotewrite.Protocol2, remote.MessageTypes{v1, v2}, "2.0", 1},
		{"auto", remotewrite.ProtocolAuto, remote.MessageTypes{v1, v2}, "2.0", 1},
		{"1.0", remotewrite.Protocol1, remote.MessageTypes{v1, v2}, "1.0", -1},
		{"auto, where only 1.0 is accepted", remotewrite.ProtocolAuto, remote.MessageTypes{v1}, "1.0", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := newDatabase(t, c.accepts...)
			pool, err := bufpool.New(bufpool.Options{})
			if err != nil {
				t.Fatal(err)
			}
			w, err := remotewrite.New(remotewrite.Options{
				Pool: pool, Slots: 1, FlushInterval: 20 * time.Millisecond, DrainTimeout: 20 * time.Second,
				Destinations: []remotewrite.Destination{{URL: db.url, Protocol: c.protocol}},
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- w.Run(ctx) }()
			rows := 0
			s := newSender(t, pool)
			for round := range 5 {
				rows += s.round(w, round)
			}
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			st := w.Status()[0]
			custom, left := "0 samples, 0 markers, 5 histograms", 0
			if c.speaks == "1.0" { // which does not carry them
				custom, left = "", 5
			}
			if b := st.Books; b.Acknowledged != uint64(rows-1-left) || b.Refused != 1 || b.Unbalanced() != 0 ||
				b.Dropped.Unsupported != uint64(left) || b.Dropped.Total() != uint64(left) {
				t.Errorf("books %+v, want %d acknowledged, one refused and %d left out", b, rows-1-left, left)
			}
			if st.Protocol != c.speaks {
				t.Errorf("the destination speaks %s in the end, want %s", st.Protocol, c.speaks)
			}
			if len(st.Refusals) != 1 || !strings.Contains(st.Refusals[0].Answer, "out of order sample") || st.Refusals[0].Samples != 1 {
				t.Errorf("refusals are %+v, want one, of a sample out of order", st.Refusals)
			}
			for series, want := range map[string]string{
				"requests_total": "5 samples, 0 markers, 0 histograms", "gone": "1 samples, 1 markers, 0 histograms",
				"latency": "0 samples, 0 markers, 5 histograms", "custom": custom,
				"timed": "4 samples, 0 markers, 0 histograms",
			} {
				if got := db.content()[series]; got != want {
					t.Errorf("Prometheus holds of %s %s, want %s", series, got, want)
				}
			}
			if a, b := db.exemplars("requests_total"), db.exemplars("latency"); a != 5 || b != 10 {
				t.Errorf("Prometheus holds %d and %d exemplars, want 5 and 10", a, b)
			}
			if n := db.without(); c.speaks == "2.0" && n > 0 {
				t.Errorf("%v samples came without their metadata", n)
			}
			if c.refusals > 0 && db.answers[400] != c.refusals {
				t.Errorf("answers by status are %v, want %d of 400: what is stored is not sent again", db.answers, c.refusals)
			}
		})
	}
}

// sender makes batches.
type sender struct {
	t    *testing.T
	pool *bufpool.Pool
	dict *labelcompress.Dict
	sets *labelset.Store
	ids  map[string]labelset.ID
	base int64
}

func newSender(t *testing.T, pool *bufpool.Pool) *sender {
	dict := labelcompress.New(labelcompress.Options{})
	return &sender{
		t: t, pool: pool, dict: dict, sets: labelset.New(dict, nil), ids: make(map[string]labelset.ID),
		base: time.Now().Add(-time.Minute).UnixMilli(),
	}
}

func (s *sender) series(name string) labelset.ID {
	if id, ok := s.ids[name]; ok {
		return id
	}
	var refs []labelcompress.Ref
	for _, l := range [][2]string{{"__name__", name}, {"job", "j"}} {
		r, err := s.dict.InternString(l[0], l[1])
		if err != nil {
			s.t.Fatal(err)
		}
		refs = append(refs, r)
	}
	id, err := s.sets.Add(refs)
	if err != nil {
		s.t.Fatal(err)
	}
	s.ids[name] = id
	return id
}

// round commits one batch, and returns how many of its rows are samples or histograms.
func (s *sender) round(w *remotewrite.Writer, round int) (rows int) {
	marshal := func(h *prompb.Histogram) []byte {
		p, err := h.Marshal()
		if err != nil {
			s.t.Fatal(err)
		}
		return p
	}
	now := s.base + int64(round)*1000
	exemplar := func(i int) batch.Extra {
		return batch.Extra{Payload: labelcompress.AppendLabel[string](nil, "trace_id", fmt.Sprint(round, "-", i))}
	}
	b := batch.New(s.pool)
	defer b.Reset()
	b.TimestampMillis, b.Sets = now, s.sets
	var scratch []byte
	family := func(typ uint8, name string) {
		b.AppendMetadata(batch.Metadata{Type: typ, Family: []byte(name), Help: []byte("Help of " + name + ".")}, &scratch)
	}
	family(1, "requests")
	b.AppendExtra(batch.KindSample, s.series("requests_total"), float64(round), batch.Extra{StartMillis: s.base - 5000})
	b.AppendExtraTimed(batch.KindExemplar, s.series("requests_total"), 1, now-10, exemplar(0))
	family(2, "gone")
	switch round {
	case 0:
		b.Append(s.series("gone"), 1)
	case 1:
		b.AppendStale(s.series("gone"))
	default:
		rows--
	}
	family(3, "latency")
	b.AppendExtra(batch.KindHistogram, s.series("latency"), 0, batch.Extra{StartMillis: s.base - 5000, Payload: marshal(&prompb.Histogram{
		Count: &prompb.Histogram_CountInt{CountInt: 5}, Sum: 1.5, Schema: 1, ZeroThreshold: 0.001,
		ZeroCount: &prompb.Histogram_ZeroCountInt{ZeroCountInt: 2}, PositiveSpans: []prompb.BucketSpan{{Offset: -1, Length: 2}},
		PositiveDeltas: []int64{1, 1},
	})})
	b.AppendExtraTimed(batch.KindExemplar, s.series("latency"), 1, now-20, exemplar(1))
	b.AppendExtraTimed(batch.KindExemplar, s.series("latency"), 2, now-10, exemplar(2))
	family(3, "custom")
	b.AppendExtra(batch.KindHistogram, s.series("custom"), 0, batch.Extra{Payload: marshal(&prompb.Histogram{
		Count: &prompb.Histogram_CountInt{CountInt: 3}, Sum: 3, Schema: -53, PositiveSpans: []prompb.BucketSpan{{Length: 2}},
		PositiveDeltas: []int64{1, 1}, CustomValues: []float64{1, 2.5},
	})})
	family(2, "timed")
	at := now
	if round == 3 {
		at -= 2500 // before what came with the round before last
	}
	b.AppendTimed(s.series("timed"), 1, at)
	if lost := w.Commit(b); lost != (batch.Dropped{}) {
		s.t.Errorf("Commit dropped %+v", lost)
	}
	for st := w.Status()[0]; st.PendingSamples > 0; st = w.Status()[0] { // one block per round
		time.Sleep(5 * time.Millisecond)
	}
	return rows + 5
}
