package remotewrite

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// probeEvery is how often a receiver is offered a better protocol than it took last: it may have been replaced without
	// having been away for long enough to be noticed.
	probeEvery = time.Hour
	// probePause is the least time between two offers: a receiver which is unreachable time and again is no other one each
	// time.
	probePause = time.Minute
	// maxDoubts is how often a server's error, which proves nothing, is followed by success in another protocol until that is
	// proof enough.
	maxDoubts = 3
)

var (
	errNotUnderstood = errors.New("the receiver does not say what it has written, and so does not know remote write 2.0")
	errPartly        = errors.New("the receiver has written less than it was sent")
)

// talk is what a destination knows of the protocols which its receiver speaks.
//
// It goes down the ladder on proof only: an answer which says that the protocol is not known, or a block that is taken in the
// next protocol after it was refused in this one. It goes up when a block is taken in a better one, which is offered after
// an hour, and after the receiver was away. It is safe for concurrent use.
type talk struct {
	mu     sync.Mutex
	want   Protocol
	ladder []Protocol
	at     int  // in ladder: what new blocks are encoded in
	proven bool // the receiver took a block in it, and was not away since
	doubts int  // how often in a row it failed for no clear reason where another protocol did not
	away   bool // it was not reached, and nothing better was offered since
	offer  time.Time
}

// configure sets what is asked for.
func (t *talk) configure(want Protocol) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ladder == nil || want != t.want {
		t.want, t.ladder = want, want.ladder()
		t.at, t.proven, t.doubts, t.away = 0, false, 0, false
	}
}

// protocol is what new blocks are to be encoded in.
func (t *talk) protocol() Protocol {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ladder[t.at]
}

// choose returns what a block is to be sent in which is encoded in p: as it is, if the receiver may take it so.
func (t *talk) choose(p Protocol, now time.Time) Protocol {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at > 0 && !now.Before(t.offer) {
		t.offer, t.away = now.Add(probeEvery), false
		return t.ladder[0]
	}
	if slices.Index(t.ladder, p) > t.at {
		return p
	}
	return t.ladder[t.at]
}

// tryNext says what an attempt in p, which failed, means, and returns what the same block is to be tried in at once, if
// anything. Tried is what it was tried in before, p included.
func (t *talk) tryNext(p Protocol, tried []Protocol, fail *sendError, now time.Time) (next Protocol, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(t.ladder, p)
	switch {
	case fail.Status == 0:
		t.proven, t.away = false, true
		return 0, false
	case fail.unknownProtocol():
		if at == t.at && at+1 < len(t.ladder) {
			t.at, t.proven, t.offer = at+1, false, now.Add(probeEvery)
		}
	case fail.Understood:
		t.proven = t.proven || at == t.at
		return 0, false
	case at == t.at && t.proven, !fail.mayBeProtocol():
		return 0, false
	}
	// A block in what is not the best in use goes to that; all others go down.
	if at > t.at && !slices.Contains(tried, t.ladder[t.at]) {
		return t.ladder[t.at], true
	}
	for _, next := range t.ladder[at+1:] {
		if !slices.Contains(tried, next) {
			return next, true
		}
	}
	return 0, false
}

// took says that the receiver took a block in p, which was not taken in what was tried before, failed being the first answer.
// It reports whether p is what new blocks are encoded in from now on, and were not.
func (t *talk) took(p Protocol, tried []Protocol, failed *sendError, now time.Time) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(t.ladder, p)
	switch {
	case at < 0:
		return false // there is another configuration by now
	case at == t.at:
		t.proven, t.doubts = true, 0
	case at > t.at && (failed == nil || !slices.Contains(tried, t.ladder[t.at])):
		return false // it was encoded so
	case at > t.at && failed.Status >= 500 && t.doubts+1 < maxDoubts:
		t.doubts++
		return false
	default:
		t.at, changed = at, true
		t.proven, t.doubts = true, 0
		t.offer = now.Add(probeEvery)
	}
	if t.away && t.at > 0 {
		t.away = false
		if soon := now.Add(probePause); soon.Before(t.offer) {
			t.offer = soon
		}
	}
	return changed
}

