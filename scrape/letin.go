package scrape

import (
	"cmp"
	"math"
	"time"

	"scraper/memlimit"
)

const (
	// letInEvery is the least time between two targets which are let in: until the use has been looked at again. While
	// memory is normal it is letInFast.
	letInEvery = 300 * time.Millisecond
	letInFast  = 100 * time.Millisecond
	// letInAhead is how long before it is due a target is let in at the earliest: what it needs is kept from others until it was
	// scraped.
	letInAhead = 3 * time.Second
	// letInPause is how long nobody is let in after memory was critical; twice as long if that came of letting in, up to
	// letInMost. Once memory is no longer high, load has gone which it came of as well: it is pausedElevated at the most
	// then, and letInPause while memory is normal.
	letInPause     = 15 * time.Second
	letInMost      = 2 * time.Minute
	pausedElevated = 30 * time.Second
	// blamedFor is for how long that memory is critical may have come of letting in.
	blamedFor = 5 * time.Minute
	// ageAfter is for how long a target is held before others may not take what it needs, headFor how long it keeps
	// that right, and headAgain how long it has to wait for it then: one which never fits must not keep out all others. Nor
	// must many of these, one after the other: nobody has it for headRest after one who could not use it.
	ageAfter  = time.Minute
	headFor   = time.Minute
	headAgain = 10 * time.Minute
	headRest  = 4 * time.Minute
	// tryAfter is after how long a target is tried which would not fit if it still took what it did, twice as long after
	// each time that it did not fit, up to tryMost: what it takes may have been overestimated, and may be less by now.
	tryAfter = 15 * time.Second
	tryMost  = time.Minute
	// leastOver is over how long, and up to twice that, the least room is looked for: what is in use goes up and down with
	// each block which remote write closes.
	leastOver = 5 * time.Second
)

// unholdLocked forgets that t was held.
func (m *Manager) unholdLocked(t *target) {
	s := &m.short
	delete(s.held, t)
	s.arrive(t)
	if s.head == t {
		s.head = nil
	}
	t.heldSince, t.held = t.held.Since, Held{}
}

// letInLocked lets one held target in, if memory is not critical, and there is room for all that it took the last time,
// which is kept for it until it was scraped, soon. The smallest comes first, but what one needs that has waited for long is kept
// for it. How much room there is, is judged by the least that there was in the last seconds.
func (m *Manager) letInLocked(now time.Time) {
	s, mem := &m.short, m.opts.Memory
	s.rooms.add(now, mem.Room())
	if len(s.held) == 0 || s.level == memlimit.Critical || s.isPaused(now) || now.Sub(s.lastIn) < s.letInWait() {
		return
	}
	spare := s.rooms.least() - int64(letInTo*float64(mem.Limit())) - mem.Admission().Stats().Granted - s.letting
	labels, free := m.labelRoom()-s.lettingLabels, spare
	fits := func(t *target) bool {
		return t.cost.total() <= spare && t.cost.labels <= labels && mem.Admission().Fits(t.cost.total())
	}
	best := m.headLocked(now)
	if best == nil || !fits(best) || !best.isDueSoon(now) {
		if best != nil {
			spare -= best.cost.total()
		}
		best = nil
		for t := range s.held {
			if t.isDueSoon(now) && fits(t) && (best == nil || cmp.Or(cmp.Compare(t.cost.total(), best.cost.total()), cmp.Compare(t.id, best.id)) < 0) {
				best = t
			}
		}
	}
	var bytes, labelBytes int64
	switch {
	case best != nil:
		bytes, labelBytes = best.cost.total(), best.cost.labels
	case free > firstBytes && s.letting == 0 && s.level < memlimit.High:
		if best = m.triedLocked(now); best == nil {
			return
		}
		bytes = firstBytes // the rest it gets as it is read, if there is any
	default:
		return
	}
	m.unholdLocked(best)
	s.lastIn = now
	best.letIn, best.letInLabels = max(bytes, 1), labelBytes
	s.letting += best.letIn
	s.lettingLabels += labelBytes
	s.readmitted++
}

// isDueSoon reports whether t would be scraped soon if it was let in.
func (t *target) isDueSoon(now time.Time) bool { return t.next.Sub(now) <= letInAhead }

// labelRoom is how many bytes one target may add to the dictionary.
func (m *Manager) labelRoom() int64 {
	d := m.opts.Dict
	if d.MaxBytes() == 0 {
		return math.MaxInt64
	}
	return min(d.MaxBytes()-d.MaxBytes()/keptForSmall-d.Bytes(), share(d))
}

// triedLocked returns a target which is to be tried, though it would not fit if it took what it did: who was tried the
// longest time ago.
func (m *Manager) triedLocked(now time.Time) (first *target) {
	for t := range m.short.held {
		if t.isDueSoon(now) && !now.Before(t.tryAt) && (first == nil || cmp.Or(t.tryAt.Compare(first.tryAt), cmp.Compare(t.id, first.id)) < 0) {
			first = t
		}
	}
	return first
}

// isPaused reports whether nobody is let in yet since memory was critical.
func (s *shortage) isPaused(now time.Time) bool {
	most := letInMost
	switch s.level {
	case memlimit.Normal:
		most = letInPause
	case memlimit.Elevated:
		most = pausedElevated
	}
	return now.Sub(s.criticalAt) < min(s.pause, most)
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

// headLocked is the target which has been held so long that others have to leave it what it needs, if there is one. It is one
// which is due while they have to.
func (m *Manager) headLocked(now time.Time) *target {
	s := &m.short
	if now.Before(s.headUntil) {
		return s.head
	}
	if s.head != nil {
		s.head.headAgain = now.Add(headAgain)
		s.head, s.headUntil = nil, now.Add(headRest)
		return nil
	}
	s.headUntil = now.Add(headFor / 6)
	for t := range s.held {
		if now.Sub(t.held.Since) >= ageAfter && t.next.Sub(now) < headFor && !now.Before(t.headAgain) && (s.head == nil || t.held.Since.Before(s.head.held.Since)) {
			s.head, s.headUntil = t, now.Add(headFor)
		}
	}
	return s.head
}

// arrive ends that anything is kept for t because it was let in.
func (s *shortage) arrive(t *target) {
	if t.letIn > 0 {
		s.letting -= t.letIn
		s.lettingLabels -= t.letInLabels
		t.letIn, t.letInLabels = 0, 0
	}
}
