package batch

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"scraper/bufpool"
)

const (
	// maxIdleFiles is how many files are kept open for batches to come. Few targets are large, and fewer at the same time.
	maxIdleFiles = 2
	// tellEvery is how often it is told at the most that files cannot be written.
	tellEvery = time.Minute
)

// SpoolOptions configure a Spool.
type SpoolOptions struct {
	// Dir is where the files are. It is made when it is needed; empty means the system's temporary directory.
	Dir string
	// MaxBatchBytes is how much memory a batch has at most. The least that makes sense is two chunks.
	MaxBatchBytes int64
	// MaxBytes is how much all files may hold together, 1 GiB by default.
	MaxBytes int64
	// Logger is told when files cannot be written, and when they can be again. Nil discards it.
	Logger *slog.Logger
}

// Spool holds the rows of batches that are too large for memory, in files which have no name and vanish with the process.
// It is safe for concurrent use. Close gives the idle files back; the batches in use must have been reset before.
type Spool struct {
	dir           string
	log           *slog.Logger
	maxBatchBytes atomic.Int64

	mu       sync.Mutex
	idle     []*os.File
	maxBytes int64
	bytes    int64 // in all files
	failures uint64
	failing  bool
	told     bool // that it fails, last at toldAt
	toldAt   time.Time
}

// SpoolStats says what a Spool's files hold.
type SpoolStats struct {
	Bytes, MaxBytes int64
	// Failures counts how often something could not be written, and was kept in memory, or done without.
	Failures uint64
}

// NewSpool returns a spool without files.
func NewSpool(o SpoolOptions) *Spool {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	s := &Spool{dir: o.Dir, log: o.Logger}
	s.SetLimits(o.MaxBatchBytes, o.MaxBytes)
	return s
}

// SetLimits changes MaxBatchBytes and MaxBytes. What is there already stays.
func (s *Spool) SetLimits(maxBatchBytes, maxBytes int64) {
	const most = 1 << 40
	s.maxBatchBytes.Store(min(max(maxBatchBytes, 2*chunkBytes), most))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxBytes = maxBytes
}

// MaxBatchBytes is how much memory a batch has at most, while files can be written.
func (s *Spool) MaxBatchBytes() int64 { return s.maxBatchBytes.Load() }

// Stats returns what the files hold now.
func (s *Spool) Stats() SpoolStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SpoolStats{s.bytes, s.maxBytes, s.failures}
}

// MemoryOf is how much memory so many bytes of rows are going to take, as it looks now.
func (s *Spool) MemoryOf(rowBytes int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing {
		return rowBytes
	}
	return min(rowBytes, s.MaxBatchBytes())
}

// Close closes the idle files.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.idle {
		errs = append(errs, f.Close())
	}
	s.idle = nil
	return errors.Join(errs...)
}

// File is a file without a name. It is used by one goroutine at a time.
type File struct {
	s     *Spool
	f     *os.File
	bytes int64
}

// Take returns ownership of an empty file, for who has more to keep than fits into memory. It is to be given to Return.
func (s *Spool) Take() (*File, error) {
	f, err := s.open()
	if err != nil {
		s.wrote(err)
		return nil, err
	}
	return &File{s: s, f: f}, nil
}

