// Package diskqueue keeps blocks of bytes on disk until they are acknowledged, in order within each of a fixed number of
// slots. It knows bytes, slots, counts and time ranges, and nothing of HTTP, of samples or of how blocks are encoded.
//
// A block which Append has taken survives the death of the process (not of the machine: that takes Maintain's fsync), and
// one which Ack has settled does not come back. Whatever is on the disk, Open takes what is good of it: a damaged record
// costs itself. A backlog is never in memory: of each segment a summary is, and of those which are being read the places of
// their records. docs/queue-format.md describes the files.
//
// Concurrency: all methods are safe for concurrent use. All but Stats may wait for the disk, and for each other: who must
// not wait for a disk calls them from a goroutine of its own. The package starts no goroutine.
//
// Ownership: Append borrows the payload, Read appends to memory of the caller's.
//
// Read this file first, then format.go (what a record is), scan.go (how records are found again), segment.go (what is kept
// in memory), open.go, starts.go, append.go, next.go, ack.go, retain.go (what goes when there is no room) and maintain.go.
package diskqueue

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ErrLocked is wrapped by the error of Open when another process has the queue.
var ErrLocked = errors.New("the queue is in use by another process")

// ErrDamaged is wrapped by the error of Read when a record is not what was written.
var ErrDamaged = errors.New("the record is damaged")

// ErrClosed is returned when the queue was closed.
var ErrClosed = errors.New("the queue is closed")

const (
	// segmentBytes is the size at which a segment is closed. It is what the oldest are dropped in, so it must not be much
	// of a small bound; and a start opens each, so there must not be too many in a large backlog: 10 GB are 1,200.
	segmentBytes = 8 << 20
	// minSegmentBytes: a segment takes three system calls more than its records.
	minSegmentBytes = 64 << 10
	// maxSegmentRecords bounds the memory which the places of a segment's records take: 64 bytes each.
	maxSegmentRecords = 4096
	// rewindBytes is how far an open segment grows before it starts anew at its beginning when nothing is pending. The
	// same few pages of the page cache are written again and again that way, and hardly any of it reaches the disk.
	rewindBytes = 256 << 10
	// maxSpares is the number of files which are kept to be written again. Slots rarely stand still in the same moment,
	// so with much traffic segments fill up, and a few take turns.
	maxSpares = 2
	// syncAfter is how long a block stays unsent before it is worth an fsync.
	syncAfter = time.Second
	// readPatience is how long a segment is tried to be read again which the disk does not give, until it is given up.
	readPatience = time.Minute
	// maxSlots keeps the ack table within what one write changes at once.
	maxSlots = 1024
	// maxBlockBytes bounds the payload of a record.
	maxBlockBytes = 256 << 20
	// smallFilesBytes is what the directory takes, and in it the lock, the marker of starts and a file of the caller's.
	smallFilesBytes = 3 * pageBytes
	// minDiskBytes is the least bound: two segments and the small files.
	minDiskBytes = 4 * minSegmentBytes
	// maxStarts is the number of starts in a row that did not get as far as reading the backlog, after which the
	// directory is suspected to be the cause.
	maxStarts = 5
	// startGap is the time in which one start is counted, however many there are: who kills the process again and again in its
	// first moments is somebody else, as a rule, and a queue which does so is set aside some seconds later.
	startGap = time.Second
)

// Options are the settings of a Queue.
type Options struct {
	// Dir is the directory of the queue, which has no other files. It is made if need be.
	Dir string
	// Slots is the number of slots. Blocks which a queue has from when it had another number come first, one after the
	// other, all of them by slot 0.
	Slots int
	// MaxDiskBytes bounds what the files take of the disk; beyond it the oldest blocks go. Default: no bound. The least is 256 KiB.
	MaxDiskBytes int64
	// MaxBlockAge bounds the age of a block, by its Created; older ones go. Default: no bound.
	MaxBlockAge time.Duration
	// GiveUp lets Open do without the segments which the disk does not give. Those whose content is bad are no matter of this.
	GiveUp bool
	// OnLoss is told about every block that is gone without having been acknowledged. It is called with the queue's
	// lock held, so it must not call the queue.
	OnLoss func(Loss)
	// Logger is told about what was found at the start. Default: nobody.
	Logger *slog.Logger

	fs           fileSystem // default: the operating system's
	segmentBytes int64      // for tests
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnLoss == nil {
		o.OnLoss = func(Loss) {}
	}
	if o.fs == nil {
		o.fs = osFiles{}
	}
	if o.MaxDiskBytes > 0 {
		o.MaxDiskBytes = max(o.MaxDiskBytes, minDiskBytes)
	}
	if o.segmentBytes == 0 {
		o.segmentBytes = segmentBytes
		if o.MaxDiskBytes > 0 {
			// Three are always there in the worst case: one which is written, one which is read, one to be written next.
			o.segmentBytes = min(max(o.MaxDiskBytes/16, minSegmentBytes), segmentBytes)
		}
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("option Dir is empty"))
	}
	if o.Slots < 1 || o.Slots > maxSlots {
		errs = append(errs, fmt.Errorf("option Slots is %d, want 1 to %d", o.Slots, maxSlots))
	}
	if o.MaxDiskBytes < 0 || o.MaxBlockAge < 0 {
		errs = append(errs, errors.New("options MaxDiskBytes and MaxBlockAge must not be negative"))
	}
	return errors.Join(errs...)
}

