// Package snapshots keeps count of values which were replaced and are still in memory: configurations, jobs, targets. Such
// values are immutable, and the garbage collector frees them one by one; what it cannot free somebody holds, and this
// package says how many there are, since when, and who that is.
//
// A value which is replaced is followed from then on, until it is collected; nothing is known, and nothing is paid, of
// those in use. Holders are not registered either: each Kind has a function which names those that there are, and which is
// called when somebody looks. The package frees nothing, and a value that nobody holds is counted until the next
// collection, which the runtime makes after two minutes at the latest.
//
// Concurrency: all methods may be called at any time. Holders' functions are called without a lock being held.
//
// This file has all but the metrics, which collector.go has.
package snapshots

import (
	"cmp"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"
	"weak"

	"scraper/internal/slack"
)

// mostHolders is how many holders of a kind are named: a job of thousands of targets which never answer is told by a few.
const mostHolders = 20

// Book has the kinds of one process. A nil Book follows nothing.
type Book struct {
	mu    sync.Mutex
	kinds []followed
}

// followed is a Kind, whatever its values are.
type followed interface {
	count(now time.Time) Count
	report(now time.Time) Report
}

// New returns a Book without kinds.
func New() *Book { return &Book{} }

// Holder is somebody who holds a value.
type Holder struct {
	Name  string    // who it is, and what it does: "scrape of http://x"
	Since time.Time // since when it does so; zero if that is not known
}

// Kind follows the superseded values of one kind.
type Kind[T any] struct {
	name    string
	holders func() iter.Seq2[*T, func() Holder]
	entries *entries[T] // nil: follows nothing
}

// entries are the superseded values. They are apart from the Kind, so that what waits for a value to be collected does not
// hold, through the holders' function, whoever might hold the value.
type entries[T any] struct {
	mu   sync.Mutex
	last uint64
	all  map[uint64]entry[T]
	most int // of them that there once were
}

// entry is one superseded value.
type entry[T any] struct {
	value weak.Pointer[T]
	at    time.Time
}

// NewKind adds a kind of values to a Book. Holders, unless it is nil, names those who hold values of the kind, superseded
// or not; a name is asked for only if it is to be shown.
func NewKind[T any](b *Book, name string, holders func() iter.Seq2[*T, func() Holder]) *Kind[T] {
	k := &Kind[T]{name: name, holders: holders}
	if b == nil {
		return k
	}
	k.entries = &entries[T]{all: make(map[uint64]entry[T])}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kinds = append(b.kinds, k)
	return k
}

// Superseded says that a value was replaced: it is counted until it is collected. Call it once for each value.
func (k *Kind[T]) Superseded(value *T) {
	e := k.entries
	if e == nil || value == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	e.all[e.last] = entry[T]{weak.Make(value), time.Now()}
	e.most = max(e.most, len(e.all))
	runtime.AddCleanup(value, e.forget, e.last)
}

// forget is called when a value was collected.
func (e *entries[T]) forget(id uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.all, id)
	e.all = slack.Map(e.all, &e.most)
}

// Count is how many superseded values of a kind live.
type Count struct {
	Kind       string
	Superseded int
	// Oldest is how long ago the oldest of them was replaced; 0 if there is none.
	Oldest time.Duration
}

// Report is a Count, and who holds what is counted.
type Report struct {
	Count
	// Holders are those who hold superseded values, the longest first, of a large number the first ones.
	Holders []Held
	// More is how many holders there are beside them.
	More int
	// Unheld is how many values none of the known holders holds. They wait to be collected, or somebody else has them: if
	// they stay for many minutes, that is a leak.
	Unheld int
}

// Held is a holder, and when what it holds was replaced.
type Held struct {
	Holder
	Superseded time.Time
}

// Counts returns the kinds' counts, in the order in which the kinds were added.
func (b *Book) Counts() []Count { return each(b, followed.count) }

// Reports returns the kinds' reports, in the order in which the kinds were added.
func (b *Book) Reports() []Report { return each(b, followed.report) }

func each[R any](b *Book, ask func(followed, time.Time) R) []R {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	kinds := slices.Clone(b.kinds)
	b.mu.Unlock()
	all := make([]R, 0, len(kinds))
	now := time.Now()
	for _, k := range kinds {
		all = append(all, ask(k, now))
	}
	return all
}

func (k *Kind[T]) count(now time.Time) Count {
	c := Count{Kind: k.name}
	k.entries.mu.Lock()
	defer k.entries.mu.Unlock()
	for _, e := range k.entries.all {
		c.add(now, e.at)
	}
	return c
}

// add counts a value which was replaced at a time.
func (c *Count) add(now, at time.Time) {
	c.Superseded++
	c.Oldest = max(c.Oldest, now.Sub(at))
}

func (k *Kind[T]) report(now time.Time) Report {
	r := Report{Count: Count{Kind: k.name}}
	// The values are held by this map until it returns, and so no longer than somebody looks.
	alive := make(map[*T]time.Time)
	k.entries.mu.Lock()
	for _, e := range k.entries.all {
		if v := e.value.Value(); v != nil {
			alive[v] = e.at
			r.add(now, e.at)
		}
	}
	k.entries.mu.Unlock()
	held := make(map[*T]bool)
	if k.holders != nil && len(alive) > 0 {
		for value, who := range k.holders() {
			if at, ok := alive[value]; ok {
				held[value] = true
				r.Holders = append(r.Holders, Held{who(), at})
			}
		}
	}
	r.Unheld = r.Superseded - len(held)
	slices.SortStableFunc(r.Holders, func(a, b Held) int {
		return cmp.Or(a.Superseded.Compare(b.Superseded), a.Since.Compare(b.Since), cmp.Compare(a.Name, b.Name))
	})
	if r.More = len(r.Holders) - mostHolders; r.More > 0 {
		r.Holders = slices.Clip(r.Holders[:mostHolders])
	} else {
		r.More = 0
	}
	return r
}