func (s *Spool) open() (*os.File, error) {
	s.mu.Lock()
	if k := len(s.idle); k > 0 {
		f := s.idle[k-1]
		s.idle = s.idle[:k-1]
		s.mu.Unlock()
		return f, nil
	}
	s.mu.Unlock()
	if s.dir != "" {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return nil, err
		}
	}
	f, err := os.CreateTemp(s.dir, "batch-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil { // from here on only the descriptor holds it
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Return takes ownership of a file of Take's. It is emptied, so that neither the disk nor the page cache keeps what was in it.
func (s *Spool) Return(x *File) {
	err := x.f.Truncate(0)
	if err != nil {
		_ = x.f.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= x.bytes
	switch {
	case err != nil:
	case len(s.idle) < maxIdleFiles:
		s.idle = append(s.idle, x.f)
	default:
		_ = x.f.Close()
	}
}

// Bytes is how long the file is.
func (x *File) Bytes() int64 { return x.bytes }

// ReadAt borrows b.
func (x *File) ReadAt(b []byte, offset int64) (int, error) { return x.f.ReadAt(b, offset) }

// Append writes b, which it borrows, behind what the file has, and returns how much of it that now has.
func (x *File) Append(b []byte) (n int, err error) {
	at, size := x.bytes, int64(len(b))
	if err = x.reserve(size); err == nil {
		if n, err = x.f.WriteAt(b, at); n < len(b) {
			x.add(int64(n) - size)
		}
	}
	x.s.wrote(err)
	return n, err
}

// reserve takes n bytes of what all files may hold together. One file gets half of what the others leave, so that there is
// some for others whatever one target sends.
func (x *File) reserve(n int64) error {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if most := (s.maxBytes - (s.bytes - x.bytes)) / 2; x.bytes+n > most {
		return fmt.Errorf("the temporary files of all scrapes have %d of %d bytes, and this one half of the rest; -promscrape.maxBatchDisk would allow more", s.bytes, s.maxBytes)
	}
	x.addLocked(n)
	return nil
}

func (x *File) add(n int64) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.addLocked(n)
}

func (x *File) addLocked(n int64) {
	x.bytes += n
	x.s.bytes += n
}

// wrote notes whether something could be written.
func (s *Spool) wrote(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch was := s.failing; {
	case err != nil:
		s.failures++
		s.failing = true
		if now := time.Now(); !was && now.Sub(s.toldAt) >= tellEvery {
			s.told, s.toldAt = true, now
			s.log.Warn("no temporary file could be written: samples of large scrapes stay in memory", "err", err)
		}
	case was:
		s.failing = false
		if s.told {
			s.told = false
			s.log.Info("temporary files can be written again")
		}
	}
}

// spooled is the part of a batch's rows which is in a file: chunks, one after the other.
type spooled struct {
	f      *File
	chunks []spooledChunk
}

type spooledChunk struct {
	offset int64
	bytes  int32
}

// append writes a chunk behind the others.
func (x *spooled) append(b []byte) error {
	at := x.f.Bytes()
	if _, err := x.f.Append(b); err != nil {
		return err
	}
	x.chunks = append(x.chunks, spooledChunk{at, int32(len(b))})
	return nil
}

// read reads chunk i into b, which it makes large enough.
func (x *spooled) read(i int, b *bufpool.Buf) error {
	c := x.chunks[i]
	b.B = b.B[:0]
	if int(c.bytes) > cap(b.B) {
		b.Grow(int(c.bytes))
	}
	b.B = b.B[:c.bytes]
	if _, err := x.f.ReadAt(b.B, c.offset); err != nil {
		return fmt.Errorf("batch: read back rows: %w", err)
	}
	return nil
}

// isFull reports whether the rows in memory are to go to the batch's file.
func (b *Batch) isFull() bool {
	return b.spool != nil && int64(b.bytes) >= max(b.spool.MaxBatchBytes(), b.spillAt)
}

// spill moves the rows in memory to the batch's file. What cannot be written stays in memory, until there is twice as much.
func (b *Batch) spill() {
	b.most = max(b.most, b.bytes)
	n, err := b.spillChunks()
	for _, c := range b.chunks[:n] {
		b.bytes -= cap(c.B)
		c.Release()
	}
	b.chunks = slices.Delete(b.chunks, 0, n)
	b.spillAt = 0
	if err != nil {
		b.spillAt = 2 * int64(b.bytes)
	}
}

// spillChunks writes chunks to the batch's file, and returns how many it wrote.
func (b *Batch) spillChunks() (n int, err error) {
	if b.file == nil {
		f, err := b.spool.Take()
		if err != nil {
			return 0, err
		}
		b.file = &spooled{f: f}
	}
	for i, c := range b.chunks {
		if err := b.file.append(c.B); err != nil {
			return i, err
		}
	}
	return len(b.chunks), nil
}
