package batch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"scraper/bufpool/bufpooltest"
	"scraper/labelset"
)

// TestExtrasComeBackAsTheyWere appends rows of all kinds among plain ones, small and longer than a chunk, in memory and
// through a file.
func TestExtrasComeBackAsTheyWere(t *testing.T) {
	spool := NewSpool(SpoolOptions{Dir: t.TempDir()})
	t.Cleanup(func() {
		if err := spool.Close(); err != nil {
			t.Error(err)
		}
	})
	type extraRow struct {
		kind    Kind
		set     labelset.ID
		value   float64
		ts      int64
		timed   bool
		labels  string
		inline  bool
		start   int64
		payload string
	}
	text := func(rnd *rand.Rand) string { return strings.Repeat("x", rnd.IntN(1<<rnd.IntN(18))) }
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		pool := bufpooltest.New(t)
		b := New(pool)
		if seed%2 == 0 {
			b = NewSpooled(pool, spool)
		}
		b.TimestampMillis = 42
		var want []extraRow
		for range 3000 {
			r := extraRow{set: labelset.ID(rnd.Uint32N(uint32(MaxSet) + 1)), value: float64(rnd.IntN(100)), ts: 42}
			if rnd.IntN(3) == 0 {
				r.ts, r.timed = rnd.Int64(), true
			}
			if rnd.IntN(2) == 0 {
				r.kind = Kind(rnd.IntN(int(KindExemplar) + 1))
				if r.kind != KindSample {
					r.payload = text(rnd)
				}
				if rnd.IntN(2) == 0 {
					r.set, r.inline, r.labels = 0, true, text(rnd)
				}
				if rnd.IntN(2) == 0 {
					r.start = rnd.Int64N(1e13) + 1
				}
			}
			x := Extra{StartMillis: r.start, Payload: []byte(r.payload)}
			if r.inline {
				x.Labels = []byte(r.labels)
			}
			extra := r.kind != KindSample || r.inline || r.start != 0
			switch {
			case extra && r.timed:
				b.AppendExtraTimed(r.kind, r.set, r.value, r.ts, x)
			case extra:
				b.AppendExtra(r.kind, r.set, r.value, x)
			case r.timed:
				b.AppendTimed(r.set, r.value, r.ts)
			default:
				b.Append(r.set, r.value)
			}
			want = append(want, r)
		}
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		if spooled := b.file != nil; spooled != (seed%2 == 0) {
			t.Errorf("seed %d: spooled = %v", seed, spooled)
		}
		i := 0
		c := b.Cursor()
		for ; c.Next(); i++ {
			got := extraRow{
				kind: c.Kind, set: c.Set, value: c.Value, ts: c.TimestampMillis, timed: c.Timed,
				labels: string(c.Labels), inline: c.Labels != nil, start: c.StartMillis, payload: string(c.Payload),
			}
			if got != want[i] {
				t.Fatalf("seed %d: row %d is another than the one which was added (kind %d, not %d)", seed, i, got.kind, want[i].kind)
			}
		}
		if c.Err() != nil || i != len(want) {
			t.Fatalf("seed %d: %d of %d rows, error %v", seed, i, len(want), c.Err())
		}
		b.Reset()
	}
}

// TestMetadataRows pins that what a target says of a family comes back, empty parts too.
func TestMetadataRows(t *testing.T) {
	b := New(bufpooltest.New(t))
	defer b.Reset()
	want := []Metadata{
		{Type: 1, Family: []byte("http_requests"), Help: []byte("How many."), Unit: []byte("requests")},
		{Type: 2, Family: []byte("up"), Help: []byte{}, Unit: []byte{}},
		{Family: bytes.Repeat([]byte("f"), 300), Help: bytes.Repeat([]byte("h"), 70_000), Unit: []byte("s")},
	}
	var scratch []byte
	for _, m := range want {
		b.AppendMetadata(m, &scratch)
		b.Append(1, 1)
	}
	i := 0
	for c := b.Cursor(); c.Next(); {
		if c.Kind != KindMetadata {
			continue
		}
		if got := fmt.Sprint(c.Metadata()); got != fmt.Sprint(want[i]) {
			t.Errorf("metadata %d = %.100s, want %.100s", i, got, fmt.Sprint(want[i]))
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d rows of metadata, want %d", i, len(want))
	}
}

// TestRowTooLong pins that a row which no chunk should hold is refused, not stored in part.
func TestRowTooLong(t *testing.T) {
	b := New(bufpooltest.New(t))
	defer b.Reset()
	b.AppendExtra(KindHistogram, 1, 0, Extra{Payload: make([]byte, maxRowBytes)})
	if b.Err() == nil || b.Len() != 0 {
		t.Errorf("a row of more than %d bytes: error %v, %d rows", maxRowBytes, b.Err(), b.Len())
	}
}
