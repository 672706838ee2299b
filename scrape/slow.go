package scrape

import (
	"sync"
	"time"

	"scraper/memlimit"
)

// slowAfter is for how long, in all, a body may keep its scrape waiting which holds more than it needs.
const slowAfter = time.Second

// slowness gives back what a scrape reserved and does not need yet, once its body has kept it waiting for long, so that
// targets which begin to answer and then stall take no memory from others. A nil slowness gives nothing back.
type slowness struct {
	grant *memlimit.Grant
	need  int64         // what the scrape takes by now
	left  time.Duration // for which it may still wait
	since time.Time     // when it began to wait
	timer *time.Timer

	mu sync.Mutex // held by who uses grant, need and left while waiting is set
	// waiting: the scrape's goroutine leaves all this alone.
	waiting bool
}

// slowness returns nil for a scrape which keeps its reservation, since it is no guess: the target took as much before, and
// was in time.
func (tn *turn) slowness() *slowness {
	if tn.grant == nil || tn.letIn || tn.former.passing > 0 && !tn.t.late {
		return nil
	}
	return &slowness{grant: tn.grant, need: passingOf(0, 0), left: slowAfter}
}

// needs says what the scrape takes by now, in bytes.
func (s *slowness) needs(bytes int64) {
	if s != nil {
		s.need = bytes
	}
}

// waits and goesOn enclose each wait for the body.
func (s *slowness) waits() {
	if s == nil {
		return
	}
	if s.left <= 0 {
		s.grant.Shrink(s.need)
		return
	}
	s.mu.Lock()
	s.since, s.waiting = time.Now(), true
	s.mu.Unlock()
	if s.timer == nil {
		s.timer = time.AfterFunc(s.left, s.tooLong)
	} else {
		s.timer.Reset(s.left)
	}
}

func (s *slowness) goesOn() {
	if s == nil || s.left <= 0 {
		return
	}
	s.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = false
	s.left -= time.Since(s.since)
}

func (s *slowness) tooLong() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting {
		s.grant.Shrink(s.need)
	}
}
