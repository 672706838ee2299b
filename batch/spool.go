package batch

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"scraper/bufpool"
)

// maxIdleFiles is how many files are kept open for batches to come. Few targets are large, and fewer at the same time.
const maxIdleFiles = 2

// Spool holds the rows of batches that are too large for memory, in files which have no name and vanish with the process.
// It is safe for concurrent use. Close gives the idle files back; the batches in use must have been reset before.
type Spool struct {
	dir      string
	maxBytes int

	mu   sync.Mutex
	idle []*os.File
}

// NewSpool returns a spool with files in dir, which is made when it is needed; empty means the system's temporary
// directory. A batch has at most maxBytes of memory; the least that makes sense is two chunks.
func NewSpool(dir string, maxBytes int64) *Spool {
	const most = 1 << 40
	return &Spool{dir: dir, maxBytes: int(min(max(maxBytes, 2*chunkBytes), most))}
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

// spoolFile is one batch's file. Its chunks lie one after the other.
type spoolFile struct {
	f      *os.File
	chunks []spoolChunk
	bytes  int64
}

type spoolChunk struct {
	offset int64
	bytes  int32
}

func (s *Spool) get() (*spoolFile, error) {
	f, err := s.Take()
	if err != nil {
		return nil, err
	}
	return &spoolFile{f: f}, nil
}

// Take returns ownership of an empty file without a name, for who has more to keep than fits into memory. It is to be given
// to Return.
func (s *Spool) Take() (*os.File, error) {
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

// put takes back a batch's file.
func (s *Spool) put(x *spoolFile) { s.Return(x.f) }

// Return takes ownership of a file of Take's. It is emptied, so that neither the disk nor the page cache keeps what was in it.
func (s *Spool) Return(f *os.File) {
	err := f.Truncate(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && len(s.idle) < maxIdleFiles {
		s.idle = append(s.idle, f)
		return
	}
	_ = f.Close()
}

// append writes a chunk behind the others.
func (x *spoolFile) append(b []byte) error {
	if _, err := x.f.WriteAt(b, x.bytes); err != nil {
		return err
	}
	x.chunks = append(x.chunks, spoolChunk{x.bytes, int32(len(b))})
	x.bytes += int64(len(b))
	return nil
}

// read reads chunk i into b, which it makes large enough.
func (x *spoolFile) read(i int, b *bufpool.Buf) error {
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

// spill moves the rows in memory to the batch's file. When that fails the batch keeps the error, and takes rows only to
// drop them.
func (b *Batch) spill() {
	if b.file == nil && b.err == nil {
		b.file, b.err = b.spool.get()
	}
	for i, c := range b.chunks {
		if b.err == nil {
			b.err = b.file.append(c.B)
		}
		c.Release()
		b.chunks[i] = nil
	}
	b.chunks, b.bytes = b.chunks[:0], 0
	if b.err != nil {
		b.err = fmt.Errorf("keep a large scrape's samples in a file: %w; -promscrape.maxBatchMemory would keep more in memory", b.err)
	}
}
