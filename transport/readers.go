package transport

import (
	"bufio"
	"io"
	"sync"
)

const (
	// readerBytes is the size of a reader's buffer. A smaller one would refuse chunk headers and trailers which net/http
	// takes; a larger one is for bodies that prove large.
	readerBytes = 4 << 10
	// maxIdleReaders: between its first byte and its end an answer needs a reader, and few answers are that far at a time.
	maxIdleReaders = 16
)

// Readers keeps a few idle read buffers, 64 KiB at most, for any number of Transports. The zero value is ready for use.
type Readers struct {
	mu    sync.Mutex
	idle  []*bufio.Reader
	inUse int
}

// ReadersStats says what a Readers has.
type ReadersStats struct {
	InUse, Idle int
	// InUseBytes and IdleBytes are their memory.
	InUseBytes, IdleBytes int64
}

// Stats returns what is in use and idle now.
func (r *Readers) Stats() ReadersStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return ReadersStats{
		InUse: r.inUse, Idle: len(r.idle),
		InUseBytes: int64(r.inUse) * readerBytes, IdleBytes: int64(len(r.idle)) * readerBytes,
	}
}

// Shrink lets go of what is idle, and returns how many bytes that was.
func (r *Readers) Shrink() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.idle)
	r.idle = nil
	return int64(n) * readerBytes
}

// get returns ownership of a reader from src.
func (r *Readers) get(src io.Reader) *bufio.Reader {
	r.mu.Lock()
	r.inUse++
	var br *bufio.Reader
	if n := len(r.idle); n > 0 {
		br, r.idle[n-1] = r.idle[n-1], nil
		r.idle = r.idle[:n-1]
	}
	r.mu.Unlock()
	if br == nil {
		return bufio.NewReaderSize(src, readerBytes)
	}
	br.Reset(src)
	return br
}

// put takes ownership of a reader which get returned.
func (r *Readers) put(br *bufio.Reader) {
	br.Reset(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inUse--
	if len(r.idle) < maxIdleReaders {
		r.idle = append(r.idle, br)
	}
}
