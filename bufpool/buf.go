package bufpool

import (
	"fmt"
	"sync/atomic"
)

// Buf is a handle on pooled memory, made by Get and good for one use of it. Use it by pointer; a copy is not a holder.
type Buf struct {
	// B is the buffer. Its owner may append to it, cut its end, and replace it by a larger one: Release files what B then
	// holds. It must not cut its front (b.B = b.B[n:]), which would lose the beginning of the memory. Views of B end with
	// Release and with a Grow which moves it. While the buffer is shared, B is read-only for everybody.
	B []byte

	check bufCheck
	pool  *Pool
	class *class // counts this buffer as in use
	bytes int    // the capacity which class counts
	refs  atomic.Int32
}

// Release gives back the caller's hold on the buffer; the last one sets B to nil and takes the memory back. Who has
// released must not touch B any more. A Release too many panics.
func (b *Buf) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		b.refs.Add(1)
		panic("bufpool: Release of a buffer which was released before" + b.checkHistory())
	}
	mem := b.B
	b.B = nil
	b.pool.retire(b, mem)
}

// Ref adds a holder of a buffer which nobody changes any more, and returns b. Each holder releases once. The caller must
// be a holder itself; Ref of a released buffer panics.
func (b *Buf) Ref() *Buf {
	if b.refs.Add(1) <= 1 {
		b.refs.Add(-1)
		panic("bufpool: Ref of a buffer which was released before" + b.checkHistory())
	}
	return b
}

// Grow makes room for n more bytes behind len(B), by moving the content to a larger class where it has to; then the old
// memory goes back to the pool, and views of it end. The caller must be the only holder.
func (b *Buf) Grow(n int) {
	if n < 0 {
		panic(fmt.Sprintf("bufpool: Grow(%d)", n))
	}
	if refs := b.refs.Load(); refs != 1 {
		panic(fmt.Sprintf("bufpool: Grow of a buffer with %d holders, want 1%s", refs, b.checkHistory()))
	}
	if n <= cap(b.B)-len(b.B) {
		return
	}
	p, old := b.pool, b.B
	need := len(old) + n
	if need < 0 {
		panic(fmt.Sprintf("bufpool: Grow(%d) of %d bytes", n, len(old)))
	}
	if p.ceil(need) == nil {
		// Classes double by themselves; above them this keeps many small steps from copying all each time.
		need = max(need, cap(old)+cap(old)/2)
	}
	mem, c := p.take(need)
	moved := Buf{B: old, check: b.check, pool: p, class: b.class, bytes: b.bytes}
	b.class, b.bytes = c, cap(mem)
	b.B = mem
	b.checkMoved()
	b.B = append(b.B, old...)
	p.retire(&moved, old)
}
