package diskqueue

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// specimen is a small queue with all that a queue has: a segment which is sealed, with some blocks settled; one which is
// open, in a file that had another life; a file that waits for its next life; and payloads which hold records.
type specimen struct {
	fs      *memFS
	settled map[uint64]bool
	pending []specimenBlock // in their order
	checks  int
}

type specimenBlock struct {
	n          uint64
	slot       int
	path       string
	begin, end int64 // of the record in its file
}

const specimenSlots = 3

func (s *specimen) options(m *memFS) Options {
	return Options{Dir: "q", Slots: specimenSlots, fs: m, segmentBytes: pageBytes + 1600}
}

func newSpecimen(t *testing.T) *specimen {
	t.Helper()
	s := &specimen{fs: newMemFS(), settled: make(map[uint64]bool)}
	o := s.options(s.fs)
	q := mustOpen(t, o)
	number := uint64(0)
	add := func(slot int) {
		number++
		put(t, q, slot, number, 20+int(number)%37)
	}
	settle := func(slot int) {
		r, n, ok := take(t, q, slot)
		if !ok {
			t.Fatal("nothing to settle")
		}
		ack(t, q, r)
		s.settled[n] = true
	}
	// Former lives, all settled.
	for i := range 40 {
		add(i % specimenSlots)
		if i >= 4 {
			settle((i - 4) % specimenSlots)
		}
	}
	for i := 36; i < 40; i++ {
		settle(i % specimenSlots)
	}
	add(1)
	settle(1)
	// A payload which is a whole file of the queue, and one which is the open segment so far.
	for _, name := range s.fs.names() {
		if strings.HasSuffix(name, segmentExt) && len(s.fs.files[name].b) < 8<<10 {
			p := slices.Concat(s.fs.files[name].b[pageBytes:min(pageBytes+600, len(s.fs.files[name].b))], payload(1<<40, 0))
			if _, err := q.Append(block(0, 1), p); err != nil {
				t.Fatal(err)
			}
			settleRaw(t, q, 0)
			number++
			break
		}
	}
	for i := range 34 {
		add(i % specimenSlots)
	}
	for i := range 16 {
		settle(i % specimenSlots)
	}
	add(2)
	settle(2)
	add(1)
	kill(q)

	// Where everything is, and how often the files were used.
	q = mustOpen(t, s.options(s.fs.clone()))
	if len(q.segs) < 2 || len(q.spares) == 0 || q.open == nil || q.open.pending < 2 {
		t.Fatalf("the specimen has %d segments and %d spares, want more", len(q.segs), len(q.spares))
	}
	for slot := range specimenSlots {
		for {
			r, n, ok := take(t, q, slot)
			if !ok {
				break
			}
			s.pending = append(s.pending, specimenBlock{n, slot, r.seg.path, r.off - recHeaderBytes, r.off + int64(r.Bytes)})
			ack(t, q, r)
		}
	}
	if len(s.pending) < 8 {
		t.Fatalf("the specimen has %d blocks, want more", len(s.pending))
	}
	return s
}

// settleRaw settles a block whose payload is no numbered one.
func settleRaw(t testing.TB, q *Queue, slot int) {
	t.Helper()
	for {
		r, ok := q.Next(slot)
		if !ok {
			return
		}
		ack(t, q, r)
	}
}