// unknownProtocol reports whether the answer proves that the receiver does not know the protocol.
func (e *sendError) unknownProtocol() bool {
	return e.Status == http.StatusUnsupportedMediaType || e.NotUnderstood
}

// mayBeProtocol reports whether the answer may be what a receiver says to a protocol which it does not know: that it cannot
// decode the body.
func (e *sendError) mayBeProtocol() bool {
	switch e.Status {
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusUnprocessableEntity,
		http.StatusInternalServerError, http.StatusNotImplemented:
		return true
	}
	return false
}

// transmit makes one attempt to deliver blk, which it borrows, in the protocol that the receiver is known or hoped to speak,
// and in others where it turns out not to.
func (d *destination) transmit(ctx context.Context, c *client, blk *block, attempt int, again func()) *sendError {
	p := d.talk.choose(blk.protocol, time.Now())
	var tried []Protocol
	var first *sendError
	for {
		sent, missed, fail := d.sendIn(ctx, c, p, blk, attempt, again)
		d.noteMissed(missed)
		now := time.Now()
		if fail == nil {
			d.m.deliveredIn(p)
			if d.talk.took(p, tried, first, now) {
				d.log.Info("receiver speaks another protocol than was tried before", slog.String("protocol", p.String()))
			}
			if sent < blk.rows {
				return leftOut(sent)
			}
			return nil
		}
		if first == nil {
			first = fail
		}
		tried = append(tried, p)
		next, ok := d.talk.tryNext(p, tried, fail, now)
		switch {
		case ok:
			p = next
		case fail.Retryable() || first.unknownProtocol():
			return fail
		default:
			return first
		}
	}
}

// sendIn sends blk in protocol p. Sent is how many of its samples that has. Missed is how many of its exemplars a receiver
// which has the block says that it has not.
func (d *destination) sendIn(ctx context.Context, c *client, p Protocol, blk *block, attempt int, again func()) (sent, missed int, fail *sendError) {
	if p != blk.protocol {
		other, err := d.codec.recode(blk, p)
		if err != nil {
			return 0, 0, &sendError{Status: http.StatusUnsupportedMediaType, Verdict: unsupported, Err: err}
		}
		if other == nil {
			return 0, 0, nil // there was nothing in it which this protocol has
		}
		defer other.release()
		blk = other
	}
	missed, fail = c.send(ctx, &d.bodies, blk, attempt, again)
	return blk.rows, missed, fail
}

// written compares what a receiver of remote write 2 says that it has written with what is in blk. It returns nil when all
// is there, or when blk is of another protocol, whose receivers say nothing.
func written(h http.Header, status int, blk *block) *sendError {
	if blk.protocol != Protocol2 || blk.rows == 0 {
		return nil
	}
	if !saysWritten(h) {
		return &sendError{Status: status, Verdict: unsupported, NotUnderstood: true, Err: errNotUnderstood}
	}
	n := stored(h)
	if n >= blk.rows {
		return nil
	}
	return &sendError{Status: status, Verdict: partly, Understood: true, Stored: n, Err: errPartly}
}

// missedExemplars is how many of blk's exemplars a receiver of remote write 2 says that it has not written. Of a block which was
// read back from the disk nobody knows how many it has.
func missedExemplars(h http.Header, blk *block) int {
	text := h.Get("X-Prometheus-Remote-Write-Exemplars-Written")
	if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil && n >= 0 && blk.protocol == Protocol2 {
		return max(0, blk.exemplars-n)
	}
	return 0
}

// noteMissed counts exemplars which a receiver did not write.
func (d *destination) noteMissed(exemplars int) {
	if exemplars > 0 {
		d.m.refusedExemplars.Add(float64(exemplars))
		d.others.event("receiver did not write exemplars", 0, slog.Int("exemplars", exemplars))
	}
}

// saysWritten reports whether an answer is that of a receiver which knows remote write 2, whatever its status.
func saysWritten(h http.Header) bool {
	for _, kind := range []string{"Samples", "Histograms", "Exemplars"} {
		if h["X-Prometheus-Remote-Write-"+kind+"-Written"] != nil {
			return true
		}
	}
	return false
}
