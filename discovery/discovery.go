// Package discovery finds the targets of scrape jobs: it turns static_configs and file_sd_configs into groups of
// targets, and says when they change.
//
// It does not relabel, does not merge a group's labels into its targets, and knows nothing of scraping. Parsing of
// target files is package config's.
//
// Apply takes a set of jobs, reads what is new in it, and reports the groups of each job through Options.OnUpdate before
// it returns; Run then watches. What does not change is not touched: a section which stands in the old and the new
// configuration keeps its provider, its watches and its last good groups, and jobs with identical sections share one.
// All methods may be called concurrently. Groups and slices of groups are immutable once they are published; a group
// which did not change is the same pointer in the next update, so that a receiver can tell at once.
//
// Read apply.go first (jobs and sections), then file.go (the one provider so far) and watch.go.
package discovery

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"scraper/relabel"
	"scraper/snapshots"
)

// Group is a set of targets which were discovered together. It is immutable once published.
type Group struct {
	// Source names where the group comes from, unique within its job: "static/0/1", "file/0/…path…:2".
	Source string
	// Labels holds for every target of the group, where the target does not say otherwise. Sorted by name.
	Labels []relabel.Label
	// Targets are the targets' own labels (at least __address__), each sorted by name.
	Targets [][]relabel.Label
}

// Options configure a Discovery. The zero value works, and tells nobody.
type Options struct {
	// Logger takes changes of state: a file became unreadable, or readable again. Nil discards them.
	Logger *slog.Logger
	// Metrics counts. Nil counts for nobody.
	Metrics *Metrics
	// FileCheckInterval is how often the files of a section without refresh_interval are looked at, beside being
	// watched (-promscrape.fileSDCheckInterval). Default 1m.
	FileCheckInterval time.Duration
	// Snapshots follows lists of groups which were replaced, for as long as they are in memory. Nil follows nothing.
	Snapshots *snapshots.Book
	// Getenv answers for %{NAME} in target files, which vmagent replaces. Nil leaves them as they are.
	Getenv func(name string) (value string, ok bool)
	// OnUpdate takes all groups of a job whenever they differ from what it took last; the first update of a job without
	// targets is none. It is called by one goroutine at a time per job, in order, from within Apply for what Apply
	// changes, and must not call Apply. It may keep groups, and must not change them. A job which Apply removes
	// gets no further update: its owner removed it.
	OnUpdate func(job string, groups []*Group)
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.FileCheckInterval == 0 {
		o.FileCheckInterval = time.Minute
	}
	if o.OnUpdate == nil {
		o.OnUpdate = func(string, []*Group) {}
	}
	return o
}

func (o Options) validate() error {
	if o.FileCheckInterval < 0 {
		return fmt.Errorf("discovery: FileCheckInterval (-promscrape.fileSDCheckInterval) is %s, want more than 0", o.FileCheckInterval)
	}
	return nil
}

// Discovery keeps the targets of a set of jobs.
type Discovery struct {
	opts  Options
	watch *watcher
	wake  chan struct{} // holds a token while Run has to look at the providers again
	old   *snapshots.Kind[*Group]

	applyMu sync.Mutex // serialises Apply

	mu        sync.Mutex
	jobs      map[string]*job
	providers map[string]*entry // by key
	ran       bool
}

// New returns a Discovery without jobs. It starts nothing.
func New(o Options) (*Discovery, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Discovery{
		opts:      o,
		watch:     newWatcher(o.Logger, o.Metrics),
		wake:      make(chan struct{}, 1),
		old:       snapshots.NewKind[*Group](o.Snapshots, "groups", nil),
		jobs:      make(map[string]*job),
		providers: make(map[string]*entry),
	}, nil
}

// Groups returns the last groups of a job, nil for an unknown one. The result is immutable.
func (d *Discovery) Groups(name string) []*Group {
	d.mu.Lock()
	j := d.jobs[name]
	d.mu.Unlock()
	if j == nil {
		return nil
	}
	return j.groups()
}

var errRanTwice = errors.New("discovery: Run was called twice")
