//go:build race || bufcheck

package bufpool

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Checked says whether this build finds misuse of buffers, at a cost.
//
// In a checked build Get fills a buffer with 0xA5, so that nobody takes what was in it for his own. Release fills it with
// 0xDB, and once more from a goroutine of its own: nothing orders that write before a late read or write by anybody, so
// the race detector reports those. The memory then waits in a quarantine, and must still be all 0xDB when it leaves it,
// which finds late writers without the race detector, too. Memory which is released under two handles, and a B which
// lost its front, panic at once. Each buffer knows the stacks of its Get and of its Release.
const Checked = true

const (
	fillGet     = 0xA5
	fillRelease = 0xDB

	// The quarantine is bounded by number, so that late writers are found while the test still runs, and by bytes, so
	// that tests with large buffers measure more than the quarantine.
	maxQuarantine      = 256
	maxQuarantineBytes = 16 << 20

	maxFrames = 16
)

// poolCheck is what a checked pool knows beyond an unchecked one.
type poolCheck struct {
	mu         sync.Mutex
	holders    map[*Buf]struct{}
	quarantine []*condemned       // oldest first
	bytes      int                // in quarantine
	inside     map[*byte]struct{} // the first byte of each memory which is in it, or about to be
}

// bufCheck is what a checked buffer knows beyond an unchecked one.
type bufCheck struct {
	got, released *stack
	first, last   *byte // of the memory which the pool handed out
}

// condemned is memory which was released and must not change until it leaves the quarantine.
type condemned struct {
	mem    []byte // up to its capacity
	filled sync.Mutex
	check  bufCheck
}

func (p *Pool) checkGet(b *Buf) {
	b.check.got = callers()
	b.checkMoved()
	c := &p.check
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holders == nil {
		c.holders = make(map[*Buf]struct{})
	}
	c.holders[b] = struct{}{}
}

// checkMoved readies b for the memory that it holds now.
func (b *Buf) checkMoved() {
	b.check.first, b.check.last = ends(b.B)
	fill(b.B[:cap(b.B)], fillGet)
}

// retire ends the use of b's memory, which goes through the quarantine before it is kept.
func (p *Pool) retire(b *Buf, mem []byte) {
	b.check.released = callers()
	mem = mem[:cap(mem)]
	first, last := ends(mem)
	if last != nil && last == b.check.last && first != b.check.first {
		panic("bufpool: Release of a buffer whose B lost its front" + b.checkHistory())
	}
	p.put(b.class, b.bytes, nil)

	c := &p.check
	c.mu.Lock()
	delete(c.holders, b)
	if first == nil {
		c.mu.Unlock()
		return
	}
	if _, ok := c.inside[first]; ok {
		c.mu.Unlock()
		panic("bufpool: Release of memory which another Buf released before" + b.checkHistory())
	}
	if c.inside == nil {
		c.inside = make(map[*byte]struct{})
	}
	c.inside[first] = struct{}{}
	c.mu.Unlock()

	fill(mem, fillRelease)
	e := &condemned{mem: mem, check: b.check}
	// A mutex and not a channel: memory may be released in one synctest bubble and leave the quarantine in another.
	e.filled.Lock()
	go func() {
		defer e.filled.Unlock()
		fill(mem, fillRelease)
	}()

	c.mu.Lock()
	c.quarantine = append(c.quarantine, e)
	c.bytes += len(mem)
	out := c.leaveLocked(maxQuarantine, maxQuarantineBytes)
	c.mu.Unlock()
	p.acquit(out)
}

// leaveLocked takes the oldest entries out of the quarantine until it is within its limits.
func (c *poolCheck) leaveLocked(maxEntries, maxBytes int) []*condemned {
	n := 0
	for ; len(c.quarantine)-n > maxEntries || c.bytes > maxBytes; n++ {
		e := c.quarantine[n]
		c.bytes -= len(e.mem)
		delete(c.inside, &e.mem[0])
	}
	out := slices.Clone(c.quarantine[:n])
	c.quarantine = slices.Delete(c.quarantine, 0, n)
	return out
}

// acquit checks what left the quarantine, and keeps it.
func (p *Pool) acquit(out []*condemned) {
	for _, e := range out {
		e.filled.Lock() // joins the goroutine of Release
		if i := firstOther(e.mem, fillRelease); i >= 0 {
			b := Buf{check: e.check}
			panic(fmt.Sprintf("bufpool: byte %d of a buffer of %d was changed to %#02x after its Release%s",
				i, len(e.mem), e.mem[i], b.checkHistory()))
		}
		if to := p.floor(len(e.mem)); to != nil {
			to.mu.Lock()
			to.pushLocked(p, e.mem)
			to.mu.Unlock()
		}
	}
}

// checkFlush empties the quarantine.
func (p *Pool) checkFlush() {
	p.check.mu.Lock()
	out := p.check.leaveLocked(0, 0)
	p.check.mu.Unlock()
	p.acquit(out)
}

// checkHistory says who got and who released b.
func (b *Buf) checkHistory() string {
	var s strings.Builder
	if b.check.got != nil {
		fmt.Fprintf(&s, "\n\ngot by:\n%s", b.check.got)
	}
	if b.check.released != nil {
		fmt.Fprintf(&s, "\nfirst released by:\n%s", b.check.released)
	}
	return s.String()
}

// Holders returns, in checked builds, the stack of the Get of each buffer which was not released yet.
func (p *Pool) Holders() []string {
	p.check.mu.Lock()
	defer p.check.mu.Unlock()
	var s []string
	for b := range p.check.holders {
		s = append(s, b.check.got.String())
	}
	return s
}

// stack is the calls which led to a use of the pool.
type stack struct {
	pcs [maxFrames]uintptr
	n   int
}

func callers() *stack {
	var s stack
	s.n = runtime.Callers(3, s.pcs[:])
	return &s
}

func (s *stack) String() string {
	var b strings.Builder
	frames := runtime.CallersFrames(s.pcs[:s.n])
	for {
		f, more := frames.Next()
		if f.Function != "" {
			fmt.Fprintf(&b, "\t%s\n\t\t%s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}

// ends returns the first and the last byte of b's memory, or nil where it has none.
func ends(b []byte) (first, last *byte) {
	if cap(b) == 0 {
		return nil, nil
	}
	b = b[:cap(b)]
	return &b[0], &b[len(b)-1]
}

// fill sets all of b to v; by doubling copies, which the race detector sees as a few writes of ranges.
func fill(b []byte, v byte) {
	if len(b) == 0 {
		return
	}
	b[0] = v
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// firstOther returns the index of the first byte of b which is not v, or -1.
func firstOther(b []byte, v byte) int {
	if bytes.Count(b, []byte{v}) == len(b) {
		return -1
	}
	for i := range b {
		if b[i] != v {
			return i
		}
	}
	return -1
}
