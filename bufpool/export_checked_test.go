//go:build race || bufcheck

package bufpool

// WriteLate changes a byte of released memory as a late writer would, but unseen by the race detector, and after the
// goroutine of Release has filled the memory.
//
//go:norace
func (p *Pool) WriteLate(mem []byte, at int) {
	for _, e := range p.check.quarantine {
		e.filled.Lock()
		e.filled.Unlock() //nolint:staticcheck // joins the goroutine which unlocks it
	}
	mem[at] ^= 0xFF
}
