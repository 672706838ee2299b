// Package bufpool is a pool of byte buffers in size classes, bounded in bytes, which gives memory back when it lies idle.
//
// Get hands out an empty buffer with at least the asked capacity, from the smallest class that has it; Release files the
// memory under the largest class that it fills. Classes are powers of two. What is larger than the largest class is
// allocated, counted and never kept. What lies idle is bounded for all classes together, and what lay idle for long
// goes: see Trim. Shrink lets go of everything at once. Unlike sync.Pool it can be asked what it holds: see Stats.
//
// It does not know who uses it, and starts no goroutine: the owner of a Pool calls Run, or Trim on its own schedule.
//
// Concurrency: a Pool is for any number of goroutines. A Buf has one owner at a time, except that a buffer whose content
// is final may be shared for reading: Ref adds a holder, and the last Release takes the buffer back.
//
// Ownership: Get returns ownership of a Buf, Release takes it back. Ownership moves only as a *Buf; a plain []byte is
// always borrowed from the holder of its Buf. Memory is recycled, handles are not: each Get makes a fresh small Buf, so
// that a second Release is always detected, and panics. Builds with -race or -tags bufcheck detect more: who reads or
// writes a buffer after its Release, and who did not release one; see check_on.go.
//
// Read this file first, then buf.go (what a holder may do) and class.go (what is kept, and for how long).
package bufpool

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// defaultMinClassBytes: below it the allocator is as fast as a locked free list, and a handle of 64 bytes per Get
	// weighs too much; above it the many small first chunks and lines would waste most of what they take.
	defaultMinClassBytes = 512
	// defaultMaxClassBytes: the longest accepted line is 1 MiB by default, and takes a buffer of the next class with its
	// newline and what follows in the same read. Larger classes would let one rare buffer fill the idle budget.
	defaultMaxClassBytes = 2 << 20
	// defaultMaxIdleBytes covers what a few workers, and the batches and blocks of one flush, put back between two
	// bursts of work. It is what an idle agent may hold more than it needs, for as long as two windows.
	defaultMaxIdleBytes = 8 << 20
	// defaultIdleWindow: a buffer goes after two windows without use, so that a target with the customary interval of
	// 15 s still finds its own; and after three at most, so that memory is back within a minute of a burst.
	defaultIdleWindow = 10 * time.Second

	maxClassBytesLimit = 1 << 30
)

// Options are the settings of a Pool. The zero value means the defaults.
type Options struct {
	// MinClassBytes and MaxClassBytes are the smallest and the largest size class, powers of two.
	// Defaults: 512 bytes and 2 MiB.
	MinClassBytes int
	MaxClassBytes int
	// MaxIdleBytes bounds the memory which lies idle, in all classes together. What is released beyond it goes to the
	// garbage collector. Default: 8 MiB. Negative: nothing is kept.
	MaxIdleBytes int64
	// IdleWindow is the interval at which Run calls Trim. Default: 10 s.
	IdleWindow time.Duration
}

func (o Options) withDefaults() Options {
	if o.MinClassBytes == 0 {
		o.MinClassBytes = defaultMinClassBytes
		if o.MaxClassBytes > 0 {
			o.MinClassBytes = min(o.MinClassBytes, o.MaxClassBytes)
		}
	}
	if o.MaxClassBytes == 0 {
		o.MaxClassBytes = max(defaultMaxClassBytes, o.MinClassBytes)
	}
	if o.MaxIdleBytes == 0 {
		o.MaxIdleBytes = defaultMaxIdleBytes
	}
	if o.IdleWindow == 0 {
		o.IdleWindow = defaultIdleWindow
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	for _, c := range []struct {
		name  string
		bytes int
	}{{"MinClassBytes", o.MinClassBytes}, {"MaxClassBytes", o.MaxClassBytes}} {
		if c.bytes < 1 || c.bytes > maxClassBytesLimit || c.bytes&(c.bytes-1) != 0 {
			errs = append(errs, fmt.Errorf("%s is %d, want a power of two from 1 to %d", c.name, c.bytes, maxClassBytesLimit))
		}
	}
	if o.MaxClassBytes < o.MinClassBytes {
		errs = append(errs, fmt.Errorf("MaxClassBytes is %d, want at least MinClassBytes, %d", o.MaxClassBytes, o.MinClassBytes))
	}
	if o.IdleWindow < 0 {
		errs = append(errs, fmt.Errorf("IdleWindow is %v, want a positive duration", o.IdleWindow))
	}
	return errors.Join(errs...)
}

// Pool is a set of free buffers by size class. Use New; a zero Pool works, but keeps nothing.
type Pool struct {
	// Immutable after New.
	minShift   int // log2 of the smallest class
	classes    []class
	idleWindow time.Duration

	maxIdleBytes atomic.Int64

	over      class        // counts what is larger than the largest class; never keeps anything
	idleBytes atomic.Int64 // in all classes; never above maxIdleBytes
	//lint:ignore U1000 used in checked builds
	check poolCheck
}

// New returns an empty pool.
func New(opts Options) (*Pool, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("bufpool: %w", err)
	}
	minShift := bits.TrailingZeros(uint(opts.MinClassBytes))
	maxShift := bits.TrailingZeros(uint(opts.MaxClassBytes))
	p := &Pool{
		minShift:   minShift,
		classes:    make([]class, maxShift-minShift+1),
		idleWindow: opts.IdleWindow,
	}
	p.maxIdleBytes.Store(opts.MaxIdleBytes)
	for i := range p.classes {
		p.classes[i].bytes = 1 << (minShift + i)
	}
	return p, nil
}

