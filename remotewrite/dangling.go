package remotewrite

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"scraper/diskqueue"
)

// danglingAge is how long a queue that belongs to no destination is kept after it was last written to: a name which was
// mistyped, or a destination which was taken out for a while, costs no data.
const danglingAge = 24 * time.Hour

// tidyEvery is how often it is looked whether one has become that old: reloads may leave many, and a process lives for months.
const tidyEvery = time.Hour

// maxDirName is the longest name of a directory; file systems take 255 bytes.
const maxDirName = 180

// dirName is the name of the directory of a destination's queue: its identity, as far as file names may hold it.
func dirName(id string) string {
	var b strings.Builder
	kind, rest, _ := strings.Cut(id, " ")
	b.WriteString(kind + "_")
	for _, c := range []byte(rest) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	name := b.String()
	if len(name) > maxDirName {
		name = fmt.Sprintf("%s%%%016x", name[:maxDirName-17], xxhash.Sum64String(id))
	}
	return name
}

// keepTidy removes the queues of destinations which are configured no more, once they are empty or old, until ctx is done.
func (w *Writer) keepTidy(ctx context.Context) {
	w.tidyQueues(func(time.Time) bool { return true }) // also to say which there are
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.tidyQueues(isOld)
		}
	}
}

func isOld(written time.Time) bool { return time.Since(written) > danglingAge }

// tidyQueues removes the queues of destinations which are configured no more, if they are empty or old. It looks into those for
// which look, which is told when they were last written to, agrees.
func (w *Writer) tidyQueues(look func(written time.Time) bool) {
	if w.opts.QueueDir == "" || w.opts.KeepDanglingQueues {
		return
	}
	entries, err := os.ReadDir(w.opts.QueueDir)
	if err != nil {
		return // there is nothing, or the destinations will say what is wrong
	}
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(e.Name(), ".bad-") && (strings.HasPrefix(e.Name(), "name_") || strings.HasPrefix(e.Name(), "url_")) &&
			!w.hasQueue(e.Name()) {
			dir := filepath.Join(w.opts.QueueDir, e.Name())
			if written := lastWritten(dir); look(written) {
				tidyQueue(w.opts, dir, isOld(written))
			}
		}
	}
}

// hasQueue reports whether a directory belongs to a destination.
func (w *Writer) hasQueue(name string) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, dests := range [][]*destination{w.dests, w.retiring} {
		for _, d := range dests {
			if dirName(d.id) == name {
				return true
			}
		}
	}
	return false
}

// tidyQueue removes a queue which nobody has open, if it is empty or old.
func tidyQueue(o Options, dir string, old bool) {
	if _, err := os.Stat(dir); err != nil {
		return // it was never made
	}
	log := o.Logger.With(slog.String("dir", dir))
	q, err := diskqueue.Open(diskqueue.Options{Dir: dir, Slots: o.Slots})
	if err != nil {
		log.Warn("queue of no destination could not be opened", slog.Any("err", err))
		return
	}
	st := q.Stats()
	empty := st.Blocks == 0 && !hasBadSegments(dir)
	if !empty && !old {
		_ = q.Close()
		log.Warn("queue of a destination which is configured no more is kept for a day", slog.Int64("samples", st.Samples),
			slog.Time("oldest", st.Oldest))
		return
	}
	err = q.Remove(tenantFile)
	switch {
	case err != nil:
		log.Warn("queue of no destination could not be removed", slog.Any("err", err))
	case !empty:
		log.Warn("removed the queue of a destination which is configured no more", slog.Int64("samples", st.Samples), slog.Time("oldest", st.Oldest))
	}
}

// hasBadSegments reports whether something was set aside in dir, of which nobody knows what it holds.
func hasBadSegments(dir string) bool {
	bad, _ := filepath.Glob(filepath.Join(dir, "*.seg.bad"))
	return len(bad) > 0
}

// lastWritten is when a segment in dir was last written to.
func lastWritten(dir string) (at time.Time) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".seg") && !strings.HasSuffix(path, ".seg.bad") {
			return nil
		}
		if info, err := e.Info(); err == nil && info.ModTime().After(at) {
			at = info.ModTime()
		}
		return nil
	})
	return at
}
