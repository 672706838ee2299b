package memlimit

import (
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// growthShare is the part of the room which is kept for work that turns out larger than it said, and for small work:
	// 1/8.
	growthShare = 8
	// overtakeFor is for how long others may pass a request which does not fit. Without that a large target would keep
	// small ones waiting; without an end to it, it would never be served.
	overtakeFor = time.Second
	// smallBytes is what an ordinary small target takes while it is scraped. Requests up to it are never kept back by a
	// larger one which waits: they share what is kept for growth.
	smallBytes = 64 << 10
	// aloneBytes is what work may have that is alone, whether there is room or not, so that something always gets on, and
	// what all small work may have together, so that it never waits behind a thousand larger ones: a small part of the
	// reserve of the smallest container.
	aloneBytes = 512 << 10
)

// Admission hands out memory to work before it is begun, so that what is under way at the same time fits. Work asks for
// what it took the last time; what it needs beyond that it is given while there is some, and else must end and give back
// what it has: nobody waits for memory while he holds some.
//
// Who asks first is served first, but for small work, and for smaller requests than one which does not fit, which may pass
// it for a second. Who waits does so without a goroutine: he is called.
//
// All methods may be called at any time, also those of a nil Admission, which has room for all.
type Admission struct {
	room func() int64

	mu      sync.Mutex
	granted int64
	active  int   // grants which are not parked
	small   int64 // of these, what small work has
	visible int64 // of these, what accounts show
	// credit is how much of the room's use was visible then; settled is what work left behind which has ended since.
	credit, settled int64
	waiting         []*Request
	stats           AdmissionStats
}

// AdmissionStats is what an Admission did so far, and what it is at.
type AdmissionStats struct {
	Granted int64         // bytes which are handed out now
	Waiting int           // requests which wait now
	Waits   uint64        // requests which had to wait
	Refused uint64        // requests which were taken back before they were served
	Starved uint64        // grants which could not grow
	Waited  time.Duration // by all requests which ended, together
}

// Request is a request which waits.
type Request struct {
	a     *Admission
	bytes int64
	since time.Time
	ready func(*Grant)
}

// Grant is memory which was handed out. A nil Grant is as much as one likes. Its methods may not be called concurrently.
type Grant struct {
	a              *Admission
	bytes, visible int64
	small, parked  bool
}

// NewAdmission returns an Admission of what room says, in bytes, for all work together; less than nothing is nothing, and
// then one piece of work at a time is let in, if it is not large, or none would ever end. A room of math.MaxInt64 is
// never used up, and costs nothing. Room is called with a lock held.
func NewAdmission(room func() int64) *Admission { return &Admission{room: room} }

