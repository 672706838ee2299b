//go:build !linux || (!amd64 && !arm64) || purego || race

package transport

import (
	"errors"
	"syscall"
)

// directCalls says that there are receive and send: here a socket reads and writes by net.Conn, as the race detector
// wants it.
const directCalls = false

func receive(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func send(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

// peek returns nil when there is something to read, or the end.
func peek(fd uintptr) error {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err
}
