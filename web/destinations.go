package web

import (
	"net/http"
	"time"

	"scraper/remotewrite"
)

// destinationsPage shows where samples go, what became of them, and what receivers would not take.
type destinationsPage struct {
	page
	Destinations []remotewrite.DestinationStatus
	// Hidden: refused series are part of what targets said, which this peer may not read.
	Hidden bool
}

func (s *Server) destinations(w http.ResponseWriter, r *http.Request) {
	v := destinationsPage{page: s.page(r, "destinations", "Destinations"), Destinations: s.o.Destinations(), Hidden: !s.localMayRead(r)}
	v.Refresh = 3000
	s.render(w, "destinations.html", v)
}

// destination is one element of /api/v1/destinations.
type destination struct {
	Name           string           `json:"name"`
	Health         string           `json:"health"` // up or down
	LastError      string           `json:"lastError"`
	LastErrorAt    *time.Time       `json:"lastErrorAt,omitempty"`
	LastSent       *time.Time       `json:"lastSent,omitempty"`
	Queue          queue            `json:"queue"`
	Senders        int              `json:"senders"`
	InFlight       int              `json:"inFlight"` // blocks
	SentBlocks     uint64           `json:"sentBlocks"`
	SentBytes      uint64           `json:"sentBytes"`
	Retries        uint64           `json:"retries"`
	Samples        destinationBooks `json:"samples"`
	Refusals       []refusal        `json:"refusals"`
	RefusalsHidden bool             `json:"refusalsHidden,omitempty"`
}

// queue is what waits for a destination.
type queue struct {
	State     string     `json:"state"`
	Blocks    int        `json:"blocks"`
	Bytes     int64      `json:"bytes"`     // compressed
	DiskBytes int64      `json:"diskBytes"` // of files
	Memory    int64      `json:"memoryBytes"`
	Oldest    *time.Time `json:"oldest,omitempty"`
}

// destinationBooks is what became of samples: committed + recovered = acknowledged + refused + expired + the sum of
// dropped + pending.
type destinationBooks struct {
	Committed    uint64            `json:"committed"`
	Recovered    uint64            `json:"recovered"`
	Acknowledged uint64            `json:"acknowledged"`
	Refused      uint64            `json:"refused"`
	Expired      uint64            `json:"expired"`
	Dropped      map[string]uint64 `json:"dropped"` // by reason
	Pending      uint64            `json:"pending"`
	Resent       uint64            `json:"resent"`
	Unbalanced   int64             `json:"unbalanced"`
}

// refusal is samples that a receiver would not take.
type refusal struct {
	At          time.Time `json:"at"`
	Status      int       `json:"status"`
	Answer      string    `json:"answer"`
	Series      string    `json:"series"` // the first one
	SeriesCount int       `json:"seriesCount"`
	Samples     int       `json:"samples"`
}

func (s *Server) apiDestinations(w http.ResponseWriter, r *http.Request) {
	hidden := !s.localMayRead(r)
	all := []destination{}
	for _, d := range s.o.Destinations() {
		all = append(all, newDestination(&d, hidden))
	}
	writeData(w, map[string]any{"destinations": all})
}

func newDestination(d *remotewrite.DestinationStatus, hidden bool) destination {
	b := &d.Books
	out := destination{
		Name: d.Name, Health: "up", LastError: d.LastError, LastErrorAt: timeOrNil(d.LastErrorAt), LastSent: timeOrNil(d.LastSent),
		Queue:   queue{State: d.QueueState, Blocks: d.PendingBlocks, Bytes: d.PendingBytes, DiskBytes: d.DiskBytes, Memory: d.MemoryBytes, Oldest: timeOrNil(d.OldestPending)},
		Senders: d.Senders, InFlight: d.InFlight, SentBlocks: d.SentBlocks, SentBytes: d.SentBytes, Retries: d.Retries,
		Samples: destinationBooks{
			Committed: b.Committed, Recovered: b.Recovered, Acknowledged: b.Acknowledged, Refused: b.Refused, Expired: b.Expired,
			Dropped: b.Dropped.ByReason(), Pending: b.Pending, Resent: b.Resent, Unbalanced: b.Unbalanced(),
		},
		Refusals: []refusal{}, RefusalsHidden: hidden,
	}
	if !d.Healthy {
		out.Health = "down"
	}
	if hidden {
		return out
	}
	for _, x := range d.Refusals {
		out.Refusals = append(out.Refusals, refusal(x))
	}
	return out
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
