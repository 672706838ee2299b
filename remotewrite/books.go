package remotewrite

import "fmt"

// Books is what became of the samples that were committed to one destination, in samples.
//
// They balance: Committed + Recovered = Acknowledged + Refused + Expired + all of Dropped + Pending, in every snapshot.
type Books struct {
	Committed    uint64 // taken over from batches
	Recovered    uint64 // found on disk at the start
	Acknowledged uint64 // the receiver said that it has them
	Refused      uint64 // the receiver said that it will never take them
	Expired      uint64 // older than the bound of their age
	Dropped      DroppedBooks
	// Pending is in open blocks, in the queue, or on its way; after the end, what is left on disk.
	Pending uint64
	// Resent counts samples as often as they were sent again. They are in no sum.
	Resent uint64
}

// DroppedBooks is what was dropped, by reason.
type DroppedBooks struct {
	Relabeled   uint64 // by the destination's own rules
	TooLarge    uint64 // a single series exceeds a block
	QueueFull   uint64 // the oldest, when the queue's bound was reached
	Conflict    uint64 // the receiver answered 409
	Unsupported uint64 // the receiver does not speak the protocol, or one which does not carry them
	Unreadable  uint64 // the queue could not give back what it was given
	Shutdown    uint64 // left over when the time to stop was over
	Removed     uint64 // left over when the destination's time to drain was over
}

// ByReason is all of it by the names that metrics have for the reasons.
func (d DroppedBooks) ByReason() map[string]uint64 {
	return map[string]uint64{
		"relabeled": d.Relabeled, "too_large": d.TooLarge, "queue_full": d.QueueFull, "conflict": d.Conflict,
		"unsupported": d.Unsupported, "unreadable": d.Unreadable, "shutdown": d.Shutdown, "removed": d.Removed,
	}
}

// Total is the sum over all reasons.
func (d DroppedBooks) Total() uint64 {
	return d.Relabeled + d.TooLarge + d.QueueFull + d.Conflict + d.Unsupported + d.Unreadable + d.Shutdown + d.Removed
}

// Unbalanced is Committed and Recovered less everything that became of them: zero, or there is a bug.
func (b Books) Unbalanced() int64 {
	return int64(b.Committed + b.Recovered - b.Acknowledged - b.Refused - b.Expired - b.Dropped.Total() - b.Pending)
}

// DestinationBooks is the books of one destination.
type DestinationBooks struct {
	Name string // as in DestinationStatus
	Books
}

// Books returns the books of all destinations, each a consistent snapshot. Destinations which were removed are among
// them until they are drained. It waits for batches which are being committed.
func (w *Writer) Books() []DestinationBooks {
	w.mu.RLock()
	defer w.mu.RUnlock()
	all := make([]DestinationBooks, 0, len(w.dests)+len(w.retiring))
	for _, d := range w.dests {
		all = append(all, DestinationBooks{d.label, d.snapshot().books})
	}
	for _, d := range w.retiring {
		all = append(all, DestinationBooks{d.label, d.snapshot().books})
	}
	return all
}

func (b DestinationBooks) String() string {
	return fmt.Sprintf("%s: committed %d, recovered %d, acknowledged %d, refused %d, expired %d, dropped %+v, pending %d, resent %d", b.Name,
		b.Committed, b.Recovered, b.Acknowledged, b.Refused, b.Expired, b.Dropped, b.Pending, b.Resent)
}
