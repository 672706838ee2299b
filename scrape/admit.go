package scrape

import (
	"fmt"
	"io"
	"time"

	"scraper/memlimit"
)

const (
	// firstBytes is what a scrape reserves whose cost is not known.
	firstBytes = 256 << 10
	// parkedBytes is what a scrape keeps of its reservation while the target keeps it waiting.
	parkedBytes = 4 << 10
	// growBytes is the step in which a reservation grows: a chunk of a batch.
	growBytes = 64 << 10

	// hopeless is how many times what there could ever be a scrape must be going to take to be given up while it could go on:
	// what is learnt may be at the body's beginning.
	hopeless = 3

	windowBytes  = 64 << 10 // of the parser, but for a long line
	scratchBytes = 12 << 10 // stack, request, read buffer
)

// cost is what a scrape of a target takes. It is known after the first good one, or one that failed for it.
type cost struct {
	kept    int64 // by the target's table, and by its labels in the dictionary
	labels  int64 // of that, by the labels
	passing int64 // until the scrape is over
	series  int64 // for which kept was measured; 0 if it is an estimate
}

// scaled is what so many series of the same target would keep, at most as much as the given estimate.
func (c cost) scaled(series, estimate int64) cost {
	if c.series == 0 {
		return cost{kept: estimate}
	}
	part := float64(series) / float64(c.series)
	if kept := int64(part * float64(c.kept)); kept < estimate {
		return cost{kept: kept, labels: int64(part * float64(c.labels)), series: series}
	}
	return cost{kept: estimate}
}

func (c cost) total() int64 { return c.kept + c.passing }

// passingOf is what reading so much of a body takes, beside the samples: the window, what is in the socket, and what its
// decoder takes, if it has one.
func passingOf(bodyBytes, decoder int64) int64 {
	return scratchBytes + min(bodyBytes, windowBytes) + min(bodyBytes, receiveBufferBytes) + decoder
}

// ShortError says that a scrape needed more memory than there was to be had.
type ShortError struct {
	Bytes int64
	whole cost // about what it would have taken to its end
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("memory limit: the scrape needs more than %d bytes, which are not free; a higher -memory.limit, or limit of the container, would allow it", e.Bytes)
}

// HeldError is the reason of a scrape which was skipped because memory is short.
type HeldError struct{ Reason SkipReason }

func (e *HeldError) Error() string { return e.Reason.String() }

// admitted is a target which got the memory that it waited for.
type admitted struct {
	t *target
	g *memlimit.Grant
}

// reserve is what the next scrape of t asks for.
func (t *target) reserve() int64 {
	switch {
	case t.letIn > 0:
		return t.letIn
	case t.wants > 0:
		return t.wants
	case t.cost.passing > 0:
		return t.cost.passing
	}
	return firstBytes
}

// askLocked starts the scrape of t once there is memory for it. It waits in the order of who asked first, without a
// goroutine, over its next turns if need be.
func (m *Manager) askLocked(t *target, due time.Time) {
	since := t.askedSince
	if since.IsZero() {
		since = time.Now()
	}
	if t.letIn > 0 {
		since = t.heldSince // it has waited for long
	}
	g, r := m.opts.Memory.Admission().Ask(t.reserve(), since, func(g *memlimit.Grant) {
		m.admittedMu.Lock()
		m.admitted = append(m.admitted, admitted{t, g})
		m.admittedMu.Unlock()
		m.wakeUp()
	})
	if r != nil {
		t.asked, t.askedSince, t.askedDue = r, since, due
		return
	}
	t.askedSince = time.Time{}
	m.startLocked(t, due, g)
}

// startAdmittedLocked starts the scrapes which got what they waited for.
func (m *Manager) startAdmittedLocked() {
	m.admittedMu.Lock()
	all := m.admitted
	m.admitted = nil
	m.admittedMu.Unlock()
	for _, a := range all {
		t := a.t
		t.asked = nil
		switch {
		case t.removed || m.stopping || t.held.Reason != SkipNone:
			a.g.Release(0)
		case t.life != nil: // it is just being told that it waits
			t.grant, t.waiting = a.g, t.askedDue
		default:
			t.askedSince = time.Time{}
			m.startLocked(t, t.askedDue, a.g)
		}
	}
}

// withdrawLocked takes back what t asked for, and what it got and did not use.
func (m *Manager) withdrawLocked(t *target) {
	if t.asked != nil && t.asked.Cancel() {
		t.asked = nil
	}
	t.askedSince = time.Time{}
	t.grant.Release(0)
	t.grant = nil
}

