package scrape

import (
	"cmp"
	"maps"
	"time"

	"scraper/memlimit"
)

// Memory says how short memory is, and hands it out. A memlimit.Keeper is one.
type Memory interface {
	Level() memlimit.Level
	// Room is how many bytes may still be used before the level is Critical, and Limit what the levels are parts of.
	Room() int64
	Limit() int64
	Admission() *memlimit.Admission
}

// MemoryState is what the shortage of memory does to the targets, at one moment. It is a copy.
type MemoryState struct {
	// Level is how short memory is.
	Level memlimit.Level
	// Admission says how memory is handed out to scrapes before they begin.
	Admission memlimit.AdmissionStats
	// HeldTargets is how many targets are not scraped for it, in full or at all. Held are the longest held of them, those
	// first; at most MaxHeld.
	HeldTargets int
	Held        []HeldTarget
	// Next are those which would be shed next, the first one first; at most MaxShedNext.
	Next []HeldTarget
	// OwedMarkers are the staleness markers of series of shed targets which were not sent yet.
	OwedMarkers int64
	// Skipped counts the scrapes which were skipped, by reason.
	Skipped map[SkipReason]uint64
	// Shed and Readmitted count how often a target was shed, and let in again.
	Shed, Readmitted uint64
}

// MaxHeld is how many targets MemoryState.Held has at most, and MaxShedNext how many MemoryState.Next has: what somebody
// reads. All of ten thousand would be megabytes, made while nothing is scraped.
const (
	MaxHeld     = 100
	MaxShedNext = 10
)

// HeldTarget is a target in a MemoryState.
type HeldTarget struct {
	ID  uint64
	Job string
	URL string // as in TargetStatus
	// Bytes is what its last scrape cost: its table, its labels in the dictionary, the samples and buffers of the scrape.
	Bytes int64
	// Held says why it is held, and since when; the zero value in Next.
	Held Held
}

// Held says why a target is not scraped because memory is short.
type Held struct {
	// Reason is empty for a target which is scraped.
	Reason SkipReason
	Since  time.Time
	// Skipped counts the scrapes which were skipped since then.
	Skipped uint64
}

// SkipReason says why a scrape was skipped because memory is short.
type SkipReason string

// The reasons.
const (
	// SkipNone: it was not.
	SkipNone SkipReason = ""
	// SkipShed: memory is critical, and the target is one of the largest; or it has not been let in again yet.
	SkipShed SkipReason = "shed"
	// SkipNew: memory is high, and the target has more new series than can be carried without remembering them.
	SkipNew SkipReason = "new"
	// SkipWaiting: no memory became free before the next scrape was due.
	SkipWaiting SkipReason = "waiting"
)

// String says it in words, as errors and pages do.
func (r SkipReason) String() string {
	switch r {
	case SkipShed:
		return "memory limit: shed, because memory is critical and this target is one of the largest"
	case SkipNew:
		return "memory limit: waits until memory is less short, because its series are new and too many"
	case SkipWaiting:
		return "memory limit: no memory became free before the next scrape was due"
	}
	return ""
}

// MemoryState returns what the shortage of memory does to the targets.
func (m *Manager) MemoryState() MemoryState {
	x := m.memoryState()
	for _, list := range [][]HeldTarget{x.Held, x.Next} {
		for i := range list {
			list[i].URL = shownURL(list[i].URL)
		}
	}
	return x
}

// memoryState is MemoryState with URLs as they are: to hide what is secret takes longer than all else, and needs no lock.
func (m *Manager) memoryState() MemoryState {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.short
	x := MemoryState{HeldTargets: len(s.held), OwedMarkers: s.owed, Skipped: maps.Clone(s.skipped), Shed: s.shed, Readmitted: s.readmitted}
	if mem := m.opts.Memory; mem != nil {
		x.Level, x.Admission = mem.Level(), mem.Admission().Stats()
	}
	for _, t := range m.largestLocked(MaxShedNext) {
		x.Next = append(x.Next, t.heldTarget())
	}
	longest := first[*target]{n: MaxHeld, compare: func(a, b *target) int {
		return cmp.Or(a.held.Since.Compare(b.held.Since), cmp.Compare(a.id, b.id))
	}}
	for t := range s.held {
		longest.add(t)
	}
	for _, t := range longest.all {
		x.Held = append(x.Held, t.heldTarget())
	}
	return x
}

// HeldBytes is what the targets which are held back would take if they were scraped, one after the other.
func (m *Manager) HeldBytes() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var kept, passing int64
	for t := range m.short.held {
		kept += t.cost.kept
		passing = max(passing, t.cost.passing)
	}
	return kept + passing
}

// SetBatchLimits changes MaxBatchBytes and MaxSpoolBytes, for what is not in memory or in files already.
func (m *Manager) SetBatchLimits(maxBatchBytes, maxSpoolBytes int64) {
	m.spool.SetLimits(maxBatchBytes, maxSpoolBytes)
}

// BatchLimits are what SetBatchLimits says.
func (m *Manager) BatchLimits() (maxBatchBytes, maxSpoolBytes int64) {
	return m.spool.MaxBatchBytes(), m.spool.Stats().MaxBytes
}

// SpoolBytes is what the files in SpoolDir hold.
func (m *Manager) SpoolBytes() int64 { return m.spool.Stats().Bytes }

// heldTarget describes t, with all of its URL. The caller holds Manager.mu.
func (t *target) heldTarget() HeldTarget {
	return HeldTarget{ID: t.id, Job: t.state.cfg.Name, URL: t.spec.url, Bytes: t.cost.total(), Held: t.held}
}
