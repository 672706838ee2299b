package remotewrite

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/batch"
	"scraper/bufpool"
	"scraper/bufpool/bufpooltest"
	"scraper/internal/alloctest"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/relabel"
)

func TestEncode(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	longer := strings.Repeat("y", 300_000)
	tests := []struct {
		name   string
		labels []string
		value  float64
		ts     int64
	}{
		{"bare", []string{"__name__", "up"}, 1, 1760000000000},
		{"no labels at all", nil, 1, 1},
		{"zero", []string{"__name__", "up"}, 0, 1760000000000},
		{"negative zero", []string{"__name__", "up"}, math.Copysign(0, -1), 1760000000000},
		{"time zero", []string{"__name__", "up"}, 3, 0},
		{"all zero", []string{"__name__", "up"}, 0, 0},
		{"before 1970", []string{"__name__", "up"}, 3, -5},
		{"least time", []string{"__name__", "up"}, 3, math.MinInt64},
		{"infinite", []string{"__name__", "up"}, math.Inf(-1), 1},
		{"stale", []string{"__name__", "up"}, math.Float64frombits(batch.StaleNaN), 1},
		{"usual length", []string{"__name__", "http_requests_total", "instance", "10.0.12.7:9100", "job", "node", "path", strings.Repeat("p", 100)}, 1, 1},
		{"127 bytes", []string{"a", strings.Repeat("v", 104)}, 1, 1760000000000},
		{"128 bytes", []string{"a", strings.Repeat("v", 105)}, 1, 1760000000000},
		{"beyond two bytes of length", []string{"__name__", "m", "a", long}, 1, 1},
		{"beyond a chunk", []string{"__name__", "m", "a", longer}, 1, 1},
		{"no value", []string{"__name__", "m", "a", ""}, 1, 1},
		{"raw bytes", []string{"__name__", "m", "a", "\n\x00é"}, 1, 1},
	}
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	b := newBuilder(tg.pool, &account)
	for _, tt := range tests {
		want := wireSample{bits: bitsOf(tt.value), ts: tt.ts}
		var refs []labelcompress.Ref
		for i := 0; i < len(tt.labels); i += 2 {
			want.labels = append(want.labels, relabel.Label{Name: tt.labels[i], Value: tt.labels[i+1]})
		}
		refs = tg.store.AppendRefs(refs, tg.set(t, tt.labels...))
		// By reference and by text, each alone and among others.
		for _, r := range []row{
			{refs: refs, value: tt.value, tsMillis: tt.ts},
			{labels: slices.Clip(append([]relabel.Label{}, want.labels...)), value: tt.value, tsMillis: tt.ts},
		} {
			for _, n := range []int{1, 3} {
				for range n {
					if !b.append(tg.dict, &r, 8<<20) {
						t.Fatalf("%s: append refused", tt.name)
					}
				}
				blk := seal(&b, 0, time.Time{})
				got, err := decodeRequest(blockBytes(blk))
				if err != nil || len(got) != n {
					t.Fatalf("%s: decoded %d samples, %v, want %d", tt.name, len(got), err, n)
				}
				for _, g := range got {
					if g.String() != want.String() {
						t.Errorf("%s: decoded %.200v, want %.200v", tt.name, g, want)
					}
				}
				if blk.rows != n || blk.minTS != tt.ts || blk.maxTS != tt.ts || blk.bytes != len(blockBytes(blk)) {
					t.Errorf("%s: %v, times %d to %d, %d bytes", tt.name, blk, blk.minTS, blk.maxTS, blk.bytes)
				}
				blk.release()
			}
		}
	}
	if n := account.Load(); n != 0 {
		t.Errorf("account = %d after all blocks were released, want 0", n)
	}
}

