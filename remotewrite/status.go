package remotewrite

import "time"

// DestinationStatus is a snapshot of one destination, for pages and JSON.
type DestinationStatus struct {
	// Name is how the destination appears everywhere: "1:name", never a URL.
	Name string
	// Healthy is false from the first failure of a request until the next success.
	Healthy        bool
	LastError      string    // of the last failed request; empty when healthy
	LastErrorAt    time.Time // also when healthy again; zero if there was none
	LastSent       time.Time // of the last acknowledged request
	PendingBlocks  int
	PendingSamples int64     // in open blocks, in the queue, or on their way
	PendingBytes   int64     // compressed, without open blocks
	OldestPending  time.Time // when the oldest block in the queue was closed; zero if there is none
	Protocol       string    // what new blocks are encoded in: 1.0, 2.0 or vm
	QueueState     string    // where blocks wait: "on disk", "in memory", or why not on disk
	DiskBytes      int64     // of the queue's files
	MemoryBytes    int64     // of blocks in memory, which destinations may share, and of what is known about those on disk
	InFlight       int       // blocks which are being sent, or wait for their next attempt
	Senders        int       // requests which may be on their way at the same time
	SentBlocks     uint64
	SentSamples    uint64
	SentBytes      uint64 // compressed, acknowledged
	Retries        uint64
	RefusedSamples uint64
	DroppedSamples uint64
	Books          Books
	Refusals       []Refusal // the last ones, the newest first
}

// Status returns the state of all configured destinations, in the order of the configuration. It waits for batches which
// are being committed.
func (w *Writer) Status() []DestinationStatus {
	w.mu.RLock()
	defer w.mu.RUnlock()
	all := make([]DestinationStatus, 0, len(w.dests))
	for _, d := range w.dests {
		s := d.snapshot()
		all = append(all, DestinationStatus{
			Name:           d.label,
			Healthy:        !s.health.failing,
			LastError:      s.health.lastError,
			LastErrorAt:    s.health.lastErrorAt,
			LastSent:       s.health.lastSent,
			PendingBlocks:  s.queue.blocks,
			PendingSamples: s.openRows + s.queue.samples,
			PendingBytes:   s.queue.bytes,
			OldestPending:  s.queue.oldest,
			Protocol:       d.talk.protocol().String(),
			QueueState:     s.state,
			DiskBytes:      s.disk.DiskBytes,
			MemoryBytes:    s.memBytes,
			InFlight:       s.health.inFlight,
			Senders:        d.gate.senders(),
			SentBlocks:     s.health.sentBlocks,
			SentSamples:    s.books.Acknowledged,
			SentBytes:      s.health.sentBytes,
			Retries:        s.health.retries,
			RefusedSamples: s.books.Refused,
			DroppedSamples: s.books.Dropped.Total(),
			Books:          s.books,
			Refusals:       s.refusals,
		})
	}
	return all
}
