// Package remotewrite delivers committed samples to remote-write receivers: it encodes batches into blocks, compresses
// them, queues them per destination, and sends them. It does not scrape, and it does not know where samples come from.
//
// Open blocks hold rows in no protocol; when one is closed it is encoded once for each protocol which the destinations that
// receive the same have agreed upon with their receivers (negotiate.go), and the blocks are shared. Each destination has a queue and senders of its own, so none waits for another, and Commit waits for none. A
// batch's slot decides the lane in which it is encoded, queued and sent; a lane has one request in flight, and so the
// samples of a series arrive in the order in which they were committed.
//
// With Options.QueueDir blocks are on disk before they are sent (spool.go), so that a process which is killed loses what was
// committed within the last flush interval, and no more: Commit hands blocks over in memory, and waits for no disk.
//
// Concurrency: all methods of Writer are safe for concurrent use. Locks are taken in the order Writer.mu (which Commit
// holds for reading), lane.mu, destination.mu. Goroutines live only while Run runs.
//
// Ownership: Commit borrows its batch. A closed block is read-only and counted: queues, senders and request bodies hold
// it, and the last one to let go gives its buffers back. A transport may read a body after its call has returned; see
// body.go for what that takes. When Run has returned, no buffer is out.
//
// Read this file first, then group.go and builder.go (from rows to an open block), codec.go, encode1.go and encode2.go (from
// there to blocks), destination.go, queue.go and spool.go (what
// becomes of a block), sender.go, client.go and verdict.go (how it is sent), split.go (what becomes of one that is refused).
package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"scraper/batch"
	"scraper/snapshots"
)

// ErrStopped is returned by Apply and Run when Run is over, or Close was called.
var ErrStopped = errors.New("remotewrite: stopped")

// Writer is the remote-write half of the agent. Make one with New.
type Writer struct {
	opts       Options      // immutable
	blockBytes atomic.Int64 // memory of closed blocks
	codec      *codec
	clock      *flushClock
	oldClients *snapshots.Kind[client] // follows those which were replaced

	applyMu sync.Mutex // one Apply at a time; taken before mu

	mu       sync.RWMutex
	dests    []*destination // in the order of the configuration
	retiring []*destination // removed, and not drained yet
	groups   []*group
	maxOpen  int                // Options.MaxOpenBytes, as SetMaxOpenBytes has it
	maxCache int64              // likewise Options.RelabelCacheBytes
	start    func(*destination) // runs a destination; nil unless Run runs
	ran      bool
	stopped  bool
}

// New returns a Writer which takes batches for opts.Destinations. They are sent while Run runs.
func New(opts Options) (*Writer, error) {
	opts, err := opts.withDefaults()
	if err == nil {
		err = opts.validate()
	}
	if err != nil {
		return nil, fmt.Errorf("remotewrite: %w", err)
	}
	w := &Writer{opts: opts, maxOpen: opts.MaxOpenBytes, maxCache: opts.RelabelCacheBytes, clock: newFlushClock(), codec: newCodec(opts.Pool, opts.ZstdLevel)}
	w.oldClients = snapshots.NewKind(opts.Snapshots, "destination", w.holders)
	if err := w.Apply(opts.Destinations); err != nil {
		return nil, err
	}
	return w, nil
}

// Commit encodes the batch for all destinations and queues the blocks that are full; the others follow when
// Options.FlushInterval is over. It borrows the batch until it returns, and waits for no network and no disk.
//
// It reports the samples which it had to drop, added up over all destinations. When the Writer is stopped it takes
// nothing, and reports all rows once.
func (w *Writer) Commit(b *batch.Batch) batch.Dropped {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.stopped {
		return batch.Dropped{Shutdown: b.Len()}
	}
	var lost batch.Dropped
	if b.Len() == 0 {
		return lost
	}
	slot := int(b.Slot % uint64(w.opts.Slots))
	now := time.Now()
	for _, g := range w.groups {
		lost.Add(g.commit(b, slot, now))
	}
	return lost
}

// Run sends until ctx is done. Then it stops gracefully: it takes no more batches, closes the open blocks, and delivers
// what is queued for at most Options.DrainTimeout. What is left stays on disk, or is dropped, and counted. It returns nil
// after a clean stop, and may be called once.
func (w *Writer) Run(ctx context.Context) error {
	var running sync.WaitGroup
	sendCtx := context.WithoutCancel(ctx) // a destination ends by itself when its time to drain is over
	w.mu.Lock()
	if w.ran || w.stopped {
		w.mu.Unlock()
		return ErrStopped
	}
	w.ran = true
	w.start = func(d *destination) {
		running.Go(func() {
			d.run(sendCtx)
			w.retired(d)
		})
	}
	for _, d := range w.dests {
		w.start(d)
	}
	w.mu.Unlock()
	running.Go(func() { w.keepTidy(ctx) })

	w.flushLoop(ctx)
	w.mu.Lock()
	w.stopLocked(time.Now().Add(w.opts.DrainTimeout))
	w.mu.Unlock()
	running.Wait()
	w.codec.shrink()
	return nil
}