// TestBlockOfManyChunks encodes more than several chunks and segments hold, with rows that are longer than the room
// which is left in some of them.
func TestBlockOfManyChunks(t *testing.T) {
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	b := newBuilder(tg.pool, &account)
	var want []string
	for i := range 3000 {
		// Noise does not compress, so there are many segments too.
		noise := fmt.Sprintf("%x", bytes.Repeat([]byte(fmt.Sprint(i*7919)), 1+i%700))
		id := tg.set(t, "__name__", "m", "n", noise)
		r := row{refs: tg.store.AppendRefs(nil, id), value: float64(i), tsMillis: int64(i)}
		if !b.append(tg.dict, &r, 64<<20) {
			t.Fatal("append refused")
		}
		want = append(want, wireSample{[]relabel.Label{{Name: "__name__", Value: "m"}, {Name: "n", Value: noise}}, bitsOf(float64(i)), int64(i)}.String())
	}
	if b.memory() == 0 {
		t.Error("memory() = 0 of an open block")
	}
	blk := seal(&b, 1, time.Time{})
	defer blk.release()
	if len(blk.segs) < 2 || blk.rawBytes < 4*chunkBytes {
		t.Fatalf("the block has %d segments and %d raw bytes: it does not test what it is to test", len(blk.segs), blk.rawBytes)
	}
	got, err := decodeRequest(blockBytes(blk))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if !slices.Equal(sorted(got), want) {
		t.Errorf("decoded %d samples which differ from the %d encoded ones", len(got), len(want))
	}
	b.forget()
	if b.memory() != 0 {
		t.Errorf("memory() = %d after forget, want 0", b.memory())
	}
}

func TestBlockLimit(t *testing.T) {
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	b := newBuilder(tg.pool, &account)
	r := row{refs: tg.store.AppendRefs(nil, tg.set(t, "__name__", "m", "v", strings.Repeat("x", 500))), value: 1, tsMillis: 1}
	n := 0
	for b.append(tg.dict, &r, 100_000) {
		n++
	}
	blk := seal(&b, 0, time.Time{})
	defer blk.release()
	if blk.rawBytes > 100_000 || blk.rawBytes < 99_000 || blk.rows != n {
		t.Errorf("a block bounded to 100000 bytes has %d bytes in %d rows, of %d accepted", blk.rawBytes, blk.rows, n)
	}
	if b.append(tg.dict, &r, 100) {
		t.Error("append took a row which is larger than a block")
	}
	b.discard()
}

// TestEncodeLikeTheSeriesBefore goes through label sets which share labels with the one before at any place.
func TestEncodeLikeTheSeriesBefore(t *testing.T) {
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	b := newBuilder(tg.pool, &account)
	rnd := rand.New(rand.NewPCG(1, 2))
	var want []string
	for i := range 20_000 {
		var labels []relabel.Label
		var pairs []string
		for name := range 8 {
			if rnd.IntN(4) > 0 {
				l := relabel.Label{Name: string(rune('a' + name)), Value: strings.Repeat("v", rnd.IntN(3)*20)}
				labels = append(labels, l)
				pairs = append(pairs, l.Name, l.Value)
			}
		}
		if i%1000 == 999 {
			b.forgetRefs()
		}
		r := row{refs: tg.store.AppendRefs(nil, tg.set(t, pairs...)), value: 1, tsMillis: int64(i)}
		if !b.append(tg.dict, &r, 64<<20) {
			t.Fatal("append refused")
		}
		want = append(want, wireSample{labels, bitsOf(1), int64(i)}.String())
	}
	blk := seal(&b, 0, time.Time{})
	defer blk.release()
	samples, err := decodeRequest(blockBytes(blk))
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) != len(want) {
		t.Fatalf("decoded %d samples, want %d", len(samples), len(want))
	}
	for i, s := range samples {
		if s.String() != want[i] {
			t.Fatalf("sample %d is %v, want %v", i, s, want[i])
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("__name__", "up", "job", "node", 1.0, int64(1760000000000), uint(1))
	f.Add("a", strings.Repeat("v", 105), "", "", 0.0, int64(0), uint(40))
	f.Add("\xff", "\x00", "é", "\n", math.Inf(1), int64(-1), uint(3))
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string, value float64, ts int64, count uint) {
		tg := newTarget(t, bufpooltest.New(t))
		var refs []labelcompress.Ref
		want := wireSample{bits: bitsOf(value), ts: ts}
		for _, l := range []relabel.Label{{Name: n1, Value: v1}, {Name: n2, Value: v2}} {
			r, err := tg.dict.InternString(l.Name, l.Value)
			if err != nil {
				t.Skip(err)
			}
			refs = append(refs, r)
			want.labels = append(want.labels, l)
		}
		var account atomic.Int64
		b := newBuilder(tg.pool, &account)
		r := row{refs: refs, value: value, tsMillis: ts}
		n := int(count%100) + 1
		for range n {
			if !b.append(tg.dict, &r, 64<<20) {
				t.Fatal("append refused")
			}
		}
		blk := seal(&b, 0, time.Time{})
		defer blk.release()
		got, err := decodeRequest(blockBytes(blk))
		if err != nil || len(got) != n {
			t.Fatalf("decoded %d samples, %v, want %d", len(got), err, n)
		}
		for _, g := range got {
			if g.String() != want.String() {
				t.Fatalf("decoded %v, want %v", g, want)
			}
		}
	})
}

