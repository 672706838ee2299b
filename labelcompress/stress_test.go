package labelcompress

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestStress interns, acquires, releases, reads, compacts and opens blocks at once. Each worker knows what it holds, and
// decodes it again and again; labels are shared between workers.
func TestStress(t *testing.T) {
	for _, maxBytes := range []int64{0, 128 << 10} {
		t.Run(fmt.Sprintf("MaxBytes=%d", maxBytes), func(t *testing.T) {
			stress(t, New(Options{MaxBytes: maxBytes}))
		})
	}
}

func stress(t *testing.T, d *Dict) {
	stressWorkers(t, d, d.MaxBytes() > 0, func() {
		if s := d.Stats(); s.MaxBytes > 0 && s.Bytes > s.MaxBytes {
			t.Errorf("Bytes = %d, want at most %d", s.Bytes, s.MaxBytes)
		}
	})
}

// stressWorkers has everything done at once, and calls look meanwhile. Limited says that the dictionary may be full.
func stressWorkers(t *testing.T, d *Dict, limited bool, look func()) {
	const workers = 4
	rounds := 40
	if testing.Short() {
		rounds = 15
	}
	var working, helping sync.WaitGroup
	var done atomic.Bool
	for w := range workers {
		working.Go(func() { stressWorker(t, d, rand.New(rand.NewPCG(uint64(w), rand.Uint64())), w, rounds, limited) })
	}
	helping.Go(func() {
		for !done.Load() {
			d.Compact()
			look()
		}
	})
	helping.Go(func() {
		for !done.Load() {
			b := d.Open()
			d.CompactStep(10_000)
			b.Close()
		}
	})
	working.Wait()
	done.Store(true)
	helping.Wait()

	d.Compact()
	checkInvariants(t, d)
	if s := d.Stats(); s.Items != 0 || s.LiveBytes != 0 || s.Limbo != 0 || s.Misuses != 0 || s.Bytes > 96<<10 {
		t.Errorf("after all was released: %+v", s)
	}
}

type heldLabel struct {
	ref         Ref
	name, value string
}

func stressWorker(t *testing.T, d *Dict, rnd *rand.Rand, w, rounds int, limited bool) {
	names := []string{"pod", "namespace", "__name__"}
	var held []heldLabel
	type view struct {
		wire []byte
		want heldLabel
	}
	var views []view // of labels which may be gone
	check := func(wire []byte, want heldLabel) bool {
		name, value, err := decodeLabel(wire)
		if err != nil || name != want.name || value != want.value {
			t.Errorf("worker %d: label %d = %q, %q, %v, want %q, %q", w, want.ref, name, value, err, want.name, want.value)
			return false
		}
		return true
	}
	for round := range rounds {
		block := d.Open()
		for range 400 {
			l := heldLabel{name: names[rnd.IntN(len(names))]}
			// A third is shared by all workers, a third is this worker's, a third is new in each round.
			switch rnd.IntN(3) {
			case 0:
				l.value = fmt.Sprint("shared-", rnd.IntN(300))
			case 1:
				l.value = fmt.Sprint("worker-", w, "-", rnd.IntN(300))
			case 2:
				l.value = fmt.Sprint("churn-", w, "-", round, "-", rnd.IntN(300))
			}
			var err error
			l.ref, err = d.InternString(l.name, l.value)
			if errors.Is(err, ErrFull) && limited {
				continue
			}
			if err != nil {
				t.Errorf("InternString(%q, %q): %v", l.name, l.value, err)
				return
			}
			held = append(held, l)
			if rnd.IntN(8) == 0 {
				d.Acquire(l.ref)
				held = append(held, l)
			}
		}
		for _, l := range held {
			wire := d.Wire(l.ref)
			if !check(wire, l) {
				return
			}
			if rnd.IntN(50) == 0 && len(views) < 200 {
				views = append(views, view{wire, l})
			}
		}
		rnd.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
		keep := len(held) / 2
		if round%10 == 9 || round == rounds-1 {
			keep = 0
		}
		for _, l := range held[keep:] {
			d.Release(l.ref)
		}
		held = held[:keep]
		block.Close()
		for _, v := range views {
			if !check(v.wire, v.want) {
				return
			}
		}
		if round%10 == 0 {
			views = nil
		}
	}
}

// TestReadBesideMoves moves labels without a pause, each in a slab of its own, whose number goes to the next one that
// moves: the worst case for readers, who must never see another label, and for holders, of whom none must be lost.
func TestReadBesideMoves(t *testing.T) {
	d := New(Options{})
	const labels = 6
	var refs [labels]Ref
	var want [labels]heldLabel
	for i := range labels {
		want[i] = heldLabel{name: fmt.Sprint("n", i), value: strings.Repeat(string(rune('a'+i)), minSlabBytes/ownSlabShare+i)}
		refs[i] = mustIntern(t, d, want[i].name, want[i].value)
	}
	var wg sync.WaitGroup
	var done atomic.Bool
	for part := range 2 {
		wg.Go(func() {
			for !done.Load() && !t.Failed() {
				for i := part * labels / 2; i < (part+1)*labels/2; i++ {
					d.Acquire(refs[i])
					if n, v := d.Label(refs[i]); string(n) != want[i].name || string(v) != want[i].value {
						t.Errorf("Label(%d) = %q, %.5q…, want %q, %.5q…", refs[i], n, v, want[i].name, want[i].value)
					}
					d.Release(refs[i])
				}
			}
		})
	}
	for round := range 20_000 {
		r := refs[round%labels]
		loc := uint32(d.word(r).Load())
		s := d.slabAt(loc)
		if n, ok := d.moveLabel(s, int(loc&offsetMask), d.Wire(r), d.MaxBytes()); n == 0 || !ok {
			t.Errorf("moveLabel of %d = %d, %v, want it moved", r, n, ok)
		}
	}
	done.Store(true)
	wg.Wait()
	if d.reused.Load() == 0 {
		t.Error("no slab number was used twice")
	}
	for _, r := range refs {
		if got := d.word(r).Load() >> 32; got != 1 {
			t.Errorf("Ref %d has %d holders, want 1", r, got)
		}
	}
	checkInvariants(t, d)
}
