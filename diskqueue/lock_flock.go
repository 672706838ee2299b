//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package diskqueue

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks a file until it is closed, or until the process ends in whatever way.
func tryLock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrLocked
		case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
			return nil // a file system without locks; then it is up to the user
		}
		return err
	}
}
