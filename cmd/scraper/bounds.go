package main

import (
	"context"
	"errors"
	"slices"

	"scraper/memlimit"
	"scraper/remotewrite"
)

const (
	// labelShare is the part of the budget, without the reserve, which the dictionary of labels may take unless
	// -promscrape.maxLabelMemory says otherwise. What is in the dictionary is there because series refer to it, and a
	// series takes about as much in its table as the dictionary adds for it: up to 36 bytes and 43 at the most for what
	// real exporters send. So a dictionary of more than half would leave no room for what it is there for.
	labelShare = 0.5
	// leastLabels is what the dictionary may take in the smallest budget: less would hold no target at all.
	leastLabels = 2 << 20
)

// follow gives those who have a part of the budget their part of another one. It is called by who keeps the budget, and
// waits for nothing but commits which are under way.
func (a *agent) follow(budget int64) {
	a.pool.SetMaxIdleBytes(idleBytes(budget))
	a.dict.SetMaxBytes(labelBytes(a.s.MaxLabelBytes, budget))
	a.writer.SetMaxOpenBytes(openBytes(budget))
	a.writer.SetRelabelCacheBytes(cacheBytes(budget))
	a.targets.SetBatchLimits(a.batchLimits(budget))
	a.countContainer()
	select {
	case a.rebudgeted <- struct{}{}:
	default:
	}
}

// followQueues gives the destinations their part of each other budget, until ctx is done: a reload may be under way, which
// follow does not wait for.
func (a *agent) followQueues(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.rebudgeted:
			if err := a.reboundQueues(); err != nil && !errors.Is(err, remotewrite.ErrStopped) {
				a.log.Error("the queues do not follow the memory budget", "err", err)
			}
		}
	}
}

func (a *agent) reboundQueues() error {
	a.reloadMu.Lock()
	defer a.reloadMu.Unlock()
	return a.writer.Apply(a.boundQueues(a.dests))
}

// boundQueues bounds the destinations' blocks, and what waits for them in memory, and in files which are memory, by the budget
// as it is now.
// It returns copies.
func (a *agent) boundQueues(dests []remotewrite.Destination) []remotewrite.Destination {
	budget := a.keeper.Budget()
	dests = slices.Clone(dests)
	for i := range dests {
		d := &dests[i]
		d.MaxPendingBytes = pendingBytes(budget, len(dests))
		d.MaxBlockBytes = blockBytes(a.s.MaxBlockBytes, budget)
		if most := budget / int64(4*len(dests)); a.tmpfsQueue && most > 0 && (d.MaxDiskBytes == 0 || d.MaxDiskBytes > most) {
			d.MaxDiskBytes = most
		}
	}
	return dests
}

// labelBytes is the bound of the dictionary of labels; 0 is none.
func labelBytes(flag, budget int64) int64 {
	if flag > 0 || budget == 0 {
		return flag
	}
	return max(leastLabels, int64(labelShare*float64(budget-memlimit.Reserve(budget))))
}

// idleBytes is how much memory may lie idle in buffers: a sixteenth of the budget, where that is less than what a pool keeps
// by itself. A quarter of a small container would else be nobody's. 0 is the pool's own bound.
func idleBytes(budget int64) int64 {
	const own = 8 << 20
	if budget == 0 || budget/16 >= own {
		return 0
	}
	return max(1<<20, budget/16)
}

// pendingBytes is how much memory the blocks of one of n destinations may take which its disk does not take: an eighth of the
// budget, or a quarter for all of them, where that is less than what a destination takes by itself. 0 is the destination's
// own bound.
func pendingBytes(budget int64, n int) int64 {
	const own = 64 << 20
	share := budget / int64(max(8, 4*n))
	if budget == 0 || share >= own {
		return 0
	}
	return max(2<<20, share)
}

// blockBytes is how much the body of one request holds before compression: what the flag says, and a 32nd of the budget at the
// most. A block which a receiver refuses is decompressed to be halved, and what that takes stands beside all else. Less than 1 MiB
// would be no room for a series of the longest line.
func blockBytes(flag, budget int64) int {
	if budget == 0 {
		return int(flag)
	}
	return int(min(flag, max(1<<20, budget/32)))
}

// pageConnections is how many connections one of n listen addresses takes: one per MiB of the budget, or of its part, where that
// is less than what a server takes by itself. Each costs up to 0.25 MiB until its request is complete, in nobody's account. Browsers
// open six, and idle ones make room. 0 is the server's own bound.
func pageConnections(budget int64, n int) int {
	if budget == 0 {
		return 0
	}
	return int(min(max(budget>>20/int64(max(1, n)), 32), 512))
}

// batchLimits are how much memory the samples of one scrape may take, and how much of the disk those of all scrapes: of the
// memory a 32nd of the budget, where that is less than what they take without one. Files which are memory may have a 16th
// of the budget.
func (a *agent) batchLimits(budget int64) (memory, disk int64) {
	memory, disk = a.s.MaxBatchBytes, a.s.MaxBatchDisk
	if memory == 0 {
		memory = 8 << 20
		if budget > 0 {
			memory = min(memory, max(1<<20, budget/32))
		}
	}
	if a.tmpfsSpool && budget > 0 {
		disk = min(disk, budget/16)
	}
	return memory, disk
}

// openBytes is how much memory an open block may take: a 64th of the budget, of which four are one destination's. 0 is the
// writer's own bound.
func openBytes(budget int64) int {
	if budget == 0 {
		return 0
	}
	return int(min(max(budget/64, 256<<10), 8<<20))
}

// cacheBytes is how much is kept of what the destinations' own rules made of label sets, by all together: a 32nd of the budget.
// It is kept to save time, and holds labels, too. 0 is no bound but the writer's own.
func cacheBytes(budget int64) int64 { return budget / 32 }