// Block is what is known about a block beside its payload.
type Block struct {
	Slot     int
	Kind     uint16 // what the payload is; the queue only keeps it
	Samples  int
	RawBytes int // before compression
	// MinTime and MaxTime are the payload's time range, in milliseconds.
	MinTime, MaxTime int64
	Created          time.Time
}

// Record is a block in a queue.
type Record struct {
	Block
	Seq   uint64 // of all records which were ever in this queue; it grows
	Bytes int    // of the payload

	seg *segment
	off int64 // of the payload
	crc uint32
}

// Reason says why a block is lost.
type Reason uint8

// The reasons.
const (
	Full    Reason = iota // the bound of the disk was reached, and it was the oldest
	Expired               // it was older than Options.MaxBlockAge
	Damaged               // it could not be read
)

func (r Reason) String() string { return [...]string{"full", "expired", "damaged"}[r] }

// Loss is blocks of one slot which are lost.
type Loss struct {
	Reason         Reason
	Slot           int // which would have handed them out
	Blocks         int
	Samples        int64
	Bytes          int64     // of payload
	Oldest, Newest time.Time // their Created
}

// Pending is what waits in a queue, including what is handed out.
type Pending struct {
	Blocks  int
	Samples int64
	Bytes   int64 // of payload
}

func (p *Pending) add(blocks int, samples, bytes int64) {
	p.Blocks += blocks
	p.Samples += samples
	p.Bytes += bytes
}

// Found is what was wrong with a queue when it was opened.
type Found struct {
	Damaged        int   // records which were not what was written; those of sealed segments are found when they are read
	DamagedSamples int64 // in those of them whose header is good
	Torn           int   // writes which the end of the former process cut short
	BadSegments    int   // files whose records cannot be told from garbage; they were set aside
	SetAside       string
}

// Stats is a snapshot of a queue.
type Stats struct {
	Pending
	DiskBytes   int64 // of all files, in whole pages, as the disk has them
	MemoryBytes int64 // of what the queue keeps in memory
	Segments    int
	Oldest      time.Time // the Created of the oldest pending block; zero if there is none
	AckErrors   uint64    // acknowledgements which could be written nowhere
}

// Queue is a queue on disk. Make one with Open.
type Queue struct {
	fs           fileSystem
	found        Found // immutable after Open
	lock         file
	fixedSegment int64 // Options.segmentBytes as it was given

	mu        sync.Mutex
	opts      Options // only the limits change
	closed    bool
	healthy   bool // the marker of starts is cleared
	segs      []*segment
	open      *segment   // the last one of segs, if it is written to; else nil
	spares    []*segment // files to be written again
	bad       []badFile
	slots     []slot
	pending   Pending
	nextSeq   uint64
	nextNum   uint64 // of the next new file
	segBytes  int64  // of the files of segs and spares, on disk
	acks      *ackFile
	ackErrors uint64
	dirDirty  bool                 // files were made since the directory was synced
	head      [recHeaderBytes]byte // what is being written
	page      []byte               // so is this
	barrier   uint64               // records before it are of another number of slots; 0 if there are none
	behind    int                  // how many of them are pending

	statMu sync.Mutex
	stats  Stats
}

// slot is the state of one slot.
type slot struct {
	acked  uint64 // what is settled: this and all before
	at     *segment
	pos    int // in at.index: what is before it is not pending
	out    bool
	outRec Record
	Pending
}

// badFile is a file which was set aside.
type badFile struct {
	path  string
	bytes int64
}

// Found returns what was wrong when the queue was opened.
func (q *Queue) Found() Found { return q.found }

// PendingOf returns what waits for one slot to hand it out, including what is handed out.
func (q *Queue) PendingOf(slot int) (p Pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.barrier == 0 {
		return q.slots[slot].Pending
	}
	for _, g := range q.segs {
		for i, s := range g.slots {
			if q.lane(g, i) == slot {
				p.add(s.blocks, s.samples, s.bytes)
			}
		}
	}
	return p
}

// SetLimits changes Options.MaxDiskBytes and Options.MaxBlockAge, from the next call on.
func (q *Queue) SetLimits(maxDiskBytes int64, maxBlockAge time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o := q.opts
	o.MaxDiskBytes, o.MaxBlockAge, o.segmentBytes = maxDiskBytes, maxBlockAge, q.fixedSegment
	q.opts = o.withDefaults()
}

// Stats returns a snapshot. It does not wait for the disk.
func (q *Queue) Stats() Stats {
	q.statMu.Lock()
	defer q.statMu.Unlock()
	return q.stats
}
