package labelcompress

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"scraper/internal/alloctest"
)

// scaled makes tests which are about large numbers smaller where each step is slow.
func scaled(n int) int {
	if checked {
		return n / 4
	}
	return n
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Stats.Bytes is what the dictionary takes of the heap, when it is small, large, and after it has shrunk.
func TestBytesAreTrue(t *testing.T) {
	for _, n := range []int{0, 10, 1000, 30_000, scaled(200_000)} {
		t.Run(fmt.Sprint("labels=", n), func(t *testing.T) {
			refs := make([]Ref, n)
			keep := make([]byte, 64)
			before := heapBytes()
			d := New(Options{})
			check := func(when string) {
				t.Helper()
				got, heap := d.Bytes(), heapBytes()-before
				if s := d.Stats(); s.Bytes != got || s.SlabBytes+s.IndexBytes+s.RefBytes != got {
					t.Errorf("%s: Stats %+v do not add up to %d", when, s, got)
				}
				slack := heap/50 + 8192 // the test itself allocates a little
				if got < heap-slack || got > heap+slack {
					t.Errorf("%s: Bytes = %d, want %d as the heap has grown (%+v)", when, got, heap, d.Stats())
				}
			}
			for i := range n {
				value := fmt.Appendf(keep[:0], "%x", uint64(i)*0x9e3779b97f4a7c15)
				if i%1000 == 0 {
					value = append(value, strings.Repeat("x", i/10)...)
				}
				r, err := d.Intern([]byte("container_id"), value)
				if err != nil {
					t.Fatal(err)
				}
				refs[i] = r
			}
			check("full")
			for i, r := range refs {
				if i%5 != 0 {
					d.Release(r)
				}
			}
			d.Compact()
			check("a fifth is left")
			for i, r := range refs {
				if i%5 == 0 {
					d.Release(r)
				}
			}
			d.Compact()
			check("empty")
			runtime.KeepAlive(refs)
		})
	}
}

func TestSmallDictionaryIsSmall(t *testing.T) {
	d := New(Options{})
	for i := range 10 {
		mustIntern(t, d, "label", fmt.Sprint(i))
	}
	if got, limit := d.Bytes(), int64(28<<10); got > limit {
		t.Errorf("Bytes of ten labels = %d, want at most %d", got, limit)
	}
}

func TestOverheadPerLabel(t *testing.T) {
	n := scaled(300_000)
	d := New(Options{})
	for i := range n {
		mustIntern(t, d, "pod", fmt.Sprintf("%016x-%08d", uint64(i)*0x9e3779b97f4a7c15, i))
		if i >= n/2 && i%10_000 == 0 { // at any load of the index
			s := d.Stats()
			if got := float64(s.Bytes-s.LiveBytes) / float64(s.Items); got > 22.5 {
				t.Errorf("%d labels: %.1f bytes beside the wire form per label, want at most 22.5 (%+v)", s.Items, got, s)
			}
		}
	}
}

// After churn, memory follows what is left, whichever labels that are.
func TestMemoryComesBack(t *testing.T) {
	n := scaled(100_000)
	survivors := map[string]func(i int) bool{
		"random":   func(i int) bool { return uint64(i)*0x9e3779b97f4a7c15>>32%5 == 0 },
		"youngest": func(i int) bool { return i >= n/5*4 },
		"oldest":   func(i int) bool { return i < n/5 },
	}
	for name, survives := range survivors {
		t.Run(name, func(t *testing.T) {
			d := New(Options{})
			var refs, left []Ref
			for i := range n {
				refs = append(refs, mustIntern(t, d, "pod", fmt.Sprintf("payments-%08x-%d", uint32(i)*2654435761, i)))
			}
			peak := d.Stats()
			for i, r := range refs {
				if survives(i) {
					left = append(left, r)
				} else {
					d.Release(r)
				}
			}
			var released int64
			for more := true; more; {
				var n int64
				n, more = d.CompactStep(64 << 10)
				released += n
			}
			s := d.Stats()
			// Words of Refs cannot move: a page stays while one of its Refs is used.
			share := float64(s.Bytes) / float64(peak.Bytes)
			limit := 0.26
			if name == "random" {
				limit = 0.36
			}
			if share > limit || s.Items != len(left) {
				t.Errorf("Bytes with %d of %d labels left = %d of %d (%.2f), want at most %.2f (%+v)", s.Items, n, s.Bytes, peak.Bytes, share, limit, s)
			}
			if int64(s.Released-peak.Released) < peak.Bytes-s.Bytes || released == 0 {
				t.Errorf("Released = %d, by CompactStep %d, want at least %d", s.Released-peak.Released, released, peak.Bytes-s.Bytes)
			}
			if s.Compactions == 0 && name == "random" {
				t.Error("Compactions = 0, want some")
			}
			checkInvariants(t, d)

			// Growing again takes the numbers that are free.
			highest := Ref(0)
			for i := range n - len(left) {
				highest = max(highest, mustIntern(t, d, "again", fmt.Sprint(i)))
			}
			if int(highest) > n+n/pageRefs+pageRefs {
				t.Errorf("highest Ref of %d labels = %d: free numbers were not reused", n, highest)
			}
		})
	}
}

// TestQuietDictionaryIsTight: what a burst left goes once it is over, though it is too little to be worth copying while
// labels come and go.
func TestQuietDictionaryIsTight(t *testing.T) {
	n := scaled(200_000)
	d := New(Options{})
	var refs []Ref
	for i := range n {
		refs = append(refs, mustIntern(t, d, "pod", fmt.Sprintf("payments-%08x-%d", uint32(i)*2654435761, i)))
	}
	for i, r := range refs {
		if i%7 == 0 || i%2 == 0 && i > n/2 {
			d.Release(r)
		}
	}
	steps := func() (moved uint64) {
		before := d.Stats().Moved
		for range 100 {
			d.CompactStep(256 << 10)
		}
		return d.Stats().Moved - before
	}
	d.CompactStep(64 << 10)
	steps()
	s := d.Stats()
	if limit := s.LiveBytes*20/19 + maxSlabBytes; s.SlabBytes > limit {
		t.Errorf("SlabBytes = %d for %d bytes of labels, want at most %d (%+v)", s.SlabBytes, s.LiveBytes, limit, s)
	}
	if limit := int64(s.Items)*8*10/6 + shardCount*8*(maxTail+64); s.IndexBytes > limit {
		t.Errorf("IndexBytes = %d for %d labels, want at most %d", s.IndexBytes, s.Items, limit)
	}
	if moved := steps(); moved > 0 {
		t.Errorf("%d bytes are moved of a dictionary which does not change", moved)
	}
	checkInvariants(t, d)
}

// TestLongLabelsAreNotMovedForEver: the ends of slabs into which no label fits are dead, and stay so.
func TestLongLabelsAreNotMovedForEver(t *testing.T) {
	for _, length := range []int{100, 700, 1000, 5000} {
		d := New(Options{})
		for i := range 300 {
			mustIntern(t, d, "help", fmt.Sprint(i, strings.Repeat("x", length)))
		}
		for range 10 {
			d.CompactStep(1 << 20)
		}
		before := d.Stats().Moved
		for range 10 {
			d.CompactStep(1 << 20)
		}
		if moved := d.Stats().Moved - before; moved > 0 {
			t.Errorf("labels of %d bytes: %d bytes are moved of a dictionary which does not change", length, moved)
		}
	}
}

// Churn at a steady size must not make anything grow.
func TestChurnIsFlat(t *testing.T) {
	d := New(Options{})
	ring := make([]Ref, 5000)
	var after Stats
	rounds := scaled(40)
	for round := range rounds {
		for i := range ring {
			b := d.Open()
			r := mustIntern(t, d, "pod", fmt.Sprint(round, "-", i))
			if ring[i] != 0 {
				d.Release(ring[i])
			}
			ring[i] = r
			b.Close()
		}
		d.Compact()
		s := d.Stats()
		if round == 2 {
			after = s
		}
		if round > 2 && (s.Bytes > after.Bytes*5/4 || s.Refs > after.Refs+pageRefs) {
			t.Fatalf("round %d: Bytes, Refs = %d, %d, want about the %d, %d of round 2", round, s.Bytes, s.Refs, after.Bytes, after.Refs)
		}
	}
}

func TestMaxBytes(t *testing.T) {
	for _, limit := range []int64{1, 30 << 10, 64 << 10, 1 << 20, int64(scaled(10 << 20))} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			d := New(Options{MaxBytes: limit})
			var refs []Ref
			value := func(i int) string { return fmt.Sprintf("payments-%08x", i) }
			var full error
			for full == nil {
				var r Ref
				if r, full = d.InternString("pod", value(len(refs))); full == nil {
					refs = append(refs, r)
				}
				if got := d.Bytes(); got > limit && len(refs) > 0 {
					t.Fatalf("Bytes = %d with %d labels, want at most %d", got, len(refs), limit)
				}
			}
			e, ok := errors.AsType[*FullError](full)
			if !ok || !errors.Is(full, ErrFull) || e.Limit != limit || e.Used != d.Bytes() {
				t.Errorf("Intern beyond the limit: %v, want a *FullError with limit %d and use %d", full, limit, d.Bytes())
			}
			if limit >= 64<<10 && d.Bytes() < limit*3/4 {
				t.Errorf("full at %d of %d bytes: %+v", d.Bytes(), limit, d.Stats())
			}
			for i, want := range refs {
				if r, err := d.InternString("pod", value(i)); r != want || err != nil {
					t.Fatalf("Intern of a known label at the limit = %d, %v, want %d", r, err, want)
				}
				d.Release(want)
			}
			if got := d.Stats().Rejected; got != 1 {
				t.Errorf("Rejected = %d, want 1", got)
			}
			if len(refs) == 0 {
				return
			}

			// What is released can be used again, without a call of Compact.
			for i, r := range refs {
				if i%2 == 0 {
					d.Release(r)
				}
			}
			added := 0
			for {
				if _, err := d.InternString("pod", "new-"+value(added)); err != nil {
					break
				}
				added++
			}
			if want := len(refs) / 2 * 7 / 10; added < want && limit >= 64<<10 {
				t.Errorf("%d of %d labels fit after half were released, want %d", added, len(refs), want)
			}
			if got := d.Bytes(); got > limit {
				t.Errorf("Bytes = %d, want at most %d", got, limit)
			}
			checkInvariants(t, d)
		})
	}
}

func TestRejectingDoesNotAllocate(t *testing.T) {
	d := New(Options{MaxBytes: 64 << 10})
	refused := 0 // in a row: the parts of the dictionary fill up one after the other
	for i := 0; refused < 500; i++ {
		if _, err := d.InternString("pod", fmt.Sprint(i)); err != nil {
			refused++
		} else {
			refused = 0
		}
	}
	alloctest.WantAllocs(t, 0, func() {
		if _, err := d.InternString("one", "more of which there is no more room"); !errors.Is(err, ErrFull) {
			t.Errorf("Intern beyond the limit: %v, want ErrFull", err)
		}
	})
}