// check opens a damaged copy, and wants all blocks but those which may be lost, in their order, none which was settled, and
// books that balance. What is appended after that must be there, too.
func (s *specimen) check(t *testing.T, m *memFS, what string, mayLose func(specimenBlock) bool) {
	t.Helper()
	var lost losses
	o := s.options(m)
	o.OnLoss = lost.add
	q, err := Open(o)
	if err != nil {
		t.Fatalf("%s: Open() = %v", what, err)
	}
	defer kill(q)
	atStart := q.Stats().Blocks
	got := 0
	for slot := range specimenSlots {
		var want []uint64
		must := make(map[uint64]bool)
		for _, b := range s.pending {
			if b.slot == slot {
				want = append(want, b.n)
				must[b.n] = !mayLose(b)
			}
		}
		for {
			r, ok := q.Next(slot)
			if !ok {
				break
			}
			b, err := q.Read(nil, r)
			n, good := numberOf(b)
			if err == nil {
				switch at := slices.Index(want, n); {
				case !good:
					t.Fatalf("%s: a block of slot %d is not what was appended", what, slot)
				case s.settled[n]:
					t.Fatalf("%s: block %d came back", what, n)
				case at < 0:
					t.Fatalf("%s: block %d came twice, or in another order", what, n)
				default:
					for _, n := range want[:at] {
						if must[n] {
							t.Fatalf("%s: block %d is missing", what, n)
						}
					}
					want = want[at+1:]
				}
			}
			got++
			ack(t, q, r)
		}
		for _, n := range want {
			if must[n] {
				t.Fatalf("%s: block %d is missing", what, n)
			}
		}
	}
	gone := 0
	for _, l := range lost.all {
		gone += l.Blocks
	}
	if st := q.Stats(); atStart != got+gone || st.Pending != (Pending{}) {
		t.Fatalf("%s: %d blocks at the start, %d given and %d lost; at the end %+v", what, atStart, got, gone, st.Pending)
	}
	if s.checks++; s.checks%8 != 0 && !*long {
		return
	}
	put(t, q, 1, 1000, 30)
	kill(q)
	if q, err = Open(s.options(m)); err != nil {
		t.Fatalf("%s: second Open() = %v", what, err)
	}
	defer kill(q)
	if got := drain(t, q, 1); fmt.Sprint(got) != "[1000]" {
		t.Fatalf("%s: later %v is there, want the block which was appended", what, got)
	}
}

// offsets are those of a file which are damaged: all of its last record and of its small parts, and a sample of the rest.
func (s *specimen) offsets(path string) (all []int64) {
	size := int64(len(s.fs.files[path].b))
	from := int64(0)
	for _, b := range s.pending {
		if b.path == path {
			from = max(from, b.begin)
		}
	}
	if size < 1000 {
		from = 0
	}
	if from == 0 && size >= 1000 {
		from = size - 400
	}
	step, head := int64(97), int64(9)
	if *long {
		step, head = 3, 1
	}
	for at := int64(0); at < size; at++ {
		if at >= from || at%step == 0 || at < 100 && at%head == 0 {
			all = append(all, at)
		}
	}
	return all
}

func TestDamage(t *testing.T) {
	s := newSpecimen(t)
	s.check(t, s.fs.clone(), "no damage", func(specimenBlock) bool { return false })
	rnd := rand.New(rand.NewPCG(1, 2))
	cases := 0
	for _, path := range s.fs.names() {
		size := int64(len(s.fs.files[path].b))
		for _, at := range s.offsets(path) {
			overlaps := func(from, to int64) func(specimenBlock) bool {
				return func(b specimenBlock) bool { return b.path == path && b.begin < to && from < b.end }
			}
			try := func(what string, damage func(b []byte) []byte, mayLose func(specimenBlock) bool) {
				cases++
				m := s.fs.clone()
				m.files[path].b = damage(m.files[path].b)
				s.check(t, m, fmt.Sprintf("%s of %s at %d of %d", what, path, at, size), mayLose)
			}
			try("flip", func(b []byte) []byte { b[at] ^= 1 << rnd.IntN(8); return b }, overlaps(at, at+1))
			try("truncate", func(b []byte) []byte { return b[:at] }, overlaps(at, size+1))
			for _, n := range []int64{16, 1, 700} {
				if n != 16 && at%8 != 0 && !*long {
					continue
				}
				try("zero", func(b []byte) []byte { clear(b[at:min(size, at+n)]); return b }, overlaps(at, at+n))
				if at >= n {
					// A copy of what is before is put in: all that follows is somewhere else.
					try("double", func(b []byte) []byte { return slices.Concat(b[:at], b[at-n:at], b[at:]) }, overlaps(at, at+1))
				}
			}
			try("duplicate at the end", func(b []byte) []byte { return append(b, b[at:]...) }, func(specimenBlock) bool { return false })
			try("cut out", func(b []byte) []byte { return slices.Concat(b[:at], b[min(size, at+5):]) }, overlaps(at, at+5))
		}
	}
	t.Logf("%d cases", cases)
}

