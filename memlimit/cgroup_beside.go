package memlimit

import (
	"os"
	"time"
)

const (
	// unwrittenShare of a group's limit may wait to be written and is not counted. The kernel writes it when it needs the
	// space, which makes a writer wait, and nobody die; what is more than that says that the disk does not keep up. Version
	// 2 lets no group have more: its writers wait from a fifth on (vm.dirty_ratio) of what is left for files. The queue has a
	// few MiB waiting, and three segments of 8 MiB at the very most, which are to raise no level in small containers.
	unwrittenShare = 4
	// othersNoise is how far what the kernel counts for the group and for the process may be apart without there being
	// anybody else: each counts by processor, and adds up later.
	othersNoise = 1 << 20
	// widest is how many times the budget the limit of a group may be which is looked at. In a larger one it is not the
	// agent that fills it, and nothing which the agent gave up would change that.
	widest = 8
)

// Beside is what counts towards the limit of the container and is not the process' own memory, in bytes.
type Beside struct {
	// Kernel is what the kernel holds for the group and cannot just drop, and what buffers of sockets take where they count.
	Kernel int64
	// Others is what other processes take, files on tmpfs, and pages which wait to be written and are too many.
	Others int64
}

// look is what was seen of one level.
type look struct {
	CgroupUsage
	limit int64 // 0: none
	// held is what of the kernel's memory counts towards the limit.
	held int64
	// others is memory of other processes, and unwritten what waits to be written: what was there at this look and at the
	// one before. The files are read one after the other, while memory is given back, say, and what the kernel has not added
	// up yet is gone with the next look.
	others, unwritten       int64
	othersNow, unwrittenNow int64
}

// Beside returns what is beside the process, as of some seconds ago at most, as far as a budget is concerned which may be
// smaller than the container's limit: what fits between the two takes nothing from it. Queued is what the caller counts of
// files on tmpfs itself. Without a limit, and where nothing can be told, it is nothing.
func (c *Cgroup) Beside(budget, queued int64) (b Beside) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.lookLocked(); budget <= 0 || err != nil && c.at.IsZero() {
		return b // what was seen before is better than nothing
	}
	if !c.queuedAt.Equal(c.at) {
		c.queued, c.queuedAt = queued, c.at
	}
	queued = max(queued, c.queued) // what went since is in what was seen
	var most int64
	for _, l := range c.looks {
		if l.limit == 0 || l.limit/widest > budget {
			continue
		}
		n := l.held + l.others + max(0, l.Shmem-queued) + max(0, l.unwritten-l.limit/unwrittenShare)
		most = max(most, n-max(0, l.limit-budget))
	}
	b.Kernel = min(most, c.looks[0].held)
	b.Others = most - b.Kernel
	return b
}

// lookLocked looks at all levels, unless it was done a moment ago.
func (c *Cgroup) lookLocked() error {
	now := time.Now()
	if !c.at.IsZero() && now.Sub(c.at) < cgroupEvery {
		return nil
	}
	rss := c.rss()
	looks := make([]look, len(c.levels))
	for i, l := range c.levels {
		limits, err := l.limits(i == 0)
		if err != nil && i > 0 {
			continue // who may not read it does not know it
		}
		looks[i].limit = limits.least()
		if i > 0 && looks[i].limit == 0 {
			continue
		}
		if looks[i].CgroupUsage, err = l.usage(); err != nil && i == 0 {
			return err
		}
		looks[i].held = looks[i].Kernel
		if l.v2 {
			looks[i].held += looks[i].Sockets
		}
	}
	c.tellApart(looks, max(rss, c.rss()))
	c.looks, c.at = looks, now
	return nil
}

// tellApart finds out what is other processes' in each level, of which the process has rss, about.
func (c *Cgroup) tellApart(looks []look, rss int64) {
	exact := false
	for i := range looks {
		l := &looks[i]
		if !exact && l.Anon-rss > othersNoise {
			// On a machine of many processors what the kernel says quickly is some MiB off.
			if n, err := c.resident(); err == nil {
				rss = max(rss, n)
			}
			exact = true
		}
		if n := l.Anon - rss; n > othersNoise {
			l.othersNow = n
		}
		l.unwrittenNow = l.Dirty
		l.others, l.unwritten = l.othersNow, l.unwrittenNow
		if i < len(c.looks) {
			l.others, l.unwritten = min(l.others, c.looks[i].othersNow), min(l.unwritten, c.looks[i].unwrittenNow)
		}
	}
}

// mappedAnon adds up the process' resident anonymous memory over its pages. It takes a millisecond per 100 MiB or so.
func mappedAnon() (int64, error) {
	f, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r, err := readMaps(f, 0)
	return r.heap + r.runtime + r.program, err
}
