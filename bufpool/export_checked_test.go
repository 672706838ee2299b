//go:build race || bufcheck

package bufpool

// WriteLate changes a byte of released memory as a late writer would, but unseen by the race detector, and after the
// goroutine of Release has filled the memory.
//
//go:norace
func (p *Pool) WriteLate(mem []byte, at int) {
	for _, e := range p.check.quarantine {
		e.filled.Lock()
		//lint:ignore SA2001 joins the goroutine which unlocks it first
		e.filled.Unlock()
	}
	mem[at] ^= 0xFF
}
