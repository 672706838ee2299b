package diskqueue

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"time"
)

// setAside renames the directory, which the former starts did not survive, and begins another one.
func (q *Queue) setAside() error {
	q.writeStarts(0) // so that it can be put back
	to := q.opts.Dir + ".bad-" + time.Now().UTC().Format("20060102T150405.000Z")
	if err := q.fs.rename(q.opts.Dir, to); err != nil {
		return fmt.Errorf("set the queue aside after %d starts which failed: %w", maxStarts, err)
	}
	_ = q.lock.Close()
	q.lock = nil
	q.found.SetAside = to
	return q.lockDir()
}

// readStarts returns how many starts in a row did not get far, and whether this one counts: not within startGap of the last
// which did. One which does not count leaves the marker as old as it is.
func (q *Queue) readStarts() (n int, counts bool) {
	f, err := q.fs.open(filepath.Join(q.opts.Dir, startsName), false)
	if err != nil {
		return 0, true
	}
	defer f.Close()
	b := make([]byte, len(startsText(0)))
	got, _ := f.ReadAt(b, 0)
	for v := range maxStarts + 1 {
		if string(b[:got]) == startsText(v) {
			n = v // else it is damaged, which is no reason to set anything aside
		}
	}
	st, err := f.Stat()
	if n == 0 || err != nil {
		return n, true
	}
	age := time.Since(st.ModTime())
	return n, age < 0 || age >= startGap
}

// startsText is what the marker of starts holds: the number in a form which no damage makes of another.
func startsText(n int) string {
	return fmt.Sprintf("%d %08x\n", n, crc32.Checksum([]byte{byte(n)}, castagnoli()))
}

// openStarts opens the marker of starts, or makes one.
func (q *Queue) openStarts() (file, error) {
	path := filepath.Join(q.opts.Dir, startsName)
	f, err := q.fs.open(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return q.fs.open(path, true)
	}
	return f, err
}

// putStarts notes how many starts did not get far. It is worth no error: without it a start is only not counted.
func putStarts(f file, n int) { _, _ = f.WriteAt([]byte(startsText(n)), 0) }

func (q *Queue) writeStarts(n int) {
	if f, err := q.openStarts(); err == nil {
		putStarts(f, n)
		_ = f.Close()
	}
}

// clearStartsLocked notes that this start did get far.
func (q *Queue) clearStartsLocked() {
	if !q.healthy {
		q.healthy = true
		q.writeStarts(0)
	}
}
