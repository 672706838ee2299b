package diskqueue

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestFullDisk fills a disk, from outside and by itself, at every number of bytes.
func TestFullDisk(t *testing.T) {
	for room := int64(100); room < 40<<10; room += 331 {
		m := newMemFS()
		m.room = room
		var lost losses
		o := Options{Dir: "q", Slots: 2, fs: m, OnLoss: lost.add, segmentBytes: pageBytes + 4<<10}
		q, err := Open(o)
		if err != nil {
			t.Fatalf("room %d: Open() = %v", room, err)
		}
		pending := make([][]uint64, 2)
		failed := 0
		try := func(n uint64) {
			slot := int(n % 2)
			p := payload(n, 700)
			if _, err := q.Append(block(slot, int(n)), p); err == nil {
				pending[slot] = append(pending[slot], n)
			} else if failed++; !IsFull(err) {
				t.Fatalf("room %d: Append(%d) = %v, want a full disk", room, n, err)
			}
		}
		settle := func(slot int) {
			r, n, ok := take(t, q, slot)
			if !ok || n != pending[slot][0] {
				t.Fatalf("room %d: slot %d has block %d, %t, want %d", room, slot, n, ok, pending[slot][0])
			}
			_ = q.Ack(r) // the disk is full
			pending[slot] = pending[slot][1:]
		}
		check := func() {
			for slot := range pending {
				if got := q.PendingOf(slot).Blocks; got != len(pending[slot]) {
					t.Fatalf("room %d: %d blocks in slot %d, want %d", room, got, slot, len(pending[slot]))
				}
			}
		}
		n := uint64(0)
		for range 60 {
			n++
			try(n)
			check()
			if n%5 == 0 && len(pending[0]) > 2 {
				settle(0)
			}
		}
		if failed == 0 {
			t.Fatalf("room %d: the disk was never full", room)
		}
		// Killed, started on a disk that is still full, and given room again.
		kill(q)
		o.fs = m
		q = mustOpen(t, o)
		check()
		for slot := range pending {
			for len(pending[slot]) > 0 {
				settle(slot)
			}
		}
		m.room = 0
		failed = 0
		for range 20 {
			n++
			try(n)
		}
		if failed != 0 {
			t.Fatalf("room %d: %d blocks were refused after there was room again", room, failed)
		}
		kill(q)
		q = mustOpen(t, o)
		check()
		for slot := range pending {
			if got := drain(t, q, slot); fmt.Sprint(got) != fmt.Sprint(pending[slot]) {
				t.Fatalf("room %d: slot %d has %v, want %v", room, slot, got, pending[slot])
			}
		}
		if len(lost.all) != 0 {
			t.Fatalf("room %d: lost %+v", room, lost.all)
		}
		kill(q)
	}
}

// TestFullDiskDropsOldest has no room for anything new until the oldest goes.
func TestFullDiskDropsOldest(t *testing.T) {
	m := newMemFS()
	var lost losses
	q := mustOpen(t, Options{Dir: "q", Slots: 1, fs: m, OnLoss: lost.add, segmentBytes: minSegmentBytes})
	for i := uint64(1); i <= 30; i++ {
		put(t, q, 0, i, 9<<10)
	}
	m.room = m.used()
	p := payload(31, 9<<10)
	for i := 0; ; i++ {
		_, err := q.Append(block(0, 31), p)
		if err == nil {
			break
		}
		if !IsFull(err) || i > 1 || !q.DropOldest() {
			t.Fatalf("try %d: Append = %v, and nothing to drop", i, err)
		}
	}
	got := drain(t, q, 0)
	if len(got)+lost.blocks(Full) != 31 || got[len(got)-1] != 31 || lost.blocks(Full) > 8 {
		t.Errorf("%d blocks lost, and %v are there", lost.blocks(Full), got)
	}
}

