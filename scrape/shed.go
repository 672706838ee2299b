package scrape

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"scraper/memlimit"
)

const (
	// shedTo is how far below Critical's threshold the use is to fall by shedding, as a part of the limit, and letInTo how
	// far below it is to stay when a target is let in: less than that, and what a scrape moves would undo it.
	shedTo  = 3.0 / 40
	letInTo = 1.0 / 40
	// edge is how far above the threshold tables are given back at once.
	edge = 1.0 / 20
	// giveBackAfter is for how long a shed target keeps its table, whatever its interval: time to send a million markers, and for
	// memory to become less short by what goes at once.
	giveBackAfter = 20 * time.Second
	// releaseTakes is how long what was given back may still show as used: until the dictionary is compacted.
	releaseTakes = 12 * time.Second
	// shedAtOnce is how many targets are looked for first when some are to be shed: as a rule a few large ones do, and ten
	// thousand small ones need not be sorted.
	shedAtOnce = 32
	// shortTick is how often the Manager looks while memory is short.
	shortTick = time.Second
)

// shortage is what the Manager knows while memory is short. Manager.mu guards it.
type shortage struct {
	level memlimit.Level // as of the last look
	held  map[*target]struct{}
	// letting is what targets need which were let in, and whose scrapes have not ended, and lettingLabels what of it is for
	// labels. The last one was let in at lastIn.
	letting, lettingLabels int64
	lastIn                 time.Time
	rooms                  leasts
	// criticalAt is when memory was critical last, and pause for how long nobody is let in after that.
	criticalAt time.Time
	pause      time.Duration
	// head is the target which was held longest, until headUntil.
	head      *target
	headUntil time.Time
	shedAt    time.Time

	owing  []*target // in the order in which they are paid
	owed   int64
	paying bool
	payAt  time.Time

	idleWorkers int // which are kept from scrapes

	shed, readmitted uint64
	skipped          map[SkipReason]uint64
}

// dueLocked begins a scrape which is due: it is started, waits for memory, or is skipped.
func (m *Manager) dueLocked(t *target, due time.Time) {
	switch {
	case m.opts.Memory == nil:
		m.startLocked(t, due, nil)
	case t.held.Reason != SkipNone:
		m.skipLocked(t, due, t.held.Reason)
	case t.asked != nil: // since its last turn
		if t.letIn > 0 || m.waitsInVainLocked(t) {
			m.holdLocked(t, SkipNew)
		}
		t.askedDue = due
		m.skipLocked(t, due, SkipWaiting)
	default:
		m.askLocked(t, due)
	}
}

// waitsInVainLocked reports whether t has waited over more than one turn for memory which there would not be if it was alone:
// others have learnt what was free when it began to wait. While memory is critical that is so for all but small ones.
func (m *Manager) waitsInVainLocked(t *target) bool {
	return t.held.Skipped > 0 && m.opts.Memory.Level() < memlimit.Critical && !m.opts.Memory.Admission().Fits(t.reserve())
}

// skipLocked sends what there is to say of a scrape which does not take place.
func (m *Manager) skipLocked(t *target, due time.Time, reason SkipReason) {
	tn := newTurn(t, due, time.Now())
	tn.skip = reason
	t.held.Skipped++
	tn.giveBack = m.givesBackLocked(t)
	m.short.skipped[reason]++
	m.metrics.memorySkipped.WithLabelValues(string(reason)).Inc()
	m.takeLocked(tn)
	go m.begin(tn)
}

// givesBackLocked reports whether a target gives its table back once its markers were sent.
func (m *Manager) givesBackLocked(t *target) bool {
	switch t.held.Reason {
	case SkipNew:
		return true
	case SkipShed:
		return time.Since(t.held.Since) >= giveBackAfter || float64(m.opts.Memory.Room()) < -edge*float64(m.opts.Memory.Limit())
	}
	return false
}

