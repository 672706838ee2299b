package memlimit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// checkEvery is how often the accounts are added up while there is plenty; looking more often would cost idle agents
	// more than it tells. It is checkOften once half of the limit is used: a target of a million series fills 10 MiB in a
	// second, and what admission hands out is counted twice until the next look.
	checkEvery = time.Second
	checkOften = 250 * time.Millisecond
	oftenFrom  = 0.5
	// findEvery is how often the budget is asked for again, which takes reading a few small files. From when a limit falls
	// until it is known, garbage may grow beyond it.
	findEvery = 2 * time.Second
	// releaseEvery is how often owners are asked to release while memory is short.
	releaseEvery = 10 * time.Second

	// softEvery is how often the soft limit is thought over, and softStep by how much it must differ to be set anew: each
	// change moves the collector's goal. It rises only softCalm after its last change.
	softEvery = 5 * time.Second
	softStep  = 1 << 20
	softCalm  = 30 * time.Second

	// untouchedEvery is how often the kernel is asked which part of the runtime's own memory was never touched. It takes a
	// millisecond, ten in a process of a gigabyte, and changes when the heap grows beyond what it ever was.
	untouchedEvery = time.Minute

	// The collector's share of the CPU time that the process uses, over gcWindow, from which on memory is shorter than the
	// level by size says. It counts only while the runtime is within gcNear of its soft limit: what is allocated quickly
	// makes the collector work as well, and there is nothing to release then.
	gcShare  = 0.25
	gcWindow = 5 * time.Second
	gcNear   = 0.85
)

// pressure is how the process stands to its budget. Keeper.mu guards it.
type pressure struct {
	budget int64
	ladder ladder

	// base is what the accounts on the heap had when the collector ended last: what they took since is alive, too.
	base        int64
	collections uint64

	used, heap, offHeap int64
	most                int64       // that used ever was
	share               float64     // of the collector, over the last window
	cpu                 []cpuSample // of the last window

	// untouched is what the runtime counts as its own and has only reserved, about 3 MiB: its soft limit is about address
	// space, the budget is about pages.
	untouched   int64
	untouchedAt time.Time

	soft     int64
	softAt   time.Time // of the last change
	softSeen time.Time // of the last look

	releasedAt time.Time
	changes    [Critical + 1]uint64 // to each level
	history    history
}

type cpuSample struct {
	at       time.Time
	gc, used float64
}

func newPressure(budget int64) pressure {
	p := pressure{budget: budget}
	if budget > 0 {
		p.soft = softLimit(budget, 0)
	}
	return p
}

// rebudget changes the budget. The next look tells the level, and sets the soft limit.
func (p *pressure) rebudget(bytes int64) {
	p.budget = bytes
	p.softSeen, p.softAt, p.untouchedAt = time.Time{}, time.Time{}, time.Time{}
	p.soft = 0
	if bytes > 0 {
		p.soft = softLimit(bytes, p.offHeap)
	} else {
		p.ladder = ladder{}
	}
}

// limit is what used is measured by: the budget without the reserve. What is off the heap is in used, and so not taken off.
func (p *pressure) limit() int64 { return p.budget - Reserve(p.budget) }

// fill is which part of the limit is used.
func (p *pressure) fill() float64 {
	if p.budget == 0 {
		return 0
	}
	return float64(p.used) / float64(p.limit())
}

// room is what is left until the level is Critical.
func (p *pressure) room() int64 {
	if p.budget == 0 {
		return math.MaxInt64
	}
	return int64(Critical.from()*float64(p.limit())) - p.used
}

// observe takes what the runtime and the accounts say, and returns the level.
func (p *pressure) observe(now time.Time, rt runtimeState, heap, offHeap int64) Level {
	if rt.collections != p.collections {
		p.collections, p.base = rt.collections, heap
	}
	live := max(rt.live+heap-p.base, heap)
	p.heap, p.offHeap = heap, offHeap
	p.used = live + rt.stacks + max(0, rt.overhead-p.untouched) + offHeap
	p.most = max(p.most, p.used)
	p.history.most = max(p.history.most, p.used)
	if p.budget == 0 {
		return Normal
	}
	p.cpu = append(p.cpu, cpuSample{now, rt.gcCPU, rt.usedCPU})
	for len(p.cpu) > 2 && now.Sub(p.cpu[1].at) >= gcWindow {
		p.cpu = slices.Delete(p.cpu, 0, 1)
	}
	p.share = 0
	if first := p.cpu[0]; now.Sub(first.at) >= gcWindow && rt.usedCPU > first.used {
		p.share = (rt.gcCPU - first.gc) / (rt.usedCPU - first.used)
	}
	collecting := p.share > gcShare && float64(rt.mapped) >= gcNear*float64(p.soft)
	was := p.ladder.level
	level := p.ladder.step(now, p.fill(), collecting)
	if level != was {
		p.changes[level]++
	}
	return level
}

// adjust returns the soft limit, and whether it is to be set.
func (p *pressure) adjust(now time.Time) (bytes int64, set bool) {
	if p.budget == 0 || now.Sub(p.softSeen) < softEvery {
		return 0, false
	}
	p.softSeen = now
	want := min(softLimit(p.budget, p.offHeap)+p.untouched, p.budget)
	switch {
	case p.softAt.IsZero(): // the first time
	case want <= p.soft-softStep:
	case want >= p.soft+softStep && now.Sub(p.softAt) >= softCalm:
	default:
		return 0, false
	}
	p.soft, p.softAt = want, now
	return want, true
}

