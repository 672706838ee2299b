package batch

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"scraper/bufpool/bufpooltest"
	"scraper/internal/alloctest"
	"scraper/internal/leaktest"
	"scraper/labelcompress"
	"scraper/labelset"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

type row struct {
	set   labelset.ID
	value uint64 // bits
	ts    int64
	timed bool
}

func rows(b *Batch) (got []row) {
	for c := b.Cursor(); c.Next(); {
		got = append(got, row{c.Set, math.Float64bits(c.Value), c.TimestampMillis, c.Timed})
	}
	return got
}

// TestRowsComeBackAsTheyWere appends rows of both widths, so that they meet the ends of chunks in every way.
func TestRowsComeBackAsTheyWere(t *testing.T) {
	f := func(name string, n int, timedEvery int) {
		t.Helper()
		b := New(bufpooltest.New(t))
		defer b.Reset()
		b.TimestampMillis = 1234
		rnd := rand.New(rand.NewPCG(uint64(n), 1))
		var want []row
		timed := 0
		for i := range n {
			r := row{set: labelset.ID(rnd.Uint32N(uint32(MaxSet) + 1)), value: rnd.Uint64(), ts: 1234}
			switch {
			case timedEvery > 0 && i%timedEvery == 0:
				r.ts, r.timed = int64(rnd.Uint64()), true
				b.AppendTimed(r.set, math.Float64frombits(r.value), r.ts)
				timed++
			case i%5 == 4:
				r.value = StaleNaN
				b.AppendStale(r.set)
			default:
				b.Append(r.set, math.Float64frombits(r.value))
			}
			want = append(want, r)
		}
		if b.Len() != n || b.Timed() != timed {
			t.Errorf("%s: Len() = %d, Timed() = %d, want %d and %d", name, b.Len(), b.Timed(), n, timed)
		}
		for range 2 { // a cursor changes nothing
			got := rows(b)
			if len(got) != len(want) {
				t.Fatalf("%s: %d rows, want %d", name, len(got), len(want))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("%s: row %d = %+v, want %+v", name, i, got[i], want[i])
				}
			}
		}
	}
	f("none", 0, 0)
	f("one", 1, 0)
	f("fills the first chunk", firstChunkBytes/plainRowBytes, 0)
	f("begins the second chunk", firstChunkBytes/plainRowBytes+1, 0)
	f("timed, at the end of the first chunk", firstChunkBytes/timedRowBytes+1, 1)
	for every := range 7 {
		f("mixed", 20_000, every)
	}
	f("large", 200_000, 3)
}

// TestResetGivesAllBack pins that an empty batch holds no memory, and begins anew.
func TestResetGivesAllBack(t *testing.T) {
	pool := bufpooltest.New(t)
	b := New(pool)
	b.Sets = labelset.New(labelcompress.New(labelcompress.Options{}), nil)
	b.AppendTimed(1, 1, 1)
	for i := range 30_000 {
		b.Append(labelset.ID(i), 1)
	}
	if got := b.Bytes(); got < 30_000*plainRowBytes || got > 30_000*plainRowBytes*5/4+chunkBytes {
		t.Errorf("Bytes() = %d for 30,000 plain rows, want 12 bytes each and at most a chunk more", got)
	}
	b.Reset()
	if b.Len() != 0 || b.Timed() != 0 || b.Bytes() != 0 || b.Sets != nil || len(rows(b)) != 0 {
		t.Errorf("after Reset %s takes %d bytes, want nothing", b, b.Bytes())
	}
	if n := pool.Stats().Total.InUse; n != 0 {
		t.Errorf("after Reset %d chunks are out", n)
	}
	b.Append(7, 1)
	if got := rows(b); len(got) != 1 || got[0].set != 7 {
		t.Errorf("the rows after Reset and one Append are %v", got)
	}
	b.Reset()
	b.Reset()
}

// TestSmallBatchIsSmall: most targets have a few hundred series, and there may be ten thousand of them.
func TestSmallBatchIsSmall(t *testing.T) {
	b := New(bufpooltest.New(t))
	defer b.Reset()
	for range 300 {
		b.Append(1, 1)
	}
	if got := b.Bytes(); got > firstChunkBytes {
		t.Errorf("Bytes() = %d for 300 rows, want at most %d", got, firstChunkBytes)
	}
}

// TestStaleMarkers pins the bits which mean that a series has ended, and that no NaN of a target's is one.
func TestStaleMarkers(t *testing.T) {
	b := New(bufpooltest.New(t))
	defer b.Reset()
	b.AppendStale(1)
	b.Append(2, math.Float64frombits(NormalNaN))
	got := rows(b)
	if got[0].value != 0x7ff0000000000002 || !IsStale(math.Float64frombits(got[0].value)) {
		t.Errorf("a marker's bits are %#x, want 0x7ff0000000000002", got[0].value)
	}
	if IsStale(math.Float64frombits(got[1].value)) || IsStale(math.NaN()) || IsStale(1) {
		t.Error("IsStale is true for what is no marker")
	}
}

// TestLabelsOfRows reads label sets through a cursor.
func TestLabelsOfRows(t *testing.T) {
	dict := labelcompress.New(labelcompress.Options{})
	ref, err := dict.InternString("__name__", "m")
	if err != nil {
		t.Fatal(err)
	}
	sets := labelset.New(dict, nil)
	defer sets.Close()
	id, err := sets.Add([]labelcompress.Ref{ref})
	if err != nil {
		t.Fatal(err)
	}
	b := New(bufpooltest.New(t))
	defer b.Reset()
	b.Sets = sets
	b.Append(id, 5)
	c := b.Cursor()
	if !c.Next() {
		t.Fatal("no row")
	}
	refs := c.AppendLabels(nil)
	if len(refs) != 1 || string(dict.Value(refs[0])) != "m" {
		t.Errorf("AppendLabels gave %v", refs)
	}
	for range 2 { // also when it is asked again
		if c.Next() {
			t.Error("a second row in a batch of one")
		}
	}
}

func TestDroppedAdds(t *testing.T) {
	d := Dropped{Relabeled: 1, QueueFull: 2, TooLarge: 3, Shutdown: 4, Unreadable: 5}
	d.Add(Dropped{Relabeled: 10, QueueFull: 20, TooLarge: 30, Shutdown: 40, Unreadable: 50})
	if want := (Dropped{11, 22, 33, 44, 55}); d != want {
		t.Errorf("Add = %+v, want %+v", d, want)
	}
}

func TestStringSaysWhatThereIs(t *testing.T) {
	b := New(bufpooltest.New(t))
	defer b.Reset()
	b.TimestampMillis = 99
	b.AppendTimed(1, 1, 1)
	if got := b.String(); !strings.Contains(got, "1 rows") || !strings.Contains(got, "99") {
		t.Errorf("String() = %q", got)
	}
}

// TestAppendAllocatesNothing gates what is done per sample, within a chunk.
func TestAppendAllocatesNothing(t *testing.T) {
	b := New(bufpooltest.New(t))
	defer b.Reset()
	for range firstChunkBytes/plainRowBytes + 1 {
		b.Append(1, 1)
	}
	alloctest.WantAllocs(t, 0, func() { // some 500 times: the second chunk has room for them
		b.Append(1, 1)
		b.AppendTimed(1, 1, 1)
		b.AppendStale(1)
	})
}
