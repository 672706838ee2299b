package diskqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) {
	if killChild() {
		return
	}
	leaktest.Main(m)
}

// losses collects what a queue says it lost.
type losses struct{ all []Loss }

func (l *losses) add(x Loss) { l.all = append(l.all, x) }

func (l *losses) blocks(why Reason) (n int) {
	for _, x := range l.all {
		if x.Reason == why {
			n += x.Blocks
		}
	}
	return n
}

func (l *losses) samples() (n int64) {
	for _, x := range l.all {
		n += x.Samples
	}
	return n
}

func mustOpen(t testing.TB, o Options) *Queue {
	t.Helper()
	if o.Slots == 0 {
		o.Slots = 3
	}
	q, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// kill leaves a queue as the death of its process would: nothing is written, and the lock is gone.
func kill(q *Queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, g := range append(append([]*segment(nil), q.segs...), q.spares...) {
		g.closeFile()
	}
	if q.acks.f != nil {
		_ = q.acks.f.Close()
	}
	_ = q.lock.Close()
}

// payload is made of a number, so that a reader can tell whether it is what was written.
func payload(n uint64, size int) []byte {
	b := make([]byte, 0, size+8)
	x := n
	for len(b) < size {
		b = binary.LittleEndian.AppendUint64(b, x)
		x = x*6364136223846793005 + 1442695040888963407
	}
	return binary.LittleEndian.AppendUint64(b[:size:size], n)
}

func numberOf(b []byte) (n uint64, ok bool) {
	if len(b) < 8 {
		return 0, false
	}
	n = binary.LittleEndian.Uint64(b[len(b)-8:])
	return n, bytes.Equal(b, payload(n, len(b)-8))
}

func block(slot int, samples int) Block {
	now := time.Now()
	return Block{Slot: slot, Samples: samples, Kind: 7, RawBytes: 10 * samples, MinTime: now.UnixMilli(), MaxTime: now.UnixMilli() + 5, Created: now}
}

// put appends block number n, of n samples.
func put(t testing.TB, q *Queue, slot int, n uint64, size int) {
	t.Helper()
	p := payload(n, size)
	if _, err := q.Append(block(slot, int(n)), p[:len(p)/2], p[len(p)/2:]); err != nil {
		t.Fatalf("Append(%d) = %v", n, err)
	}
}

// take hands out, reads and checks the next block of a slot, and returns its number.
func take(t testing.TB, q *Queue, slot int) (r Record, n uint64, ok bool) {
	t.Helper()
	r, ok = q.Next(slot)
	if !ok {
		return r, 0, false
	}
	b, err := q.Read(nil, r)
	if err != nil {
		t.Fatalf("Read(%d) = %v", r.Seq, err)
	}
	n, good := numberOf(b)
	if !good || r.Samples != int(n) || r.Kind != 7 || r.Bytes != len(b) || r.RawBytes != 10*int(n) || r.MaxTime != r.MinTime+5 {
		t.Fatalf("Read(%d) is not what was appended: %+v", r.Seq, r)
	}
	return r, n, true
}

func ack(t testing.TB, q *Queue, r Record) {
	t.Helper()
	if err := q.Ack(r); err != nil {
		t.Fatal(err)
	}
}

// drain takes and settles all blocks of a slot.
func drain(t testing.TB, q *Queue, slot int) (all []uint64) {
	t.Helper()
	for {
		r, n, ok := take(t, q, slot)
		if !ok {
			return all
		}
		all = append(all, n)
		ack(t, q, r)
	}
}

// TestQueueAgainstModel runs random histories, with ends of the process among them, against a slow, obvious queue.
func TestQueueAgainstModel(t *testing.T) {
	seeds := uint64(6)
	if *long {
		seeds = 100
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		var lost losses
		o := Options{Dir: dir, Slots: 1 + rnd.IntN(4), OnLoss: lost.add, segmentBytes: minSegmentBytes}
		q := mustOpen(t, o)
		model := make([][]uint64, o.Slots)
		out := make([]*Record, o.Slots)
		var number uint64
		for step := range 1500 {
			slot := rnd.IntN(o.Slots)
			op := rnd.IntN(100)
			if step%300 > 200 {
				op = max(op, 45) // the backlog shrinks now and then
			}
			switch {
			case op < 45:
				number++
				put(t, q, slot, number, rnd.IntN(1<<rnd.IntN(16)))
				model[slot] = append(model[slot], number)
			case op < 70:
				r, n, ok := take(t, q, slot)
				if want := out[slot] == nil && len(model[slot]) > 0; ok != want {
					t.Fatalf("seed %d step %d: Next(%d) = %t, want %t", seed, step, slot, ok, want)
				}
				if ok {
					if n != model[slot][0] {
						t.Fatalf("seed %d step %d: Next(%d) has block %d, want %d", seed, step, slot, n, model[slot][0])
					}
					out[slot] = &r
				}
			case op < 95:
				if out[slot] != nil {
					ack(t, q, *out[slot])
					out[slot], model[slot] = nil, model[slot][1:]
				}
			case op < 97:
				if err := q.Maintain(time.Now().Add(time.Duration(rnd.IntN(3)) * time.Second)); err != nil {
					t.Fatal(err)
				}
			default:
				if rnd.IntN(2) == 0 {
					kill(q)
				} else if err := q.Close(); err != nil {
					t.Fatal(err)
				}
				q = mustOpen(t, o)
				clear(out)
				if f := q.Found(); f != (Found{}) {
					t.Fatalf("seed %d step %d: Found() = %+v, want nothing", seed, step, f)
				}
			}
			var want Pending
			for i, s := range model {
				p := Pending{Blocks: len(s)}
				for _, n := range s {
					p.Samples += int64(n)
				}
				if got := q.PendingOf(i); got.Blocks != p.Blocks || got.Samples != p.Samples {
					t.Fatalf("seed %d step %d: PendingOf(%d) = %+v, want %+v", seed, step, i, got, p)
				}
				want.add(p.Blocks, p.Samples, 0)
			}
			st := q.Stats()
			if st.Blocks != want.Blocks || st.Samples != want.Samples || st.Oldest.IsZero() != (st.Blocks == 0) {
				t.Fatalf("seed %d step %d: Stats() = %+v, want %+v", seed, step, st, want)
			}
			if disk := usageOf(t, dir); disk > st.DiskBytes || st.DiskBytes > disk+pageBytes {
				t.Fatalf("seed %d step %d: Stats().DiskBytes = %d, want %d and the caller's page", seed, step, st.DiskBytes, disk)
			}
		}
		for slot := range model {
			if out[slot] != nil {
				ack(t, q, *out[slot])
				model[slot] = model[slot][1:]
			}
			if got := drain(t, q, slot); fmt.Sprint(got) != fmt.Sprint(model[slot]) {
				t.Fatalf("seed %d: slot %d drained %v, want %v", seed, slot, got, model[slot])
			}
		}
		if len(lost.all) != 0 {
			t.Errorf("seed %d: lost %+v", seed, lost.all)
		}
	}
}

// sizeOf is the size of all files of a directory.
func sizeOf(t testing.TB, dir string) (n int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// usageOf is what a directory and its files take of a disk.
func usageOf(t testing.TB, dir string) int64 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(pageBytes)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		n += (info.Size() + 4095) / 4096 * 4096
	}
	return n
}

