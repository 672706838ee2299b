package remotewrite

import (
	"sync"
	"time"
)

// rateLimit spreads the bytes of a destination's requests over time. Each request waits for what those before it took; none
// is cut.
type rateLimit struct {
	mu   sync.Mutex
	rate int64     // bytes per second
	next time.Time // when the next request may begin
}

// reserve books a request of so many bytes, and returns how long it has to wait. A rate of 0 is no limit. Another rate than
// before forgets what was booked.
func (l *rateLimit) reserve(now time.Time, rate int64, bytes int) time.Duration {
	if rate <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate != rate || l.next.Before(now) {
		l.rate, l.next = rate, now
	}
	wait := l.next.Sub(now)
	l.next = l.next.Add(l.costLocked(bytes))
	return wait
}

// giveBack undoes a reservation which will not be used.
func (l *rateLimit) giveBack(rate int64, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == rate {
		l.next = l.next.Add(-l.costLocked(bytes))
	}
}

func (l *rateLimit) costLocked(bytes int) time.Duration {
	return time.Duration(float64(bytes) / float64(l.rate) * float64(time.Second))
}
