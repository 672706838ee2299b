package scrape

import (
	"scraper/internal/slack"
	"scraper/labelset"
)

// departed remembers the last timestamps of series with timestamps of their own which left the body lately. Such a series
// has no marker that would end it, and exporters which leave it out of a body now and then come back with the sample that
// they had before: sent again, it would be out of order at the receiver.
//
// The zero value is empty. It is memory of one table.
type departed struct {
	// lasts is by the hash of the label sets. That two of a process collide is no more likely than a damaged memory, and
	// costs a sample.
	lasts map[uint64]departure
	most  int // of them that there once were
	// scrapes counts good scrapes, so that departures expire.
	scrapes uint32
}

// departure is what is kept of one series.
type departure struct {
	lastMillis int64
	scrape     uint32 // when it left
}

const (
	// keepDeparted is for how many good scrapes a departure is remembered: exporters which read their sources one by one
	// miss one for a scrape or two, and after a minute or so their next sample is a new one.
	keepDeparted = 5
	// departedShare bounds what is remembered to this part of the table's entries, and leastDeparted is what a small one may
	// have. When more leave at once, it is not the exporter that hiccuped.
	departedShare = 8
	leastDeparted = 256

	departureBytes = 40 // with its share of the map
)

// add remembers a series.
func (d *departed) add(hash uint64, lastMillis int64) {
	if lastMillis == labelset.NoLast {
		return
	}
	if d.lasts == nil {
		d.lasts = make(map[uint64]departure)
	}
	d.lasts[hash] = departure{lastMillis, d.scrapes}
	d.most = max(d.most, len(d.lasts))
}

// full reports whether a table of so many entries may remember no more departures.
func (d *departed) full(entries int) bool {
	return len(d.lasts) >= max(leastDeparted, entries/departedShare)
}

// expire ends a good scrape: what left too long ago is forgotten.
func (d *departed) expire() {
	if len(d.lasts) == 0 {
		return
	}
	for hash, x := range d.lasts {
		if d.scrapes-x.scrape >= keepDeparted {
			delete(d.lasts, hash)
		}
	}
	d.lasts = slack.Map(d.lasts, &d.most)
	if d.scrapes++; len(d.lasts) == 0 {
		*d = departed{}
	}
}

func (d *departed) bytes() int64 { return int64(len(d.lasts)) * departureBytes }

// leave releases the label set of the series of entry i, which the body did not have, and remembers its last timestamp
// where that matters.
func (t *table) leave(e *entry) {
	set := labelset.ID(e.set)
	if e.meta&entryOwnTime != 0 && !t.departed.full(int(t.base)) {
		last := t.sets.Last(set)
		if t.tracked { // its marker has the time of the scrape
			last = max(last, t.sentMillis)
		}
		t.departed.add(t.sets.Hash(set), last)
	}
	t.sets.Remove(set, e.meta&entryTimed != 0)
}

// returned looks whether a series which is new to the table left it lately, and gives its label set the timestamp that it
// had then. It returns the label set and the flags that its entry gets.
func (t *table) returned(set labelset.ID, meta uint32) (labelset.ID, uint32, error) {
	if len(t.departed.lasts) == 0 {
		return set, meta, nil
	}
	x, ok := t.departed.lasts[t.sets.Hash(set)]
	if !ok {
		return set, meta, nil
	}
	if meta&entryTimed == 0 {
		timed, err := t.sets.Timed(set)
		if err != nil {
			t.sets.Remove(set, false)
			return 0, 0, err
		}
		set, meta = timed, meta|entryTimed
	}
	t.sets.SetLast(set, x.lastMillis)
	return set, meta, nil
}