// stopLocked ends the intake, and lets each destination run out until the given time.
func (w *Writer) stopLocked(until time.Time) {
	w.stopped = true
	for _, g := range w.groups {
		g.flush(time.Time{})
		g.close()
	}
	w.groups = nil
	for _, d := range w.dests {
		d.group = nil
		d.stop(until, false)
	}
}

// retired forgets a destination which is gone, unless the Writer stops: then it stays for who asks how it ended.
func (w *Writer) retired(d *destination) {
	d.closeAccount()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retiring = slices.DeleteFunc(w.retiring, func(x *destination) bool { return x == d })
	alive := func(x *destination) bool { return x.label == d.label }
	if !slices.ContainsFunc(w.dests, alive) && !slices.ContainsFunc(w.retiring, alive) {
		w.opts.Metrics.forget(d.label)
	}
}

// Close drops everything which was committed, and counts it, if Run was never called; otherwise it does nothing, since
// Run cleans up. It may be called more than once.
func (w *Writer) Close() error {
	w.mu.Lock()
	if w.ran || w.stopped {
		w.mu.Unlock()
		return nil
	}
	dests := w.dests
	w.stopLocked(time.Now())
	w.mu.Unlock()
	w.clock.timer.Stop()
	for _, d := range dests {
		d.finish()
	}
	w.codec.shrink()
	return nil
}

// flushLoop closes open blocks when their time has come, until ctx is done.
func (w *Writer) flushLoop(ctx context.Context) {
	turn := time.NewTicker(cacheAge / 2)
	defer turn.Stop()
	defer w.clock.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
			w.mu.RLock()
			for _, g := range w.groups {
				g.turn(time.Now())
			}
			w.mu.RUnlock()
			w.codec.turn()
		case <-w.clock.timer.C:
			now := time.Now()
			w.clock.rang(now)
			w.clock.arm(w.flush(now))
		}
	}
}

// flush closes the open blocks whose time has come, and returns when the next one's comes, by the flushClock, or 0.
func (w *Writer) flush(now time.Time) (next time.Duration) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, g := range w.groups {
		g.flush(now)
		if at := g.next(); at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

// Stats is the memory that a Writer takes, in bytes.
type Stats struct {
	OpenBytes  int64 // of blocks which are being filled and encoded, and of remembered results of rules
	BlockBytes int64 // of blocks which wait to be delivered, each counted once
	QueueBytes int64 // of what is known about blocks on disk
	// HeldBytes is the part of BlockBytes which is in the destinations' accounts.
	HeldBytes int64
	// CacheBytes is the part of OpenBytes which is no buffers: what encoding needs, and remembered results of rules.
	CacheBytes int64
}

// Stats returns what the Writer takes now. It waits for nobody who encodes or sends.
func (w *Writer) Stats() Stats {
	s := Stats{OpenBytes: w.codec.memory(), BlockBytes: w.blockBytes.Load()}
	s.CacheBytes = s.OpenBytes
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, g := range w.groups {
		for _, l := range g.lanes {
			s.OpenBytes += l.bytes.Load()
			s.CacheBytes += l.cached.Load()
		}
	}
	_, s.HeldBytes = w.heldLocked()
	if !w.stopped {
		for _, d := range w.dests {
			s.QueueBytes += d.queueMemory()
		}
	}
	return s
}

// SetMaxOpenBytes changes Options.MaxOpenBytes, for blocks which are open as well. It waits for commits which are under way.
func (w *Writer) SetMaxOpenBytes(n int) {
	def(&n, w.opts.MaxBlockBytes)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.maxOpen = n
	for _, g := range w.groups {
		g.maxOpen = n
	}
}

// SetRelabelCacheBytes changes Options.RelabelCacheBytes. It waits for commits which are under way.
func (w *Writer) SetRelabelCacheBytes(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.maxCache = n
	w.boundCachesLocked()
}

// boundCachesLocked gives each group with rules its part of what is kept of their results.
func (w *Writer) boundCachesLocked() {
	var ruled []*group
	for _, g := range w.groups {
		if g.rules != nil {
			ruled = append(ruled, g)
		}
	}
	for _, g := range ruled {
		each := int64(maxCacheBytes)
		if w.maxCache > 0 {
			each = min(max(w.maxCache/int64(len(ruled)), leastCacheBytes), each)
		}
		g.boundCaches(each)
	}
}

// Shrink gives back the memory which can be given back without losing samples, for when memory is short, and returns how
// much that was, in bytes. What was remembered is worked out anew, and blocks which are on disk are read back.
func (w *Writer) Shrink() (released int64) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, g := range w.groups {
		released += g.shrink()
	}
	for _, d := range w.dests {
		released += d.shrink()
	}
	return released + w.codec.shrink()
}