// TestDiskFails lets every write fail, for a while, and each kind of file at a start.
func TestDiskFails(t *testing.T) {
	for _, errno := range []error{syscall.EIO, syscall.EROFS, syscall.EDQUOT, syscall.ENOSPC} {
		m := newMemFS()
		o := Options{Dir: "q", Slots: 1, fs: m, segmentBytes: minSegmentBytes}
		q := mustOpen(t, o)
		for i := uint64(1); i <= 12; i++ {
			put(t, q, 0, i, 9<<10)
		}
		m.fail(errno)
		for range 3 {
			if _, err := q.Append(block(0, 1), []byte("x")); !errors.Is(err, errno) {
				t.Errorf("Append = %v, want %v", err, errno)
			}
		}
		// What is on the disk can be sent all the same.
		for want := uint64(1); want <= 3; want++ {
			r, n, ok := take(t, q, 0)
			if !ok || n != want {
				t.Fatalf("%v: block %d, %t, want %d", errno, n, ok, want)
			}
			if err := q.Ack(r); !errors.Is(err, errno) || q.Stats().AckErrors != want {
				t.Errorf("Ack = %v with %d errors counted, want %v and %d", err, q.Stats().AckErrors, errno, want)
			}
		}
		if err := q.Sync(); err == nil {
			t.Errorf("%v: Sync had nothing to say", errno)
		}
		m.fail(nil)
		// The next acknowledgement says what those could not.
		r, _, _ := take(t, q, 0)
		ack(t, q, r)
		put(t, q, 0, 13, 100)
		kill(q)
		q = mustOpen(t, o)
		if got := drain(t, q, 0); fmt.Sprint(got) != "[5 6 7 8 9 10 11 12 13]" {
			t.Errorf("%v: later there are %v", errno, got)
		}
		kill(q)

		m.fail(errno)
		if q, err := Open(o); err == nil { // it need not, but it must not panic
			kill(q)
		}
		m.fail(nil)
	}
}

// TestUnreadableDisk lets reads fail.
func TestUnreadableDisk(t *testing.T) {
	m := newMemFS()
	var lost losses
	o := Options{Dir: "q", Slots: 1, fs: m, OnLoss: lost.add, segmentBytes: minSegmentBytes}
	q := mustOpen(t, o)
	for i := uint64(1); i <= 30; i++ {
		put(t, q, 0, i, 9<<10)
	}
	r, _, _ := take(t, q, 0)
	m.rerr = syscall.EIO
	if _, err := q.Read(nil, r); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrDamaged) {
		t.Errorf("Read = %v, want %v", err, syscall.EIO)
	}
	m.rerr = nil
	if _, err := q.Read(nil, r); err != nil {
		t.Errorf("Read = %v when the disk reads again", err)
	}
	kill(q)
	for _, giveUp := range []bool{false, true} {
		m.rerr = syscall.EIO
		o.GiveUp = giveUp
		q, err := Open(o)
		if (err == nil) != giveUp || err != nil && !errors.Is(err, syscall.EIO) {
			t.Fatalf("giving up %t: Open() = %v", giveUp, err)
		}
		if err == nil {
			if _, ok := q.Next(0); ok {
				t.Error("a block comes from a disk which cannot be read")
			}
			kill(q)
		}
		m.rerr = nil
		q = mustOpen(t, o)
		want := 30
		if giveUp {
			want = 0 // what it lay in was set aside
		}
		if got := q.Stats().Blocks; got != want {
			t.Errorf("giving up %t: %d blocks are there when the disk reads again, want %d", giveUp, got, want)
		}
		kill(q)
	}
	bad := 0
	for _, name := range m.names() {
		bad += btoi(strings.HasSuffix(name, badExt))
	}
	if bad == 0 {
		t.Errorf("nothing was set aside: %q", m.names())
	}
}

