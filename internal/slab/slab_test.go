package slab

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"scraper/internal/alloctest"
)

// TestVecAgainstSlice does random things to a Vec and to a slice, around the sizes where slabs begin.
func TestVecAgainstSlice(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			var v Vec[uint64]
			var want []uint64
			for range 300 {
				switch rnd.IntN(6) {
				case 0, 1:
					for range rnd.IntN(3 * vecLen / 2) {
						x := rnd.Uint64()
						if i := v.Push(x); int(i) != len(want) {
							t.Fatalf("Push = %d, want %d", i, len(want))
						}
						want = append(want, x)
					}
				case 2:
					n := rnd.IntN(len(want) + 1)
					if rnd.IntN(2) == 0 {
						n = min(len(want), n&^vecMask) // whole slabs
					}
					v.Truncate(n)
					want = want[:n]
				case 3:
					v.Truncate(len(want) + 5) // nothing to drop
				case 4:
					v.Trim()
				case 5:
					if len(want) > 0 {
						i := rnd.IntN(len(want))
						want[i]++
						*v.At(uint32(i))++
					}
					if rnd.IntN(20) == 0 {
						v.Reset()
						want = want[:0]
					}
				}
				if v.Len() != len(want) || v.Cap() < v.Len() || v.Cap() > v.Len()+vecLen+vecFirst {
					t.Fatalf("Len() = %d, Cap() = %d, want %d elements and at most a slab more", v.Len(), v.Cap(), len(want))
				}
				for _, i := range []int{0, len(want) / 2, len(want) - 1, rnd.IntN(len(want) + 1)} {
					if i >= 0 && i < len(want) && *v.At(uint32(i)) != want[i] {
						t.Fatalf("At(%d) = %d, want %d", i, *v.At(uint32(i)), want[i])
					}
				}
			}
			for i := range want {
				if *v.At(uint32(i)) != want[i] {
					t.Fatalf("At(%d) = %d, want %d", i, *v.At(uint32(i)), want[i])
				}
			}
		})
	}
}

// TestVecNeverCopiesAFullSlab pins what slabs are for: an element of a full slab stays where it is, and growth allocates
// one slab at a time.
func TestVecNeverCopiesAFullSlab(t *testing.T) {
	var v Vec[uint64]
	for range vecLen {
		v.Push(1)
	}
	first := v.At(0)
	for range 3 * vecLen {
		v.Push(2)
	}
	v.Trim()
	if v.At(0) != first {
		t.Error("an element of a full slab was moved by growth")
	}
	if got := v.Cap(); got != 4*vecLen {
		t.Errorf("Cap() = %d, want %d", got, 4*vecLen)
	}
	v.Truncate(vecLen + 1)
	if got := v.Cap(); got != 2*vecLen {
		t.Errorf("Cap() = %d after Truncate, want the %d of the slabs in use", got, 2*vecLen)
	}
	v.Truncate(0)
	if got := v.Cap(); got != 0 {
		t.Errorf("Cap() = %d of an empty vector, want 0", got)
	}
}

// TestSmallVecIsSmall: most targets have a few hundred series.
func TestSmallVecIsSmall(t *testing.T) {
	var v Vec[uint64]
	for range 100 {
		v.Push(1)
	}
	v.Trim()
	if got := v.Cap(); got > 112 {
		t.Errorf("Cap() = %d for 100 elements after Trim, want at most an eighth more", got)
	}
}

func TestVecAllocatesNothingForWhatItHas(t *testing.T) {
	var v Vec[uint64]
	for range 2 * vecLen {
		v.Push(1)
	}
	alloctest.WantAllocs(t, 0, func() {
		v.Truncate(vecLen + 1)
		for range 100 {
			v.Push(1)
		}
		*v.At(7)++
	})
}

// TestBytesKeepTheirPlace writes runs of all sizes and reads them back by their offsets.
func TestBytesKeepTheirPlace(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var a Bytes
	type run struct {
		off  uint32
		text []byte
	}
	var runs []run
	total := 0
	for i := range 4000 {
		n := rnd.IntN(600)
		switch {
		case i%500 == 499:
			n = MaxRun - rnd.IntN(2)
		case i%100 == 99:
			n = rnd.IntN(MaxRun)
		}
		text := bytes.Repeat([]byte{byte(rnd.IntN(256))}, n)
		off, b, ok := a.Alloc(n)
		if !ok || len(b) != n {
			t.Fatalf("Alloc(%d) = %d bytes, %v", n, len(b), ok)
		}
		copy(b, text)
		runs = append(runs, run{off, text})
		total += n
		if i < 50 && rnd.IntN(4) == 0 {
			a.Trim()
		}
	}
	for _, r := range runs {
		if len(r.text) == 0 {
			continue
		}
		if got := a.From(r.off); !bytes.HasPrefix(got, r.text) {
			t.Fatalf("From(%d) does not begin with the %d bytes written there", r.off, len(r.text))
		}
	}
	if a.Cap() < total {
		t.Errorf("Cap() = %d for %d bytes", a.Cap(), total)
	}
}

func TestSmallArenaIsSmall(t *testing.T) {
	var a Bytes
	for range 100 {
		if _, _, ok := a.Alloc(10); !ok {
			t.Fatal("Alloc(10) failed")
		}
	}
	a.Trim()
	if got := a.Cap(); got > 1125 {
		t.Errorf("Cap() = %d for 1000 bytes after Trim, want at most an eighth more", got)
	}
	off, b, _ := a.Alloc(1)
	b[0] = 'x'
	if got := a.From(off); got[0] != 'x' || off != 1000 {
		t.Errorf("the byte behind a trimmed arena is %q at %d, want x at 1000", got[0], off)
	}
}
