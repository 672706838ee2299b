package remotewrite

import "time"

// tally is what became of the samples of one block that a queue handed out. Its sum is all of them.
type tally struct {
	acknowledged, refused, expired    int
	conflict, unsupported, unreadable int
	// left is what could not be delivered before the destination's end, and is kept nowhere.
	left int
}

func (t *tally) sum() int {
	return t.acknowledged + t.refused + t.expired + t.conflict + t.unsupported + t.unreadable + t.left
}

// add enters what an answer that settles it means for rows samples.
func (t *tally) add(fail *sendError, rows int) {
	kept := min(fail.Stored, rows)
	t.acknowledged += kept
	rows -= kept
	switch fail.Verdict {
	case conflict:
		t.conflict += rows
	case unsupported:
		t.unsupported += rows
	default:
		t.refused += rows
	}
}

// enterLocked enters the tally of a block into the books.
func (t *tally) enterLocked(d *destination, r record) {
	b := &d.books
	b.Acknowledged += uint64(t.acknowledged)
	b.Refused += uint64(t.refused)
	b.Expired += uint64(t.expired)
	b.Dropped.Conflict += uint64(t.conflict)
	b.Dropped.Unsupported += uint64(t.unsupported)
	b.Dropped.Unreadable += uint64(t.unreadable)
	if t.left > 0 && d.removed {
		b.Dropped.Removed += uint64(t.left)
	} else {
		b.Dropped.Shutdown += uint64(t.left)
	}
	d.settled++
	if t.acknowledged > 0 {
		d.health.lastSent = time.Now()
		d.health.sentBytes += uint64(r.bytes)
		d.health.sentBlocks++
	}
	if t.acknowledged == r.rows {
		d.health.failing, d.health.lastError = false, ""
	}
}

// count enters the tally into the metrics. Removed says why the destination ended, if it did.
func (t *tally) count(m *destinationMetrics, r record, removed bool) {
	m.pend(-1, -int64(r.rows), -int64(r.bytes))
	m.acknowledged.Add(float64(t.acknowledged))
	m.refused.Add(float64(t.refused))
	m.expired.Add(float64(t.expired))
	if t.acknowledged > 0 {
		m.sentBytes.Add(float64(r.bytes))
		m.sentBlocks.Inc()
	}
	end := "shutdown"
	if removed {
		end = "removed"
	}
	for reason, n := range map[string]int{"conflict": t.conflict, "unsupported": t.unsupported, "unreadable": t.unreadable, end: t.left} {
		if n > 0 {
			m.dropped(reason).Add(float64(n))
		}
	}
}
