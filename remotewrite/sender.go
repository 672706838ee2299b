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
	// freshEvery attempts to send a block, each answered by a server's error, the next one is made on a new connection: a
	// balancer keeps a connection with the server which it chose, and another one may be well. Half a minute is over by then.
	freshEvery = 5
)

// loadPatiently returns the block of a record, with a hold for the caller. What the disk does not give at once it may give
// later; what is damaged it will not.
func (d *destination) loadPatiently(ctx context.Context, r record) (*block, error) {
	for start := time.Now(); ; {
		blk, err := d.load(r)
		if err == nil || errors.Is(err, diskqueue.ErrDamaged) || errors.Is(err, errUnknownKind) || time.Since(start) > readPatience {
			return blk, err
		}
		d.m.diskError("read")
		d.diskErrors.failed("queue cannot be read: it is tried again", slog.Any("err", err))
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
		d.settle(r, tally{unreadable: r.rows})
		d.unreadable.event("dropped a block which the queue could not read", r.rows, slog.Any("err", err))
		return true
	}
	defer blk.release()
	if r.blk == nil {
		d.holdLoaded(blk.memBytes)
		defer d.holdLoaded(-blk.memBytes)
	}
	out, fail := d.exchange(ctx, r, blk, nil)
	switch out {
	case outOfTime:
		return false
	case gaveWay:
	case tooOld:
		d.expire(r, tally{expired: r.rows})
	case arrived:
		d.settle(r, tally{acknowledged: r.rows})
	case answered:
		if fail.Verdict == refused && fail.Stored == 0 && d.client.Load().dest.OnRefused == SplitRefused {
			return d.split(ctx, r, blk, fail)
		}
		var t tally
		t.add(fail, blk.rows)
		if errors.Is(fail, errCustom) {
			d.others.event("dropped samples", t.unsupported, slog.Any("err", errCustom))
		} else {
			d.noteRefused(blk, fail, r.rows-t.acknowledged, nil)
		}
		d.settle(r, t)
	}
	return true
}

// outcome is how an exchange ended.
type outcome uint8

const (
	arrived   outcome = iota // the receiver has it
	answered                 // the receiver said something else, and another attempt would change nothing
	tooOld                   // it waited for longer than it may
	gaveWay                  // it is in the queue again, since others go first
	outOfTime                // the destination ends; nobody knows what became of it
)

// exchange sends blk, which it borrows, until there is an answer that settles it. R is the block that the queue handed out;
// piece is nil, or says that blk is a part of it, which does not give way: some of it may have arrived.
func (d *destination) exchange(ctx context.Context, r record, blk *block, piece *splitter) (outcome, *sendError) {
	var wait backoff
	x := d.sends.begin()
	defer d.sends.end(x)
	for attempt := 0; ; attempt++ {
		if piece == nil && d.spool != nil && d.spool.recalled(r) {
			return gaveWay, nil
		}
		c := d.client.Load()
		x.use(c)
		if age := c.dest.MaxBlockAge; age > 0 && time.Since(r.closed) > age {
			return tooOld, nil
		}
		wait.min, wait.max = c.dest.RetryMin, c.dest.RetryMax
		if !d.mayStart(ctx, c, blk.bytes) {
			if ctx.Err() != nil {
				return outOfTime, nil
			}
			attempt-- // there is a new client
			continue
		}
		if attempt > 0 {
			d.countRetry(blk.rows)
		}
		fail := d.attempt(ctx, c, blk, attempt)
		if fail == nil {
			d.requests.recovered("sending recovered")
			return arrived, nil
		}
		if ctx.Err() != nil && fail.Status == 0 {
			return outOfTime, nil // the error would only say that we stopped
		}
		d.noteFailure(fail)
		if !fail.Retryable() {
			// The receiver answers, so what failed before does not fail any more.
			d.requests.recovered("sending recovered")
			return answered, fail
		}
		if fail.Status >= 500 && (attempt+1)%freshEvery == 0 {
			c.closeIdle()
		}
		if !d.pause(ctx, c, &wait, fail, r.slot) {
			return outOfTime, nil
		}
	}
}

// mayStart waits until a request of so many bytes may begin. It reports false if it will not, with this client.
func (d *destination) mayStart(ctx context.Context, c *client, bytes int) bool {
	if wait := d.rate.reserve(time.Now(), c.dest.RateLimit, bytes); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.replaced:
			d.rate.giveBack(c.dest.RateLimit, bytes)
			return false
		case <-ctx.Done():
			return false
		}
	}
	return d.gate.enter(ctx, c.dest.MinSenders, c.dest.MaxSenders)
}

// attempt makes one request, for which mayStart has said yes.
func (d *destination) attempt(ctx context.Context, c *client, blk *block, attempt int) *sendError {
	start := time.Now()
	fail := d.transmit(ctx, c, blk, attempt, func() { d.countRetry(blk.rows) })
	fewer := d.gate.leave(fail == nil || !fail.Retryable())
	d.m.duration.Observe(time.Since(start).Seconds())
	d.m.request(fail.class()).Inc()
	// When the client was replaced, this request's connection was not idle. When a backlog is over, what it took goes.
	if fewer || c.isOut() {
		c.closeIdle()
	}
	return fail
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

// expire settles a block of which t.expired samples have waited for too long.
func (d *destination) expire(r record, t tally) {
	d.settle(r, t)
	d.expiries.event("dropped samples which waited for too long", t.expired, slog.Time("oldest", r.closed))
}

// countRetry counts a request which is repeated.
func (d *destination) countRetry(rows int) {
	d.mu.Lock()
	d.health.retries++
	d.mu.Unlock()
	d.m.retries.Inc()
	d.countResent(rows)
}

// countResent counts samples which are sent again.
func (d *destination) countResent(rows int) {
	d.mu.Lock()
	d.books.Resent += uint64(rows)
	d.mu.Unlock()
	d.m.resent.Add(float64(rows))
}

func (d *destination) noteFailure(fail *sendError) {
	d.mu.Lock()
	d.health.failing, d.health.lastError, d.health.lastErrorAt = true, fail.Error(), time.Now()
	d.mu.Unlock()
	if fail.Retryable() {
		d.requests.failed("sending failed", slog.Any("err", fail))
	}
}
