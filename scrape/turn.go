package scrape

import (
	"errors"
	"time"

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
}

// newTurn returns the turn of t which is due at the given time. It has to end before the next one is due, however late it
// starts.
func newTurn(t *target, due, now time.Time) *turn {
	end := now.Add(t.timeout)
	if next := due.Add(t.interval); next.Before(end) {
		end = next
	}
	return &turn{
		t: t, st: t.state, life: newLifetime(end, &TimeoutError{t.timeout}), interval: t.interval, timeout: t.timeout, due: due,
	}
}

// begin starts the scrape. It returns when the scrape is over, or goes on without its goroutine.
func (m *Manager) begin(tn *turn) {
	tn.start = time.Now()
	if tn.start.Sub(tn.due) > lateAfter {
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
	if !m.attempt(tn, &out) {
		tn.asking.pending.Notify(func() { go m.advance(tn) })
		return
	}
	if !errors.Is(out.err, errRemoved) && !errors.Is(out.err, errStopping) {
		m.finished(tn.t, tn.st, &out, tn.start)
	}
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
	resp, err := tn.asking.next(tn.life)
	switch {
	case tn.asking.pending != nil:
		return false
	case err == nil:
		defer func() { _ = resp.Body.Close() }()
		tn.body, err = bodyOf(resp, tn.st.cfg.Formats)
	default:
		if cause := tn.life.Err(); cause != nil {
			err = cause
		}
	}
	if err == nil {
		defer m.waitItsTurn(tn, resp)()
	}
	m.workers <- struct{}{}
	held = true
	*out = m.parseAndCommit(tn, resp, err, &held)
	return true
}
