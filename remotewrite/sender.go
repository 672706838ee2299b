package remotewrite

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"scraper/diskqueue"
)

// sendSlot delivers the blocks of one slot, one after the other, until the destination is drained or ctx is done. That
// there is one request in flight per slot is what keeps the samples of a series in order.
func (d *destination) sendSlot(ctx context.Context, slot int) {
	drain := d.drain
	for {
		r, ok, more := d.take(slot)
		if !ok {
			if drain == nil && !more {
				return // what was queued before drain was closed is visible, and nothing follows
			}
			var again <-chan time.Time
			if more {
				again = time.After(recheck)
			}
			select {
			case <-d.wake[slot]:
			case <-again:
			case <-ctx.Done():
				return
			case <-drain:
				drain = nil
			}
			continue
		}
		if !d.deliver(ctx, r) {
			return
		}
	}
}

const (
	// recheck is how often a sender looks at a block which it cannot have yet. It is told when it can, as a rule: blocks
	// which have to wait for those of another slot are the exception.
	recheck = 500 * time.Millisecond
	// readTries is how often a block is read which the disk does not give, with a pause between.
	readTries = 3
)

// loadPatiently returns the block of a record, with a hold for the caller. What the disk does not give at once it may give
// later; what is damaged it will not.
func (d *destination) loadPatiently(ctx context.Context, r record) (*block, error) {
	for try := 1; ; try++ {
		blk, err := d.load(r)
		if err == nil || errors.Is(err, diskqueue.ErrDamaged) || try == readTries {
			return blk, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// deliver sends a block until it is settled. It reports false when it gives up because there is no time left; the block
// is in the queue then.
func (d *destination) deliver(ctx context.Context, r record) bool {
	blk, err := d.loadPatiently(ctx, r)
	if err != nil {
		if ctx.Err() != nil {
			return false
		}
		d.settle(r, func(b *Books) { b.Dropped.Unreadable += uint64(r.rows) })
		d.m.dropped("unreadable").Add(float64(r.rows))
		d.unreadable.event("dropped a block which the queue could not read", r.rows, slog.Any("err", err))
		return true
	}
	defer blk.release()
	var wait backoff
	for attempt := 0; ; attempt++ {
		if d.spool != nil && d.spool.recalled(r) {
			return true
		}
		c := d.client.Load()
		if age := c.dest.MaxBlockAge; age > 0 && time.Since(r.closed) > age {
			d.expire(r)
			return true
		}
		wait.min, wait.max = c.dest.RetryMin, c.dest.RetryMax
		if attempt > 0 {
			d.countRetry(r)
		}
		start := time.Now()
		fail := c.send(ctx, &d.bodies, blk, attempt, func() { d.countRetry(r) })
		d.m.duration.Observe(time.Since(start).Seconds())
		d.m.request(fail.class()).Inc()
		select {
		case <-c.replaced:
			c.closeIdle() // this request's connection was not idle when the client was replaced
		default:
		}
		if fail == nil {
			d.acknowledge(r)
			return true
		}
		if ctx.Err() != nil && fail.Status == 0 {
			return false // nobody knows what became of it; and the error would only say that we stopped
		}
		d.noteFailure(fail)
		if !fail.Retryable() {
			d.giveUp(r, fail)
			return true
		}
		if !d.pause(ctx, c, &wait, fail, r.slot) {
			return false
		}
	}
}

// pause waits for the next attempt, and reports false when there will be none.
func (d *destination) pause(ctx context.Context, c *client, wait *backoff, fail *sendError, slot int) bool {
	delay := wait.next(fail.RetryAfter)
	due := time.Now().Add(delay)
	t := time.NewTimer(delay)
	defer t.Stop()
	var recall <-chan struct{}
	if d.spool != nil {
		recall = d.spool.recall[slot]
	}
	drain := d.drain
	select {
	case <-drain:
		if due.After(d.drainUntil) {
			return false
		}
		drain = nil
	default:
	}
	for {
		select {
		case <-t.C:
			return true
		case <-c.replaced:
			// The new options may be the remedy.
			wait.reset()
			return true
		case <-recall:
			return true // there may be another block to be sent first
		case <-drain:
			if fail.RetryAfter == 0 {
				// There is little time left: try now, and go on in small steps.
				wait.reset()
				return true
			}
			if due.After(d.drainUntil) {
				return false
			}
			drain = nil
		case <-ctx.Done():
			return false
		}
	}
}

// expire settles a block which has waited for too long.
func (d *destination) expire(r record) {
	d.settle(r, func(b *Books) { b.Expired += uint64(r.rows) })
	d.m.expired.Add(float64(r.rows))
	d.expiries.event("dropped samples which waited for too long", r.rows, slog.Time("oldest", r.closed))
}

func (d *destination) countRetry(r record) {
	d.mu.Lock()
	d.health.retries++
	d.books.Resent += uint64(r.rows)
	d.mu.Unlock()
	d.m.retries.Inc()
	d.m.resent.Add(float64(r.rows))
}

func (d *destination) acknowledge(r record) {
	d.settle(r, func(b *Books) {
		b.Acknowledged += uint64(r.rows)
		d.health.failing, d.health.lastError = false, ""
		d.health.lastSent = time.Now()
		d.health.sentBytes += uint64(r.bytes)
		d.health.sentBlocks++
	})
	d.m.acknowledged.Add(float64(r.rows))
	d.m.sentBytes.Add(float64(r.bytes))
	d.m.sentBlocks.Inc()
	d.requests.recovered("sending recovered")
}

func (d *destination) noteFailure(fail *sendError) {
	d.mu.Lock()
	d.health.failing, d.health.lastError, d.health.lastErrorAt = true, fail.Error(), time.Now()
	d.mu.Unlock()
	if fail.Retryable() {
		d.requests.failed("sending failed", slog.Any("err", fail))
	}
}

// giveUp settles a block which the receiver will not take. This is the place where a refused block is to be halved.
func (d *destination) giveUp(r record, fail *sendError) {
	n := uint64(r.rows)
	switch fail.verdict() {
	case conflict:
		d.settle(r, func(b *Books) { b.Dropped.Conflict += n })
		d.m.dropped("conflict").Add(float64(n))
	case unsupported:
		d.settle(r, func(b *Books) { b.Dropped.Unsupported += n })
		d.m.dropped("unsupported").Add(float64(n))
	default:
		d.settle(r, func(b *Books) { b.Refused += n })
		d.m.refused.Add(float64(n))
	}
	// The receiver answers, so what failed before does not fail any more.
	d.requests.recovered("sending recovered")
	d.refusals.event("receiver refused samples", r.rows, slog.Any("err", fail))
}
