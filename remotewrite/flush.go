package remotewrite

import (
	"sync"
	"time"
)

// flushClock says when open blocks are to be closed. Those of all slots and groups with the same interval have one time in
// common, so that they are closed, stored and sent by one wake-up: it is an interval after the first of them was opened, which
// is never later than a block's own.
//
// Times are durations since it was made: they do not jump when the machine's clock is set. It is safe for concurrent use.
type flushClock struct {
	start time.Time   // immutable
	timer *time.Timer // rings when blocks are due

	mu    sync.Mutex
	armed time.Duration                   // when the timer rings; 0 if it does not
	due   map[time.Duration]time.Duration // by interval: when its blocks are closed next
}

func newFlushClock() *flushClock {
	c := &flushClock{start: time.Now(), timer: time.NewTimer(time.Hour), due: make(map[time.Duration]time.Duration)}
	c.timer.Stop()
	return c
}

// at returns the time since the start.
func (c *flushClock) at(t time.Time) time.Duration { return t.Sub(c.start) }

// opened returns when a block which is opened now is to be closed, and sees to it that the timer rings then. Alone says that
// it is expected to be full before, so that no time but its own should cut it short.
func (c *flushClock) opened(now time.Time, interval time.Duration, alone bool) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.at(now)
	due := c.due[interval]
	switch {
	case alone:
		due = t + interval
	case due <= t:
		due = t + interval
		c.due[interval] = due
	}
	c.armLocked(due)
	return due
}

// rang says that the timer rang, and that what is due by now is about to be closed.
func (c *flushClock) rang(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = 0
	for interval, due := range c.due {
		if due <= c.at(now) {
			delete(c.due, interval)
		}
	}
}

// arm sees to it that the timer rings at the given time, if it is not 0.
func (c *flushClock) arm(due time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if due != 0 {
		c.armLocked(due)
	}
}

func (c *flushClock) armLocked(due time.Duration) {
	if c.armed == 0 || due < c.armed {
		c.armed = due
		c.timer.Reset(due - time.Since(c.start))
	}
}
