package transport

import "time"

// Hosts returns to how many hosts there are idle connections.
func (t *Transport) Hosts() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.idle)
}

// LookEvery is how often files are looked at.
const LookEvery = lookEvery

// AgeIdle makes all idle connections older.
func (t *Transport) AgeIdle(by time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.idle {
		for ; c != nil; c = c.next {
			c.since -= int64(by)
		}
	}
}
