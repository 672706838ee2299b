package scrape

import (
	"container/heap"
	"context"
	"time"

	"scraper/internal/slack"
	"scraper/memlimit"
)

const (
	// lateAfter is how late a scrape may start before it counts as late.
	lateAfter = 50 * time.Millisecond
	// idleWait is how long the scheduler sleeps at the most: a change of the wall clock is noticed within it.
	idleWait = 30 * time.Second
	// catchUp is the part of the interval by which a scrape may start late because the last one of its target ran until
	// then: one that never answers is given up at the very moment at which the next scrape is due.
	catchUp = 10
)

// schedule is a heap of targets by the time at which they are due.
type schedule []*target

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].next.Before(s[j].next) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].heapIndex, s[j].heapIndex = i, j
}

// Push is heap.Interface's.
func (s *schedule) Push(x any) {
	t := x.(*target)
	t.heapIndex = len(*s)
	*s = append(*s, t)
}

// Pop is heap.Interface's.
func (s *schedule) Pop() any {
	old := *s
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	t.heapIndex = -1
	return t
}

// planLocked puts t into the schedule, or moves it there, for its next turn after now.
func (m *Manager) planLocked(t *target, now time.Time) {
	t.next = firstDue(m.opts.HostSeed, t.slot, t.interval, now)
	if t.heapIndex >= 0 {
		heap.Fix(&m.due, t.heapIndex)
	} else {
		heap.Push(&m.due, t)
	}
}

// Run scrapes until ctx is done, and returns when the last scrape has ended. Scrapes which had their whole body by then
// are committed, the others send nothing; there are no staleness markers, since the next start goes on.
func (m *Manager) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := m.startDue()
		m.sweep(time.Now())
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			m.stopScrapes()
			m.running.Wait()
			m.parking.Wait()
			m.stopScrapes() // again, for memory which was just being handed out to one who waited for it
			return nil
		case <-timer.C:
		case <-m.wake:
		}
	}
}

// startDue starts the scrapes which are due, and returns how long it is until the next one.
func (m *Manager) startDue() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	look := m.lookLocked(now)
	for len(m.due) > 0 {
		t := m.due[0]
		wait := t.next.Sub(now)
		if wait > t.interval { // the clock was set back
			m.planLocked(t, now)
			continue
		}
		if wait > 0 {
			return min(wait, look)
		}
		due := t.next
		if missed := -wait / t.interval; missed > 0 {
			m.metrics.skipped.Add(float64(missed))
			due = due.Add(missed * t.interval)
		}
		t.next = due.Add(t.interval)
		heap.Fix(&m.due, 0)
		if t.life != nil {
			if !t.waiting.IsZero() {
				m.metrics.skipped.Inc()
			}
			t.waiting = due
			continue
		}
		m.dueLocked(t, due)
	}
	return look
}

// startLocked starts the scrape of t, which takes over what was reserved for it.
func (m *Manager) startLocked(t *target, due time.Time, g *memlimit.Grant) {
	tn := newTurn(t, due, time.Now())
	tn.grant = g
	m.takeLocked(tn)
	go m.begin(tn)
}

// takeLocked makes a turn the one that runs.
func (m *Manager) takeLocked(tn *turn) {
	tn.t.life, tn.t.turn = tn.life, tn
	m.running.Add(1)
}

// LookAtMemory has Run look at once how short memory is. It does not wait.
func (m *Manager) LookAtMemory() { m.wakeUp() }

// wakeUp has Run look again.
func (m *Manager) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// ended notes that a scrape is over, and starts the one which became due meanwhile, unless it is too late for it.
func (m *Manager) ended(tn *turn) {
	tn.life.end(errStopping)
	t := tn.t
	m.mu.Lock()
	defer m.mu.Unlock()
	t.life, t.turn = nil, nil
	m.endedLocked(tn)
	if t.ended != nil {
		close(t.ended)
		t.ended = nil
	}
	due := t.waiting
	t.waiting = time.Time{}
	switch {
	case t.removed, m.stopping:
		m.withdrawLocked(t)
	case t.grant != nil:
		g := t.grant
		t.grant, t.askedSince = nil, time.Time{}
		m.startLocked(t, due, g)
	case due.IsZero():
	case time.Since(due) <= max(lateAfter, t.interval/catchUp):
		if time.Since(due) < t.interval/catchUp/2 && m.paysFirstLocked(t) {
			t.waiting = due
		} else {
			m.dueLocked(t, due)
		}
	default:
		m.metrics.skipped.Inc()
	}
}

// stopScrapes ends all scrapes which run, and those which would follow them.
func (m *Manager) stopScrapes() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopping = true
	m.startAdmittedLocked()
	for _, j := range m.jobs {
		for _, t := range j.targets {
			m.withdrawLocked(t)
			if t.life != nil {
				t.life.end(errStopping)
			}
		}
	}
}

// stop ends the schedule of targets which were removed, cancels their scrapes, and waits for them.
func (m *Manager) stop(targets []*target) {
	var ended []chan struct{}
	m.mu.Lock()
	for _, t := range targets {
		t.removed = true
		m.withdrawLocked(t)
		m.unholdLocked(t)
		m.owesLocked(t, 0)
		if t.heapIndex >= 0 {
			heap.Remove(&m.due, t.heapIndex)
		}
		if t.life != nil {
			t.life.end(errRemoved)
			t.ended = make(chan struct{})
			ended = append(ended, t.ended)
		}
	}
	m.due = slack.Slice(m.due)
	m.dropPaidLocked()
	m.mu.Unlock()
	for _, c := range ended {
		<-c
	}
}
