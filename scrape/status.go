package scrape

import (
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
	Labels []relabel.Label
	// Discovered are the labels before relabeling, sorted by name, with what URL hides hidden, too.
	Discovered []relabel.Label

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

// DroppedStatus is a target which relabeling dropped, or which could not be made.
type DroppedStatus struct {
	Job        string
	Discovered []relabel.Label
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
	Jobs    []JobStatus     // in the order of the configuration
	Targets []TargetStatus  // by job, then URL
	Dropped []DroppedStatus // a bounded sample; JobStatus.Dropped is exact
}
