package remotewrite

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"scraper/bufpool"
	"scraper/diskqueue"
)

// destination is where blocks go: its queue, its senders, its books. It lives as long as its identity is configured, and
// until it is drained after that.
type destination struct {
	id      string // stays the same across reloads
	label   string // as it is shown: "1:name"
	log     *slog.Logger
	m       *destinationMetrics
	opts    Options
	pool    *bufpool.Pool
	account *atomic.Int64 // of blocks
	spool   *spool        // nil if blocks are in memory only

	closeAccount func() // removes what openAccount opened

	swap   sync.Mutex // is held by who replaces the client
	client atomic.Pointer[client]
	bodies bodies
	sends  exchanges
	talk   talk
	codec  *codec
	gate   *gate
	rate   rateLimit
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
	others     stateLog // exemplars or metadata are refused
	evictions  stateLog // the queue is full
	oversize   stateLog // series exceed a block
	unreadable stateLog // blocks on disk are damaged
	expiries   stateLog // blocks are too old
	diskErrors stateLog // the disk fails

	mu      sync.Mutex
	mem     *memQueue
	books   Books // but Pending
	health  health
	loaded  int64     // memory of blocks which were read back
	settled uint64    // blocks
	refused []Refusal // the last ones, oldest first
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

func newDestination(id, label string, c *client, o Options, cd *codec, account *atomic.Int64) *destination {
	d := &destination{
		id: id, label: label,
		log:   o.Logger.With(slog.String("destination", label)),
		m:     o.Metrics.destination(label),
		opts:  o,
		pool:  o.Pool,
		drain: make(chan struct{}),
		gone:  make(chan struct{}),
		mem:   newMemQueue(o.Slots, c.dest.MaxPendingBytes),
		gate:  newGate(o.Slots),

		codec:   cd,
		account: account,
	}
	if o.QueueDir != "" && !c.dest.DisableDiskQueue {
		d.spool = newSpool(d, filepath.Join(o.QueueDir, dirName(id)), o.Slots)
	}
	for _, l := range []*stateLog{&d.requests, &d.refusals, &d.others, &d.evictions, &d.oversize, &d.unreadable, &d.expiries, &d.diskErrors} {
		l.log = d.log
	}
	d.client.Store(c)
	d.talk.configure(c.dest.Protocol)
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
		d.oversize.event("dropped series larger than a block; raise the maximum block size, or the memory limit", tooLarge)
	}
}

// leaveOut enters into the books samples of an open block which its protocol does not carry.
func (d *destination) leaveOut(custom int) {
	if custom == 0 {
		return
	}
	d.mu.Lock()
	d.books.Dropped.Unsupported += uint64(custom)
	d.mu.Unlock()
	d.m.pendingSamples.Sub(float64(custom))
	d.m.dropped("unsupported").Add(float64(custom))
	d.others.event("dropped samples", custom, slog.Any("err", errCustom))
}

// enqueue takes ownership of one hold on b. It returns how many samples the queue lost to make room for it.
func (d *destination) enqueue(b *block) int {
	slot, bytes := b.slot, b.bytes
	d.mu.Lock()
	evicted := d.mem.append(b)
	d.books.Dropped.QueueFull += uint64(evicted.samples)
	sendable := d.spool == nil || d.spool.direct // else the spool wakes the sender when it has stored the block
	d.mu.Unlock()
	d.m.pendingBlocks.Add(float64(1 - evicted.blocks))
	d.m.pendingBytes.Add(float64(int64(bytes) - evicted.bytes))
	if evicted.samples > 0 {
		d.m.pendingSamples.Sub(float64(evicted.samples))
		d.m.dropped("queue_full").Add(float64(evicted.samples))
		d.evictions.event("dropped the oldest samples: the queue is full", evicted.samples,
			slog.Time("oldest", evicted.oldest), slog.Time("newest", evicted.newest))
	}
	if d.spool != nil {
		select {
		case d.spool.wake <- struct{}{}:
		default:
		}
	}
	if sendable {
		d.wakeSlot(slot)
	}
	return evicted.samples
}

