package labelcompress

import (
	"errors"
	"fmt"
	"testing"
)

// TestLimitFollows lets the limit fall below what the dictionary takes, and rise again: it keeps what it has, takes nothing new
// until it is smaller, and what is dead in it does not keep it from getting smaller.
func TestLimitFollows(t *testing.T) {
	n := scaled(40_000)
	d := New(Options{})
	var refs []Ref
	for i := range n {
		refs = append(refs, mustIntern(t, d, "pod", fmt.Sprintf("payments-%08x-%d", uint32(i)*2654435761, i)))
	}
	full := d.Bytes()
	bound := full / 2
	d.SetMaxBytes(bound)
	if got := d.MaxBytes(); got != bound || d.Stats().MaxBytes != bound {
		t.Errorf("MaxBytes() = %d, Stats().MaxBytes = %d, want %d", got, d.Stats().MaxBytes, bound)
	}
	refused := func(when string) {
		t.Helper()
		_, err := d.InternString("new", "short")
		var e *FullError
		if !errors.As(err, &e) || e.Limit != bound {
			t.Errorf("%s: InternString of a new label: %v, want a FullError with the limit %d", when, err, bound)
		}
	}
	refused("at twice the limit")
	if r, err := d.InternString("pod", fmt.Sprintf("payments-%08x-%d", 0, 0)); err != nil || r != refs[0] {
		t.Errorf("InternString of a known label = %d, %v, want %d", r, err, refs[0])
	}
	d.Release(refs[0])
	if got := d.Bytes(); got > full {
		t.Errorf("Bytes() = %d after the limit fell, want at most %d", got, full)
	}

	// Every fourth stays, so that hardly a slab is dead as a whole, and all of them lie above the limit.
	var left []Ref
	for i, r := range refs {
		switch {
		case i%4 == 0:
			left = append(left, r)
		case i%40 == 1: // and some for a while
			defer d.Release(r)
		default:
			d.Release(r)
		}
	}
	d.Compact()
	if got := d.Bytes(); got > bound {
		t.Errorf("Bytes() = %d after three quarters were released, want at most the limit of %d (%+v)", got, bound, d.Stats())
	}
	r := mustIntern(t, d, "new", "short")
	d.Release(r)

	bound = d.Bytes() / 2
	d.SetMaxBytes(bound)
	refused("at twice the limit again")
	d.SetMaxBytes(full)
	d.Release(mustIntern(t, d, "new", "short"))
	d.SetMaxBytes(bound)
	refused("below")
	d.SetMaxBytes(0)
	d.Release(mustIntern(t, d, "new", "short"))
	for _, r := range left {
		d.Release(r)
	}
	checkInvariants(t, d)
}

// TestStressWithChangingLimit is TestStress while the limit rises and falls.
func TestStressWithChangingLimit(t *testing.T) {
	d := New(Options{MaxBytes: 128 << 10})
	i := 0
	stressWorkers(t, d, true, func() {
		d.SetMaxBytes([]int64{128 << 10, 64 << 10, 0, 96 << 10}[i%4])
		i++
	})
}
