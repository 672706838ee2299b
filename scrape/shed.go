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
	// skipsToGiveBack is after how many skipped scrapes a target's table is given back.
	skipsToGiveBack = 2
	// releaseTakes is how long what was given back may still show as used: until the dictionary is compacted.
	releaseTakes = 12 * time.Second
	// letInEvery is the least time between two targets which are let in: until the use has been looked at again. While
	// memory is normal it is letInFast.
	letInEvery = 300 * time.Millisecond
	letInFast  = 100 * time.Millisecond
	// letInPause is how long nobody is let in after memory was critical; twice as long if that came of letting in, up to
	// letInMost.
	letInPause = 15 * time.Second
	letInMost  = 10 * time.Minute
	// ageAfter is for how long a target is held before others may not take what it needs, headFor how long it keeps
	// that right, and headAgain how long it has to wait for it then: one which never fits must not keep out all others.
	ageAfter  = time.Minute
	headFor   = time.Minute
	headAgain = 10 * time.Minute
	// shedAtOnce is how many targets are looked for first when some are to be shed: as a rule a few large ones do, and ten
	// thousand small ones need not be sorted.
	shedAtOnce = 32
	// leastOver is over how long, and up to twice that, the least room is looked for: what is in use goes up and down with
	// each block which remote write closes.
	leastOver = 5 * time.Second
	// shortTick is how often the Manager looks while memory is short.
	shortTick = time.Second
)

// shortage is what the Manager knows while memory is short. Manager.mu guards it.
type shortage struct {
	level memlimit.Level // as of the last look
	held  map[*target]struct{}
	// letting is what targets need which were let in, and whose scrapes have not ended; letInAt is before when nobody is.
	letting int64
	letInAt time.Time
	rooms   leasts
	lastIn  time.Time
	pause   time.Duration
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
		if t.letIn > 0 {
			m.holdLocked(t, SkipNew)
		}
		t.askedDue = due
		m.skipLocked(t, due, SkipWaiting)
	default:
		m.askLocked(t, due)
	}
}

// skipLocked sends what there is to say of a scrape which does not take place.
func (m *Manager) skipLocked(t *target, due time.Time, reason SkipReason) {
	tn := newTurn(t, due, time.Now())
	tn.skip = reason
	t.held.Skipped++
	tn.giveBack = m.givesBackLocked(t, t.held.Skipped)
	m.short.skipped[reason]++
	m.metrics.memorySkipped.WithLabelValues(string(reason)).Inc()
	m.takeLocked(tn)
	go m.begin(tn)
}

// givesBackLocked reports whether a target of which so many scrapes were skipped gives its table back.
func (m *Manager) givesBackLocked(t *target, skipped uint64) bool {
	switch t.held.Reason {
	case SkipNew:
		return true
	case SkipShed:
		return skipped >= skipsToGiveBack || float64(m.opts.Memory.Room()) < -edge*float64(m.opts.Memory.Limit())
	}
	return false
}

// holdLocked has t's scrapes skipped until it is let in.
func (m *Manager) holdLocked(t *target, reason SkipReason) {
	s := &m.short
	t.held = Held{Reason: reason, Since: time.Now()}
	s.letting -= t.letIn
	t.letIn = 0
	s.held[t] = struct{}{}
	m.withdrawLocked(t)
}

// unholdLocked forgets that t was held.
func (m *Manager) unholdLocked(t *target) {
	s := &m.short
	delete(s.held, t)
	s.letting -= t.letIn
	t.letIn = 0
	if s.head == t {
		s.head = nil
	}
	t.heldSince, t.held = t.held.Since, Held{}
}

// letInLocked lets one held target in, if memory is not critical, and there is room for all that it took the last time,
// which is kept for it until it was scraped. The smallest comes first, but what one needs that has waited for long is kept
// for it. How much room there is, is judged by the least that there was in the last seconds.
func (m *Manager) letInLocked(now time.Time) {
	s, mem := &m.short, m.opts.Memory
	room := mem.Room()
	s.rooms.add(now, room)
	if len(s.held) == 0 || s.level == memlimit.Critical || now.Before(s.letInAt) {
		return
	}
	spare := s.rooms.least() - int64(letInTo*float64(mem.Limit())) - mem.Admission().Stats().Granted - s.letting
	best := m.headLocked(now)
	if best == nil || best.cost.total() > spare {
		if best != nil {
			spare -= best.cost.total()
		}
		best = nil
		for t := range s.held {
			if c := t.cost.total(); c <= spare && (best == nil || cmp.Or(cmp.Compare(c, best.cost.total()), cmp.Compare(t.id, best.id)) < 0) {
				best = t
			}
		}
	}
	if best == nil {
		return
	}
	m.unholdLocked(best)
	s.letInAt, s.lastIn = now.Add(s.letInWait()), now
	best.letIn = best.cost.total()
	s.letting += best.letIn
	s.readmitted++
}

