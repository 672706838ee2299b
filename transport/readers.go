package transport

import (
	"bufio"
	"io"
	"sync"
)

const (
	// smallReader is the size of a reader's buffer. A smaller one would refuse chunk headers and trailers which net/http
	// takes.
	smallReader = 4 << 10
	// largeReader is what chunked bodies get which prove large. Go's servers send chunks of 2 KiB, which are all read
	// through the buffer: this size saves them a third of the processor time of reading, and four times this nothing more.
	largeReader = 16 << 10
	// largeBody is how much has been read of a body which counts as large.
	largeBody = 64 << 10
	// maxIdleSmall and maxIdleLarge: between its first byte and its end an answer needs a reader, and few answers are that
	// far at a time.
	maxIdleSmall = 16
	maxIdleLarge = 4
)

// Readers keeps a few idle read buffers, 128 KiB at most, for any number of Transports. The zero value is ready for use.
type Readers struct {
	mu           sync.Mutex
	small, large readerList
}

// readerList has the readers of one size.
type readerList struct {
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
		InUse: r.small.inUse + r.large.inUse, Idle: len(r.small.idle) + len(r.large.idle),
		InUseBytes: int64(r.small.inUse)*smallReader + int64(r.large.inUse)*largeReader,
		IdleBytes:  r.idleBytesLocked(),
	}
}

func (r *Readers) idleBytesLocked() int64 {
	return int64(len(r.small.idle))*smallReader + int64(len(r.large.idle))*largeReader
}

// Shrink lets go of what is idle, and returns how many bytes that was.
func (r *Readers) Shrink() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.idleBytesLocked()
	r.small.idle, r.large.idle = nil, nil
	return n
}

// list returns the readers of a size, and how many of them are kept.
func (r *Readers) list(size int) (l *readerList, keep int) {
	if size == largeReader {
		return &r.large, maxIdleLarge
	}
	return &r.small, maxIdleSmall
}

// get returns ownership of a reader from src, whose size is smallReader or largeReader.
func (r *Readers) get(src io.Reader, size int) *bufio.Reader {
	l, _ := r.list(size)
	r.mu.Lock()
	l.inUse++
	var br *bufio.Reader
	if n := len(l.idle); n > 0 {
		br, l.idle[n-1] = l.idle[n-1], nil
		l.idle = l.idle[:n-1]
	}
	r.mu.Unlock()
	if br == nil {
		return bufio.NewReaderSize(src, size)
	}
	br.Reset(src)
	return br
}

// put takes ownership of a reader which get returned.
func (r *Readers) put(br *bufio.Reader) {
	br.Reset(nil)
	l, keep := r.list(br.Size())
	r.mu.Lock()
	defer r.mu.Unlock()
	l.inUse--
	if len(l.idle) < keep {
		l.idle = append(l.idle, br)
	}
}
