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
	// fromHigh is where the kernel slows the container down long before it kills, as Kubernetes' MemoryQoS has it.
	fromHigh = "the container's memory.high"
)

// leastBudget is what an agent needs that does nothing. Below it there would be no level but the last.
const leastBudget = 16 << 20

// memoryBudget is how much memory may be used, and what there is to say about it.
type memoryBudget struct {
	memlimit.Limit
	larger []memlimit.Limit // limits which were asked for beside it
	unread error            // why the container's is not known
}

// findBudget compares the limits. A variable of math.MaxInt64 is none, as the runtime has it.
func findBudget(flag, variable int64, container func() (memlimit.CgroupLimits, error)) memoryBudget {
	if variable == math.MaxInt64 {
		variable = 0
	}
	limits, err := container()
	b := memoryBudget{unread: err}
	b.Limit, b.larger = memlimit.Smallest(
		memlimit.Limit{Source: fromFlag, Bytes: flag}, memlimit.Limit{Source: fromVariable, Bytes: variable},
		memlimit.Limit{Source: fromContainer, Bytes: limits.Max}, memlimit.Limit{Source: fromHigh, Bytes: limits.High})
	return b
}

// tell logs which limit counts, and warns where more was asked for.
func (b memoryBudget) tell(log *slog.Logger) {
	if b.unread != nil {
		log.Warn("the container's memory limit could not be read: set -memory.limit if there is one", "err", b.unread)
	}
	for _, l := range b.larger {
		if l.Source == fromFlag || l.Source == fromVariable {
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

// container knows the limits of the container.
type container struct {
	group *memlimit.Cgroup // nil where none was found
	// library finds the limit at which the kernel kills in ways of its own. It is nil from when it says the same as the
	// group, whose files are few.
	library func() (uint64, error)
	// has is the limits as they were asked for last.
	has atomic.Pointer[memlimit.CgroupLimits]
}

// limits returns what bounds the container; nothing if it has no limit, or there is no container. One goroutine calls it.
func (c *container) limits() (l memlimit.CgroupLimits, err error) {
	if c.group != nil {
		if l, err = c.group.Limits(); err != nil {
			return memlimit.CgroupLimits{}, err
		}
	}
	if c.library != nil {
		n, err := c.library()
		most := int64(min(n, math.MaxInt64))
		switch {
		case errors.Is(err, cgroup.ErrNoLimit), errors.Is(err, cgroup.ErrNoCgroup), errors.Is(err, cgroup.ErrCgroupsNotSupported):
			most = 0
		case err != nil && l == (memlimit.CgroupLimits{}):
			return memlimit.CgroupLimits{}, err
		case err != nil:
			most = l.Max
		}
		switch {
		case c.group != nil && most == l.Max:
			c.library = nil
		case l.Max == 0 || most > 0 && most < l.Max:
			l.Max = most
		}
	}
	c.has.Store(&l)
	return l, nil
}

// limited reports whether the container had a limit when it was asked for last.
func (c *container) limited() bool {
	l := c.has.Load()
	return l != nil && (l.Max > 0 || l.High > 0)
}

// setMemory makes the Keeper of the agent's memory.
func (a *agent) setMemory() {
	variable := debug.SetMemoryLimit(-1)
	a.container = &container{library: cgroup.FromCgroup}
	a.container.group, _ = memlimit.FindCgroup() // without it what is beside the process is not counted
	find := func() memoryBudget { return findBudget(a.s.MemoryLimitBytes, variable, a.container.limits) }
	a.budget = find()
	a.source.Store(&a.budget.Source)
	a.keeper = memlimit.New(memlimit.Options{
		Logger: a.log, Budget: a.budget.Bytes,
		FindBudget: func() memlimit.Limit {
			b := find()
			if b.unread != nil {
				return memlimit.Limit{Source: *a.source.Load(), Bytes: a.keeper.Budget()}
			}
			a.source.Store(&b.Source)
			return b.Limit
		},
		OnBudget: a.follow,
		// Below the budget, and so below a GOMEMLIMIT which the user has set.
		SetSoftLimit: func(bytes int64) { debug.SetMemoryLimit(bytes) },
		HeldBack:     func() int64 { return a.targets.HeldBytes() },
	})
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

// openAccountOf opens the account of a destination.
func (a *agent) openAccountOf(d remotewrite.Account) (remove func()) {
	return a.keeper.Register(memlimit.Account{Name: "remotewrite " + d.Name, Bytes: d.Bytes, Release: d.Release})
}

// isMemoryHigh reports whether blocks are to wait on disk only.
func (a *agent) isMemoryHigh() bool { return a.keeper.Level() >= memlimit.High }

// isMemoryShort reports whether what can be worked out again is not to be kept.
func (a *agent) isMemoryShort() bool { return a.keeper.Level() > memlimit.Normal }

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
	if dir := queueDir(a.s); dir != "" {
		a.tmpfsQueue, _ = memlimit.OnTmpfs(dir) // a directory which cannot be looked at cannot be used, and that is told of
	}
	if a.tmpfsQueue {
		a.keeper.Register(memlimit.Account{Name: "queue on tmpfs", Bytes: a.tmpfsQueueBytes, OffHeap: true})
	}
	if a.tmpfsSpool {
		a.keeper.Register(memlimit.Account{Name: "scrapes on tmpfs", Bytes: a.targets.SpoolBytes, OffHeap: true})
	}
	a.countContainer()
}

// countContainer opens the accounts of what the kernel counts for the container beside the process, once it has a limit:
// else the group is the whole machine's, or a session's.
func (a *agent) countContainer() {
	group := a.container.group
	if a.counted || group == nil || !a.container.limited() {
		return
	}
	a.counted = true
	beside := func() memlimit.Beside { return group.Beside(a.keeper.Budget(), a.tmpfsBytes()) }
	a.keeper.Register(memlimit.Account{Name: "kernel", Bytes: func() int64 { return beside().Kernel }, OffHeap: true})
	a.keeper.Register(memlimit.Account{Name: "others", Bytes: func() int64 { return beside().Others }, OffHeap: true})
}

// tmpfsBytes is what the agent's files take of memory.
func (a *agent) tmpfsBytes() int64 {
	n := a.tmpfsQueueBytes()
	if a.tmpfsSpool {
		n += a.targets.SpoolBytes()
	}
	return n
}

func (a *agent) tmpfsQueueBytes() (n int64) {
	if !a.tmpfsQueue {
		return 0
	}
	for _, d := range a.writer.Status() {
		n += d.DiskBytes
	}
	return n
}

// topTargets is how many of the targets that use most memory are shown.
const topTargets = 10

// memory is what the pages show of the agent's memory.
func (a *agent) memory() web.Memory {
	m := web.Memory{
		Source: *a.source.Load(), History: a.keeper.History(), Buffers: a.pool.Stats(), Labels: a.dict.Stats(),
		Largest: a.targets.LargestTargets(topTargets), Shortage: a.targets.MemoryState(), Snapshots: a.replaced.Reports(),
	}
	var err error
	if m.Breakdown, err = a.keeper.Breakdown(); err != nil {
		m.Unknown = err.Error()
	}
	m.Report = a.keeper.Report()
	if a.container.group != nil && a.container.limited() {
		if u, err := a.container.group.Usage(); err == nil {
			m.Group = &u
		}
	}
	return m
}
