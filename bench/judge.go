package main

import (
	"context"
	"sync"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/farm"
	"scraper/bench/sink"
	"scraper/receiver"
)

// finish waits until everything which was served has arrived, for a bounded time, and counts what is missing.
func (m *measurement) finish(ctx context.Context) {
	limit := m.scenario.drain
	if limit == 0 {
		limit = drain[m.length]
	}
	begun := time.Now()
	for m.agent.Kind != agent.FloorDiscard && ctx.Err() == nil && time.Since(begun) < limit && m.process.Ended() == "" {
		_ = sleep(ctx, time.Second)
		if m.judge(); m.res.Check.Missing == 0 {
			_ = sleep(ctx, time.Second) // what comes twice may come later
			break
		}
	}
	m.judge()
	m.res.DrainSeconds = time.Since(begun).Seconds()
	m.res.ServedScrapes, m.res.ServedSamples = m.farm.Served()
	c := m.sink.Counts()
	m.res.Received, m.res.StaleMarkers = int64(c.Samples), int64(c.StaleMarkers)
}

// judge compares the counts of all series with what was served.
func (m *measurement) judge() {
	if !m.scenario.perSeries || m.agent.Kind == agent.FloorDiscard {
		return
	}
	var labels []receiver.Label
	m.res.Checked = true
	m.res.Check = m.sink.Check(func(yield func([]receiver.Label, int)) {
		for _, t := range m.farm.Targets() {
			text, ok := t.Source.(*body.Text)
			given := m.labels.of(t)
			if !ok || given == nil {
				continue
			}
			served, _ := t.Served()
			added := []receiver.Label{{Name: "instance", Value: t.Address()}}
			for name, value := range given {
				added = append(added, receiver.Label{Name: name, Value: value})
			}
			text.Lines(func(series []byte) bool {
				labels = sink.AppendLabels(labels[:0], series)
				for i, l := range labels {
					if _, both := given[l.Name]; both || l.Name == "instance" {
						labels[i].Name = "exported_" + l.Name
					}
				}
				labels = append(labels, added...)
				yield(labels, served)
				return true
			})
		}
	})
}

// targetLabels remembers which labels agents give the series of targets, but for instance, so that what has to arrive is known.
type targetLabels struct {
	mu sync.Mutex
	m  map[*farm.Target]map[string]string
}

// set says which labels a target's series get.
func (l *targetLabels) set(t *farm.Target, labels map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = make(map[*farm.Target]map[string]string)
	}
	l.m[t] = labels
}

// of is nil if nobody knows.
func (l *targetLabels) of(t *farm.Target) map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m[t]
}