// TestSteadyStateMakesNoFiles has what a healthy receiver makes of a queue: few blocks at a time. The same pages of the
// same file are written again and again.
func TestSteadyStateMakesNoFiles(t *testing.T) {
	dir := t.TempDir()
	q := mustOpen(t, Options{Dir: dir})
	list := func() (names []string) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	var first []string
	for i := range uint64(1000) {
		put(t, q, int(i%3), i, 30<<10)
		if i == 0 {
			first = list()
		}
		if r, _, ok := take(t, q, int(i%3)); ok {
			ack(t, q, r)
		} else {
			t.Fatalf("block %d is not there", i)
		}
	}
	if got := list(); fmt.Sprint(got) != fmt.Sprint(first) {
		t.Errorf("files are %v, want %v", got, first)
	}
	if n := sizeOf(t, dir); n > rewindBytes+64<<10 {
		t.Errorf("files have %d bytes, want at most %d", n, rewindBytes+64<<10)
	}
}

// TestQuietSlotKeepsNoFile: a slot which took its last block of a segment, and is quiet until others have gone on, keeps that
// segment's file open no longer than until its next block.
func TestQuietSlotKeepsNoFile(t *testing.T) {
	q := mustOpen(t, Options{Dir: t.TempDir(), segmentBytes: minSegmentBytes})
	open := func() (n int) {
		for _, g := range q.segs {
			if g.f != nil {
				n++
			}
		}
		return n
	}
	put(t, q, 0, 1, 60<<10) // it is stuck at the first segment
	for n := uint64(2); n < 20; n += 2 {
		put(t, q, 1, n, 30<<10)
		put(t, q, 0, n+1, 20<<10)
		r, _, ok := take(t, q, 1)
		if !ok {
			t.Fatal("the block did not come")
		}
		ack(t, q, r)
		put(t, q, 0, n+1, 60<<10)
		if err := q.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	put(t, q, 1, 20, 100)
	if n := open(); n > 3 {
		t.Errorf("%d files of %d are open, want those which are read and written", n, len(q.segs))
	}
}

// TestFilesTakeTurns has some block pending at any time, so that no segment can begin anew.
func TestFilesTakeTurns(t *testing.T) {
	dir := t.TempDir()
	q := mustOpen(t, Options{Dir: dir, segmentBytes: 256 << 10})
	for i := range uint64(700) {
		put(t, q, int(i%3), i, 30<<10)
		if i >= 5 {
			if r, _, ok := take(t, q, int((i-5)%3)); ok {
				ack(t, q, r)
			}
		}
	}
	if q.nextNum > 4 {
		t.Errorf("%d files were made", q.nextNum)
	}
}

func TestBoundHolds(t *testing.T) {
	for _, limit := range []int64{1, 300 << 10, 1 << 20, 5 << 20} {
		dir := t.TempDir()
		var lost losses
		o := Options{Dir: dir, MaxDiskBytes: limit, OnLoss: lost.add}
		q := mustOpen(t, o)
		bound := max(limit, minDiskBytes)
		rnd := rand.New(rand.NewPCG(1, uint64(limit)))
		var appended int64
		last := make([]uint64, 3)
		for i := uint64(1); i <= 600; i++ {
			slot := rnd.IntN(3)
			put(t, q, slot, i, rnd.IntN(60<<10))
			appended += int64(i)
			if n := usageOf(t, dir); n > bound {
				t.Fatalf("limit %d: files have %d bytes, want at most %d", limit, n, bound)
			}
			if st := q.Stats(); st.Samples+lost.samples() != appended {
				t.Fatalf("limit %d: pending %d and lost %d of %d samples", limit, st.Samples, lost.samples(), appended)
			}
			if i%200 == 0 {
				kill(q)
				q = mustOpen(t, o)
			}
		}
		if n := sizeOf(t, dir); n < bound/2 {
			t.Errorf("limit %d: files have %d bytes, want more of what is allowed", limit, n)
		}
		for _, l := range lost.all {
			if l.Reason != Full || l.Oldest.IsZero() || l.Newest.Before(l.Oldest) {
				t.Fatalf("limit %d: loss %+v, want one of reason full, dated", limit, l)
			}
		}
		newest := uint64(0)
		for slot := range last {
			for _, n := range drain(t, q, slot) {
				if n <= last[slot] {
					t.Errorf("limit %d: block %d came after %d", limit, n, last[slot])
				}
				last[slot] = n
				newest = max(newest, n)
			}
		}
		if newest != 600 {
			t.Errorf("limit %d: the newest block is %d: the oldest should have gone", limit, newest)
		}
	}
}

func TestBlockLargerThanBound(t *testing.T) {
	q := mustOpen(t, Options{Dir: t.TempDir(), MaxDiskBytes: 1 << 20})
	put(t, q, 0, 1, 100)
	if _, err := q.Append(block(0, 1), make([]byte, 2<<20)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Append of 2 MiB = %v, want %v", err, ErrTooLarge)
	}
	put(t, q, 0, 3, 100)
	if _, err := q.Append(block(1, 1), make([]byte, 700<<10)); err != nil {
		t.Errorf("Append of 700 KiB = %v", err)
	}
}

// TestHandedOutSurvivesDrop drops the segment of a block which is being sent.
func TestHandedOutSurvivesDrop(t *testing.T) {
	var lost losses
	q := mustOpen(t, Options{Dir: t.TempDir(), OnLoss: lost.add, segmentBytes: minSegmentBytes})
	for i := uint64(1); i <= 8; i++ {
		put(t, q, 0, i, 20<<10)
	}
	r, _, _ := take(t, q, 0)
	if !q.DropOldest() {
		t.Fatal("DropOldest() = false")
	}
	if n := lost.blocks(Full); n == 0 || n+q.Stats().Blocks != 8 {
		t.Errorf("%d blocks lost and %d pending, want 8 together", n, q.Stats().Blocks)
	}
	before := q.Stats().Blocks
	ack(t, q, r)
	if got := q.Stats().Blocks; got != before-1 {
		t.Errorf("%d blocks pending after Ack, want %d", got, before-1)
	}
	drain(t, q, 0)
	if st := q.Stats(); st.Pending != (Pending{}) {
		t.Errorf("pending %+v at the end", st.Pending)
	}
}

func TestExpiry(t *testing.T) {
	var lost losses
	o := Options{Dir: t.TempDir(), OnLoss: lost.add, MaxBlockAge: time.Hour, segmentBytes: minSegmentBytes}
	q := mustOpen(t, o)
	old := func(age time.Duration, n int) {
		b := block(1, n)
		b.Created = time.Now().Add(-age)
		if _, err := q.Append(b, payload(uint64(n), 10<<10)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 12 {
		old(3*time.Hour, 100+i)
	}
	for i := range 3 {
		old(2*time.Hour, 200+i)
	}
	put(t, q, 1, 300, 100)
	if err := q.Maintain(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := lost.blocks(Expired); n == 0 || n == 15 {
		t.Errorf("%d blocks expired with their segment, want some", n)
	}
	if got := drain(t, q, 1); len(got) != 1 || got[0] != 300 {
		t.Errorf("drained %v, want 300 alone", got)
	}
	if n := lost.blocks(Expired); n != 15 {
		t.Errorf("%d blocks expired, want 15", n)
	}
	if st := q.Stats(); st.Pending != (Pending{}) {
		t.Errorf("pending %+v at the end", st.Pending)
	}
}

// TestOtherNumberOfSlots changes the number of slots while there is a backlog: what is old goes first, in its order.
func TestOtherNumberOfSlots(t *testing.T) {
	for _, slots := range []int{1, 2, 5} {
		dir := t.TempDir()
		q := mustOpen(t, Options{Dir: dir, Slots: 3, segmentBytes: minSegmentBytes})
		for i := uint64(1); i <= 30; i++ {
			put(t, q, int(i%3), i, 10<<10)
		}
		r, _, _ := take(t, q, 1)
		ack(t, q, r) // block 1
		kill(q)

		var lost losses
		q = mustOpen(t, Options{Dir: dir, Slots: slots, OnLoss: lost.add, segmentBytes: minSegmentBytes})
		for i := uint64(101); i <= 110; i++ {
			put(t, q, int(i)%slots, i, 100)
		}
		if slots > 1 {
			if r, ok := q.Next(1); ok {
				t.Fatalf("%d slots: Next(1) = %+v while older blocks are pending", slots, r)
			}
		}
		for want := uint64(2); want <= 30; want++ {
			if want == 15 { // and once more
				kill(q)
				q = mustOpen(t, Options{Dir: dir, Slots: slots, OnLoss: lost.add, segmentBytes: minSegmentBytes})
			}
			r, n, ok := take(t, q, 0)
			if !ok || n != want {
				t.Fatalf("%d slots: Next(0) has block %d, %t, want %d", slots, n, ok, want)
			}
			if _, ok := q.Next(0); ok {
				t.Fatalf("%d slots: two blocks are handed out", slots)
			}
			ack(t, q, r)
		}
		got := 0
		for slot := range slots {
			got += len(drain(t, q, slot))
		}
		if got != 10 || len(lost.all) != 0 {
			t.Errorf("%d slots: %d new blocks, want 10; lost %+v", slots, got, lost.all)
		}
	}
}

func TestLock(t *testing.T) {
	o := Options{Dir: t.TempDir(), Slots: 1}
	q := mustOpen(t, o)
	put(t, q, 0, 1, 10)
	if _, err := Open(o); !errors.Is(err, ErrLocked) {
		t.Fatalf("second Open = %v, want %v", err, ErrLocked)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if _, err := q.Append(block(0, 1), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close = %v, want %v", err, ErrClosed)
	}
	if got := drain(t, mustOpen(t, o), 0); len(got) != 1 {
		t.Errorf("drained %v, want one block", got)
	}
}

// oneBlock makes a queue with one block, and returns its directory and its options.
func oneBlock(t *testing.T) (dir string, o Options) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "q")
	o = Options{Dir: dir, Slots: 1}
	q := mustOpen(t, o)
	put(t, q, 0, 1, 10)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, o
}

// TestSetAside has starts which do not get as far as reading the backlog.
func TestSetAside(t *testing.T) {
	dir, o := oneBlock(t)
	for i := range maxStarts {
		q := mustOpen(t, o)
		if q.Found().SetAside != "" || q.Stats().Blocks != 1 {
			t.Fatalf("start %d: %+v, %+v, want the backlog", i, q.Found(), q.Stats())
		}
		kill(q)
		ageStarts(t, dir, 2*startGap)
	}
	q := mustOpen(t, o)
	aside := q.Found().SetAside
	if aside == "" || q.Stats().Blocks != 0 {
		t.Fatalf("Found() = %+v with %d blocks, want a new start", q.Found(), q.Stats().Blocks)
	}
	put(t, q, 0, 2, 10)
	if got := drain(t, q, 0); len(got) != 1 || got[0] != 2 {
		t.Errorf("drained %v, want 2", got)
	}
	if got := drain(t, mustOpen(t, Options{Dir: aside, Slots: 1}), 0); len(got) != 1 || got[0] != 1 {
		t.Errorf("drained %v of what was set aside, want 1", got)
	}
}

// TestQuickKills is killed many times within a moment of each start: that counts as one start, or else one each second.
func TestQuickKills(t *testing.T) {
	dir, o := oneBlock(t)
	for second := range maxStarts {
		for i := range 2 * maxStarts {
			q := mustOpen(t, o)
			if q.Found().SetAside != "" || q.Stats().Blocks != 1 {
				t.Fatalf("start %d of second %d: %+v, %+v, want the backlog", i, second, q.Found(), q.Stats())
			}
			kill(q)
			if i == 0 {
				ageStarts(t, dir, startGap/100)
			}
		}
		ageStarts(t, dir, startGap)
	}
	if q := mustOpen(t, o); q.Found().SetAside == "" {
		t.Errorf("Found() = %+v after %d seconds of kills, want it set aside", q.Found(), maxStarts)
	}
}

// TestUncountedStart: a start which is not counted leaves the marker as old as it is, or no start would be in a fast loop.
func TestUncountedStart(t *testing.T) {
	dir, o := oneBlock(t)
	kill(mustOpen(t, o))
	path := filepath.Join(dir, startsName)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	kill(mustOpen(t, o))
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) == startsText(1) && !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("the marker is %q, %v, of %v, and was of %v before", text, err, after.ModTime(), before.ModTime())
	}
}

// ageStarts makes the marker of starts as old as that.
func ageStarts(t *testing.T, dir string, age time.Duration) {
	t.Helper()
	at := time.Now().Add(-age)
	if err := os.Chtimes(filepath.Join(dir, startsName), at, at); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedStarts damages the marker of starts: nothing is set aside for that.
func TestDamagedStarts(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Slots: 1}
	q := mustOpen(t, o)
	put(t, q, 0, 1, 10)
	kill(q)
	path := filepath.Join(dir, startsName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	contents := []string{"", "9", "5\n", "999999999999999999999\n", "-1\n", strings.Repeat("\x00", 5000)}
	for bit := range 8 * len(good) {
		b := slices.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		contents = append(contents, string(b))
	}
	for _, c := range contents {
		if err := os.WriteFile(path, []byte(c), 0o600); err != nil {
			t.Fatal(err)
		}
		q := mustOpen(t, o)
		if q.Found().SetAside != "" || q.Stats().Blocks != 1 {
			t.Fatalf("after %q: %+v with %d blocks, want the backlog", c, q.Found(), q.Stats().Blocks)
		}
		kill(q)
	}
}

// TestForeignFiles opens a queue in a directory where others have put something, also under names which the queue would use
// next: it works, leaves them alone, and does not count them.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "precious")
	write := func(path string, size int) {
		t.Helper()
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(outside, 10)
	write(filepath.Join(dir, "core.1234"), 2<<20)
	write(filepath.Join(dir, "backup.tar.seg"), 10)
	for _, name := range []string{"0000000000000000.seg", "0000000000000001.seg", "lost+found", startsName, ackFileName} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "0000000000000000.seg", "file"), 10)
	if err := os.Symlink(outside, filepath.Join(dir, "0000000000000002.seg")); err != nil {
		t.Fatal(err)
	}
	var lost losses
	o := Options{Dir: dir, Slots: 2, MaxDiskBytes: 1 << 20, OnLoss: lost.add}
	q := mustOpen(t, o)
	for i := uint64(1); i <= 40; i++ {
		put(t, q, int(i%2), i, 10<<10)
	}
	kill(q)
	q = mustOpen(t, o)
	if got := len(drain(t, q, 0)) + len(drain(t, q, 1)); got != 40 || len(lost.all) != 0 {
		t.Errorf("%d blocks came and %+v was lost, want 40 and none", got, lost.all)
	}
	for _, path := range []string{outside, filepath.Join(dir, "core.1234"), filepath.Join(dir, "backup.tar.seg"), filepath.Join(dir, "0000000000000000.seg", "file"), filepath.Join(dir, "0000000000000002.seg")} {
		if info, err := os.Stat(path); err != nil || info.Size() != 10 && info.Size() != 2<<20 {
			t.Errorf("%s was touched: %v", path, err)
		}
	}
}

