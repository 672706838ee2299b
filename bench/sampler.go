package main

import (
	"sync"
	"time"

	"scraper/bench/proc"
	"scraper/bench/report"
)

// sampleEvery is short enough to meet the peak of a scrape, and long enough to cost the machine nothing.
const sampleEvery = 100 * time.Millisecond

// sampler reads an agent's memory all the time.
type sampler struct {
	m    *measurement
	end  chan struct{}
	once sync.Once
	wg   sync.WaitGroup

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

func startSampler(m *measurement) *sampler {
	s := &sampler{m: m, end: make(chan struct{})}
	s.wg.Go(s.run)
	return s
}

func (s *sampler) run() {
	tick := time.NewTicker(sampleEvery)
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

func (s *sampler) read() {
	mem, err := proc.ReadMemory(int(s.m.pid.Load()))
	if err != nil {
		return // it has ended, or is being started again
	}
	p := point{at: time.Now(), anon: mem.Anon}
	if s.m.group != nil {
		if p.workingSet, err = s.m.group.WorkingSet(); err != nil {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points = append(s.points, p)
}

// stop ends the reading.
func (s *sampler) stop() {
	s.once.Do(func() { close(s.end) })
	s.wg.Wait()
}

func (s *sampler) mark(at time.Time) { s.add(at, "") }

// event notes what happened now.
func (s *sampler) event(text string) { s.add(time.Now(), text) }

func (s *sampler) add(at time.Time, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = append(s.marks, mark{at, text})
}

// between returns averages and peaks, in bytes.
func (s *sampler) between(from, to time.Time) (anonAvg, anonPeak, wsAvg, wsPeak int64) {
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

// timeline returns the course of the memory, one point per second: the highest of each.
func (s *sampler) timeline(start time.Time) (points []report.Point, marks []report.Mark) {
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

// anonNow is the average of the last two seconds, in bytes.
func (m *measurement) anonNow() int64 {
	return m.anonBetween(time.Now().Add(-2*time.Second), time.Now())
}

func (m *measurement) anonBetween(from, to time.Time) int64 {
	avg, _, _, _ := m.samples.between(from, to)
	return avg
}

// peakAnon is the highest since the start, in bytes.
func (m *measurement) peakAnon() int64 {
	_, peak, _, _ := m.samples.between(m.res.Started, time.Now())
	return peak
}
