package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"scraper/config"
	"scraper/internal/slack"
)

const (
	// debounce is how long a directory must have been quiet before its files are read. Writing and renaming a file are
	// several events within a few ms, so it need not be longer; shorter would read between them.
	debounce = 100 * time.Millisecond
	// maxDebounce is how long a directory which is never quiet can delay the reading.
	maxDebounce = time.Second
	// settle is the age that a file which was read before must have to be read again, and the time that it must be gone
	// to count as deleted: a writer that truncates and writes, or deletes and renames, is not at its end before.
	settle = debounce
	// maxSettle is how long a file which is written without end can delay its reading.
	maxSettle = 2 * time.Second
	// emptySettle is settle for an empty file. Truncating is the first half of most writes, and all that is left of one
	// on a full disk, while an empty YAML file is a valid list of no targets.
	emptySettle = 5 * time.Second
	// racy is how fresh a file may not be when it is read for its time stamp to prove later that it did not change:
	// file systems stamp in steps of up to 2 s.
	racy = 2 * time.Second
	// maxFileBytes bounds a target file; 64 MiB hold a million targets.
	maxFileBytes = 64 << 20
)

// fileProvider reads the target files of one file_sd_configs section. What is wrong with a file, or with its directory,
// never takes targets away: only a file which is gone from a directory that can be read does, or one which parses.
type fileProvider struct {
	patterns []string
	interval time.Duration
	watch    *watcher
	getenv   func(string) (string, bool)
	logger   *slog.Logger
	metrics  *Metrics

	mu      sync.Mutex
	files   map[string]*targetFile
	most    int              // of them that there once were
	states  map[string]state // by file or pattern, those with a problem
	current []*Group
	started bool // the first reading is over
	closed  bool
}

// targetFile is what is known of one file.
type targetFile struct {
	groups []*Group // of the last content that was valid

	// The last reading. Info is nil before the first; racy means that the file was so fresh then that it may have changed
	// since without a trace.
	info os.FileInfo
	sum  uint64
	racy bool

	unsettledSince time.Time // when a change was first seen that is not read yet
	missingSince   time.Time
}

func newFileProvider(patterns []string, interval time.Duration, w *watcher, o Options) *fileProvider {
	clean := make([]string, len(patterns))
	for i, pattern := range patterns {
		clean[i] = filepath.Clean(pattern)
	}
	return &fileProvider{
		patterns: clean,
		interval: interval,
		watch:    w,
		getenv:   o.Getenv,
		logger:   o.Logger,
		metrics:  o.Metrics,
		files:    make(map[string]*targetFile),
		states:   make(map[string]state),
	}
}

func (p *fileProvider) groups() []*Group {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

func (p *fileProvider) read() { p.refresh() }

func (p *fileProvider) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for key := range p.states {
		p.forgetLocked(key)
	}
}

func (p *fileProvider) run(ctx context.Context, changed func()) {
	sub := p.watch.subscribe(p.concerns)
	defer sub.close()
	poll := time.NewTicker(p.interval)
	defer poll.Stop()
	due := time.NewTimer(0) // what happened between the first reading and now was not watched
	defer due.Stop()
	var firstEvent time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-sub.events:
			now := time.Now()
			if firstEvent.IsZero() {
				firstEvent = now
			}
			due.Reset(min(debounce, firstEvent.Add(maxDebounce).Sub(now)))
			continue
		case <-poll.C:
		case <-due.C:
		}
		firstEvent = time.Time{}
		sub.watch(p.directories()) // before reading, so that no change falls between
		isChanged, again := p.refresh()
		if isChanged {
			changed()
		}
		if again > 0 {
			due.Reset(again)
		}
	}
}

