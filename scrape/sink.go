package scrape

import "scraper/batch"

// Sink takes what a scrape read. Commit borrows the batch and its label sets until it returns: it encodes what it needs
// before that, never waits for a network or a disk that is slow, and says what it had to drop, and why. It is called by
// many goroutines at once, but by one at a time for the same target, whose batches share their Slot and their Sets.
type Sink interface {
	Commit(*batch.Batch) batch.Dropped
}
