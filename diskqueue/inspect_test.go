package diskqueue

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestInspectWhileInUse looks at a queue again and again while it is written to, read, and its files are used anew: what is
// good is never said to be damaged.
func TestInspectWhileInUse(t *testing.T) {
	dir := t.TempDir()
	q := mustOpen(t, Options{Dir: dir, Slots: 2, segmentBytes: minSegmentBytes})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() {
		waiting := 0
		for i := uint64(1); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			put(t, q, int(i%2), i, int(i%13)<<10)
			waiting++
			for limit := int(i/100) % 40; waiting > limit; waiting-- {
				for slot := range 2 {
					if r, _, ok := take(t, q, slot); ok {
						ack(t, q, r)
						break
					}
				}
			}
		}
	})
	for i := range 150 {
		rep, err := Inspect(dir, i%2 == 0)
		if err != nil || rep.Damaged != 0 || len(rep.Unreadable) != 0 {
			t.Fatalf("look %d: %d damaged and %q unreadable, %v, want none: %+v", i, rep.Damaged, rep.Unreadable, err, rep)
		}
		for _, s := range rep.Segments {
			if s.Err != nil {
				t.Fatalf("look %d: %s: %v", i, s.File, s.Err)
			}
		}
	}
}

// TestInspect looks at a queue which is in use, at one which is damaged, and changes neither.
func TestInspect(t *testing.T) {
	dir := t.TempDir()
	q := mustOpen(t, Options{Dir: dir, Slots: 2, segmentBytes: minSegmentBytes})
	for i := uint64(1); i <= 20; i++ {
		put(t, q, int(i%2), i, 10<<10)
	}
	r, _, _ := take(t, q, 0)
	ack(t, q, r)
	size := sizeOf(t, dir)
	rep, err := Inspect(dir, true)
	st := q.Stats()
	if err != nil || rep.Pending != st.Pending || rep.Damaged != 0 || rep.Slots != 2 || rep.DiskBytes != st.DiskBytes || len(rep.Segments) != st.Segments {
		t.Errorf("Inspect() = %+v, %v; the queue says %+v", rep, err, st)
	}
	if d := rep.Oldest.Sub(st.Oldest); d != 0 {
		t.Errorf("the oldest differ by %v", d)
	}
	blocks, samples := 0, int64(0)
	for i, s := range rep.Segments {
		blocks += s.Blocks
		samples += s.Samples
		if sealed := i < len(rep.Segments)-1; s.Sealed != sealed || s.Err != nil || s.MinTime == 0 || s.MaxTime < s.MinTime {
			t.Errorf("segment %d is %+v", i, s)
		}
	}
	if blocks != 20 || samples != 210 {
		t.Errorf("%d blocks of %d samples, want 20 of 210", blocks, samples)
	}
	kill(q)

	path := filepath.Join(dir, rep.Segments[0].File)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "00000000000000ff.seg"), []byte("what is this"), 0o600); err != nil {
		t.Fatal(err)
	}
	size += 12
	if rep, err = Inspect(dir, false); err != nil || rep.Damaged != 0 {
		t.Errorf("Inspect() has %d damaged, %v: the headers are good", rep.Damaged, err)
	}
	if rep, err = Inspect(dir, true); err != nil || rep.Damaged != 1 || len(rep.Unreadable) != 1 {
		t.Errorf("Inspect() has %d damaged and %v unreadable, %v, want one of each", rep.Damaged, rep.Unreadable, err)
	}
	if got := sizeOf(t, dir); got != size {
		t.Errorf("files have %d bytes, want %d as before", got, size)
	}
	if _, err := Inspect(filepath.Join(dir, "none"), true); err == nil {
		t.Error("Inspect of what is not there had nothing to say")
	}
	if !IsQueue(dir) || IsQueue(t.TempDir()) {
		t.Error("IsQueue is wrong")
	}
}