// steadyBatch is n series of 12 labels, as cAdvisor's have them.
func steadyBatch(t testing.TB, tg *target, n int) *batch.Batch {
	b := tg.empty(0, 1760000000123)
	for i := range n {
		b.Append(steadySeries(t, tg, i), float64(i)*1.5)
	}
	return b
}

func steadySeries(t testing.TB, tg *target, i int) labelset.ID {
	pod := i / 60
	return tg.set(t,
		"__name__", fmt.Sprintf("container_network_receive_%d_total", i%60),
		"cluster", "prod-eu-1",
		"container", fmt.Sprintf("app-%d", pod%7),
		"id", fmt.Sprintf("/kubepods/burstable/pod%08x-5d4e-4c3b/%016x", pod*7919, pod*104729),
		"image", "registry.example.com/team/app:v1.2.3",
		"instance", "10.0.12.7:10250",
		"interface", "eth0",
		"job", "kubelet",
		"name", fmt.Sprintf("k8s_app_%d", pod),
		"namespace", fmt.Sprintf("ns-%d", pod%5),
		"node", "ip-10-0-12-7.eu-west-1.compute.internal",
		"pod", fmt.Sprintf("app-7d9f8b6c5-%05d", pod))
}

func TestCommitAllocates(t *testing.T) {
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tg := newTarget(t, pool)
	// The queue is so small that blocks come and go.
	w, err := New(Options{Pool: pool, Destinations: []Destination{{URL: "http://127.0.0.1:1/", MaxPendingBytes: 1 << 20}}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b := steadyBatch(t, tg, 2000)
	defer b.Reset()
	for range 50 {
		w.Commit(b)
	}
	// Per block, of which 2000 rows make a fifth: the block and its handles.
	alloctest.WantAllocs(t, 12, func() { w.Commit(b) })
}

func BenchmarkCommit(b *testing.B) {
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	tg := newTarget(b, pool)
	f := func(name string, dest Destination) {
		b.Run(name, func(b *testing.B) {
			dest.URL, dest.MaxPendingBytes = "http://127.0.0.1:1/", 1<<20
			w, err := New(Options{Pool: pool, Destinations: []Destination{dest}})
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			const rows = 5000
			bt := steadyBatch(b, tg, rows)
			defer bt.Reset()
			w.Commit(bt)
			b.ReportAllocs()
			for b.Loop() {
				w.Commit(bt)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/sample")
		})
	}
	f("labels=12", Destination{})
	f("labels=12/rules=drop", Destination{Relabel: rules(b, relabel.Config{Action: "labeldrop", Regex: ptr("image|id")})})
}

// seal is the end of an open block's life: it returns what is in it in remote write 1.0.
func seal(b *builder, slot int, now time.Time) *block { return sealIn(b, Protocol1, slot, now) }

func sealIn(b *builder, p Protocol, slot int, now time.Time) *block {
	blk := newCodec(b.pool, 0).encode(b, p, slot, now)
	b.discard()
	return blk
}

func rules(t testing.TB, cfgs ...relabel.Config) *relabel.Rules {
	t.Helper()
	r, err := relabel.Compile(cfgs, relabel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ptr[T any](v T) *T { return &v }
