package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// past is a deadline which is over.
var past = time.Unix(1, 0)

// maxHeaderLines bounds the fields of a header, each of which takes a hundred bytes, however short it is. What was read with a
// buffer is taken all the same: it may be a body's beginning.
const maxHeaderLines = 1000

var endOfLine = []byte("\n")

// endOfHeader and bareEndOfHeader end a header, by its last line's end and an empty line.
var (
	endOfHeader     = []byte("\n\r\n")
	bareEndOfHeader = []byte("\n\n")
)

// errNotHere is what source.Read returns instead of waiting.
var errNotHere = errors.New("the rest has not been read")

// source is what an answer's buffer is filled from.
type source struct {
	c *conn
	// left is how many bytes may still be read: of the header, afterwards of a body without a limit.
	left int64
	// lines is how many of them the header has had so far; -1 in a body.
	lines   int
	read    int64
	err     error  // the first one of the connection
	offline bool   // nothing is read any more
	again   []byte // what was read already, and is to be read again
}

// Read borrows p.
func (s *source) Read(p []byte) (int, error) {
	switch {
	case len(s.again) > 0:
		n := copy(p, s.again)
		s.again = s.again[n:]
		return n, nil
	case s.err != nil:
		return 0, s.err
	case s.offline:
		return 0, errNotHere
	case s.left <= 0, s.lines > maxHeaderLines:
		return 0, ErrHeaderTooLarge
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.c.nc.Read(p)
	s.read += int64(n)
	s.left -= int64(n)
	if s.lines >= 0 {
		s.lines += bytes.Count(p[:n], endOfLine)
	}
	s.err = err
	return n, err
}

// exchange sends the request on c, of which it takes ownership, and reads the answer up to its body. It reports as dead
// a kept connection which the server had given up before the first byte of an answer; then another one may be tried.
func (t *Transport) exchange(ctx context.Context, c *conn, req *http.Request) (resp *http.Response, dead bool, err error) {
	b := &body{t: t, c: c, ctx: ctx, src: source{c: c, left: int64(t.opts.MaxHeaderBytes)}}
	// Of the request only this is held while nothing comes.
	b.keep, b.head = !wantsClose(req), req.Method == http.MethodHead
	if _, limited := ctx.Deadline(); limited || ctx.Done() != nil {
		// This is all that makes the request end in time: a deadline of its own on the connection would have to be set
		// and taken back for each request, and could come a moment before the context's.
		b.stop = whenDone(ctx, c.cut)
	}
	if doing, err := b.send(req); err != nil {
		return b.failed(doing, err)
	}
	if b.await(true) {
		p := &Pending{t: t, b: b, ctx: ctx}
		if c.used { // it may be dead
			p.req, p.key, p.base = req, c.key, c.base
		}
		return nil, false, p
	}
	return b.answer()
}

// gather waits until the answer's header is there, unless it is a large one or its end cannot be seen. If that takes long
// it gives the reader back, and reports that the request is to be parked.
func (b *body) gather() (parked bool) {
	b.br = b.t.opts.Readers.get(&b.src, smallReader)
	if b.t.opts.Parking == nil || b.c.secure() || b.c.sock.raw == nil {
		return false
	}
	_, err := b.br.Peek(1) // and what else there is
	for err == nil {
		got, _ := b.br.Peek(b.br.Buffered())
		if len(got) == smallReader || bytes.Contains(got, endOfHeader) || bytes.Contains(got, bareEndOfHeader) {
			break
		}
		if b.await(true) {
			b.src.again = bytes.Clone(got)
			b.t.opts.Readers.put(b.br)
			b.br = nil
			return true
		}
		_, err = b.br.Peek(len(got) + 1)
	}
	return false
}

// failed ends a request before its answer.
func (b *body) failed(doing string, err error) (*http.Response, bool, error) {
	dead := b.c.used && b.src.read == 0 && b.ctx.Err() == nil && hasEnded(err, b.src.err)
	b.over(false)
	if b.ctx.Err() != nil {
		err = causeOf(b.ctx)
	}
	return nil, dead, fmt.Errorf("%s: %w", doing, err)
}

// answer reads the answer up to its body, and hands it out, or returns a Pending. The reader which it takes is the body's
// afterwards.
func (b *body) answer() (resp *http.Response, dead bool, err error) {
	if b.gather() {
		return nil, false, &Pending{t: b.t, b: b, ctx: b.ctx}
	}
	resp, err = b.header()
	if err != nil {
		return b.failed("read the answer's header", err)
	}
	b.c.used = true
	if tc, ok := b.c.nc.(*tls.Conn); ok {
		state := tc.ConnectionState()
		resp.TLS = &state
	}
	b.keep = b.keep && !resp.Close
	if resp.Body == http.NoBody {
		b.over(b.keep)
		return resp, false, nil
	}
	b.src.left, b.src.lines = math.MaxInt64, -1
	b.chunked = len(resp.TransferEncoding) > 0
	b.inner = resp.Body
	resp.Body = b
	return resp, false, nil
}

// whenDone is context.AfterFunc, without a context in between if ctx has such a method itself.
func whenDone(ctx context.Context, f func()) (stop func() bool) {
	if a, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		return a.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// hasEnded reports whether one of the errors is how a connection fails which the server had closed before.
func hasEnded(errs ...error) bool {
	for _, err := range errs {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			return true
		}
	}
	return false
}

// send writes the request. On errors it says what it was doing, too.
func (b *body) send(req *http.Request) (doing string, err error) {
	out := b.t.opts.Pool.Get(1 << 10) // the few headers of a scrape, and a token
	defer out.Release()
	if out.B, err = appendRequest(out.B, req); err != nil {
		return "make the request", err
	}
	_, err = b.c.nc.Write(out.B)
	return "send the request", err
}

// header reads the answer's header.
func (b *body) header() (*http.Response, error) {
	var req *http.Request // nil is a GET
	if b.head {
		req = &http.Request{Method: http.MethodHead}
	}
	for {
		resp, err := http.ReadResponse(b.br, req)
		switch {
		case err == nil && resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the server switches to another protocol, for which it was not asked")
		case err == nil && resp.StatusCode >= 100 && resp.StatusCode <= 199:
			continue // all of them count towards the limit of the header
		case err == nil:
			return resp, nil
		case b.src.left <= 0 && b.src.err == nil:
			return nil, fmt.Errorf("%w: more than %d bytes (transport.Options.MaxHeaderBytes)", ErrHeaderTooLarge, b.t.opts.MaxHeaderBytes)
		case b.src.lines > maxHeaderLines && b.src.err == nil:
			return nil, fmt.Errorf("%w: more than %d lines", ErrHeaderTooLarge, maxHeaderLines)
		case b.src.err != nil && !errors.Is(b.src.err, io.EOF):
			return nil, b.src.err
		}
		return nil, bounded(err)
	}
}

// bounded returns err, or as much of it as fits in a line of a log: errors of net/http quote what was read.
func bounded(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, `"\x15\x03`): // an alert
		return errors.New("the server answers in TLS; scheme: https would speak that")
	case len(text) > maxQuoted:
		return errors.New(cut(text))
	}
	return err
}

// await waits until there is something to read, or an error, without a buffer for it. If it may, it gives up after a
// while, and reports whether it did.
func (b *body) await(mayPark bool) (parked bool) {
	raw := b.c.sock.raw
	if raw == nil {
		return false
	}
	b.looked = false
	if !mayPark || !canPark || b.t.opts.Parking == nil {
		_ = raw.Read(b.readable) // whose error who reads will see, too
		return false
	}
	_ = b.c.sock.SetReadDeadline(time.Now().Add(b.t.opts.Parking.after()))
	err := raw.Read(b.readable)
	_ = b.c.sock.SetReadDeadline(time.Time{})
	if b.ctx.Err() != nil { // what has cut the connection may have come before the line above
		b.c.cut()
		return false
	}
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// readable is for RawConn.Read, which calls it, waits if it returns false, and calls it again.
func (b *body) readable(fd uintptr) bool {
	if b.looked { // and was woken up
		return true
	}
	b.looked = true
	quiet, err := nothingToRead(fd)
	b.src.err = err
	return !quiet
}
