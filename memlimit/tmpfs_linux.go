package memlimit

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// What statfs calls the file systems whose files are memory.
const (
	tmpfsMagic = 0x01021994
	ramfsMagic = 0x858458f6
)

// OnTmpfs reports whether files in a directory are memory. Of one which is not there yet it asks where it would be made.
func OnTmpfs(dir string) (bool, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false, fmt.Errorf("memlimit: %w", err)
	}
	for {
		var s syscall.Statfs_t
		err := syscall.Statfs(dir, &s)
		if err == nil {
			kind := uint32(s.Type)
			return kind == tmpfsMagic || kind == ramfsMagic, nil
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return false, fmt.Errorf("memlimit: file system of %s: %w", dir, err)
		}
		dir = parent
	}
}