// TestDirectoryIsRemoved removes the directory under a queue: what it still has is handed out, and what comes afterwards
// outlives the process.
func TestDirectoryIsRemoved(t *testing.T) {
	for _, how := range []string{"removed", "renamed"} {
		dir := filepath.Join(t.TempDir(), "parent", "q")
		var lost losses
		o := Options{Dir: dir, Slots: 2, OnLoss: lost.add, segmentBytes: minSegmentBytes}
		q := mustOpen(t, o)
		for i := uint64(1); i <= 40; i++ {
			put(t, q, int(i%2), i, 10<<10)
		}
		if err := q.Sync(); err != nil { // which closes what is not written to
			t.Fatal(err)
		}
		if how == "renamed" {
			if err := os.Rename(filepath.Dir(dir), filepath.Dir(dir)+".old"); err != nil {
				t.Fatal(err)
			}
		} else if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := q.Maintain(time.Now()); err != nil {
				t.Fatalf("%s: Maintain() = %v", how, err)
			}
		}
		for i := uint64(41); i <= 60; i++ {
			put(t, q, int(i%2), i, 10<<10)
		}
		kept := mustOpen(t, Options{Dir: copyOf(t, dir), Slots: 2})
		if got := len(drain(t, kept, 0)) + len(drain(t, kept, 1)); got != 20 {
			t.Errorf("%s: %d blocks are in the new directory, want the 20 which came later", how, got)
		}
		got := append(drain(t, q, 0), drain(t, q, 1)...)
		if len(got)+lost.blocks(Damaged) != 60 || len(got) < 20 || !slices.Contains(got, 60) {
			t.Errorf("%s: %d blocks came and %d are lost, want 60 in all", how, len(got), lost.blocks(Damaged))
		}
		if st := q.Stats(); st.Pending != (Pending{}) {
			t.Errorf("%s: at the end %+v", how, st)
		}
		put(t, q, 0, 61, 10)
		kill(q)
		if got := drain(t, mustOpen(t, o), 0); fmt.Sprint(got) != "[61]" {
			t.Errorf("%s: after a kill there are %v, want the last one", how, got)
		}
	}
}

// copyOf is a copy of a directory.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestHealthyStarts is killed after each start, but not before the backlog was read: nothing is set aside.
func TestHealthyStarts(t *testing.T) {
	o := Options{Dir: t.TempDir(), Slots: 1}
	q := mustOpen(t, o)
	put(t, q, 0, 1, 10)
	kill(q)
	for range 3 * maxStarts {
		q := mustOpen(t, o)
		if _, n, ok := take(t, q, 0); !ok || n != 1 {
			t.Fatalf("block is %d, %t, want 1", n, ok)
		}
		kill(q)
	}
}

func TestOptions(t *testing.T) {
	f := func(o Options) {
		t.Helper()
		if _, err := Open(o); err == nil {
			t.Errorf("Open(%+v) took it", o)
		}
	}
	f(Options{Slots: 1})
	f(Options{Dir: t.TempDir()})
	f(Options{Dir: t.TempDir(), Slots: maxSlots + 1})
	f(Options{Dir: t.TempDir(), Slots: 1, MaxDiskBytes: -1})
	f(Options{Dir: t.TempDir(), Slots: 1, MaxBlockAge: -1})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(Options{Dir: filepath.Join(file, "q"), Slots: 1})
}
