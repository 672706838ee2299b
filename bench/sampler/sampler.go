// Package sampler reads a process' memory, and its control group's, all the time, and remembers the course of it.
//
// It does not start or judge the process. All methods of Sampler may be called from any goroutine.
package sampler

import (
	"sync"
	"time"

	"scraper/bench/proc"
	"scraper/bench/report"
)

// Every is short enough to meet the peak of a scrape, and long enough to cost the machine nothing.
const Every = 100 * time.Millisecond

// Sampler reads memory until Stop.
type Sampler struct {
	pid   func() int
	group *proc.Cgroup
	end   chan struct{}
	once  sync.Once
	wg    sync.WaitGroup

	mu     sync.Mutex
	points []point
	marks  []mark
}

type point struct {
	at         time.Time
	anon       int64
	workingSet int64
}

type mark struct {
	at   time.Time
	text string
}

// Start starts to read the memory of the process that pid says, which may be another one later, and of its group unless
// that is nil. Stop ends it.
func Start(pid func() int, group *proc.Cgroup) *Sampler {
	s := &Sampler{pid: pid, group: group, end: make(chan struct{})}
	s.wg.Go(s.run)
	return s
}

func (s *Sampler) run() {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		s.read()
		select {
		case <-tick.C:
		case <-s.end:
			return
		}
	}
}

func (s *Sampler) read() {
	mem, err := proc.ReadMemory(s.pid())
	if err != nil {
		return // it has ended, or is being started again
	}
	p := point{at: time.Now(), anon: mem.Anon}
	if s.group != nil {
		if p.workingSet, err = s.group.WorkingSet(); err != nil {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points = append(s.points, p)
}

// Stop ends the reading. What was read stays.
func (s *Sampler) Stop() {
	s.once.Do(func() { close(s.end) })
	s.wg.Wait()
}

// Mark notes the beginning of the window.
func (s *Sampler) Mark(at time.Time) { s.add(at, "") }

// Event notes what happened now.
func (s *Sampler) Event(text string) { s.add(time.Now(), text) }

func (s *Sampler) add(at time.Time, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = append(s.marks, mark{at, text})
}

// Between returns averages and peaks of the process and of its group's working set, in bytes.
func (s *Sampler) Between(from, to time.Time) (anonAvg, anonPeak, wsAvg, wsPeak int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int64(0)
	for _, p := range s.points {
		if p.at.Before(from) || p.at.After(to) {
			continue
		}
		n++
		anonAvg += p.anon
		wsAvg += p.workingSet
		anonPeak, wsPeak = max(anonPeak, p.anon), max(wsPeak, p.workingSet)
	}
	if n > 0 {
		anonAvg, wsAvg = anonAvg/n, wsAvg/n
	}
	return anonAvg, anonPeak, wsAvg, wsPeak
}

// Least returns the least of the process and of its group's working set, in bytes; 0 where nothing was read.
func (s *Sampler) Least(from, to time.Time) (anon, ws int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.points {
		if p.at.Before(from) || p.at.After(to) {
			continue
		}
		if anon == 0 || p.anon < anon {
			anon = p.anon
		}
		if ws == 0 || p.workingSet < ws {
			ws = p.workingSet
		}
	}
	return anon, ws
}

// Timeline returns the course of the memory, one point per second: the highest of each.
func (s *Sampler) Timeline(start time.Time) (points []report.Point, marks []report.Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.points {
		sec := int(p.at.Sub(start).Seconds())
		if n := len(points); n == 0 || points[n-1].Second != sec {
			points = append(points, report.Point{Second: sec})
		}
		last := &points[len(points)-1]
		last.Anon, last.WorkingSet = max(last.Anon, p.anon), max(last.WorkingSet, p.workingSet)
	}
	for _, m := range s.marks {
		marks = append(marks, report.Mark{Second: m.at.Sub(start).Seconds(), Text: m.text})
	}
	return points, marks
}
