package diskqueue

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Maintain does what time brings: blocks which stay are written through to the disk, and what is too old goes. Call it about
// once a second.
func (q *Queue) Maintain(now time.Time) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	if err := q.returnLocked(); err != nil {
		q.mu.Unlock()
		return fmt.Errorf("diskqueue: make the directory anew: %w", err)
	}
	q.expireLocked(now)
	q.clearStartsLocked() // a second after the start
	due := q.syncDueLocked(now)
	q.publishLocked()
	q.mu.Unlock()
	if !due {
		return nil
	}
	return q.Sync()
}

// returnLocked makes the queue's directory anew if somebody has removed or replaced it. What was in it can be read as long as
// its files are open; what comes from now on is where the next process looks for it.
func (q *Queue) returnLocked() error {
	if q.fs.isAt(q.lock, filepath.Join(q.opts.Dir, lockName)) {
		return nil
	}
	was := q.lock
	if err := q.lockDir(); err != nil {
		q.lock = was
		return err
	}
	_ = was.Close()
	q.opts.Logger.Warn("directory of the queue was gone and is made anew: what is pending is lost if the process is killed", "dir", q.opts.Dir, "blocks", q.pending.Blocks)
	for _, g := range q.spares {
		q.setSize(g, 0)
		g.closeFile()
	}
	q.spares, q.bad = nil, nil
	for _, g := range q.segs {
		q.setSize(g, 0)
		g.adrift = true
	}
	if g := q.open; g != nil {
		q.open = nil
		q.settledLocked(g)
	}
	if q.acks.f != nil {
		_ = q.acks.f.Close()
	}
	if err := q.newAckFile(); err != nil {
		q.acks = &ackFile{err: err}
	}
	q.writeStarts(0)
	return nil
}

// syncDueLocked reports whether a block has been pending for long.
func (q *Queue) syncDueLocked(now time.Time) bool {
	cutoff := now.Add(-syncAfter).UnixMilli()
	for i := range q.slots {
		s := &q.slots[i]
		switch {
		case s.Blocks == 0:
		case !s.out && s.at == nil:
			return true
		case s.out && s.outRec.Created.UnixMilli() < cutoff,
			!s.out && s.at != nil && !s.at.loaded,
			!s.out && s.at != nil && s.pos < len(s.at.index) && s.at.index[s.pos].created < cutoff:
			return true
		}
	}
	return false
}

// Sync writes all that is pending through to the disk. Nobody else waits for it.
func (q *Queue) Sync() error {
	q.mu.Lock()
	var dirty []*segment
	var files []file
	for _, g := range q.segs {
		if g.unsynced && g.pending > 0 && g.f != nil {
			dirty, files = append(dirty, g), append(files, g.f)
			g.unsynced = false
		}
	}
	dir := q.dirDirty && len(dirty) > 0
	if dir {
		q.dirDirty = false
	}
	acks := q.acks
	q.mu.Unlock()
	if len(dirty) == 0 {
		return nil
	}
	var errs []error
	for _, f := range files {
		// After an error there is no second try: the kernel counts those pages as written.
		errs = append(errs, f.Sync())
	}
	if acks.f != nil {
		errs = append(errs, acks.f.Sync())
	}
	if dir {
		errs = append(errs, q.fs.syncDir(q.opts.Dir))
	}
	q.mu.Lock()
	for _, g := range dirty {
		if !g.gone {
			q.unloadLocked(g)
		}
	}
	q.mu.Unlock()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("diskqueue: sync: %w", err)
	}
	return nil
}

// Remove removes the queue with all that is pending, and its directory if nothing else is in it: the caller's files, which are
// named, go too, those of others stay. The lock is held to the end, so that nobody begins to use what is on its way out. Then
// the queue is closed.
func (q *Queue) Remove(callers ...string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return fmt.Errorf("diskqueue: remove: %w", ErrClosed)
	}
	q.closed = true
	for _, g := range slices.Concat(q.segs, q.spares) {
		q.removeLocked(g)
	}
	for _, b := range q.bad {
		_ = q.fs.remove(b.path)
	}
	if q.acks.f != nil {
		_ = q.acks.f.Close()
	}
	for _, name := range append(callers, ackFileName, startsName, lockName) {
		_ = q.fs.remove(filepath.Join(q.opts.Dir, name))
	}
	err := q.fs.remove(q.opts.Dir) // which says what is left
	_ = q.lock.Close()
	if err != nil {
		return fmt.Errorf("diskqueue: remove: %w", err)
	}
	return nil
}

// Close writes all through to the disk, and gives the queue up to others. What is pending stays for the next Open.
func (q *Queue) Close() error {
	err := q.Sync()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	q.clearStartsLocked()
	for _, g := range q.segs {
		g.closeFile()
	}
	for _, g := range q.spares {
		g.closeFile()
	}
	if q.acks.f != nil {
		err = errors.Join(err, q.acks.f.Close())
	}
	return errors.Join(err, q.lock.Close())
}
