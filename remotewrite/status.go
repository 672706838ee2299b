package remotewrite

import "time"

// DestinationStatus is a snapshot of one destination, for pages and JSON.
type DestinationStatus struct {
	// Name is how the destination appears everywhere: "1:name", never a URL.
	Name string
	// Healthy is false from the first failure of a request until the next success.
	Healthy        bool
	LastError      string    // of the last failed request; empty when healthy
	LastSent       time.Time // of the last acknowledged request
	PendingBlocks  int
	PendingSamples int64
	PendingBytes   int64
	SentSamples    uint64
	SentBytes      uint64 // compressed, acknowledged
	Retries        uint64
	RefusedSamples uint64
	DroppedSamples uint64
}
