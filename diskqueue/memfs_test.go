package diskqueue

import (
	"bytes"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// memFS is a file system in memory, with one directory, which fails as it is told to.
type memFS struct {
	mu    sync.Mutex
	files map[string]*memData
	room  int64 // bytes that files may have together; 0 means any number
	err   error // of every write
	rerr  error // of every read
	syncs int
	opens int // if not 0, one less than the number of files which may be opened still
}

type memData struct {
	b      []byte
	locked bool
}

func newMemFS() *memFS { return &memFS{files: make(map[string]*memData)} }

// clone is a copy without its locks.
func (m *memFS) clone() *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemFS()
	for name, d := range m.files {
		c.files[name] = &memData{b: bytes.Clone(d.b)}
	}
	return c
}

// fail lets every write fail from now on; nil ends it.
func (m *memFS) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memFS) names() (names []string) {
	for name := range m.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (m *memFS) used() (n int64) {
	for _, d := range m.files {
		n += int64(len(d.b))
	}
	return n
}

func (m *memFS) open(path string, create bool) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.files[path]
	if m.opens > 1 {
		m.opens--
	} else if m.opens == 1 {
		return nil, syscall.EMFILE
	}
	switch {
	case create && m.err != nil:
		return nil, m.err
	case create:
		d = &memData{}
		m.files[path] = d
	case d == nil:
		return nil, fs.ErrNotExist
	}
	return &memFile{fs: m, path: path, d: d}, nil
}

func (m *memFS) mkdir(string) error { return nil }

func (m *memFS) isAt(f file, path string) bool { return m.files[path] == f.(*memFile).d }

func (m *memFS) remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil && !IsFull(m.err) {
		return m.err
	}
	delete(m.files, path)
	return nil
}

func (m *memFS) rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	for name, d := range m.files {
		if rest, ok := strings.CutPrefix(name, from); ok {
			delete(m.files, name)
			m.files[to+rest] = d
		}
	}
	return nil
}

func (m *memFS) readDir(dir string) (list []fs.DirEntry, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.names() {
		if filepath.Dir(name) == filepath.Clean(dir) {
			list = append(list, fs.FileInfoToDirEntry(memInfo{filepath.Base(name), int64(len(m.files[name].b))}))
		}
	}
	return list, nil
}

func (m *memFS) syncDir(string) error { return nil }

func (m *memFS) lock(path string) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.files[path]
	if d == nil {
		d = &memData{}
		m.files[path] = d
	}
	if d.locked {
		return nil, ErrLocked
	}
	d.locked = true
	return &memFile{fs: m, path: path, d: d, locks: true}, nil
}

type memFile struct {
	fs     *memFS
	path   string
	d      *memData
	locks  bool
	closed bool
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if f.fs.rerr != nil {
		return 0, f.fs.rerr
	}
	if off >= int64(len(f.d.b)) {
		return 0, io.EOF
	}
	n := copy(p, f.d.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if f.fs.err != nil {
		return 0, f.fs.err
	}
	n := len(p)
	var err error
	if grow := off + int64(n) - int64(len(f.d.b)); grow > 0 {
		if f.fs.room > 0 {
			if left := f.fs.room - f.fs.used(); grow > left {
				n, err = max(0, n-int(grow-max(left, 0))), syscall.ENOSPC
			}
		}
		if more := int(off) + n - len(f.d.b); n > 0 && more > 0 {
			f.d.b = append(f.d.b, make([]byte, more)...)
		}
	}
	if n > 0 {
		copy(f.d.b[off:], p[:n])
	}
	return n, err
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.err != nil && !IsFull(f.fs.err) {
		return f.fs.err
	}
	if n := int(size) - len(f.d.b); n > 0 {
		f.d.b = append(f.d.b, make([]byte, n)...)
	}
	f.d.b = f.d.b[:size]
	return nil
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.syncs++
	return f.fs.err
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.locks && !f.closed {
		f.d.locked = false
	}
	f.closed = true
	return nil
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return memInfo{filepath.Base(f.path), int64(len(f.d.b))}, nil
}

type memInfo struct {
	name string
	size int64
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return fileMode }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return false }
func (i memInfo) Sys() any           { return nil }