// TestCopiedSegment puts copies of a queue's files beside them, under names before and behind theirs.
func TestCopiedSegment(t *testing.T) {
	s := newSpecimen(t)
	for _, path := range s.fs.names() {
		if !strings.HasSuffix(path, segmentExt) {
			continue
		}
		for _, to := range []string{"q/000000000000000.seg", "q/0fffffffffffffff.seg"} {
			m := s.fs.clone()
			m.files[to] = &memData{b: bytes.Clone(m.files[path].b)}
			s.check(t, m, "copy of "+path+" to "+to, func(specimenBlock) bool { return false })
		}
	}
}

// TestDamagedWhileOpen damages the files of a queue which is in use.
func TestDamagedWhileOpen(t *testing.T) {
	for _, what := range []string{"remove", "truncate", "zero"} {
		m := newMemFS()
		var lost losses
		q := mustOpen(t, Options{Dir: "q", Slots: 2, fs: m, OnLoss: lost.add, segmentBytes: minSegmentBytes})
		for i := uint64(1); i <= 60; i++ {
			put(t, q, int(i%2), i, 10<<10)
		}
		if err := q.Sync(); err != nil {
			t.Fatal(err)
		}
		victim := q.segs[3]
		gone := victim.pending
		switch what {
		case "remove":
			delete(m.files, victim.path)
		case "truncate":
			m.files[victim.path].b = m.files[victim.path].b[:10]
		case "zero":
			clear(m.files[victim.path].b)
		}
		if victim.f != nil {
			t.Fatal("the segment's file is open")
		}
		got := len(drain(t, q, 0)) + len(drain(t, q, 1))
		if got != 60-gone || lost.blocks(Damaged) != gone {
			t.Errorf("%s: %d blocks came and %d were lost, want %d and %d", what, got, lost.blocks(Damaged), 60-gone, gone)
		}
		if st := q.Stats(); st.Pending != (Pending{}) {
			t.Errorf("%s: at the end %+v", what, st.Pending)
		}
	}
}

// TestNoRecordOfAFormerLife writes lives of a file over each other, whose records lie at the same places, and dies at each.
func TestNoRecordOfAFormerLife(t *testing.T) {
	m := newMemFS()
	o := Options{Dir: "q", Slots: 1, fs: m}
	q := mustOpen(t, o)
	for i := uint64(1); i <= 60; i++ {
		put(t, q, 0, i, 9<<10)
		// Dead now: the block is there and nothing else.
		c := o
		c.fs = m.clone()
		if got := drain(t, mustOpen(t, c), 0); fmt.Sprint(got) != fmt.Sprint([]uint64{i}) {
			t.Fatalf("after block %d there are %v", i, got)
		}
		r, _, _ := take(t, q, 0)
		ack(t, q, r)
		c.fs = m.clone()
		if got := drain(t, mustOpen(t, c), 0); len(got) != 0 {
			t.Fatalf("after block %d was settled there are %v", i, got)
		}
	}
	if q.nextNum != 1 {
		t.Errorf("%d files were made, want one", q.nextNum)
	}
}

// TestTornAppend dies after each number of bytes which an Append writes.
func TestTornAppend(t *testing.T) {
	m := newMemFS()
	o := Options{Dir: "q", Slots: 1, fs: m}
	q := mustOpen(t, o)
	put(t, q, 0, 1, 100)
	put(t, q, 0, 2, 100)
	const size = 100 + 8
	path, end := q.open.path, q.open.end
	before := m.clone()
	put(t, q, 0, 3, 100)
	after := m.files[path].b
	for n := range int64(len(after)) - end {
		c := o
		mem := before.clone()
		// The payload is written first, then the header.
		b := bytes.Clone(after)
		if n <= size {
			b = b[:end+recHeaderBytes+n]
			clear(b[end : end+recHeaderBytes])
		} else {
			clear(b[end+n-size : end+recHeaderBytes])
		}
		mem.files[path].b = b
		c.fs = mem
		q := mustOpen(t, c)
		if got := drain(t, q, 0); fmt.Sprint(got) != "[1 2]" {
			t.Fatalf("after %d bytes there are %v", n, got)
		}
		if f := q.Found(); f.Damaged != 0 {
			t.Fatalf("after %d bytes Found() = %+v", n, f)
		}
		put(t, q, 0, 4, 100)
		kill(q)
		if got := drain(t, mustOpen(t, c), 0); fmt.Sprint(got) != "[4]" {
			t.Fatalf("after %d bytes and another block there are %v", n, got)
		}
	}
}