func (s *shortage) letInWait() time.Duration {
	if s.level == memlimit.Normal {
		return letInFast
	}
	return letInEvery
}

// leasts is the least of what was added lately.
type leasts struct {
	now, before int64
	since       time.Time
}

func (l *leasts) add(now time.Time, n int64) {
	if now.Sub(l.since) >= leastOver {
		l.before, l.now, l.since = l.now, n, now
	}
	l.now = min(l.now, n)
}

func (l *leasts) least() int64 { return min(l.now, l.before) }

// headLocked is the target which has been held so long that others have to leave it what it needs, if there is one.
func (m *Manager) headLocked(now time.Time) *target {
	s := &m.short
	if now.Before(s.headUntil) {
		return s.head
	}
	if s.head != nil {
		s.head.headAgain = now.Add(headAgain)
	}
	s.head, s.headUntil = nil, now.Add(headFor/6)
	for t := range s.held {
		if now.Sub(t.held.Since) >= ageAfter && !now.Before(t.headAgain) && (s.head == nil || t.held.Since.Before(s.head.held.Since)) {
			s.head, s.headUntil = t, now.Add(headFor)
		}
	}
	return s.head
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
			if now.Sub(s.lastIn) < letInMost {
				s.pause = min(2*s.pause, letInMost)
			}
			s.pause = max(s.pause, letInPause)
		}
		s.letInAt = now.Add(s.pause)
		m.shedLocked(now)
	} else if now.Sub(s.letInAt) > letInMost {
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
		if t.held.Reason == SkipShed && (t.gaveBack.IsZero() || now.Sub(t.gaveBack) < releaseTakes) {
			excess -= t.cost.kept
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
			t.gaveBack = time.Time{}
			excess -= max(t.cost.kept, 1)
			n, bytes = n+1, bytes+t.cost.total()
		}
	}
	s.shedAt = now
	s.shed += uint64(n)
	if n > 0 {
		m.log.Warn("memory is critical: targets are not scraped until it is less short", "targets", n, "bytes", bytes, "held", len(s.held))
	}
}

// largestLocked returns the targets which would be shed, the first one first, at most n; all if it is negative.
func (m *Manager) largestLocked(n int) []*target {
	order := func(a, b *target) int {
		return cmp.Or(cmp.Compare(b.cost.total(), a.cost.total()), cmp.Compare(a.id, b.id))
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
	if t.table != nil {
		t.failed = t.table.marked && t.table.entries.Len() > 0
	}
	if tn.gaveBack {
		t.gaveBack = time.Now()
	}
	if tn.claim || tn.skip != SkipNone {
		return
	}
	if tn.cost != (cost{}) {
		t.cost = tn.cost
	}
	if t.held.Reason == SkipNone {
		t.held = Held{} // what was skipped before counts no longer
	}
	if tn.letIn {
		s.letting -= t.letIn
		t.letIn = 0
	}
	if !tn.short || t.held.Reason != SkipNone {
		return
	}
	// Others had the memory for a moment: it will wait until it gets what it needs before it begins.
	if needs := 2 * tn.needs; needs > 0 && m.opts.Memory.Level() < memlimit.High && m.opts.Memory.Admission().Fits(needs) {
		t.cost = cost{kept: tn.former.kept, passing: needs}
		return
	}
	m.holdLocked(t, SkipNew)
	t.gaveBack = time.Time{}
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
func (tn *turn) estimate(out *outcome, r *result, grown int64) {
	const perSeries = 64 // in the table and in the dictionary, for what real exporters send
	tn.stays = grown
	switch {
	case out.err == nil:
		packed := false
		tn.cost = cost{kept: r.memory + r.labelBytes, passing: passingOf(out.bodyBytes, packed) + out.batchBytes}
	case tn.short:
		series := int64(out.afterRelabeling())
		tn.cost = cost{kept: series * perSeries, passing: passingOf(out.bodyBytes, false) + series*12}
		if e, ok := errors.AsType[*ShortError](out.err); ok { // there is more than was read
			tn.needs = e.Bytes
			tn.cost.kept = max(tn.cost.kept, 2*e.Bytes-tn.cost.passing, tn.former.kept)
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