// TestTooManyFiles opens a queue when the process may not open so many files, at each of its files: nothing is lost by it.
func TestTooManyFiles(t *testing.T) {
	m := newMemFS()
	o := Options{Dir: "q", Slots: 1, fs: m, segmentBytes: minSegmentBytes}
	q := mustOpen(t, o)
	for i := uint64(1); i <= 30; i++ {
		put(t, q, 0, i, 9<<10)
	}
	kill(q)
	tries := 0
	for n := 0; ; n++ {
		m.opens = n + 1
		q, err := Open(o)
		m.opens = 0
		if err == nil && q.Stats().Blocks != 30 {
			t.Fatalf("after %d files %d blocks are there, want 30 or an error", n, q.Stats().Blocks)
		}
		if err == nil {
			closeQueue(t, q)
			if n > 3*len(m.files) {
				break
			}
			continue
		}
		tries++
		q = mustOpen(t, o)
		if got := q.Stats().Blocks; got != 30 {
			t.Fatalf("after %d files: %d blocks are left, want 30", n, got)
		}
		closeQueue(t, q)
	}
	if tries < 5 {
		t.Errorf("%d tries failed, want more", tries)
	}
}

// closeQueue ends a start which did get far.
func closeQueue(t *testing.T, q *Queue) {
	t.Helper()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestDiskIsUnreadableForAWhile starts on a disk which fails between the start and the first read. Within a minute nothing is
// given up; later the blocks are, so that those behind them are not kept for ever.
func TestDiskIsUnreadableForAWhile(t *testing.T) {
	for _, outage := range []time.Duration{50 * time.Second, 70 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemFS()
			o := Options{Dir: "q", Slots: 2, fs: m, segmentBytes: minSegmentBytes}
			q := mustOpen(t, o)
			for i := uint64(1); i <= 40; i++ {
				put(t, q, int(i%2), i, 9<<10)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			var lost losses
			o.OnLoss = lost.add
			q = mustOpen(t, o)
			defer q.Close()
			m.rerr = syscall.EIO
			for start := time.Now(); time.Since(start) < outage; time.Sleep(time.Second) {
				for slot := range 2 {
					if _, ok := q.Next(slot); ok {
						t.Fatal("a block comes from a disk which cannot be read")
					}
				}
			}
			m.rerr = nil
			got := 0
			for slot := range 2 {
				for {
					r, ok := q.Next(slot)
					if !ok {
						break
					}
					if err := q.Ack(r); err != nil {
						t.Fatal(err)
					}
					got++
				}
			}
			gone := lost.blocks(Damaged)
			if kept := outage < time.Minute; got+gone != 40 || kept != (gone == 0) || got == 0 {
				t.Errorf("after %v, %d blocks come, and %d are lost, of 40", outage, got, gone)
			}
		})
	}
}

// TestLargeBacklog starts with a backlog, and takes little time and memory for it.
func TestLargeBacklog(t *testing.T) {
	size := int64(64 << 20)
	if *long {
		size = 10 << 30
	}
	o := Options{Dir: t.TempDir(), Slots: 4}
	q := mustOpen(t, o)
	p := payload(1, 30<<10)
	blocks := 0
	for written := int64(0); written < size; written += int64(len(p)) {
		if _, err := q.Append(block(blocks%4, 1), p); err != nil {
			t.Fatal(err)
		}
		blocks++
		if blocks%1000 == 0 {
			if err := q.Sync(); err != nil { // so that files are closed, as in life
				t.Fatal(err)
			}
		}
	}
	kill(q)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	q = mustOpen(t, o)
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	st := q.Stats()
	t.Logf("%d MiB, %d blocks, %d segments: start took %v, %d KiB of memory, counted %d KiB", size>>20, blocks, st.Segments, took,
		(int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10, st.MemoryBytes>>10)
	if st.Blocks != blocks {
		t.Errorf("%d blocks pending, want %d", st.Blocks, blocks)
	}
	if took > 2*time.Second && !testing.Short() {
		t.Errorf("start took %v", took)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20+size/4096 {
		t.Errorf("start took %d bytes of memory", grown)
	}
	got := 0
	for slot := range 4 {
		for range 100 {
			r, _, ok := take(t, q, slot)
			if !ok {
				break
			}
			ack(t, q, r)
			got++
		}
	}
	if got != min(blocks, 400) {
		t.Errorf("%d blocks came, want 400", got)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2<<20+size/4096 {
		t.Errorf("reading took %d bytes of memory", grown)
	}
}
