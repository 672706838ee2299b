package memlimit

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// growthShare is the part of the room which is kept for work that turns out larger than it said: 1/8.
	growthShare = 8
	// overtakeFor is for how long smaller requests may pass one which does not fit. Without that a large target would keep
	// small ones waiting; without an end to it, it would never be served.
	overtakeFor = time.Second
	// lookEvery is how often waiting requests look whether there is more room, which nobody tells them of.
	lookEvery = 100 * time.Millisecond
)

// Admission hands out memory to work before it is begun, so that what is under way at the same time fits. Work asks for
// what it took the last time; what it needs beyond that it is given while there is some, and else must end and give back
// what it has: nobody waits for memory while he holds some.
//
// Who asks first is served first, but for smaller requests, which may pass a larger one for a second. It is safe for
// concurrent use.
type Admission struct {
	room func() int64

	mu      sync.Mutex
	granted int64
	waiting []*request
	stats   AdmissionStats
}

// AdmissionStats is what an Admission did so far, and what it is at.
type AdmissionStats struct {
	Granted int64  // bytes which are handed out now
	Waiting int    // requests which wait now
	Waits   uint64 // requests which had to wait
	Refused uint64 // requests whose time was over before they were served
	Starved uint64 // grants which could not grow
	Waited  time.Duration
}

// request is one that waits.
type request struct {
	bytes int64
	since time.Time
	ready chan struct{} // closed when it is granted
}

// NewAdmission returns an Admission of what room says, in bytes, for all work together; less than nothing is nothing, and
// then one piece of work at a time is let in, or none would ever end. Nil is room for all.
func NewAdmission(room func() int64) *Admission { return &Admission{room: room} }

// Grant is memory which was handed out. Its methods may not be called concurrently.
type Grant struct {
	a     *Admission
	bytes int64
}

// Reserve waits until there is room for so many bytes, or ctx is done. The error wraps ctx's cause.
func (a *Admission) Reserve(ctx context.Context, bytes int64) (*Grant, error) {
	if a.room == nil {
		return &Grant{}, nil
	}
	a.mu.Lock()
	now := time.Now()
	if a.fits(bytes) && !a.barred(now) {
		a.granted += bytes
		a.mu.Unlock()
		return &Grant{a: a, bytes: bytes}, nil
	}
	r := &request{bytes: bytes, since: now, ready: make(chan struct{})}
	a.waiting = append(a.waiting, r)
	a.stats.Waits++
	a.mu.Unlock()

	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-r.ready:
			return &Grant{a: a, bytes: bytes}, nil
		case <-ticker.C:
			a.mu.Lock()
			a.serve(time.Now())
			a.mu.Unlock()
		case <-ctx.Done():
			return a.giveUp(ctx, r)
		}
	}
}

// giveUp takes back a request whose time is over, unless it was served at that moment.
func (a *Admission) giveUp(ctx context.Context, r *request) (*Grant, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.waiting, r)
	if i < 0 {
		return &Grant{a: a, bytes: r.bytes}, nil
	}
	a.waiting = slices.Delete(a.waiting, i, i+1)
	a.stats.Refused++
	a.stats.Waited += time.Since(r.since)
	a.serve(time.Now()) // it may have barred others
	return nil, fmt.Errorf("memory limit: waited %s for %d bytes to become free: %w",
		time.Since(r.since).Round(time.Millisecond), r.bytes, context.Cause(ctx))
}

// fits reports whether so many bytes can be handed out to work that begins. The caller holds mu.
func (a *Admission) fits(bytes int64) bool {
	room := a.room()
	return a.granted == 0 || a.granted+bytes <= room-room/growthShare
}

// barred reports whether a request has waited so long that nobody may pass it any more. The caller holds mu.
func (a *Admission) barred(now time.Time) bool {
	return len(a.waiting) > 0 && now.Sub(a.waiting[0].since) >= overtakeFor
}

// serve grants what there is room for. The caller holds mu.
func (a *Admission) serve(now time.Time) {
	for i := 0; i < len(a.waiting); {
		r := a.waiting[i]
		if a.fits(r.bytes) {
			a.granted += r.bytes
			a.stats.Waited += now.Sub(r.since)
			a.waiting = slices.Delete(a.waiting, i, i+1)
			close(r.ready)
			continue
		}
		if now.Sub(r.since) >= overtakeFor {
			return
		}
		i++
	}
}

// Bytes is how much the grant is.
func (g *Grant) Bytes() int64 { return g.bytes }

// Grow asks for the grant to be so many bytes at least, and reports whether it is now. It never waits. Who is refused has
// to end, and to Release.
func (g *Grant) Grow(bytes int64) bool {
	if g.a == nil || bytes <= g.bytes {
		return true
	}
	g.a.mu.Lock()
	defer g.a.mu.Unlock()
	more := bytes - g.bytes
	// Work which is alone may have what it needs, as far as admission goes: its own limits bound it.
	if g.a.granted != g.bytes && g.a.granted+more > g.a.room() {
		g.a.stats.Starved++
		return false
	}
	g.a.granted += more
	g.bytes = bytes
	return true
}

// Release gives all back. It may be called more than once.
func (g *Grant) Release() {
	if g.a == nil {
		return
	}
	a := g.a
	a.mu.Lock()
	defer a.mu.Unlock()
	a.granted -= g.bytes
	a.serve(time.Now())
	g.a, g.bytes = nil, 0
}

// Stats returns a snapshot.
func (a *Admission) Stats() AdmissionStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.stats
	s.Granted, s.Waiting = a.granted, len(a.waiting)
	return s
}
