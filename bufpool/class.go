package bufpool

import (
	"slices"
	"sync"
)

// class is the idle buffers of one size, and the counts of those in use.
//
// The idle buffers are a stack: Get takes the one released last, whose memory is warm. So the lowest height of the stack
// during a window is the number of buffers at its bottom which nobody touched.
//
//	0 ≤ low ≤ len(idle) ≤ high
type class struct {
	bytes int // the capacity that each idle buffer has at least; 0 for the class of what is too large for one

	mu   sync.Mutex
	idle [][]byte // each of length 0; nil beyond len, so that nothing is retained

	low, high         int // the smallest and largest len(idle) since this window began
	prevLow, prevHigh int // of the window before, less what was dropped since

	inUse      int
	inUseBytes int64
	idleBytes  int64

	gets, misses              uint64
	shrunkBytes, refusedBytes uint64
}

// take returns an idle buffer, or a new one.
func (c *class) take(p *Pool) []byte {
	c.mu.Lock()
	n := len(c.idle) - 1
	if n < 0 {
		c.mu.Unlock()
		return c.alloc(c.bytes)
	}
	mem := c.idle[n]
	c.idle[n] = nil
	c.idle = c.idle[:n]
	c.low = min(c.low, n)
	c.idleBytes -= int64(cap(mem))
	c.gets++
	c.inUse++
	c.inUseBytes += int64(cap(mem))
	c.mu.Unlock()
	p.idleBytes.Add(-int64(cap(mem)))
	return mem
}

// alloc returns a new buffer of n bytes. It allocates without the lock.
func (c *class) alloc(n int) []byte {
	mem := make([]byte, 0, n)
	c.mu.Lock()
	c.low = 0
	c.gets++
	c.misses++
	c.inUse++
	c.inUseBytes += int64(cap(mem))
	c.mu.Unlock()
	return mem
}

// pushLocked keeps mem, if the pool's idle budget has room for it.
func (c *class) pushLocked(p *Pool, mem []byte) {
	if !p.reserveIdle(cap(mem)) {
		c.refusedBytes += uint64(cap(mem))
		return
	}
	c.idle = append(c.idle, mem[:0])
	c.high = max(c.high, len(c.idle))
	c.idleBytes += int64(cap(mem))
}

// trim ends a window and drops what lay idle through it and the one before.
//
// The slack is the hysteresis. In steady use the height of the stack swings, and the largest swing is not met in every
// two windows: what is missing to it would be dropped now and allocated again soon. So half of a swing more than was
// needed is kept, and one buffer. A class which was not used at all has no swing, and keeps nothing.
func (c *class) trim(p *Pool) (freed int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	unused := min(c.low, c.prevLow)
	slack := 0
	if swing := max(c.high-c.low, c.prevHigh-c.prevLow); swing > 0 {
		slack = 1 + swing/2
	}
	drop := max(0, unused-slack)
	if drop > 0 {
		freed = c.dropLocked(p, drop)
	}
	c.prevLow, c.prevHigh = c.low-drop, c.high-drop
	c.low, c.high = len(c.idle), len(c.idle)
	return freed
}

// shrink drops all idle buffers and begins a new window.
func (c *class) shrink(p *Pool) (freed int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	freed = c.dropLocked(p, len(c.idle))
	c.low, c.high, c.prevLow, c.prevHigh = 0, 0, 0, 0
	return freed
}

// dropLocked lets go of the n idle buffers which were not used for the longest time.
func (c *class) dropLocked(p *Pool, n int) (freed int64) {
	for _, mem := range c.idle[:n] {
		freed += int64(cap(mem))
	}
	c.idle = slices.Delete(c.idle, 0, n) // clears the tail
	if cap(c.idle) > 16 && cap(c.idle) > 4*len(c.idle) {
		c.idle = slices.Clone(c.idle) // let go of a large stack, too
	}
	c.idleBytes -= freed
	c.shrunkBytes += uint64(freed)
	p.idleBytes.Add(-freed)
	return freed
}
