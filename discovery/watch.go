package discovery

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// watcher tells subscribers about changes in directories. All of them share one inotify instance, since a user has few
// (128 by default); it exists only while there are subscribers. Where the kernel refuses, nothing is told: subscribers
// look for themselves now and then anyway, and each such look tries again.
type watcher struct {
	open    func() (*fsnotify.Watcher, error)
	logger  *slog.Logger
	metrics *Metrics
	readers sync.WaitGroup

	ops  sync.Mutex // serialises what changes fs; the reader never takes it, for fs may wait for the reader
	fs   *fsnotify.Watcher
	subs int

	mu      sync.Mutex // never held while fs is called
	dirs    map[string]*watchedDir
	refused map[string]bool // directories which the kernel refuses to watch
}

// watchedDir is a directory by its real path: inotify knows inodes, and confuses two paths to one.
type watchedDir struct {
	info os.FileInfo // of the directory when its watch was added; nil while there is none
	subs map[*subscription]bool
}

// subscription is one subscriber's. Its methods are for one goroutine.
type subscription struct {
	w        *watcher
	events   chan struct{} // holds a token after something happened
	concerns func(name string) bool
	dirs     map[string]bool
}

func newWatcher(logger *slog.Logger, m *Metrics) *watcher {
	return &watcher{
		open:    fsnotify.NewWatcher,
		logger:  logger,
		metrics: m,
		dirs:    make(map[string]*watchedDir),
		refused: make(map[string]bool),
	}
}

// wait returns when the goroutines of all subscriptions, which must be closed, have ended.
func (w *watcher) wait() { w.readers.Wait() }

// subscribe returns a subscription without directories. Concerns says of what entries of a directory the subscriber
// wants to know that they were written to; it is told of all that come, go or are renamed. Concerns must be safe for
// concurrent use.
func (w *watcher) subscribe(concerns func(name string) bool) *subscription {
	w.ops.Lock()
	defer w.ops.Unlock()
	w.subs++
	return &subscription{w: w, events: make(chan struct{}, 1), concerns: concerns, dirs: make(map[string]bool)}
}

// watch makes dirs the subscription's directories. It is cheap when nothing changed, and has to be called again now and
// then: a directory may have been replaced, or a symbolic link on the way to it changed. Directories which do not exist
// are not watched.
func (s *subscription) watch(dirs []string) {
	want := make(map[string]bool, len(dirs))
	for _, dir := range dirs {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			want[real] = true
		}
	}
	for dir := range s.dirs {
		if !want[dir] {
			s.w.release(dir, s)
			delete(s.dirs, dir)
		}
	}
	for dir := range want {
		s.dirs[dir] = true
		s.w.acquire(dir, s)
	}
}

func (s *subscription) close() {
	for dir := range s.dirs {
		s.w.release(dir, s)
	}
	s.w.ops.Lock()
	defer s.w.ops.Unlock()
	s.w.subs--
	if s.w.subs == 0 && s.w.fs != nil {
		_ = s.w.fs.Close() // always nil on Linux, and nothing could be done
		s.w.fs = nil
	}
}

// acquire watches dir for s, unless it does already.
func (w *watcher) acquire(dir string, s *subscription) {
	w.ops.Lock()
	defer w.ops.Unlock()
	info, err := os.Stat(dir)
	if err != nil {
		return // it vanished meanwhile
	}
	w.mu.Lock()
	d := w.dirs[dir]
	if d == nil {
		d = &watchedDir{subs: make(map[*subscription]bool)}
		w.dirs[dir] = d
	}
	d.subs[s] = true
	watched := d.info != nil && os.SameFile(d.info, info)
	d.info = info // before the watch: what the reader hears of its end from now on counts
	w.mu.Unlock()
	if watched {
		return
	}
	if w.fs == nil {
		if w.fs, err = w.open(); err == nil {
			opened := w.fs
			w.readers.Go(func() { w.read(opened) })
		} else {
			w.fs = nil
		}
	}
	if err == nil {
		_ = w.fs.Remove(dir) // of another directory that stood there before; else there is none, and that is the error
		err = w.fs.Add(dir)
	}
	w.settled(dir, err)
}

// settled notes the outcome of an attempt to watch dir, and logs when watching became impossible, or possible again.
func (w *watcher) settled(dir string, err error) {
	w.mu.Lock()
	was := len(w.refused)
	delete(w.refused, dir)
	if err != nil {
		if d := w.dirs[dir]; d != nil {
			d.info = nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			w.refused[dir] = true
		}
	}
	is := len(w.refused)
	w.countLocked()
	w.mu.Unlock()
	if err != nil {
		w.metrics.watchErrors.Inc()
	}
	switch {
	case was == 0 && is > 0:
		w.logger.Warn("directories of target files cannot be watched, and are only checked by interval; raise fs.inotify.max_user_watches and fs.inotify.max_user_instances", "dir", dir, "err", err)
	case was > 0 && is == 0:
		w.logger.Info("directories of target files are watched again")
	}
}

// release ends s' watch of dir.
func (w *watcher) release(dir string, s *subscription) {
	w.ops.Lock()
	defer w.ops.Unlock()
	w.mu.Lock()
	d := w.dirs[dir]
	last := false
	if d != nil {
		delete(d.subs, s)
		if last = len(d.subs) == 0; last {
			delete(w.dirs, dir)
			delete(w.refused, dir)
			w.countLocked()
		}
	}
	w.mu.Unlock()
	if last && w.fs != nil {
		_ = w.fs.Remove(dir) // fails when the directory is gone, and its watch with it
	}
}

func (w *watcher) countLocked() {
	n := 0
	for _, d := range w.dirs {
		if d.info != nil {
			n++
		}
	}
	w.metrics.watchedDirs.Set(float64(n))
}

// read passes events on until fsw is closed.
func (w *watcher) read(fsw *fsnotify.Watcher) {
	events, errs := fsw.Events, fsw.Errors
	for events != nil || errs != nil {
		select {
		case ev, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			w.tell(ev)
		case _, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			// Events were lost, or may have been.
			w.metrics.watchErrors.Inc()
			w.mu.Lock()
			for _, d := range w.dirs {
				d.tell("", true)
			}
			w.mu.Unlock()
		}
	}
}

func (w *watcher) tell(ev fsnotify.Event) {
	dir, name := filepath.Split(ev.Name)
	always := ev.Op&^(fsnotify.Write|fsnotify.Chmod) != 0
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.dirs[filepath.Clean(dir)]; d != nil {
		d.tell(name, always)
	}
	if d := w.dirs[ev.Name]; d != nil { // the directory itself
		if ev.Has(fsnotify.Remove) || ev.Has(fsnotify.Rename) {
			d.info = nil
			w.countLocked()
		}
		d.tell(name, true)
	}
}

// tell wakes those who want to know. Called with the watcher's mu held.
func (d *watchedDir) tell(name string, always bool) {
	for s := range d.subs {
		if !always && !s.concerns(name) {
			continue
		}
		select {
		case s.events <- struct{}{}:
		default: // it has one which it did not take yet
		}
	}
}