// holdLocked has t's scrapes skipped until it is let in. One which was let in, and was not scraped, has been held all the
// time.
func (m *Manager) holdLocked(t *target, reason SkipReason) {
	s, now := &m.short, time.Now()
	since := now
	if t.letIn > 0 {
		since = t.heldSince
	}
	t.held, t.gaveBack = Held{Reason: reason, Since: since}, time.Time{}
	t.tryAt = now.Add(min(tryAfter<<t.tries, tryMost))
	t.tries = min(t.tries+1, 8)
	s.arrive(t)
	s.held[t] = struct{}{}
	m.withdrawLocked(t)
	m.oweLocked(t)
}

// lookLocked does what the level asks for, and returns when to look again.
func (m *Manager) lookLocked(now time.Time) time.Duration {
	mem := m.opts.Memory
	if mem == nil {
		return idleWait
	}
	s := &m.short
	m.startAdmittedLocked()
	was := s.level
	s.level = mem.Level()
	m.restWorkersLocked()
	if s.level == memlimit.Critical {
		if was != memlimit.Critical {
			if now.Sub(s.lastIn) < blamedFor {
				s.pause = min(2*s.pause, letInMost)
			}
			s.pause = max(s.pause, letInPause)
		}
		s.criticalAt = now
		m.shedLocked(now)
	} else if !s.isPaused(now) && (s.level == memlimit.Normal || now.Sub(s.criticalAt) > blamedFor) {
		s.pause = 0
	}
	m.letInLocked(now)
	wait := m.payLocked(now)
	if len(s.held) > 0 && s.level < memlimit.Critical {
		wait = min(wait, s.letInWait())
	}
	if s.level > memlimit.Normal || len(s.held) > 0 || mem.Admission().Stats().Waiting > 0 {
		wait = min(wait, shortTick)
	}
	return wait
}

// restWorkersLocked has half of the workers rest from Elevated on.
func (m *Manager) restWorkersLocked() {
	s := &m.short
	want := 0
	if s.level >= memlimit.Elevated {
		want = m.opts.Workers / 2
	}
	for s.idleWorkers < want {
		select {
		case m.workers <- struct{}{}:
			s.idleWorkers++
			continue
		default:
		}
		return // all are at work; the next look will find one
	}
	for ; s.idleWorkers > want; s.idleWorkers-- {
		m.workers.release()
	}
}

// shedLocked chooses whose scrapes are skipped, the largest first, until what the others take is well below the
// threshold. What was chosen before and has not been given back yet is counted.
func (m *Manager) shedLocked(now time.Time) {
	s, mem := &m.short, m.opts.Memory
	excess := int64(shedTo*float64(mem.Limit())) - mem.Room()
	if excess <= 0 { // it is the collector which finds no space
		if now.Sub(s.shedAt) < 5*time.Second {
			return
		}
		excess = 1
	}
	for t := range s.held {
		switch {
		case t.held.Reason != SkipShed:
		case t.gaveBack.IsZero():
			excess -= t.holds
		case now.Sub(t.gaveBack) < releaseTakes:
			excess -= t.frees
		}
	}
	if excess <= 0 {
		return
	}
	n, bytes := 0, int64(0)
	for _, most := range []int{shedAtOnce, -1} {
		if excess <= 0 {
			break
		}
		for _, t := range m.largestLocked(most) {
			if excess <= 0 {
				break
			}
			m.holdLocked(t, SkipShed)
			excess -= max(t.holds, 1)
			n, bytes = n+1, bytes+t.holds
		}
	}
	s.shedAt = now
	s.shed += uint64(n)
	if n > 0 {
		m.log.Warn("memory is critical: targets are not scraped until it is less short", "targets", n, "bytes", bytes, "held", len(s.held))
	}
}

// largestLocked returns the targets which would be shed, the first one first, at most n; all if it is negative. What counts is
// what they hold now: what passes with a scrape is handed out anew each time, those whose series travel inline hold little, and
// those which have been down for some time nothing any more.
func (m *Manager) largestLocked(n int) []*target {
	order := func(a, b *target) int {
		return cmp.Or(cmp.Compare(b.holds, a.holds), cmp.Compare(b.cost.total(), a.cost.total()), cmp.Compare(a.id, b.id))
	}
	top := first[*target]{n: n, compare: order}
	var all []*target
	for _, j := range m.jobs {
		for _, t := range j.targets {
			switch {
			case t.held.Reason != SkipNone || t.cost.total() == 0:
			case n < 0:
				all = append(all, t)
			default:
				top.add(t)
			}
		}
	}
	if n < 0 {
		slices.SortFunc(all, order)
		return all
	}
	return top.all
}

