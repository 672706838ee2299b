package remotewrite

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
)

// errBodyClosed is what a transport gets which reads on after it closed the body.
var errBodyClosed = errors.New("remotewrite: read of a closed request body")

// errBlockGone is what a transport gets which asks for the body again when the request is long over.
var errBlockGone = errors.New("remotewrite: the request's block is gone")

// body reads a block for one attempt at one request.
//
// A transport may read and close a request's body after it has returned, from another goroutine. So every attempt has
// a body of its own, which holds the block until it is closed; a Read copies under the lock that Close takes, so after
// Close nobody is on the block's memory, and nobody gets there again. There is no WriteTo, which would hand memory out.
// Small blocks are copied instead (attachCopy).
type body struct {
	owner *bodies

	mu       sync.Mutex
	blk      *block // nil once closed
	seg, off int
}

// Read implements io.Reader.
func (r *body) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.blk == nil {
		return 0, errBodyClosed
	}
	n := 0
	for n < len(p) {
		var view []byte
		view, r.seg, r.off = r.blk.part(r.seg, r.off)
		if len(view) == 0 {
			if n == 0 {
				return 0, io.EOF
			}
			break
		}
		c := copy(p[n:], view)
		n += c
		r.off += c
	}
	return n, nil
}

// Close gives up the body's hold on the block. It may be called more than once.
func (r *body) Close() error {
	r.mu.Lock()
	blk := r.blk
	r.blk = nil
	r.mu.Unlock()
	if blk == nil {
		return nil
	}
	r.owner.forget(r)
	blk.release()
	return nil
}

// bodies knows all open bodies of a destination. A transport which answers early closes the body when it gets to it; one
// which breaks its contract never does. Close ends that, so that no block is out when its destination is gone.
type bodies struct {
	mu   sync.Mutex
	open map[*body]struct{}
}

// newBody returns a body over blk, with a hold of its own; or false if the block is gone.
func (s *bodies) newBody(blk *block) (*body, bool) {
	if !blk.tryRetain() {
		return nil, false
	}
	r := &body{owner: s, blk: blk}
	s.mu.Lock()
	if s.open == nil {
		s.open = make(map[*body]struct{})
	}
	s.open[r] = struct{}{}
	s.mu.Unlock()
	return r, true
}

func (s *bodies) forget(r *body) {
	s.mu.Lock()
	delete(s.open, r)
	s.mu.Unlock()
}

// count is the number of bodies which are not closed.
func (s *bodies) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// close closes what is open. Who reads on gets an error.
func (s *bodies) close() {
	s.mu.Lock()
	open := make([]*body, 0, len(s.open))
	for r := range s.open {
		open = append(open, r)
	}
	s.mu.Unlock()
	for _, r := range open {
		r.Close()
	}
}

// copiedBytes is the size up to which a block is copied for its request. Together with the header it fits in the 4 KiB which
// net/http writes at once if it knows that a body is in memory; of other bodies it sends the header alone, first, since they
// may have to be waited for. A quiet agent's blocks are that small, and what they cost is system calls and wake-ups, here and
// at the receiver.
const copiedBytes = 3 << 10

// attach makes blk the body of req. Again, if not nil, is called when the transport sends the body once more by itself.
func (s *bodies) attach(req *http.Request, blk *block, again func()) error {
	if blk.bytes <= copiedBytes {
		attachCopy(req, blk, again)
		return nil
	}
	first, ok := s.newBody(blk)
	if !ok {
		return errBlockGone
	}
	req.Body = first
	req.ContentLength = int64(blk.bytes)
	req.GetBody = func() (io.ReadCloser, error) {
		r, ok := s.newBody(blk)
		if !ok {
			return nil, errBlockGone
		}
		if again != nil {
			again()
		}
		return r, nil
	}
	return nil
}

// attachCopy makes a copy of blk the body of req. The transport may do with it what it likes: nobody uses its memory again.
func attachCopy(req *http.Request, blk *block, again func()) {
	b := bytes.Join(blk.appendParts(nil), nil)
	req.Body = io.NopCloser(bytes.NewReader(b))
	req.ContentLength = int64(len(b))
	req.GetBody = func() (io.ReadCloser, error) {
		if again != nil {
			again()
		}
		return io.NopCloser(bytes.NewReader(b)), nil
	}
}
