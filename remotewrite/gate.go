package remotewrite

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// gatePatience is how long a request waits for one before it, until it may be sent beside it: longer than a receiver
	// needs as a rule, so that a short backlog takes one connection, and short enough to catch up at once.
	gatePatience = 50 * time.Millisecond
	// gateHang is the same while requests fail: one which hangs must not keep others from finding that the receiver is back.
	gateHang = 5 * time.Second
	// gateCalm is how long nobody had to wait for that until one request less is allowed.
	gateCalm = 30 * time.Second
)

// gate says how many of a destination's senders may have a request on its way. It begins with one; whoever has to wait for
// too long gets in all the same, up to the number of slots. While requests fail one goes at a time, unless it hangs: a
// receiver which comes back is not met by all at once.
type gate struct {
	slots int // immutable

	mu      sync.Mutex
	limit   int
	least   int // what limit does not fall below while nothing fails
	busy    int
	failing bool
	needed  time.Time // when limit was last too small, or changed
	waiting []chan struct{}
}

func newGate(slots int) *gate { return &gate{slots: slots, limit: 1} }

// enter waits until a request may begin, and reports false when ctx is done before. Least and most bound the number of
// requests; 0 stands for one, and for the number of slots.
func (g *gate) enter(ctx context.Context, least, most int) bool {
	if most == 0 {
		most = g.slots
	}
	most = min(most, g.slots)
	least = min(max(least, 1), most)
	g.mu.Lock()
	g.least, g.limit = least, min(max(g.limit, least), most)
	if g.admitLocked() {
		g.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.mu.Unlock()
	t := time.NewTicker(gatePatience)
	defer t.Stop()
	start := time.Now()
	for {
		select {
		case <-turn:
			return true
		case <-ctx.Done():
			g.mu.Lock()
			defer g.mu.Unlock()
			if i := slices.Index(g.waiting, turn); i >= 0 {
				g.waiting = slices.Delete(g.waiting, i, i+1)
				return false
			}
			return true // it came at the same time
		case <-t.C:
			g.mu.Lock()
			if now := time.Now(); !g.failing || now.Sub(start) > gateHang {
				g.limit = min(g.limit+1, most)
				g.needed, start = now, now
			}
			g.nextLocked()
			g.mu.Unlock()
		}
	}
}

// admitLocked lets a request in if there is room.
func (g *gate) admitLocked() bool {
	if g.busy >= g.limit {
		return false
	}
	g.busy++
	return true
}

// nextLocked lets in who waits, as far as there is room.
func (g *gate) nextLocked() {
	for len(g.waiting) > 0 && g.admitLocked() {
		close(g.waiting[0])
		g.waiting = slices.Delete(g.waiting, 0, 1)
	}
}

// leave ends a request that enter has let in. Answered says that the receiver is there. It reports whether fewer requests are
// allowed from now on because nobody needs as many, so that connections may go.
func (g *gate) leave(answered bool) (fewer bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.busy--
	g.failing = !answered
	switch {
	case g.failing:
		g.limit = 1
	case g.limit > max(g.least, 1) && now.Sub(g.needed) > gateCalm:
		g.limit--
		g.needed, fewer = now, true
	}
	g.nextLocked()
	return fewer
}

// senders is how many requests may be on their way.
func (g *gate) senders() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit
}
