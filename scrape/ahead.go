package scrape

import (
	"errors"
	"io"
	"os"

	"scraper/batch"
	"scraper/bufpool"
)

const (
	// aheadBytes is how much memory a scrape may take for what it learns before the rest of the body is read ahead.
	aheadBytes = 4 << 20
	// aheadPiece is the size of the pieces in which that is done.
	aheadPiece = 64 << 10
)

// aheadReader reads a body to its end, into a file, once much was learnt from its beginning. To learn a series takes more
// memory than its line is long, so a body which turns out to be too large, to be cut off, or never to end would take many
// times its limit before it is refused. Bodies whose series are known never come here.
type aheadReader struct {
	r     io.Reader
	spool *batch.Spool
	pool  *bufpool.Pool
	// learnt is how much memory the scrape took for what it learnt.
	learnt func() int64

	begun     bool
	file      *os.File // nil if there is none
	at, end   int64    // what was not read yet of file
	piece     *bufpool.Buf
	unwritten []byte // what could not be written: a view of piece
}

// Read borrows p. What is wrong with the rest of the body it returns as soon as it knows.
func (a *aheadReader) Read(p []byte) (int, error) {
	if !a.begun && a.learnt() > aheadBytes {
		a.begun = true
		if err := a.fetch(); err != nil {
			return 0, err
		}
	}
	switch {
	case a.at < a.end:
		n, err := a.file.ReadAt(p[:min(int64(len(p)), a.end-a.at)], a.at)
		a.at += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	case len(a.unwritten) > 0:
		n := copy(p, a.unwritten)
		a.unwritten = a.unwritten[n:]
		return n, nil
	}
	return a.r.Read(p)
}

// fetch reads the body to its end. Where there is no room for it, the rest is left where it is.
func (a *aheadReader) fetch() error {
	f, err := a.spool.Take()
	if err != nil {
		return nil //nolint:nilerr // then it is read piece by piece
	}
	a.file, a.piece = f, a.pool.Get(aheadPiece)
	b := a.piece.B[:cap(a.piece.B)]
	for {
		n, err := a.r.Read(b)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if k, werr := f.WriteAt(b[:n], a.end); werr != nil {
			a.end += int64(k)
			a.unwritten = b[k:n]
			return nil //nolint:nilerr // it is read from a.r then
		}
		a.end += int64(n)
		if err != nil {
			return nil // a.r says again that this is its end
		}
	}
}

// close gives back what was borrowed.
func (a *aheadReader) close() {
	if a.file != nil {
		a.spool.Return(a.file)
		a.piece.Release()
	}
	*a = aheadReader{}
}
