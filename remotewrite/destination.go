package remotewrite

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// destination is where blocks go: its queue, its senders, its books. It lives as long as its identity is configured, and
// until it is drained after that.
type destination struct {
	id    string // stays the same across reloads
	label string // as it is shown: "1:name"
	log   *slog.Logger
	m     *destinationMetrics

	client atomic.Pointer[client]
	bodies bodies
	wake   []chan struct{} // per slot, of capacity 1: there is a block
	group  *group          // guarded by Writer.mu; nil once removed

	// drain is closed when nothing more will be queued, and what is left is to be sent until drainUntil.
	drain      chan struct{}
	drainUntil time.Time // written before drain is closed
	removed    bool      // so is this: removed by a reload, rather than stopped with all others
	// predecessor, if not nil, is closed when the destination of the same identity which was removed is gone.
	predecessor <-chan struct{}
	gone        chan struct{} // closed when all is over

	requests   stateLog // requests fail
	refusals   stateLog // blocks are refused
	evictions  stateLog // the queue is full
	oversize   stateLog // series exceed a block
	unreadable stateLog // the queue fails

	mu     sync.Mutex
	queue  queue
	books  Books // but Pending
	health health
}

// health is what the status of a destination says of its requests.
type health struct {
	failing     bool
	lastError   string
	lastErrorAt time.Time
	lastSent    time.Time
	sentBytes   uint64
	sentBlocks  uint64
	retries     uint64
	inFlight    int
}

func newDestination(id, label string, c *client, o Options) *destination {
	d := &destination{
		id: id, label: label,
		log:   o.Logger.With(slog.String("destination", label)),
		m:     o.Metrics.destination(label),
		drain: make(chan struct{}),
		gone:  make(chan struct{}),
		queue: newMemQueue(o.Slots, c.dest.MaxPendingBytes),
	}
	for _, l := range []*stateLog{&d.requests, &d.refusals, &d.evictions, &d.oversize, &d.unreadable} {
		l.log = d.log
	}
	d.client.Store(c)
	for range o.Slots {
		d.wake = append(d.wake, make(chan struct{}, 1))
	}
	return d
}

// commit enters a batch into the books.
func (d *destination) commit(rows, relabeled, tooLarge int) {
	d.mu.Lock()
	d.books.Committed += uint64(rows)
	d.books.Dropped.Relabeled += uint64(relabeled)
	d.books.Dropped.TooLarge += uint64(tooLarge)
	d.mu.Unlock()
	d.m.committed.Add(float64(rows))
	d.m.pendingSamples.Add(float64(rows - relabeled - tooLarge))
	d.m.droppedRelabeled.Add(float64(relabeled))
	if tooLarge > 0 {
		d.m.dropped("too_large").Add(float64(tooLarge))
		d.oversize.event("dropped series larger than a block; raise the maximum block size", tooLarge)
	}
}

// enqueue takes ownership of one hold on b. It returns how many samples the queue lost to make room for it.
func (d *destination) enqueue(b *block) int {
	slot, bytes := b.slot, b.bytes
	d.mu.Lock()
	evicted := d.queue.append(b)
	d.books.Dropped.QueueFull += uint64(evicted.samples)
	d.mu.Unlock()
	d.m.pendingBlocks.Add(float64(1 - evicted.blocks))
	d.m.pendingBytes.Add(float64(int64(bytes) - evicted.bytes))
	if evicted.samples > 0 {
		d.m.pendingSamples.Sub(float64(evicted.samples))
		d.m.dropped("queue_full").Add(float64(evicted.samples))
		d.evictions.event("dropped the oldest samples: the queue is full", evicted.samples)
	}
	select {
	case d.wake[slot] <- struct{}{}:
	default:
	}
	return evicted.samples
}

// take hands out the next block of a slot.
func (d *destination) take(slot int) (record, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.queue.next(slot)
	if ok {
		d.health.inFlight++
	}
	return r, ok
}

// settle ends the life of a block that take handed out. Account enters into the books what became of it.
func (d *destination) settle(r record, account func(*Books)) {
	d.mu.Lock()
	d.queue.ack(r)
	d.health.inFlight--
	account(&d.books)
	d.mu.Unlock()
	d.m.pendingBlocks.Sub(1)
	d.m.pendingSamples.Sub(float64(r.rows))
	d.m.pendingBytes.Sub(float64(r.bytes))
}

// stop tells the senders to send what is there until the given time, and to end. It is called once, with Writer.mu held
// for writing, when nothing more can be queued.
func (d *destination) stop(until time.Time, removed bool) {
	d.drainUntil, d.removed = until, removed
	close(d.drain)
}

// run sends until the destination is stopped and drained, or ctx is done. When it returns, nothing of the destination is
// left but its books.
func (d *destination) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer close(d.gone)
	if d.predecessor != nil {
		// Its blocks are older than ours, and may hold the same series.
		<-d.predecessor
	}
	var senders sync.WaitGroup
	for slot := range d.wake {
		senders.Go(func() { d.sendSlot(ctx, slot) })
	}
	<-d.drain
	timeout := time.AfterFunc(time.Until(d.drainUntil), cancel)
	senders.Wait()
	timeout.Stop()
	d.finish()
}

// finish gives up what is left.
func (d *destination) finish() {
	d.bodies.close()
	d.client.Load().closeIdle()
	d.mu.Lock()
	left := d.queue.close()
	d.health.inFlight = 0
	reason := "shutdown"
	if d.removed {
		reason = "removed"
		d.books.Dropped.Removed += uint64(left.samples)
	} else {
		d.books.Dropped.Shutdown += uint64(left.samples)
	}
	d.mu.Unlock()
	d.m.pendingBlocks.Sub(float64(left.blocks))
	d.m.pendingSamples.Sub(float64(left.samples))
	d.m.pendingBytes.Sub(float64(left.bytes))
	if left.samples > 0 {
		d.m.dropped(reason).Add(float64(left.samples))
		d.log.Warn("dropped samples which could not be delivered in time", slog.String("reason", reason),
			slog.Int("samples", left.samples), slog.Int("blocks", left.blocks))
	}
}

// snapshot is the destination at one moment.
type snapshot struct {
	books     Books
	health    health
	queue     queueStats
	openRows  int64
	openBytes int64
}

// snapshot is called with Writer.mu held.
func (d *destination) snapshot() (s snapshot) {
	if d.group != nil {
		var unlock func()
		s.openRows, s.openBytes, unlock = d.group.lockAll()
		defer unlock()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.books, s.health, s.queue = d.books, d.health, d.queue.stats()
	s.books.Pending = uint64(s.openRows + s.queue.samples)
	return s
}
