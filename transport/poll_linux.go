package transport

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// canPark says that there is a poll.
const canPark = true

// poll waits for many sockets at once. It is an epoll descriptor, which itself waits among the runtime's.
type poll struct {
	f      *os.File
	raw    syscall.RawConn
	events [64]syscall.EpollEvent // owned by wait
	ids    []ticket               // likewise
}

func newPoll() (*poll, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poll{f: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.f.SyscallConn(); err == nil {
		err = p.f.SetReadDeadline(time.Time{}) // fails where the runtime cannot wait for it
	}
	if err != nil {
		_ = p.f.Close()
		return nil, err
	}
	return p, nil
}

// add has wait return id once, when the socket has something to read or has ended. It may be called beside wait.
func (p *poll) add(socket syscall.RawConn, id ticket) error {
	return p.control(socket, syscall.EPOLL_CTL_ADD, &syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(id), //nolint:gosec // it comes back as it went
	})
}

// remove takes the socket out. It may be called beside wait.
func (p *poll) remove(socket syscall.RawConn) {
	_ = p.control(socket, syscall.EPOLL_CTL_DEL, nil) // a socket which is closed has gone by itself
}

func (p *poll) control(socket syscall.RawConn, op int, event *syscall.EpollEvent) error {
	var err error
	outer := p.raw.Control(func(ep uintptr) {
		if cerr := socket.Control(func(fd uintptr) { err = syscall.EpollCtl(int(ep), op, int(fd), event) }); cerr != nil {
			err = cerr
		}
	})
	return errors.Join(outer, err)
}

// wait returns the ids of those which are ready, none when it was woken. The slice is a view, valid until the next call.
func (p *poll) wait() []ticket {
	n := 0
	err := p.raw.Read(func(ep uintptr) bool {
		n, _ = syscall.EpollWait(int(ep), p.events[:], 0)
		return n > 0
	})
	if err != nil { // woken; what comes next must wait again
		_ = p.f.SetReadDeadline(time.Time{})
	}
	p.ids = p.ids[:0]
	for _, e := range p.events[:max(n, 0)] {
		p.ids = append(p.ids, ticket(e.Fd)) //nolint:gosec // as above
	}
	return p.ids
}

// wake makes wait return.
func (p *poll) wake() { _ = p.f.SetReadDeadline(past) }

func (p *poll) close() { _ = p.f.Close() }
