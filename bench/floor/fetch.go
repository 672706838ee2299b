package main

import (
	"bufio"
	"bytes"
	"container/heap"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// target is one endpoint and its kept connection.
type target struct {
	job, addr string
	tls       bool
	interval  time.Duration
	request   []byte
	labels    map[string]string // of its group

	mu    sync.Mutex // one scrape at a time
	conn  net.Conn
	learn learnt
}

func newTarget(job, addr, path string, secure bool, token string, interval time.Duration, labels map[string]string) *target {
	request := "GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\nAccept-Encoding: gzip\r\n"
	if token != "" {
		request += "Authorization: Bearer " + token + "\r\n"
	}
	return &target{job: job, addr: addr, tls: secure, interval: interval, request: []byte(request + "\r\n"), labels: labels}
}

var (
	readers  = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}
	zippers  sync.Pool
	sessions = tls.NewLRUClientSessionCache(0)
)

// scrape fetches the text once, and gives it to out line by line, or to nobody.
func (t *target) scrape(out *pusher) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.fetch(out, time.Now()); err != nil {
		if t.conn != nil {
			_ = t.conn.Close()
			t.conn = nil
		}
		return fmt.Errorf("%s: %w", t.addr, err)
	}
	return nil
}

func (t *target) fetch(out *pusher, at time.Time) error {
	if t.conn == nil {
		c, err := net.DialTimeout("tcp", t.addr, 5*time.Second)
		if err != nil {
			return err
		}
		if t.tls {
			// The benchmark's own targets on this machine: what is measured is the handshake and the cipher.
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: sessions, ServerName: t.addr})
		}
		t.conn = c
	}
	if err := t.conn.SetDeadline(at.Add(t.interval)); err != nil {
		return err
	}
	if _, err := t.conn.Write(t.request); err != nil {
		return err
	}
	br := readers.Get().(*bufio.Reader)
	br.Reset(t.conn)
	defer func() { br.Reset(nil); readers.Put(br) }()
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	var text io.Reader = resp.Body
	if resp.Header.Get("Content-Encoding") == "gzip" {
		zr, ok := zippers.Get().(*gzip.Reader)
		if !ok {
			zr = new(gzip.Reader)
		}
		defer zippers.Put(zr)
		if err := zr.Reset(resp.Body); err != nil {
			return err
		}
		text = zr
	}
	return t.consume(text, out, at.UnixMilli())
}

// chunks are what texts are read in.
var chunks = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// consume reads the text in chunks, and hands whole lines to out.
func (t *target) consume(text io.Reader, out *pusher, tsMillis int64) error {
	chunk := chunks.Get().(*[256 << 10]byte)
	defer chunks.Put(chunk)
	buf, n := chunk[:], 0
	t.learn.next = 0
	var b *batch
	if out != nil {
		b = out.batch()
		defer func() { out.done(b) }()
	}
	for {
		m, err := text.Read(buf[n:])
		n += m
		if b != nil {
			end := bytes.LastIndexByte(buf[:n], '\n') + 1
			b = t.learn.lines(buf[:end], t, out, b, tsMillis)
			n = copy(buf, buf[end:n])
		} else {
			n = 0
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// dueHeap orders targets by when they are due.
type dueHeap struct{ items []dueItem }

type dueItem struct {
	t  *target
	at time.Time
}

func (h *dueHeap) Len() int           { return len(h.items) }
func (h *dueHeap) Less(i, j int) bool { return h.items[i].at.Before(h.items[j].at) }
func (h *dueHeap) Swap(i, j int)      { h.items[i], h.items[j] = h.items[j], h.items[i] }
func (h *dueHeap) Push(x any)         { h.items = append(h.items, x.(dueItem)) }
func (h *dueHeap) Pop() any {
	last := h.items[len(h.items)-1]
	h.items = h.items[:len(h.items)-1]
	return last
}

func (h *dueHeap) push(t *target, at time.Time) { heap.Push(h, dueItem{t, at}) }
func (h *dueHeap) pop() (*target, time.Time) {
	i := heap.Pop(h).(dueItem)
	return i.t, i.at
}
