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
	At     time.Time // of the last time
	Status int
	Answer string // the beginning of the receiver's answer, without secrets
	Series string // the first one's name and labels; empty if the block could not be read
	// SeriesCount is the number of series which were refused together. It is more than one where the block was not halved,
	// or not to the end.
	SeriesCount int
	Samples     int // of these series, which were refused like that since it is remembered
}

// noteRefused remembers that samples of blk, which it borrows, were refused, and says so now and then. Of, if not nil, is
// the series of the block which are concerned: all. With no samples it is exemplars or metadata which the receiver did not
// like: that is told, and the series are not to blame.
func (d *destination) noteRefused(blk *block, fail *sendError, samples int, of *piece) {
	if samples == 0 && fail.Stored > 0 {
		d.others.event("receiver took the samples of a request, and not all of its exemplars or metadata", 0, slog.Any("err", fail))
		return
	}
	now := Refusal{At: time.Now(), Status: fail.Status, Answer: fail.Words, Samples: samples}
	if of != nil {
		now.Series, now.SeriesCount = of.first, of.series()
	} else {
		now.Series, now.SeriesCount = d.describeBlock(blk)
	}
	d.mu.Lock()
	d.rememberLocked(now)
	d.mu.Unlock()
	d.refusals.event("receiver refused samples", samples, slog.String("series", now.Series), slog.Int("of_series", now.SeriesCount),
		slog.Any("err", fail))
}

// describeBlock returns the first series of a block, which it borrows, and how many there are.
func (d *destination) describeBlock(blk *block) (first string, series int) {
	d.codec.splitting.Lock()
	defer d.codec.splitting.Unlock()
	r, err := d.openRequest(blk)
	if err != nil {
		return "", 0
	}
	defer r.close()
	return r.seriesText(0), r.series
}

// rememberLocked puts a refusal last. A series which is refused with each scrape is there once.
func (d *destination) rememberLocked(now Refusal) {
	at := slices.IndexFunc(d.refused, func(r Refusal) bool {
		return r.Series == now.Series && r.SeriesCount == now.SeriesCount && r.Status == now.Status
	})
	switch {
	case at >= 0:
		now.Samples += d.refused[at].Samples
		d.refused = slices.Delete(d.refused, at, at+1)
	case len(d.refused) == maxRefusals:
		d.refused = slices.Delete(d.refused, 0, 1)
	}
	d.refused = append(d.refused, now)
}

// refusalsLocked returns a copy of what is remembered, the newest first.
func (d *destination) refusalsLocked() []Refusal {
	all := slices.Clone(d.refused)
	slices.Reverse(all)
	return all
}