// Run watches the accounts until ctx is done, and returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	k.check(time.Now())
	timer := time.NewTimer(k.interval())
	defer timer.Stop()
	found := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-timer.C:
			if k.find != nil && now.Sub(found) >= findEvery {
				found = now
				k.setBudget(k.find())
			}
			k.check(now)
			timer.Reset(k.interval())
		}
	}
}

// interval is how long it is until the next look.
func (k *Keeper) interval() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pressure.fill() >= oftenFrom {
		return checkOften
	}
	return checkEvery
}

// setBudget changes the budget, if it is another one.
func (k *Keeper) setBudget(l Limit) {
	bytes := max(0, l.Bytes)
	was := k.Budget()
	if bytes == was {
		return
	}
	k.log.Warn("the memory budget changed", "budget_bytes", bytes, "was_bytes", was, "source", l.Source)
	k.budget.Store(bytes)
	k.onBudget(bytes)
	if bytes > 0 && (was == 0 || bytes < was) {
		k.Released(freeAtLeast) // the garbage, for which there was room so far
	}
	k.mu.Lock()
	k.pressure.rebudget(bytes)
	k.mu.Unlock()
	if bytes == 0 {
		k.setSoft(math.MaxInt64)
	}
}

// check looks once, and does what has to be done.
func (k *Keeper) check(now time.Time) {
	settled := k.admission.observing()
	uses, heap, offHeap := k.uses()
	rt := k.runtime()
	k.measureUntouched(now, rt)
	k.mu.Lock()
	p := &k.pressure
	was := Level(k.level.Load())
	level := p.observe(now, rt, heap, offHeap)
	k.level.Store(uint32(level))
	k.room.Store(p.room())
	soft, setSoft := p.adjust(now)
	release := level > Normal && (level > was || now.Sub(p.releasedAt) >= releaseEvery)
	if release {
		p.releasedAt = now
	}
	remember := p.history.due(now)
	watchers := slices.Clone(k.watchers)
	used, limit, share := p.used, p.limit(), p.share
	k.mu.Unlock()

	if setSoft {
		k.setSoft(soft)
	}
	k.admission.observed(settled)
	if level != was {
		k.tell(was, level, used, limit, share, uses)
		for _, w := range watchers {
			(*w)(level)
		}
	}
	if release {
		k.release()
		k.uses()
	}
	k.giveBack(now)
	if resident := int64(0); remember {
		resident = k.resident()
		k.mu.Lock()
		p.history.add(now, Point{Limit: limit, Resident: resident, Level: level})
		k.mu.Unlock()
	}
}

// measureUntouched asks the kernel, where there is a budget and from time to time.
func (k *Keeper) measureUntouched(now time.Time, rt runtimeState) {
	k.mu.Lock()
	due := k.pressure.budget > 0 && (k.pressure.untouchedAt.IsZero() || now.Sub(k.pressure.untouchedAt) >= untouchedEvery)
	k.mu.Unlock()
	if !due {
		return
	}
	m, err := k.regions()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pressure.untouchedAt = now
	if err == nil {
		k.pressure.untouched = max(0, rt.overhead-m.runtime)
	}
}

// tell logs a change of the level, and who has most.
func (k *Keeper) tell(was, level Level, used, limit int64, share float64, uses []Use) {
	slices.SortStableFunc(uses, func(a, b Use) int { return cmp.Compare(b.Bytes, a.Bytes) })
	var most []string
	for _, u := range uses[:min(3, len(uses))] {
		most = append(most, fmt.Sprintf("%s %d", u.Name, u.Bytes))
	}
	say, text := k.log.Warn, "memory is short"
	if level < was {
		say, text = k.log.Info, "memory is less short"
	}
	say(text, "level", level.String(), "was", was.String(), "used_bytes", used, "limit_bytes", limit,
		"gc_cpu_share", math.Round(share*100)/100, "most_bytes", strings.Join(most, ", "))
}

// release asks all who can to give memory back.
func (k *Keeper) release() {
	k.mu.Lock()
	accounts := slices.Clone(k.accounts)
	k.mu.Unlock()
	for _, a := range accounts {
		if a.Release == nil {
			continue
		}
		n := a.Release()
		k.mu.Lock()
		a.gaveBack += n
		k.mu.Unlock()
	}
}

// giveBack returns memory to the system where the accounts have fallen far enough, each for itself: what one takes
// meanwhile does not make up for what another let go.
func (k *Keeper) giveBack(now time.Time) {
	least := int64(freeAtLeast)
	if b := k.Budget(); b > 0 {
		least = min(least, b/8)
	}
	k.mu.Lock()
	fallen, left := k.released.Load(), int64(0)
	for _, a := range k.accounts {
		if !a.OffHeap {
			fallen += a.peak - a.last
			left += a.last
		}
	}
	if now.Before(k.tailEnds) {
		least = min(least, max(left/tailShare, tailAtLeast))
	}
	due := fallen >= least && now.Sub(k.freed) >= freeGap && now.Sub(k.paidTo) >= k.pause
	if due {
		if fallen > left/fallShare {
			k.tailEnds = now.Add(fallTail)
		}
		for _, a := range k.accounts {
			a.peak = a.last
		}
		k.freed = now
		if saved := now.Add(-freeSaved); k.paidTo.Before(saved) {
			k.paidTo = saved
		}
		k.paidTo = k.paidTo.Add(k.pause)
		k.released.Store(0)
		k.frees++
	}
	k.mu.Unlock()
	if due {
		pause := min(max(freePause*k.returnAll(), freeGap), freeEvery)
		k.mu.Lock()
		k.pause = pause
		k.mu.Unlock()
	}
}
