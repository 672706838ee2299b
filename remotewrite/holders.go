package remotewrite

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"scraper/snapshots"
)

// exchanges are those of one destination which are under way, one per slot at the most.
type exchanges struct {
	mu  sync.Mutex
	all []*sending
}

// sending is one exchange, and with which client, of those that the destination had, its present attempt is made.
type sending struct {
	with atomic.Pointer[attempted]
}

type attempted struct {
	c     *client
	since time.Time
}

func (e *exchanges) begin() *sending {
	x := new(sending)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x)
	return x
}

func (e *exchanges) end(x *sending) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = slices.DeleteFunc(e.all, func(y *sending) bool { return x == y })
}

// use notes the client with which an attempt begins.
func (x *sending) use(c *client) { x.with.Store(&attempted{c, time.Now()}) }

func (e *exchanges) attempts() (all []*attempted) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.all {
		if a := x.with.Load(); a != nil {
			all = append(all, a)
		}
	}
	return all
}

// holders names the requests which are under way, by the client of their destination with which they began, and the
// destinations which were removed and are not drained yet.
func (w *Writer) holders() iter.Seq2[*client, func() snapshots.Holder] {
	w.mu.RLock()
	retiring := slices.Clone(w.retiring)
	all := append(slices.Clone(w.dests), retiring...)
	w.mu.RUnlock()
	return func(yield func(*client, func() snapshots.Holder) bool) {
		for _, d := range all {
			for _, a := range d.sends.attempts() {
				if !yield(a.c, func() snapshots.Holder {
					return snapshots.Holder{Name: "sender of destination " + d.label, Since: a.since}
				}) {
					return
				}
			}
		}
		for _, d := range retiring {
			if !yield(d.client.Load(), func() snapshots.Holder {
				return snapshots.Holder{Name: "destination " + d.label + ", which was removed and drains"}
			}) {
				return
			}
		}
	}
}
