package transport

import (
	"net"
	"sync"
	"testing"
	"time"
)

// TestParkingEndsWithoutRoom: a request which cannot be parked is ready at once, and leaves nothing behind.
func TestParkingEndsWithoutRoom(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	c.Close() // which no poll takes
	var p Parking
	var ready sync.WaitGroup
	ready.Add(1)
	p.add(raw, ready.Done)
	ready.Wait()
	ended := make(chan struct{})
	go func() { p.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the goroutine which waits for answers does not end")
	}
}
