//go:build !race && !bufcheck

package bufpool

// Checked says whether this build finds misuse of buffers, at a cost; see check_on.go.
const Checked = false

type (
	//lint:ignore U1000 used in checked builds
	poolCheck struct{}
	bufCheck  struct{}
)

func (p *Pool) checkGet(*Buf) {}

func (b *Buf) checkMoved() {}

func (p *Pool) retire(b *Buf, mem []byte) { p.put(b.class, b.bytes, mem) }

func (p *Pool) checkFlush() {}

func (b *Buf) checkHistory() string { return "" }

// Holders returns, in checked builds, the stack of the Get of each buffer which was not released yet.
func (p *Pool) Holders() []string { return nil }
