package scrape

import (
	"errors"
	"io"

	"scraper/batch"
	"scraper/bufpool"
	"scraper/streamparse"
)

const (
	// aheadBytes is how much memory a scrape may take for what it learns before the rest of the body is read ahead.
	aheadBytes = 2 << 20
	// aheadPiece is the size of the pieces in which that is done, and after how much of a body it is looked at what was learnt.
	aheadPiece = 64 << 10
	// learnBytes is how much text of new series is learnt before others may have the worker, some ten milliseconds: a metric in
	// protobuf may have many of them, and no byte is read from the first to the last.
	learnBytes = 1 << 20
)

// aheadReader reads a body, and its rest into a file once that is asked for. To learn a series takes more memory than its line
// is long, so a body which turns out to be too large, to be cut off, not to be in its format or beyond a limit would take many
// times its size before it is refused. Bodies whose series are known never come here.
type aheadReader struct {
	r     io.Reader
	spool *batch.Spool
	pool  *bufpool.Pool
	// learnt is how much memory the scrape took for what it learnt.
	learnt func() int64
	// pause is called before each piece of the file, and now and then while much is learnt, and returns an error if the scrape was
	// given up.
	pause func() error

	begun     bool
	before    int64      // bytes which were read before that
	whole     bool       // all of the rest is in the file
	rest      fileReader // what was not read yet of the file
	piece     *bufpool.Buf
	unwritten []byte // what could not be written: a view of piece
	unseen    bool   // the rest is in the file, and foresee has not read it
	lookAt    int64  // when so much of the body was read, it is looked at what was learnt
}

// fileReader reads a part of a file.
type fileReader struct {
	file    *batch.File
	at, end int64
	pause   func() error
}

// Read borrows p.
func (f *fileReader) Read(p []byte) (int, error) {
	if f.at == f.end {
		return 0, io.EOF
	}
	if err := f.pause(); err != nil {
		return 0, err
	}
	n, err := f.file.ReadAt(p[:min(int64(len(p)), f.end-f.at)], f.at)
	f.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// Read borrows p.
func (a *aheadReader) Read(p []byte) (int, error) {
	switch {
	case a.rest.at < a.rest.end:
		return a.rest.Read(p)
	case len(a.unwritten) > 0:
		n := copy(p, a.unwritten)
		a.unwritten = a.unwritten[n:]
		return n, nil
	}
	n, err := a.r.Read(p)
	a.before += int64(n)
	return n, err
}

// size is how long the body is, if that is known; else 0.
func (a *aheadReader) size() int64 {
	if !a.whole {
		return 0
	}
	return a.before + a.rest.end
}

// isDue reports whether the rest is to be read ahead, now that so much of the body was read.
func (a *aheadReader) isDue(bytes int64) bool {
	if a.begun || bytes < a.lookAt {
		return false
	}
	a.lookAt = bytes + aheadPiece
	return a.learnt() > aheadBytes
}

// fetch reads the body to its end, and returns what is wrong with that. Where there is no room for it, the rest is left where it
// is.
func (a *aheadReader) fetch() error {
	a.begun = true
	f, err := a.spool.Take()
	if err != nil {
		return nil //nolint:nilerr // then it is read piece by piece
	}
	a.rest.file, a.rest.pause, a.piece = f, a.pause, a.pool.Get(aheadPiece)
	b := a.piece.B[:cap(a.piece.B)]
	for {
		n, err := a.r.Read(b)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		k, werr := f.Append(b[:n])
		a.rest.end = f.Bytes()
		if werr != nil {
			a.unwritten = b[k:n]
			return nil //nolint:nilerr // it is read from a.r then
		}
		if err != nil {
			a.unseen = true
			a.whole = true
			return nil // a.r says again that this is its end
		}
	}
}

// close gives back what was borrowed.
func (a *aheadReader) close() {
	if a.rest.file != nil {
		a.spool.Return(a.rest.file)
		a.piece.Release()
	}
	*a = aheadReader{}
}

// lookAhead sees to it that little is learnt of a body which fails.
func (r *reading) lookAhead() error {
	a := r.ahead
	if a.isDue(r.p.Bytes()) {
		if err := a.fetch(); err != nil {
			return err
		}
	}
	if !a.unseen {
		return nil
	}
	rest := a.rest
	q := r.p.Rest(&rest)
	if q == nil { // soon
		return nil
	}
	a.unseen = false
	defer q.Close()
	defer func(t streamparse.Type) { r.learn.typ = t }(r.learn.typ)
	c := r.counts
	err := r.foresee(q, &c)
	if err == nil {
		return nil
	}
	if c.afterRelabeling() > r.sampleLimit || r.tooLarge != nil {
		c.Limited += c.Committed + c.afterRelabeling() - r.afterRelabeling()
	}
	r.counts, r.foreseen = c, max(0, q.Bytes()-r.p.Bytes())
	return err
}

// foresee reads the rest of the body with q, and counts its samples in c, without learning them. It returns why the scrape would
// fail, if that does not depend on what is known: that is, for anything but a lack of memory.
func (r *reading) foresee(q *streamparse.Parser, c *counts) error {
	for {
		kind, err := q.Next()
		if err != nil {
			return err
		}
		switch kind {
		case streamparse.KindNone:
			if c.afterRelabeling() > r.sampleLimit || r.tooLarge != nil {
				return r.limitError(c.afterRelabeling())
			}
			return nil
		case streamparse.KindType:
			r.learn.typ = q.Type()
		case streamparse.KindHistogram:
			h := q.Histogram()
			if err := h.Validate(); err != nil {
				return &SampleError{Line: q.Line(), Err: err}
			}
			if err := r.limits.reduce(h); err != nil {
				r.tooLarge = err
			}
			fallthrough
		case streamparse.KindSample:
			if err := r.foreseeSample(q, c); err != nil {
				return &SampleError{Line: q.Line(), Err: err}
			}
		}
	}
}

// foreseeSample is foresee for one sample.
func (r *reading) foreseeSample(q *streamparse.Parser, c *counts) error {
	c.Scraped++
	if err := checkLength(q.Series()); err != nil {
		return err
	}
	if err := r.learns(q.Series()); err != nil {
		return err
	}
	kept, err := r.learn.labels(q)
	switch {
	case err != nil && r.learn.skipBad:
		c.Scraped--
		c.Bad++
	case err != nil:
		return err
	case !kept:
		c.Relabeled++
	case c.afterRelabeling() <= r.sampleLimit:
		return r.learn.checkLimits()
	}
	return nil
}

// learns lets others have the worker once in a while, before a series is learnt. It returns an error if the scrape was given up.
func (r *reading) learns(series []byte) error {
	if r.learning += len(series); r.learning < learnBytes || r.ahead == nil {
		return nil
	}
	r.learning = 0
	return r.ahead.pause()
}