// wakeSlot tells a slot's sender that there may be a block.
func (d *destination) wakeSlot(slot int) {
	select {
	case d.wake[slot] <- struct{}{}:
	default:
	}
}

func (d *destination) wakeAll() {
	for slot := range d.wake {
		d.wakeSlot(slot)
	}
}

// take hands out the next block of a slot. More means that there is one which cannot be had yet. It may wait for the disk.
func (d *destination) take(slot int) (r record, ok, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.spool; s != nil {
		for s.slots[slot].blocks > 0 {
			before := s.slots[slot].blocks
			d.mu.Unlock()
			r, ok = s.take(slot)
			d.mu.Lock()
			if ok {
				d.health.inFlight++
				return r, true, false
			}
			if s.slots[slot].blocks == before {
				return r, false, true
			}
		}
		if !s.direct {
			return r, false, d.mem.slots[slot].n > 0
		}
	}
	if r, ok = d.mem.next(slot); ok {
		d.health.inFlight++
	}
	return r, ok, d.mem.slots[slot].n > 0
}

// load returns the block of a record which is handed out, with a hold for the caller.
func (d *destination) load(r record) (*block, error) {
	switch {
	case !r.onDisk:
		return r.blk.retain(), nil // it stays in the queue until it is settled
	case r.blk != nil:
		return r.blk, nil
	}
	return d.spool.read(r)
}

// settle ends the life of a block that take handed out: t says what became of its samples. It may wait for the disk.
func (d *destination) settle(r record, t tally) {
	settled := func() {
		t.enterLocked(d, r)
		t.count(d.m, r, t.left > 0 && d.removed)
	}
	if d.spool != nil {
		d.spool.settle(r, settled)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spool == nil {
		d.mem.ack(r)
		settled()
	}
	d.health.inFlight--
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
	var senders, spooling sync.WaitGroup
	spoolCtx, stopSpool := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSpool()
	if d.spool != nil {
		spooling.Go(func() { d.spool.run(spoolCtx, d.drain) })
	}
	for slot := range d.wake {
		senders.Go(func() { d.sendSlot(ctx, slot) })
	}
	senders.Go(func() { d.watch(ctx) })
	<-d.drain
	timeout := time.AfterFunc(time.Until(d.drainUntil), cancel)
	senders.Wait()
	timeout.Stop()
	stopSpool()
	spooling.Wait()
	d.finish()
	if d.removed && d.spool != nil && !d.opts.KeepDanglingQueues {
		tidyQueue(d.opts, d.spool.dir, false) // each reload may bring another name
	}
}

// finish gives up what is left in memory. What is on disk stays there, pending.
func (d *destination) finish() {
	d.bodies.close()
	d.client.Load().closeIdle()
	d.mu.Lock()
	left := d.mem.close()
	d.health.inFlight = 0
	reason := "shutdown"
	if d.removed {
		reason = "removed"
		d.books.Dropped.Removed += uint64(left.samples)
	} else {
		d.books.Dropped.Shutdown += uint64(left.samples)
	}
	d.mu.Unlock()
	d.m.pend(-left.blocks, -int64(left.samples), -left.bytes)
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
	disk      diskqueue.Stats
	refusals  []Refusal
	state     string // of the queue
	memBytes  int64
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
	s.books, s.health, s.queue, s.state = d.books, d.health, d.mem.stats(), "in memory"
	s.refusals = d.refusalsLocked()
	s.memBytes = s.queue.memBytes
	if sp := d.spool; sp != nil {
		s.state = sp.state.String()
		s.queue.blocks += sp.onDisk.Blocks
		s.queue.samples += sp.onDisk.Samples
		s.queue.bytes += sp.onDisk.Bytes
		s.memBytes += sp.bytes
		if sp.q != nil {
			s.disk = sp.q.Stats()
			s.memBytes += s.disk.MemoryBytes
			if t := s.disk.Oldest; !t.IsZero() && (s.queue.oldest.IsZero() || t.Before(s.queue.oldest)) {
				s.queue.oldest = t
			}
		}
	}
	s.books.Pending = uint64(s.openRows + s.queue.samples)
	return s
}