// directories returns the directories to be watched.
func (p *fileProvider) directories() []string {
	var dirs []string
	for _, pattern := range p.patterns {
		if dir := filepath.Dir(pattern); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// concerns reports whether a write to the named entry of a watched directory may matter.
func (p *fileProvider) concerns(name string) bool {
	for _, pattern := range p.patterns {
		if ok, err := filepath.Match(filepath.Base(pattern), name); ok || err != nil || filepath.Base(pattern) == name {
			return true
		}
	}
	return false
}

// refresh looks at all files and reads those which changed. It reports whether the groups changed, and in what time it
// wants to be called again, 0 if there is no need.
func (p *fileProvider) refresh() (changed bool, again time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, 0
	}
	now := time.Now()
	defer func() { p.started = true }()
	later := func(d time.Duration) {
		if d > 0 && (again == 0 || d < again) {
			again = d
		}
	}
	var paths []string
	present := make(map[string]bool)
	for _, pattern := range p.patterns {
		found, err := listFiles(pattern)
		if err != nil {
			p.reportLocked(pattern, problemDirectory, 0, err)
			found = p.knownLocked(pattern)
		} else if len(found) == 0 && !isGlob(pattern) && p.files[pattern] == nil {
			p.reportLocked(pattern, problemMissing, 0, fs.ErrNotExist)
		} else {
			p.clearLocked(pattern, problemDirectory, problemMissing)
		}
		for _, path := range found {
			if present[path] {
				continue
			}
			present[path] = true
			paths = append(paths, path)
			if err == nil {
				later(p.loadLocked(path, now))
			}
		}
	}
	for path, f := range p.files {
		if present[path] {
			f.missingSince = time.Time{}
			continue
		}
		if f.missingSince.IsZero() {
			f.missingSince = now
		}
		if left := settle - now.Sub(f.missingSince); left > 0 {
			paths = append(paths, path)
			later(left)
			continue
		}
		p.forgetLocked(path)
		delete(p.files, path)
		p.logger.Info("target file is gone; its targets are dropped", "file", path)
	}
	p.files = slack.Map(p.files, &p.most)
	slices.Sort(paths) // a file which may be gone has no place in the order of the patterns
	var all []*Group
	for _, path := range paths {
		if f := p.files[path]; f != nil {
			all = append(all, f.groups...)
		}
	}
	if slices.Equal(all, p.current) {
		return false, again
	}
	p.current = all
	return true, again
}

// knownLocked returns the files of a pattern whose directory cannot be read.
func (p *fileProvider) knownLocked(pattern string) []string {
	var paths []string
	for path := range p.files {
		ok, err := filepath.Match(filepath.Base(pattern), filepath.Base(path))
		if path == pattern || ok && err == nil && isGlob(pattern) && filepath.Dir(path) == filepath.Dir(pattern) {
			paths = append(paths, path)
		}
	}
	return paths
}

// loadLocked reads a file if it changed. It returns the time after which it wants to be called again, 0 for none.
func (p *fileProvider) loadLocked(path string, now time.Time) (again time.Duration) {
	f := p.files[path]
	if f == nil {
		f = &targetFile{}
		p.files[path] = f
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.info = nil
		p.reportLocked(path, problemUnreadable, 0, err)
		return 0
	}
	if f.info != nil && sameFile(f.info, info) && !f.racy {
		if _, bad := p.states[path]; bad {
			p.metrics.fileErrors.Inc()
		}
		return 0
	}
	if p.started { // the first reading takes what is there: no target is better
		if left := f.unsettled(info, now); left > 0 {
			return left
		}
	}
	f.unsettledSince = time.Time{}

	text, err := readBounded(path)
	if err != nil {
		f.info = nil
		p.reportLocked(path, problemUnreadable, 0, err)
		return 0
	}
	p.metrics.fileReads.Inc()
	sum := xxhash.Sum64(text)
	known := f.info != nil && f.sum == sum
	f.info, f.sum = info, sum
	age := now.Sub(info.ModTime())
	f.racy = age < racy
	if known {
		if p.states[path].problem == problemInvalid {
			p.metrics.fileErrors.Inc()
		}
		return 0
	}
	list, err := p.parse(text, path)
	if err != nil {
		p.reportLocked(path, problemInvalid, sum, err)
		return 0
	}
	p.clearLocked(path, problemUnreadable, problemInvalid)
	f.groups = reuseGroups(f.groups, fileGroups(path, list))
	return 0
}

func (p *fileProvider) parse(text []byte, path string) ([]*config.StaticGroup, error) {
	text, err := config.ExpandEnv(text, p.getenv)
	if err != nil {
		return nil, err
	}
	return config.ParseTargetGroups(text, path)
}

// unsettled returns how long to wait before a file which changed may be taken for complete, 0 if it may.
func (f *targetFile) unsettled(info os.FileInfo, now time.Time) time.Duration {
	if f.info != nil && sameFile(f.info, info) {
		return 0 // read only to make sure
	}
	if f.unsettledSince.IsZero() {
		f.unsettledSince = now
	}
	age := now.Sub(info.ModTime())
	if age < 0 {
		return 0 // another machine's clock: it says nothing
	}
	if info.Size() == 0 {
		return emptySettle - age
	}
	return min(settle-age, maxSettle-now.Sub(f.unsettledSince))
}

// sameFile reports whether two looks at a path saw the same file with the same content, as far as its inode tells.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// readBounded reads a file of at most maxFileBytes.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: its error tells nothing
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read target file: %w", err)
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("read target file: larger than %d bytes", maxFileBytes)
	}
	return text, nil
}
