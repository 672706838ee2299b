package scrape

import (
	"scraper/batch"
	"scraper/labelset"
)

// finish appends the markers which are due after a good body.
func (t *table) finish(b *batch.Batch, trackTimestamps bool) (markers int) {
	t.tracked = trackTimestamps
	t.endReading()
	if t.steady() || t.marked {
		return 0
	}
	for i := t.markedTo; i < t.base; i++ {
		if t.isGone(i) {
			markers += t.marker(b, i, trackTimestamps)
		}
	}
	return markers
}

// isGone reports whether the committed entry i is a primary one whose series was not met.
func (t *table) isGone(i uint32) bool {
	return t.entries.At(i).meta&(entryDropped|entryAlias) == 0 && !t.isMet(i)
}

func (t *table) marker(b *batch.Batch, i uint32, trackTimestamps bool) int {
	e := t.entries.At(i)
	if e.meta&entryOwnTime != 0 && !trackTimestamps {
		return 0
	}
	b.AppendStale(labelset.ID(e.set))
	return 1
}

// markAll appends the markers of all committed series: after a failed scrape, or for a target which is gone. Call it
// outside of a transaction. There are none until a good body follows.
func (t *table) markAll(b *batch.Batch, trackTimestamps bool) (markers int) {
	return t.markSome(b, trackTimestamps, t.entries.Len())
}

// markSome is markAll for the next n entries only; the table is marked when there are no more.
func (t *table) markSome(b *batch.Batch, trackTimestamps bool, n int) (markers int) {
	if t.marked {
		return 0
	}
	t.sentMillis = b.TimestampMillis
	all := uint32(t.entries.Len())
	for ; t.markedTo < all && n > 0; t.markedTo++ {
		n--
		if t.entries.At(t.markedTo).meta&(entryDropped|entryAlias) == 0 {
			markers += t.marker(b, t.markedTo, trackTimestamps)
		}
	}
	if t.markedTo == all {
		t.marked, t.markedTo = true, 0
	}
	return markers
}

// owed is about how many markers are still to be sent, of a table which has begun with that, or has to.
func (t *table) owed() int64 {
	if t.marked {
		return 0
	}
	return int64(t.entries.Len()) - int64(t.markedTo)
}
