package scrape

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"scraper/relabel"
)

// Health is what the last scrape of a target came to.
type Health uint8

// The states of a target.
const (
	HealthUnknown Health = iota // not scraped yet
	HealthUp
	HealthDown
)

// String returns Prometheus' word for h.
func (h Health) String() string { return [...]string{"unknown", "up", "down"}[h] }

// TargetStatus is a snapshot of one active target, for pages and JSON. Its slices are immutable.
type TargetStatus struct {
	// ID is the target's number, stable for its life: what a page links by.
	ID  uint64
	Job string
	// URL is what is scraped, without user info, and with the values of params hidden.
	URL string
	// Labels are the target's labels after relabeling, sorted by name.
	Labels     []relabel.Label
	Discovered Discovered

	Health             Health
	LastError          string // of the last scrape, empty if it was good
	LastScrape         time.Time
	LastScrapeDuration time.Duration
	Interval, Timeout  time.Duration
	// Samples and Series are the last scrape's samples, and the series which the target's table holds.
	Samples, Series int
	BodyBytes       int64 // of the last scrape, decompressed
	MemoryBytes     int64 // of the target's table
	LabelBytes      int64 // of its labels in the dictionary, which others may have as well
	BatchBytes      int64 // of memory for the samples of the last scrape, until it was complete
	Scrapes, Failed uint64
	// Held says why the target is not scraped because memory is short, and since when.
	Held Held
}

// Discovered makes the labels of a target before relabeling when somebody looks: kept for all targets, they would be most of
// what a Snapshot takes. nil has none.
type Discovered func() []relabel.Label

// Labels are sorted by name, with what the URL hides hidden, too. They are the caller's.
func (d Discovered) Labels() []relabel.Label {
	if d == nil {
		return nil
	}
	return d()
}

// DroppedTargets is a bounded sample of the targets of a job which became none; JobStatus.Dropped is exact.
type DroppedTargets struct {
	Job   string
	Count int                     // how many Each has
	Each  iter.Seq[DroppedStatus] // makes one after the other, whenever it is called
}

// DroppedStatus is a target which relabeling dropped, or which could not be made.
type DroppedStatus struct {
	Discovered []relabel.Label // as of Discovered
	// Reason is "relabeling", "duplicate", or the error that made the target unusable.
	Reason string
}

// JobStatus counts the targets of a job.
type JobStatus struct {
	Job                 string
	Active, Up, Dropped int
}

// Snapshot is the state of all targets at one moment.
type Snapshot struct {
	Jobs    []JobStatus      // in the order of the configuration
	Targets []TargetStatus   // by job, then URL
	Dropped []DroppedTargets // of each job
}

// Snapshot returns the state of all jobs and targets. It takes some hundred bytes for each target, and nothing for those
// which were dropped.
func (m *Manager) Snapshot() Snapshot {
	var s Snapshot
	m.mu.Lock()
	n := 0
	for _, j := range m.jobs {
		n += len(j.targets)
	}
	s.Targets = make([]TargetStatus, 0, n)
	targets := make([]*target, 0, n)
	for _, j := range m.jobs {
		cfg := j.state.cfg
		s.Jobs = append(s.Jobs, JobStatus{Job: cfg.Name, Active: len(j.targets), Dropped: j.dropped.n})
		if j.dropped.n > 0 {
			s.Dropped = append(s.Dropped, j.dropped.status(cfg, m.opts.Dialect))
		}
		for _, t := range j.targets {
			targets = append(targets, t)
			s.Targets = append(s.Targets, TargetStatus{
				Job: cfg.Name, Discovered: t.spec.origin.shown(cfg, m.opts.Dialect), Interval: t.interval, Timeout: t.timeout, Held: t.held,
			})
		}
	}
	m.mu.Unlock()
	for i, t := range targets {
		t.describe(&s.Targets[i])
	}
	rest := s.Targets
	for i := range s.Jobs {
		j := &s.Jobs[i]
		own := rest[:j.Active]
		rest = rest[j.Active:]
		for k := range own {
			if own[k].Health == HealthUp {
				j.Up++
			}
		}
		slices.SortFunc(own, func(a, b TargetStatus) int { return cmp.Or(strings.Compare(a.URL, b.URL), cmp.Compare(a.ID, b.ID)) })
	}
	return s
}

// describe adds what the target itself knows.
func (t *target) describe(s *TargetStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.result
	s.ID, s.URL, s.Labels = t.id, shownURL(t.spec.url), t.spec.labels
	s.Health, s.LastError, s.LastScrape, s.LastScrapeDuration = r.health, r.lastError, r.start, r.duration
	s.Samples, s.Series, s.BodyBytes, s.MemoryBytes = r.samples, r.series, r.bodyBytes, r.memory
	s.LabelBytes, s.BatchBytes = r.labelBytes, r.batchBytes
	s.Scrapes, s.Failed = r.scrapes, r.failed
}
