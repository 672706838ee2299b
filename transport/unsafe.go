//go:build linux && (amd64 || arm64) && !purego && !race

package transport

import (
	"syscall"
	"unsafe"
)

// directCalls says that receive, send and peek call the kernel without the scheduler's knowledge. That is right for calls
// which never wait: all of them are made with MSG_DONTWAIT.
const directCalls = true

// receive borrows p, which is not empty.
func receive(fd uintptr, p []byte) (int, error) {
	return call(syscall.SYS_RECVFROM, fd, p, syscall.MSG_DONTWAIT)
}

// send borrows p, which is not empty.
func send(fd uintptr, p []byte) (int, error) {
	return call(syscall.SYS_SENDTO, fd, p, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
}

// peek returns nil when there is something to read, or the end.
func peek(fd uintptr) error {
	var b [1]byte
	_, err := call(syscall.SYS_RECVFROM, fd, b[:], syscall.MSG_DONTWAIT|syscall.MSG_PEEK)
	return err
}

func call(trap, fd uintptr, p []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