// Ask asks for so many bytes, as of the given time, which is earlier than now for who has waited before. It returns the
// grant, or the request which waits for it: then ready is called once with the grant, in whatever goroutine makes room; it
// must not block.
func (a *Admission) Ask(bytes int64, since time.Time, ready func(*Grant)) (*Grant, *Request) {
	if a == nil || a.room() == math.MaxInt64 {
		return nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &Request{a: a, bytes: bytes, since: since, ready: ready}
	i, _ := slices.BinarySearchFunc(a.waiting, since, func(r *Request, t time.Time) int { return r.since.Compare(t) })
	if a.fits(bytes) && (bytes <= smallBytes || !a.barred(a.waiting[:i], time.Now())) {
		return a.grant(r), nil
	}
	for i < len(a.waiting) && a.waiting[i].since.Equal(since) {
		i++
	}
	a.waiting = slices.Insert(a.waiting, i, r)
	a.stats.Waits++
	return nil, r
}

// Cancel takes the request back, and reports whether that was in time: else ready is called, or was.
func (r *Request) Cancel() bool {
	a := r.a
	a.mu.Lock()
	i := slices.Index(a.waiting, r)
	if i < 0 {
		a.mu.Unlock()
		return false
	}
	a.waiting = slices.Delete(a.waiting, i, i+1)
	a.stats.Refused++
	a.stats.Waited += time.Since(r.since)
	a.mu.Unlock()
	a.Serve() // it may have kept others back
	return true
}

// Serve lets in what there is room for. It is to be called when there may be more of it than before.
func (a *Admission) Serve() {
	if a == nil {
		return
	}
	type served struct {
		r *Request
		g *Grant
	}
	var in []served
	a.mu.Lock()
	now := time.Now()
	for i := 0; i < len(a.waiting); {
		r := a.waiting[i]
		if !a.fits(r.bytes) || r.bytes > smallBytes && a.barred(a.waiting[:i], now) {
			i++
			continue
		}
		a.stats.Waited += now.Sub(r.since)
		a.waiting = slices.Delete(a.waiting, i, i+1)
		in = append(in, served{r, a.grant(r)})
	}
	a.mu.Unlock()
	for _, x := range in {
		x.r.ready(x.g)
	}
}

// Fits reports whether there would ever be room for so many bytes, as things are: if nothing else was under way.
func (a *Admission) Fits(bytes int64) bool {
	if a == nil {
		return true
	}
	room := a.room()
	return bytes <= max(room-room/growthShare, aloneBytes)
}

// grant hands out what r asks for. The caller holds mu.
func (a *Admission) grant(r *Request) *Grant {
	g := &Grant{a: a, bytes: r.bytes, small: r.bytes <= smallBytes}
	a.granted += g.bytes
	a.active++
	if g.small {
		a.small += g.bytes
	}
	return g
}

// free is what may be handed out of all room. The caller holds mu.
func (a *Admission) free() int64 {
	room := a.room()
	if room == math.MaxInt64 {
		return room
	}
	return room + min(a.credit, a.visible) - a.settled - a.granted
}

// fits reports whether so many bytes can be handed out to work that begins. The caller holds mu.
func (a *Admission) fits(bytes int64) bool {
	free := a.free()
	kept := max(0, free+a.granted) / growthShare
	switch {
	case a.active == 0 && bytes <= aloneBytes, bytes <= smallBytes && a.small+bytes <= aloneBytes:
		return true
	case bytes <= smallBytes:
		return bytes <= free && (a.small+bytes <= kept || bytes <= free-kept)
	}
	return bytes <= free-kept
}

// barred reports whether one of these requests has waited so long that nobody may pass it any more. One which would not
// fit if it was alone keeps nobody back. The caller holds mu.
func (a *Admission) barred(before []*Request, now time.Time) bool {
	all := a.free() + a.granted
	for _, r := range before {
		if now.Sub(r.since) < overtakeFor {
			return false
		}
		if r.bytes <= all-all/growthShare {
			return true
		}
	}
	return false
}

// observing and observed enclose a look at what is used: what had settled before it, and what is visible, is part of it.
func (a *Admission) observing() (settled int64) {
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.settled
}

func (a *Admission) observed(settled int64) {
	if a == nil {
		return
	}
	a.mu.Lock()
	a.settled -= settled
	a.credit = a.visible
	a.mu.Unlock()
	a.Serve()
}

// Bytes is how much the grant is.
func (g *Grant) Bytes() int64 {
	if g == nil {
		return 0
	}
	return g.bytes
}

// Grow asks for the grant to be so many bytes at least, of which accounts show the given part by now, and reports whether
// it is. It never waits. Who is refused has to end, and to Release.
func (g *Grant) Grow(bytes, visible int64) bool {
	if g == nil || g.a == nil {
		return true
	}
	if bytes <= g.bytes && visible == g.visible {
		return true
	}
	a := g.a
	a.mu.Lock()
	defer a.mu.Unlock()
	a.visible += visible - g.visible
	g.visible = visible
	more := bytes - g.bytes
	if more <= 0 {
		return true
	}
	alone := a.active == 1 && !g.parked && bytes <= aloneBytes
	if !alone && more > a.free() {
		a.stats.Starved++
		return false
	}
	a.granted += more
	if g.small {
		a.small -= g.bytes
		g.small = false
	}
	g.bytes = bytes
	return true
}

// Shrink gives back what is beyond so many bytes, which is at least what accounts show of the grant. It may grow again.
func (g *Grant) Shrink(bytes int64) {
	if g == nil || g.a == nil || bytes >= g.bytes {
		return
	}
	a := g.a
	a.mu.Lock()
	a.granted -= g.bytes - bytes
	if g.small {
		a.small -= g.bytes - bytes
	}
	g.bytes = bytes
	a.mu.Unlock()
	a.Serve()
}

// Park gives back what is beyond so many bytes, while the work does not get on by itself: others may be alone with it. It
// asks for another grant when it gets on.
func (g *Grant) Park(bytes int64) {
	if g == nil || g.a == nil || g.parked {
		return
	}
	a := g.a
	a.mu.Lock()
	bytes = min(bytes, g.bytes)
	a.granted -= g.bytes - bytes
	a.active--
	if g.small {
		a.small -= g.bytes
	}
	a.visible -= g.visible
	g.bytes, g.visible, g.small, g.parked = bytes, 0, false, true
	a.mu.Unlock()
	a.Serve()
}

// Release gives all back, but for what stays with the work's owner, in bytes: that counts until the accounts show it. It
// may be called more than once.
func (g *Grant) Release(stays int64) {
	if g == nil || g.a == nil {
		return
	}
	a := g.a
	a.mu.Lock()
	a.granted -= g.bytes
	if !g.parked {
		a.active--
	}
	if g.small {
		a.small -= g.bytes
	}
	a.visible -= g.visible
	a.settled += max(0, stays)
	g.a, g.bytes, g.visible = nil, 0, 0
	a.mu.Unlock()
	a.Serve()
}

// Stats returns a snapshot.
func (a *Admission) Stats() AdmissionStats {
	if a == nil {
		return AdmissionStats{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.stats
	s.Granted, s.Waiting = a.granted, len(a.waiting)
	return s
}
