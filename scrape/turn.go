package scrape

import (
	"errors"
	"net/http"
	"time"

	"scraper/config"
	"scraper/memlimit"
	"scraper/streamparse"
)

// turn is one scrape of a target, from its due time to its end. It has a goroutine while it gets on, and none while the
// target keeps it waiting: a stack is four times what else a waiting scrape takes.
type turn struct {
	t                 *target
	st                *jobState
	life              *lifetime
	interval, timeout time.Duration
	due, start        time.Time
	asking            fetching
	body              streamparse.Body // how the answer is read
	encoding          string           // its Content-Encoding
	histograms        histograms
	refused           error // why the target is not asked, nil if it is

	// skip says why the scrape does not take place; claim that it is none, but somebody needs the table.
	skip  SkipReason
	claim bool
	// grant is the memory that the scrape has reserved, nil without a budget. While it is parked it holds next to nothing,
	// and reserved is what it will ask for again. starved: it did not get that in time.
	grant           *memlimit.Grant
	parked, starved bool
	slow            *slowness
	reserved        int64
	letIn           bool // it may learn new series though memory is short
	giveBack        bool // the table goes once its markers were sent

	// What came of it.
	cost     cost
	former   cost  // what the one before had cost
	before   int64 // what the table and its labels took when it began
	stays    int64 // by which they grew
	holds    int64 // what they took when it ended
	short    bool  // it needed more memory than there was, or more labels
	needs    int64 // what it would have needed, if it was refused more
	packed   int64 // what the decoder of a compressed body takes
	churned  int64 // what it took at the most, if it learnt series beside those which it knew, or had a long line
	owes     int64
	gaveBack bool
}

// newTurn returns the turn of t which is due at the given time. It has to end before the next one is due, unless it
// waited for memory so long that there would be no time left.
func newTurn(t *target, due, now time.Time) *turn {
	end := now.Add(t.timeout)
	if next := due.Add(t.interval); next.Before(end) && next.Sub(now) >= t.timeout/4 {
		end = next
	}
	return &turn{
		t: t, st: t.state, letIn: t.letIn > 0, former: t.cost, life: newLifetime(end, &TimeoutError{t.timeout}), interval: t.interval, timeout: t.timeout, due: due,
		histograms: t.spec.histograms, refused: t.refused,
	}
}

// begin starts the scrape. It returns when the scrape is over, or goes on without its goroutine.
func (m *Manager) begin(tn *turn) {
	tn.start = time.Now()
	if tn.skip == SkipNone && tn.start.Sub(tn.due) > lateAfter {
		m.metrics.late.Inc()
	}
	tn.asking = fetching{c: tn.st.client, client: tn.st.client.full, socket: tn.t.spec.socket, rq: request{
		url: tn.t.spec.url, accept: tn.st.accept, timeout: tn.timeout, userAgent: m.opts.UserAgent, compressed: tn.st.cfg.EnableCompression,
		maxBytes: m.maxBytes(tn.st.cfg),
	}}
	m.advance(tn)
}

// advance goes on with the scrape, which nobody else does meanwhile.
func (m *Manager) advance(tn *turn) {
	var out outcome
	if !m.unpark(tn) {
		return
	}
	if !m.attempt(tn, &out) {
		tn.park()
		tn.asking.pending.Notify(func() { go m.advance(tn) })
		return
	}
	if !errors.Is(out.err, errRemoved) && !errors.Is(out.err, errStopping) {
		m.finished(tn, &out)
	}
	m.release(tn)
	m.ended(tn)
	m.running.Done()
}

// attempt reports whether the scrape is over, with its outcome; else it has to wait.
func (m *Manager) attempt(tn *turn, out *outcome) (over bool) {
	held := false
	defer func() {
		if held {
			m.workers.release()
		}
	}()
	defer m.recovered(tn, out, &over)
	var resp *http.Response
	err := tn.refused
	switch {
	case tn.skip != SkipNone:
		err = &HeldError{tn.skip}
	case err == nil:
		resp, err = tn.asking.next(tn.life)
	}
	switch {
	case tn.skip != SkipNone || tn.refused != nil:
	case tn.asking.pending != nil:
		return false
	case err == nil:
		defer func() { _ = resp.Body.Close() }()
		tn.body, err = bodyOf(resp, tn.st.cfg.Formats, tn.histograms)
		tn.encoding, resp.Header = resp.Header.Get("Content-Encoding"), nil // which may be large, and the body come slowly
		tn.body.StartTimestamps, tn.body.PlainBounds = m.opts.StartTimestamps, m.opts.Dialect == config.VMAgent
	default:
		cause := tn.life.Err()
		_, answered := errors.AsType[*StatusError](err)
		_, late := errors.AsType[*TimeoutError](cause)
		if cause != nil && !(answered && late) { // then only what is behind the status was late
			err = cause
		}
	}
	if cause := tn.life.Err(); tn.starved && !errors.Is(cause, errRemoved) && !errors.Is(cause, errStopping) {
		if err == nil {
			_ = resp.Body.Close()
		}
		err = &HeldError{SkipWaiting}
	}
	if err == nil {
		defer m.waitItsTurn(tn, resp)()
	}
	m.workers <- struct{}{}
	held = true
	*out = m.parseAndCommit(tn, resp, err, &held)
	return true
}