// endedLocked takes over what a turn found out, when it has ended.
func (m *Manager) endedLocked(tn *turn) {
	t, s := tn.t, &m.short
	if m.opts.Memory == nil || t.removed {
		return
	}
	m.owesLocked(t, tn.owes)
	t.marked = t.table == nil || t.table.marked
	if t.table != nil {
		t.failed = t.table.marked && t.table.entries.Len() > 0
	}
	if tn.gaveBack && t.gaveBack.IsZero() {
		t.gaveBack, t.frees = time.Now(), t.holds
	}
	t.holds = tn.holds
	if tn.claim || tn.skip != SkipNone {
		return
	}
	if tn.cost != (cost{}) {
		t.cost, t.wants = tn.cost, 0
	}
	if t.held.Reason == SkipNone {
		t.held = Held{} // what was skipped before counts no longer
	}
	switch {
	case t.held.Reason != SkipNone: // it was shed meanwhile
	case tn.letIn && tn.starved: // it did not get what was kept for it, as its target kept it waiting
		m.holdLocked(t, SkipNew)
	case !tn.short:
		t.tries = 0
	case m.waitsForAllLocked(tn):
		// Others had the memory for a moment: it will wait until it gets what it needs before it begins.
		t.wants = tn.needs
	default:
		m.holdLocked(t, SkipNew)
	}
	if tn.letIn && t.held.Reason == SkipNone {
		s.arrive(t)
	}
}

// waitsForAllLocked reports whether a target whose scrape ran out of memory need not be held: if nobody else had any, there
// would be enough.
func (m *Manager) waitsForAllLocked(tn *turn) bool {
	return tn.needs > 0 && m.opts.Memory.Level() < memlimit.High && m.opts.Memory.Admission().Fits(tn.needs)
}

// release gives the scrape's reservation back, but for what its table grew by.
func (m *Manager) release(tn *turn) {
	tn.grant.Release(tn.stays)
	tn.grant = nil
}

// owesMarkers reports whether the markers of a failed scrape are sent later, bit by bit: where memory is short, and there
// are many.
func (tn *turn) owesMarkers(m *Manager) bool {
	if m.opts.Memory == nil || tn.t.table.owed() <= oweAbove {
		return false
	}
	return tn.skip != SkipNone || m.opts.Memory.Level() >= memlimit.High
}

// estimate notes what the scrape cost, and what it left behind. The caller holds t.mu; r is its result.
func (tn *turn) estimate(m *Manager, out *outcome, r *result, grown int64) {
	const perSeries = 64 // in the table and in the dictionary, for what real exporters send
	tn.stays = grown
	tn.before = r.memory + r.labelBytes - grown
	switch {
	case out.err == nil:
		passing := passingOf(out.bodyBytes, tn.packed) + out.batchBytes
		tn.cost = cost{kept: r.memory + r.labelBytes, labels: r.labelBytes, passing: max(passing, tn.churned), series: int64(r.series)}
	case tn.short:
		if e, ok := errors.AsType[*ShortError](out.err); ok { // there is more than was read
			tn.needs = e.whole.total()
			tn.cost = cost{kept: tn.before + e.whole.kept, passing: e.whole.passing}
			return
		}
		series := int64(out.afterRelabeling())
		tn.cost = tn.former.scaled(series, series*perSeries)
		tn.cost.passing = passingOf(out.bodyBytes, tn.packed) + m.spool.MemoryOf(series*12)
		if isFull(out.err) { // of labels; the body has no more of them than it is long
			tn.cost.labels = out.bodyBytes
			tn.cost.kept = max(tn.cost.kept, out.bodyBytes)
		}
	}
}

// skipped keeps what became of a scrape that did not take place, for the pages.
func (m *Manager) skipped(tn *turn, out *outcome) {
	t := tn.t
	tn.settle(m)
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.result
	r.health, r.lastError = HealthDown, out.err.Error()
}
