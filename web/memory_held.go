package web

import (
	"time"

	"scraper/memlimit"
	"scraper/scrape"
	"scraper/snapshots"
)

// heldTarget is a target which is not scraped because memory is short, or one which would be the next.
type heldTarget struct {
	ID     uint64            `json:"id"`
	Job    string            `json:"job"`
	URL    string            `json:"url"`
	Bytes  int64             `json:"bytes"` // what its last scrape cost
	Reason scrape.SkipReason `json:"reason,omitempty"`
	Text   string            `json:"text,omitempty"`
	Since  *time.Time        `json:"since,omitempty"`
	// Skipped counts the scrapes which were skipped since then.
	Skipped uint64 `json:"skipped,omitempty"`
}

func heldTargets(all []scrape.HeldTarget) []heldTarget {
	held := []heldTarget{}
	for _, t := range all {
		h := heldTarget{ID: t.ID, Job: t.Job, URL: t.URL, Bytes: t.Bytes, Reason: t.Held.Reason, Text: t.Held.Reason.String(), Skipped: t.Held.Skipped}
		if !t.Held.Since.IsZero() {
			h.Since = &t.Held.Since
		}
		held = append(held, h)
	}
	return held
}

// heldJSON is what keeps one target from being scraped, as the list of targets has it.
type heldJSON struct {
	Reason  scrape.SkipReason `json:"reason"`
	Text    string            `json:"text"`
	Since   time.Time         `json:"since"`
	Skipped uint64            `json:"skippedScrapes"`
}

// heldOf returns nil for a target which is scraped.
func heldOf(h scrape.Held) *heldJSON {
	if h.Reason == scrape.SkipNone {
		return nil
	}
	return &heldJSON{h.Reason, h.Reason.String(), h.Since, h.Skipped}
}

// sheddingJSON is what the shortage of memory does to targets.
type sheddingJSON struct {
	// HeldTargets is how many are held back, Held the first of them, the longest held first.
	HeldTargets int                          `json:"heldTargets"`
	Held        []heldTarget                 `json:"held"`
	Next        []heldTarget                 `json:"next"` // who would be shed next
	OwedMarkers int64                        `json:"owedMarkers"`
	Skipped     map[scrape.SkipReason]uint64 `json:"skippedScrapes"`
	Shed        uint64                       `json:"shed"` // how often a target was
	Readmitted  uint64                       `json:"readmitted"`
}

func (p *memoryPage) shedding() sheddingJSON {
	s := &p.Shortage
	skipped := s.Skipped
	if skipped == nil {
		skipped = map[scrape.SkipReason]uint64{}
	}
	return sheddingJSON{s.HeldTargets, p.Held, p.Next, s.OwedMarkers, skipped, s.Shed, s.Readmitted}
}

// More is how many targets are held back beside those which are listed.
func (p memoryPage) More() int { return p.Shortage.HeldTargets - len(p.Held) }

// SkippedScrapes is how many scrapes were skipped, for any reason.
func (p memoryPage) SkippedScrapes() (n uint64) {
	for _, c := range p.Shortage.Skipped {
		n += c
	}
	return n
}

type admissionJSON struct {
	Granted int64   `json:"grantedBytes"`
	Waiting int     `json:"waiting"`
	Waits   uint64  `json:"waits"`
	Refused uint64  `json:"refused"`
	Starved uint64  `json:"starved"`
	Waited  float64 `json:"waitedSeconds"`
}

func admissionOf(a memlimit.AdmissionStats) admissionJSON {
	return admissionJSON{a.Granted, a.Waiting, a.Waits, a.Refused, a.Starved, a.Waited.Seconds()}
}

// replaced are values which were replaced and are still in memory, of one kind.
type replaced struct {
	Kind       string  `json:"kind"`
	Superseded int     `json:"superseded"`
	Oldest     float64 `json:"oldestSeconds"`
	Holders    []held  `json:"holders"`
	More       int     `json:"moreHolders"`
	Unheld     int     `json:"unheld"`
}

type held struct {
	Name       string     `json:"name"`
	Since      *time.Time `json:"since,omitempty"`
	Superseded time.Time  `json:"superseded"`
}

func replacedOf(all []snapshots.Report) []replaced {
	list := []replaced{}
	for _, r := range all {
		x := replaced{Kind: r.Kind, Superseded: r.Superseded, Oldest: r.Oldest.Seconds(), Holders: []held{}, More: r.More, Unheld: r.Unheld}
		for _, h := range r.Holders {
			one := held{Name: h.Name, Superseded: h.Superseded}
			if !h.Since.IsZero() {
				one.Since = &h.Since
			}
			x.Holders = append(x.Holders, one)
		}
		list = append(list, x)
	}
	return list
}

// Age is how long ago the oldest was replaced.
func (r replaced) Age() time.Duration { return time.Duration(r.Oldest * float64(time.Second)) }
