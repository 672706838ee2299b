package remotewrite

import (
	"log/slog"
	"slices"
	"time"
)

const (
	// maxRefusals are remembered of each destination.
	maxRefusals = 20
	// maxSeriesText bounds the labels of a refused series in logs and pages, in bytes.
	maxSeriesText = 1 << 10
)

// Refusal is samples which a receiver would not take, and its reason.
type Refusal struct {
	At     time.Time
	Status int
	Answer string // the beginning of the receiver's answer, without secrets
	Series string // the first one's name and labels; empty if the block could not be read
	// SeriesCount is the number of series, and Samples that of their samples, which were refused together. It is more
	// than one where the block was not halved, or not to the end.
	SeriesCount int
	Samples     int
}

// noteRefused remembers that samples of blk, which it borrows, were refused, and says so now and then. Of, if not nil, is
// the series of the block which are concerned: all.
func (d *destination) noteRefused(blk *block, fail *sendError, samples int, of *piece) {
	now := Refusal{At: time.Now(), Status: fail.Status, Answer: fail.Words, Samples: samples}
	if of != nil {
		now.Series, now.SeriesCount = of.first, of.series()
	} else if r, err := d.openRequest(blk); err == nil {
		now.Series, now.SeriesCount = r.seriesText(0), r.series
		r.close()
	}
	d.mu.Lock()
	if len(d.refused) == maxRefusals {
		d.refused = slices.Delete(d.refused, 0, 1)
	}
	d.refused = append(d.refused, now)
	d.mu.Unlock()
	d.refusals.event("receiver refused samples", samples, slog.String("series", now.Series), slog.Int("of_series", now.SeriesCount),
		slog.Any("err", fail))
}

// refusalsLocked returns a copy of what is remembered, the newest first.
func (d *destination) refusalsLocked() []Refusal {
	all := slices.Clone(d.refused)
	slices.Reverse(all)
	return all
}
