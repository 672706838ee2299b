package main

import (
	"errors"
	"log/slog"
	"math"
	"runtime/debug"
	"sync/atomic"

	cgroup "github.com/KimMachineGun/automemlimit/memlimit"

	"scraper/memlimit"
	"scraper/remotewrite"
	"scraper/web"
)

// Where a budget may come from.
const (
	fromFlag      = "-memory.limit"
	fromVariable  = "GOMEMLIMIT"
	fromContainer = "the container's limit"
)

const (
	// labelShare is the part of the budget, without the reserve, which the dictionary of labels may take unless
	// -promscrape.maxLabelMemory says otherwise. What is in the dictionary is there because series refer to it, and a
	// series takes about as much in its table as the dictionary adds for it: up to 36 bytes and 43 at the most for what
	// real exporters send. So a dictionary of more than half would leave no room for what it is there for.
	labelShare = 0.5
	// leastLabels is what the dictionary may take in the smallest budget: less would hold no target at all.
	leastLabels = 2 << 20
	// leastBudget is what an agent needs that does nothing. Below it there would be no level but the last.
	leastBudget = 16 << 20
)

// memoryBudget is how much memory may be used, and what there is to say about it.
type memoryBudget struct {
	memlimit.Limit
	larger    []memlimit.Limit // limits which were asked for beside it
	contained bool             // the container has a limit, whichever counts
	unread    error            // why that is not known
	// now is where the budget comes from which the Keeper has: the container's may change.
	now *atomic.Pointer[string]
}

// findBudget compares the limits. A variable of math.MaxInt64 is none, as the runtime has it.
func findBudget(flag, variable int64, container func() (uint64, error)) memoryBudget {
	if variable == math.MaxInt64 {
		variable = 0
	}
	limit, err := container()
	if err != nil {
		limit = 0
	}
	limit = min(limit, math.MaxInt64)
	b := memoryBudget{contained: limit > 0}
	if !errors.Is(err, cgroup.ErrNoLimit) && !errors.Is(err, cgroup.ErrNoCgroup) && !errors.Is(err, cgroup.ErrCgroupsNotSupported) {
		b.unread = err
	}
	b.Limit, b.larger = memlimit.Smallest(memlimit.Limit{Source: fromFlag, Bytes: flag},
		memlimit.Limit{Source: fromVariable, Bytes: variable}, memlimit.Limit{Source: fromContainer, Bytes: int64(limit)})
	return b
}

// tell logs which limit counts, and warns where more was asked for.
func (b memoryBudget) tell(log *slog.Logger) {
	if b.unread != nil {
		log.Warn("the container's memory limit could not be read: set -memory.limit if there is one", "err", b.unread)
	}
	for _, l := range b.larger {
		if l.Source != fromContainer {
			log.Warn("more memory was asked for than there is", "by", l.Source, "asked_bytes", l.Bytes, "budget_bytes", b.Bytes)
		}
	}
	switch {
	case b.Bytes == 0:
		log.Info("memory is not limited", "would_limit", "-memory.limit, GOMEMLIMIT or the container's limit")
	case b.Bytes < leastBudget:
		log.Warn("memory budget is less than an idle agent needs", "budget_bytes", b.Bytes, "source", b.Source, "least_bytes", leastBudget)
	default:
		log.Info("memory budget", "budget_bytes", b.Bytes, "source", b.Source)
	}
}

// setMemory makes the Keeper of the agent's memory.
func (a *agent) setMemory() {
	variable := debug.SetMemoryLimit(-1)
	a.budget = findBudget(a.s.MemoryLimitBytes, variable, cgroup.FromCgroup)
	a.budget.now = new(atomic.Pointer[string])
	a.budget.now.Store(&a.budget.Source)
	a.keeper = memlimit.New(memlimit.Options{
		Logger: a.log, Budget: a.budget.Bytes,
		FindBudget: func() int64 {
			b := findBudget(a.s.MemoryLimitBytes, variable, cgroup.FromCgroup)
			if b.unread != nil {
				return a.keeper.Budget()
			}
			a.budget.now.Store(&b.Source)
			return b.Bytes
		},
		// Below the budget, and so below a GOMEMLIMIT which the user has set.
		SetSoftLimit: func(bytes int64) { debug.SetMemoryLimit(bytes) },
	})
	if a.budget.contained { // else the group is the whole machine's, or a session's: what it counts is not ours
		a.group, _ = memlimit.FindCgroup() // without it the kernel's part is not counted
	}
}