// Get returns ownership of an empty buffer whose capacity is at least n bytes. Its content up to the capacity is
// undefined. The caller releases it exactly once.
func (p *Pool) Get(n int) *Buf {
	if n < 0 {
		panic(fmt.Sprintf("bufpool: Get(%d)", n))
	}
	mem, c := p.take(n)
	b := &Buf{B: mem, pool: p, class: c, bytes: cap(mem)}
	b.refs.Store(1)
	p.checkGet(b)
	return b
}

// take returns memory of length 0 and capacity n or more, and the class that counts it until put.
func (p *Pool) take(n int) ([]byte, *class) {
	if c := p.ceil(n); c != nil {
		return c.take(p), c
	}
	return p.over.alloc(n), &p.over
}

// put ends the use of memory which take counted in from with the given bytes, and keeps mem if it is worth keeping. Mem
// is nil, or what became of the memory in its user's hands: it may have another size.
func (p *Pool) put(from *class, bytes int, mem []byte) {
	to := p.floor(cap(mem))
	from.mu.Lock()
	from.inUse--
	from.inUseBytes -= int64(bytes)
	if to == from {
		to.pushLocked(p, mem)
	}
	from.mu.Unlock()
	if to != nil && to != from {
		to.mu.Lock()
		to.pushLocked(p, mem)
		to.mu.Unlock()
	}
}

// ceil is the smallest class whose buffers hold n bytes, or nil.
func (p *Pool) ceil(n int) *class {
	i := max(0, bits.Len(uint(max(n, 1)-1))-p.minShift)
	if i >= len(p.classes) {
		return nil
	}
	return &p.classes[i]
}

// floor is the largest class which a capacity of n bytes fills, or nil where memory of that capacity is not kept.
func (p *Pool) floor(n int) *class {
	i := bits.Len(uint(n)) - 1 - p.minShift
	if i < 0 || i >= len(p.classes) || n > p.classes[len(p.classes)-1].bytes {
		return nil
	}
	return &p.classes[i]
}

// reserveIdle takes n bytes of the idle budget, and reports whether there were as many left.
func (p *Pool) reserveIdle(n int) bool {
	for {
		have := p.idleBytes.Load()
		if have+int64(n) > p.maxIdleBytes.Load() {
			return false
		}
		if p.idleBytes.CompareAndSwap(have, have+int64(n)) {
			return true
		}
	}
}

// SetMaxIdleBytes changes Options.MaxIdleBytes, from now on. Where more is idle, all of that goes at once.
func (p *Pool) SetMaxIdleBytes(n int64) {
	most := Options{MaxIdleBytes: n}.withDefaults().MaxIdleBytes
	p.maxIdleBytes.Store(most)
	if p.idleBytes.Load() > max(0, most) {
		p.Shrink()
	}
}

// Trim ends an idle window: it drops the buffers which lay idle through all of it and of the one before, less a slack.
// Thereby a pool in steady use, whose peaks come at least every second window, is not trimmed at all; what a burst left
// is gone within three windows. It returns the bytes dropped.
func (p *Pool) Trim() (freed int64) {
	for i := range p.classes {
		freed += p.classes[i].trim(p)
	}
	return freed
}

// Shrink drops every idle buffer at once, for when memory is short. It returns the bytes dropped.
func (p *Pool) Shrink() (freed int64) {
	p.checkFlush()
	for i := range p.classes {
		freed += p.classes[i].shrink(p)
	}
	return freed
}

// Run calls Trim at the end of each idle window until ctx is done. It returns nil. The pool may be used before, during
// and after it.
func (p *Pool) Run(ctx context.Context) error {
	window := p.idleWindow
	if window <= 0 { // a zero Pool keeps nothing
		<-ctx.Done()
		return nil
	}
	t := time.NewTicker(window)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			p.Trim()
		}
	}
}
