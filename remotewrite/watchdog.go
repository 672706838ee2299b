package remotewrite

import (
	"context"
	"log/slog"
	"time"
)

const (
	// watchEvery is how often a destination is looked at.
	watchEvery = 30 * time.Second
	// watchPatience is how long a destination with a backlog may settle nothing until it is looked into: longer than a
	// receiver takes to start.
	watchPatience = 5 * time.Minute
	// readPatience is how long a block which the disk does not give, though it does not say that it is damaged, holds up
	// those behind it.
	readPatience = time.Minute
)

// watch looks after a destination which does not get on, until it is stopped: connections which are dead and do not say so,
// names which mean another address now, tokens which are not asked for anew.
func (d *destination) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	settled, since := uint64(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.drain:
			return
		case <-tick.C:
		}
		c := d.client.Load()
		now, waits := d.progress()
		patience := max(watchPatience, 2*(c.dest.Timeout+c.dest.RetryMax))
		switch {
		case now != settled || !waits:
			settled, since = now, time.Now()
		case time.Since(since) >= patience:
			d.heal(ctx, c, time.Since(since))
			since = time.Now()
		}
	}
}

// progress is how many blocks were settled, and whether any wait.
func (d *destination) progress() (settled uint64, waits bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	blocks := d.mem.now.blocks
	if d.spool != nil {
		blocks += d.spool.onDisk.Blocks
	}
	return d.settled, blocks > 0
}

// heal makes new connections, if a receiver answers on them. It asks with a request that holds nothing.
func (d *destination) heal(ctx context.Context, c *client, stuck time.Duration) {
	t, err := newTransport(c.dest, c.url, d.opts)
	if err != nil {
		return // it could be made before; senders say what is wrong
	}
	fresh := &client{c.dest, t}
	empty := d.pool.Get(1)
	empty.B = append(empty.B[:0], 0) // the length of nothing, compressed
	blk := newBlock(empty, record{rows: 0, bytes: 1}, Protocol1, 0, d.account)
	_, fail := fresh.send(ctx, &d.bodies, blk, 0, nil)
	blk.release()
	if fail != nil && fail.Retryable() {
		t.closeIdle()
		return
	}
	d.swap.Lock()
	defer d.swap.Unlock()
	if d.client.Load() != c { // a reload was faster
		t.closeIdle()
		return
	}
	d.client.Store(fresh)
	c.retire()
	d.wakeAll()
	d.m.heals.Inc()
	d.log.Warn("nothing was delivered though the receiver answers: sending begins anew, on new connections",
		slog.Duration("for", stuck.Round(time.Second)))
}
