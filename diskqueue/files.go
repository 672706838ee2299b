package diskqueue

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// file is what the queue needs of an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
}

// fileSystem is what the queue needs of the operating system. Tests replace it to let it fail.
type fileSystem interface {
	// open opens a file for reading and writing, and with create makes it, empty.
	open(path string, create bool) (file, error)
	mkdir(path string) error
	remove(path string) error
	rename(from, to string) error
	readDir(path string) ([]fs.DirEntry, error)
	syncDir(path string) error
	// isAt reports whether f is what lies at path, as far as can be told.
	isAt(f file, path string) bool
	// lock opens a file and locks it until it is closed. The error is ErrLocked if somebody else has it.
	lock(path string) (file, error)
}

// osFiles is the operating system's.
type osFiles struct{}

// What is queued is the users' data: others do not read it.
const (
	dirMode  = 0o750
	fileMode = 0o640
)

func (osFiles) open(path string, create bool) (file, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, fileMode)
	if err != nil {
		return nil, err // not f, which would be a file that is nil
	}
	return f, nil
}

func (osFiles) mkdir(path string) error                    { return os.MkdirAll(path, dirMode) }
func (osFiles) remove(path string) error                   { return os.Remove(path) }
func (osFiles) rename(from, to string) error               { return os.Rename(from, to) }
func (osFiles) readDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

func (osFiles) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (osFiles) lock(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (osFiles) isAt(f file, path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	mine, err := f.Stat()
	return err != nil || os.SameFile(mine, there)
}

// IsFull reports whether an error says that there is no room, so that dropping what is old would help.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isShort reports whether an error says that the process has no more of something which it may have later.
func isShort(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// fileSize is the size of a file, 0 if it cannot be told.
func fileSize(f file) int64 {
	st, err := f.Stat()
	if err != nil {
		return 0
	}
	return st.Size()
}