// loadGCPercent is gcPercent while a configuration is read and applied. A large one becomes many times its size in nodes and
// garbage, which at gcPercent would come on top of half of what the agent holds; collecting for that moment as soon as a
// sixth was added costs tens of milliseconds where 5000 targets are read, and saves a tenth of the peak.
const loadGCPercent = 15

// collectOften has garbage collected more often until what it returns is called, unless it is so already, or not at all.
func collectOften() (end func()) {
	was := debug.SetGCPercent(loadGCPercent)
	if was < loadGCPercent {
		debug.SetGCPercent(was)
	}
	return func() { debug.SetGCPercent(was) }
}

// tellMemory logs what was found out about the memory. An agent which does not start says nothing but why.
func (a *agent) tellMemory() {
	a.budget.tell(a.log)
	if a.tmpfsQueue {
		a.log.Warn("the queue's directory is in memory (tmpfs): what waits there counts towards the memory limit, and is bounded by a quarter of it", "dir", queueDir(a.s))
	}
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

// openBytes is how much memory an open block may take: a 64th of the budget, of which four are one destination's. 0 is the
// writer's own bound.
func openBytes(budget int64) int {
	if budget == 0 {
		return 0
	}
	return int(min(max(budget/64, 256<<10), 8<<20))
}

// boundQueues bounds what waits for the destinations by the budget: in memory, and in files which are memory.
func (a *agent) boundQueues(dests []remotewrite.Destination) {
	for i := range dests {
		d := &dests[i]
		d.MaxPendingBytes = pendingBytes(a.budget.Bytes, len(dests))
		if most := a.budget.Bytes / int64(4*len(dests)); a.tmpfsQueue && most > 0 && (d.MaxDiskBytes == 0 || d.MaxDiskBytes > most) {
			d.MaxDiskBytes = most
		}
	}
}

// openAccountOf opens the account of a destination.
func (a *agent) openAccountOf(d remotewrite.Account) (remove func()) {
	return a.keeper.Register(memlimit.Account{Name: "remotewrite " + d.Name, Bytes: d.Bytes, Release: d.Release})
}

// isMemoryHigh reports whether blocks are to wait on disk only.
func (a *agent) isMemoryHigh() bool { return a.keeper.Level() >= memlimit.High }

// openAccounts opens the accounts of all who hold memory, but for those of destinations. Blocks are in these, and the other
// buffers of remote write in that of the buffers.
func (a *agent) openAccounts() {
	for _, x := range []memlimit.Account{
		{Name: "buffers", Bytes: func() int64 { return max(0, poolBytes(a.pool)-a.writer.Stats().HeldBytes) }, Release: a.pool.Shrink},
		{Name: "encoding", Bytes: func() int64 { return a.writer.Stats().CacheBytes }, Release: a.writer.Shrink},
		{Name: "labels", Bytes: a.dict.Bytes, Release: a.dict.Compact},
		{Name: "series", Bytes: a.targets.Bytes, Release: a.targets.ReleaseTables},
		{Name: "decoders", Bytes: a.targets.DecoderBytes, Release: a.targets.ReleaseDecoders},
		{Name: "connections", Bytes: a.targets.ConnectionBytes, Release: a.targets.ReleaseConnections},
	} {
		a.keeper.Register(x)
	}
	if a.group != nil {
		a.keeper.Register(memlimit.Account{Name: "kernel", Bytes: a.group.OffHeap, OffHeap: true})
	}
	if dir := queueDir(a.s); dir != "" {
		a.tmpfsQueue, _ = memlimit.OnTmpfs(dir) // a directory which cannot be looked at cannot be used, and that is told of
	}
	if a.tmpfsQueue {
		a.keeper.Register(memlimit.Account{Name: "queue on tmpfs", Bytes: func() int64 { return diskBytes(a.writer.Status()) }, OffHeap: true})
	}
}

func diskBytes(all []remotewrite.DestinationStatus) (n int64) {
	for _, d := range all {
		n += d.DiskBytes
	}
	return n
}

// topTargets is how many of the targets that use most memory are shown.
const topTargets = 10

// memory is what the pages show of the agent's memory.
func (a *agent) memory() web.Memory {
	m := web.Memory{
		Source: *a.budget.now.Load(), History: a.keeper.History(), Buffers: a.pool.Stats(), Labels: a.dict.Stats(),
		Largest: a.targets.LargestTargets(topTargets), Shortage: a.targets.MemoryState(), Snapshots: a.replaced.Reports(),
	}
	var err error
	if m.Breakdown, err = a.keeper.Breakdown(); err != nil {
		m.Unknown = err.Error()
	}
	m.Report = a.keeper.Report()
	if a.group != nil {
		if u, err := a.group.Usage(); err == nil {
			m.Group = &u
		}
	}
	return m
}