// park gives the reservation back while the target keeps the scrape waiting, so that targets which do not answer take
// nothing from those which do.
func (tn *turn) park() {
	if tn.grant != nil && !tn.parked {
		tn.reserved, tn.parked = tn.grant.Bytes(), true
		tn.grant.Park(parkedBytes)
	}
}

// unpark asks for the reservation again. It returns false if the scrape has to wait for it: then advance is called later.
// What it holds meanwhile is a request and what the kernel took of the answer, so this is no waiting for each other.
func (m *Manager) unpark(tn *turn) bool {
	if !tn.parked {
		return true
	}
	tn.parked = false
	if tn.life.Err() != nil { // it only has to end
		return true
	}
	former := tn.grant
	g, r := m.opts.Memory.Admission().Ask(tn.reserved, tn.start, func(g *memlimit.Grant) {
		tn.grant = g
		go m.resume(tn, former)
	})
	if r == nil {
		former.Release(0)
		tn.grant = g
		return true
	}
	tn.life.AfterFunc(func() {
		if r.Cancel() {
			tn.grant, tn.starved = former, true
			go m.advance(tn)
		}
	})
	return false
}

func (m *Manager) resume(tn *turn, former *memlimit.Grant) {
	former.Release(0)
	m.advance(tn)
}

// metered reads a body, and looks after each piece of it whether what was read so far fits the scrape's reservation, or
// that can grow. So nothing is counted per sample.
type metered struct {
	r      io.Reader
	m      *Manager
	tn     *turn
	read   *reading
	thawed bool // new series are learnt though memory is high
	// table and labels are what the target's table and labels took before.
	table, labels int64
	// size is the body's, decompressed, as far as that is known; 0 if it is not.
	size func() int64
}

// thaws lets a target learn new series though memory is high, if it is a known one which would lose what it has without
// them, and memory is not nearly critical.
func (x *metered) thaws() bool {
	x.read.thaws = nil
	mem := x.m.opts.Memory
	x.thawed = x.read.tab.base > 0 && mem.Room()-mem.Admission().Stats().Granted > int64(2*letInTo*float64(mem.Limit()))
	return x.thawed
}

func (x *metered) Read(p []byte) (int, error) {
	if err := x.afford(0); err != nil {
		return 0, err
	}
	return x.r.Read(p)
}

// afford asks for what the scrape takes by now, and so many bytes more.
func (x *metered) afford(more int64) error {
	r := x.read
	r.frozen = x.m.opts.Memory.Level() >= memlimit.High && !x.tn.letIn && !x.thawed
	if x.tn.grant == nil {
		return nil
	}
	labels := max(0, r.tab.sets.LabelBytes()-x.labels)
	if r.families != nil {
		labels += r.families.growth()
	}
	samples := r.b.Bytes()
	learnt := labels + max(0, r.tab.bytes()-x.table) + more
	long := max(0, r.p.WindowBytes()-windowBytes) // for a line, before it is read
	need := passingOf(r.p.Bytes(), x.tn.packed) + long + samples + learnt
	if long > 0 || r.tab.base > 0 && learnt > 0 {
		x.tn.churned = max(x.tn.churned, need)
	}
	if r.tab.base == 0 && learnt > aheadBytes {
		if whole := x.whole(learnt, samples); !x.m.opts.Memory.Admission().Fits(whole.total() / hopeless) {
			return &ShortError{need, whole}
		}
	}
	x.tn.slow.needs(need)
	if need > x.tn.grant.Bytes() {
		need = (need/growBytes + 1) * growBytes
	}
	visible := samples + labels + min(r.p.Bytes(), windowBytes) + long + x.tn.packed // what accounts show: buffers, the dictionary, decoders
	if !x.tn.grant.Grow(need, visible) {
		return &ShortError{need, x.whole(learnt, samples)}
	}
	return nil
}

// whole is about what the scrape will have taken in the end, given what it took for what was learnt and for the samples of
// the part of the body that was read.
func (x *metered) whole(learnt, samples int64) cost {
	read, size := max(x.read.p.Bytes(), 1), x.size()
	if size == 0 { // it may be over, or go on for ever
		size = 2 * read
	}
	ratio := max(1, float64(size)/float64(read))
	samples = max(samples, x.m.spool.MemoryOf(int64(ratio*float64(samples))))
	return cost{kept: int64(ratio * float64(learnt)), passing: passingOf(size, x.tn.packed) + samples}
}
