package memlimit

import "time"

const (
	historyEvery = 10 * time.Second
	historyLen   = int(time.Hour / historyEvery)
)

// Point is how the process stood at one moment. Sizes are in bytes.
type Point struct {
	At       time.Time
	Used     int64 // the most since the point before
	Resident int64
	Limit    int64 // 0 if there is none
	Level    Level
}

// history is the last hour, in about 9 KiB.
type history struct {
	points []storedPoint // a ring once it is full
	next   int           // where the oldest is then
	last   time.Time
	most   int64 // use since the last point
}

// storedPoint is a Point in 24 bytes. Sizes are in KiB.
type storedPoint struct {
	unix                  int64
	used, resident, limit uint32
	level                 Level
}

// due says that it is time for another point, and counts it as taken.
func (h *history) due(now time.Time) bool {
	if !h.last.IsZero() && now.Sub(h.last) < historyEvery {
		return false
	}
	h.last = now
	return true
}

// add keeps a point, whose use is the most since the one before.
func (h *history) add(now time.Time, p Point) {
	s := storedPoint{now.Unix(), kib(h.most), kib(p.Resident), kib(p.Limit), p.Level}
	h.most = 0
	if len(h.points) < historyLen {
		h.points = append(h.points, s)
		return
	}
	h.points[h.next] = s
	h.next = (h.next + 1) % historyLen
}

func kib(bytes int64) uint32 { return uint32(min(max(bytes, 0)>>10, 1<<32-1)) }

// all returns the points, the oldest first.
func (h *history) all() []Point {
	points := make([]Point, 0, len(h.points))
	for i := range h.points {
		s := &h.points[(h.next+i)%len(h.points)]
		points = append(points, Point{
			At: time.Unix(s.unix, 0), Used: int64(s.used) << 10, Resident: int64(s.resident) << 10, Limit: int64(s.limit) << 10, Level: s.level,
		})
	}
	return points
}
