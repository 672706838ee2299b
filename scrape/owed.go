package scrape

import (
	"slices"
	"time"

	"scraper/internal/slack"
	"scraper/memlimit"
)

const (
	// markersPerSecond is how many markers are sent which are owed: as many as an agent of half a million series sends
	// samples every ten seconds, so that neither blocks nor queues see a spike.
	markersPerSecond = 50_000
	// markersAtOnce is how many of them go into one batch.
	markersAtOnce = 5_000
	// oweAbove is how many series a target has at least whose markers are owed: fewer are sent with its up.
	oweAbove = 500
)

// owesLocked notes how many markers t owes.
func (m *Manager) owesLocked(t *target, n int64) {
	s := &m.short
	s.owed += n - t.owes
	t.owes = n
	if n > 0 {
		m.oweLocked(t)
	}
}

// oweLocked has payLocked see to t, which owes markers or its table.
func (m *Manager) oweLocked(t *target) {
	if s := &m.short; !t.owing {
		s.owing, t.owing = append(s.owing, t), true
		m.wakeUp()
	}
}

// owesTable reports whether t is held, and still has its table.
func (t *target) owesTable() bool { return t.held.Reason != SkipNone && t.gaveBack.IsZero() }

// dropPaidLocked forgets those who owe nothing any longer: they paid, were scraped again, or went.
func (m *Manager) dropPaidLocked() {
	m.short.owing = slack.Slice(slices.DeleteFunc(m.short.owing, func(t *target) bool {
		if !t.removed && (t.owes > 0 || t.owesTable()) {
			return false
		}
		t.owing = false
		return true
	}))
}

// payLocked sends some of the markers which are owed, or takes the table of a target whose markers were sent, if it is time
// for that, and returns when it is again. So it does not matter when a target which was shed would have been due.
func (m *Manager) payLocked(now time.Time) time.Duration {
	s := &m.short
	if len(s.owing) == 0 || s.paying {
		return idleWait
	}
	if wait := s.payAt.Sub(now); wait > 0 {
		return wait
	}
	m.dropPaidLocked()
	wait := time.Duration(idleWait)
	for _, t := range s.owing {
		gives := t.owesTable() && m.givesBackLocked(t)
		switch {
		case t.marked && !gives: // not yet; while somebody is held there is a look each second
		case t.life != nil:
			wait = 100 * time.Millisecond
		default:
			m.payForLocked(t, 0)
			return markersAtOnce * time.Second / markersPerSecond
		}
	}
	return wait
}

// payForLocked sends a part of the markers of t, which is not scraped now, after the given time.
func (m *Manager) payForLocked(t *target, after time.Duration) {
	m.short.paying = true
	tn := m.claimLocked(t)
	tn.giveBack = t.owesTable() && m.givesBackLocked(t)
	time.AfterFunc(after, func() { m.pay(tn) })
}

// paysFirstLocked reports whether t, whose next scrape is due, sends a part of the markers that it owes before that, unless
// somebody else does now. One which never answers is asked again the moment it was given up, so there is no other time.
func (m *Manager) paysFirstLocked(t *target) bool {
	if t.owes == 0 || m.short.paying {
		return false
	}
	m.payForLocked(t, max(0, time.Until(m.short.payAt)))
	return true
}

// claimLocked makes the caller the owner of t's table, as if he scraped it, until ended is called.
func (m *Manager) claimLocked(t *target) *turn {
	now := time.Now()
	tn := newTurn(t, now, now)
	tn.start, tn.claim = now, true
	m.takeLocked(tn)
	return tn
}

// pay sends a part of the markers that a target owes.
func (m *Manager) pay(tn *turn) {
	defer m.running.Done()
	t := tn.t
	w := m.getWorker()
	sent := 0
	if t.table != nil && !t.table.marked {
		b := w.batch
		b.Slot, b.Sets = t.slot, t.table.sets
		b.TimestampMillis = max(time.Now().UnixMilli(), t.lastMillis+1)
		sent = t.table.markSome(b, tn.st.cfg.TrackTimestampsStaleness, markersAtOnce)
		if b.Len() > 0 {
			m.commit(t, tn.st, b)
		}
		m.metrics.markers.Add(float64(sent))
	}
	m.putWorker(w)
	tn.settle(m)
	m.mu.Lock()
	m.short.paying = false
	m.short.payAt = time.Now().Add(time.Duration(sent) * time.Second / markersPerSecond)
	m.mu.Unlock()
	m.ended(tn)
	m.wakeUp()
}

// settle ends a turn which read nothing: a table which is to be given back is, once its markers were sent.
func (tn *turn) settle(m *Manager) {
	t := tn.t
	if t.table == nil {
		tn.gaveBack = tn.giveBack
		return
	}
	if tn.giveBack && t.table.marked {
		if t.table.entries.Len() > 0 {
			m.forget(t)
		}
		tn.gaveBack = true
	}
	tn.owes = t.table.owed()
	t.mu.Lock()
	defer t.mu.Unlock()
	m.measure(t)
	tn.holds = t.result.memory + t.result.labelBytes
	m.tellReleased(t)
}

// forget drops the series of t's table. The caller owns it.
func (m *Manager) forget(t *target) {
	t.table.forget()
	t.mu.Lock()
	t.families.release(m.opts.Dict)
	t.mu.Unlock()
}

// ReleaseTables forgets the series of targets whose last scrape failed, and whose markers were sent: they are only kept so
// that a target which comes back soon need not be learnt anew. It returns how many bytes that was.
func (m *Manager) ReleaseTables() (bytes int64) {
	var turns []*turn
	m.mu.Lock()
	for _, j := range m.jobs {
		for _, t := range j.targets {
			if t.failed && t.life == nil && !t.removed && !m.stopping {
				turns = append(turns, m.claimLocked(t))
			}
		}
	}
	m.mu.Unlock()
	for _, tn := range turns {
		before := tn.t.bytes()
		tn.giveBack = true
		tn.settle(m)
		bytes += before - tn.t.bytes()
		m.ended(tn)
		m.running.Done()
	}
	return bytes
}

// bytes is what the target's table takes, as of its last scrape.
func (t *target) bytes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.result.memory
}

// keepsFailed reports whether tables of targets which failed may stay for some scrapes.
func (m *Manager) keepsFailed() bool {
	return m.opts.Memory == nil || m.opts.Memory.Level() < memlimit.Elevated
}
