// Package scrape fetches the targets' metrics, and hands what it read to a Sink.
//
// A Manager holds the targets of all jobs: it makes them of discovery's groups, schedules their scrapes, and knows how the
// last one went. A scrape streams: chunks of the body are parsed as they arrive, known series are recognised by the
// target's series table, and the samples wait in a batch until the body is known to be good to its end. It is a
// transaction: it is committed whole, with staleness markers for the series which are gone, or not at all.
//
// It does not know where targets come from, nor what becomes of a batch: encoding, queues and the network towards the
// receivers are the Sink's.
//
// Concurrency: all methods of Manager may be called at any time. A target is scraped by one goroutine at a time, and by
// none while it keeps us waiting; parsing takes one of a fixed number of workers. Ownership: a target
// owns its table and its label sets, and releases them when it goes; a worker owns its parser and its batch.
//
// Read turn.go and scrape.go first (the course of one scrape), then read.go, table.go and commit.go (what becomes of its samples),
// schedule.go, and manager.go with spec.go (which targets there are). What happens while memory is short stands in admit.go
// (how scrapes get theirs), shed.go (whose scrapes are skipped) and owed.go (what becomes of their series).
package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"scraper/batch"
	"scraper/config"
	"scraper/labelset"
	"scraper/streamparse"
)

// keepFailed is for how many failed scrapes in a row a target keeps its table, so that one which flaps need not learn its
// series anew each time.
const keepFailed = 3

// errRemoved ends the scrape of a target which is gone, errStopping those at the end of Run.
const (
	errRemoved  = giveUp("the target was removed")
	errStopping = giveUp("the agent is stopping")
)

// worker is what a scrape borrows while it parses.
type worker struct {
	parser   *streamparse.Parser
	batch    *batch.Batch
	learn    learner
	families familyReading
}

// outcome is what one scrape came to.
type outcome struct {
	counts
	err        error
	bodyBytes  int64
	batchBytes int64 // memory which the samples took at the most, until they were committed
}

// TimeoutError says that a scrape took longer than it may.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("scrape timed out after %s; scrape_timeout would allow more", e.After)
}

// Timeout makes it a net.Error's kind.
func (e *TimeoutError) Timeout() bool { return true }

// Is makes it the end of a context for those who know contexts only.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// parseAndCommit reads the body, if there is one, and gives the result to the sink. The caller holds a worker.
func (m *Manager) parseAndCommit(tn *turn, resp *http.Response, err error, held *bool) (out outcome) {
	ctx, t, st, rq, start := tn.life, tn.t, tn.st, &tn.asking.rq, tn.start
	w := m.getWorker()
	defer m.putWorker(w)
	b := w.batch
	e := t.open(m.opts.Dict, m.seed, m.opts.Dialect, st)
	if e == nil {
		e = m.renew(t, st, w, start)
	}
	if e != nil { // not even the target's own labels fit
		out.err = fmt.Errorf("memory limit: %w", e)
		b.Slot, b.Sets = t.slot, labelset.New(m.opts.Dict, nil)
		b.TimestampMillis = t.timestamp(tn.due, start, tn.interval)
		labels := externalOf(t.spec.labels, st.cfg.ExternalLabels, m.opts.Dialect, st.cfg.HonorLabels)
		m.report(st, &out, start, rq.timeout).appendInline(b, labels, m.opts.Dialect)
		m.commit(t, st, b)
		return out
	}
	b.Slot, b.Sets = t.slot, t.table.sets
	b.TimestampMillis = t.timestamp(tn.due, start, tn.interval)
	t.table.sets.LimitLabels(share(m.opts.Dict)) // as it is now: the dictionary's limit may have changed
	t.table.begin()
	w.families.begin(&t.families, m.opts.Dict, b.TimestampMillis)
	if err == nil {
		out.counts, out.bodyBytes, err = m.readBody(tn, resp, w, held)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
	}
	out.err = err
	if errors.Is(err, errRemoved) || errors.Is(err, errStopping) {
		t.table.abort()
		w.families.abort()
		return out
	}
	track := st.cfg.TrackTimestampsStaleness
	if err == nil {
		out.Markers = t.table.finish(b, track)
		m.tellReleased(t)
	} else {
		m.fail(tn, &out, w)
	}
	t.auto.append(b, m.report(st, &out, start, rq.timeout))
	out.batchBytes = b.MostBytes()
	m.commit(t, st, b)
	if err == nil {
		t.table.commit(b)
		t.mu.Lock()
		w.families.commit(b.TimestampMillis)
		t.mu.Unlock()
		t.failures = 0
	}
	m.metrics.count(&out.counts)
	return out
}

// commit gives a scrape's batch to the sink.
func (m *Manager) commit(t *target, st *jobState, b *batch.Batch) {
	if lost := m.opts.Sink.Commit(b); lost.Unreadable > 0 {
		m.log.Error("samples of a large scrape could not be read back", "job", st.cfg.Name, "target", shownURL(t.spec.url), "samples", lost.Unreadable)
	}
	t.lastMillis = b.TimestampMillis
}

// fail rolls a scrape back, and appends the markers of what was there before.
func (m *Manager) fail(tn *turn, out *outcome, w *worker) {
	t := tn.t
	out.Committed, out.Inline = 0, 0
	// What was not dropped for a reason of its own, and the sample which could not be taken, if that is the reason.
	out.Failed = out.Scraped - out.Relabeled - out.Limited - out.Duplicate - out.OutOfOrder - out.OutOfBounds
	b := w.batch
	sets := b.Sets
	b.Reset()
	b.Sets = sets
	t.table.abort()
	w.families.abort()
	if !tn.owesMarkers(m) {
		out.Markers = t.table.markAll(b, tn.st.cfg.TrackTimestampsStaleness)
	}
	tn.owes = t.table.owed()
	if !isOfBody(out.err) {
		out.bodyBytes = 0
	}
}

// isOfBody reports whether a scrape failed for what its body said, and not for how it came.
func isOfBody(err error) bool {
	var pe *streamparse.ParseError
	var se *SampleError
	var le *LimitError
	var me *MemoryError
	var sh *ShortError
	return errors.As(err, &me) || errors.As(err, &sh) || errors.As(err, &pe) || errors.As(err, &se) || errors.As(err, &le) || errors.Is(err, streamparse.ErrLineTooLong)
}

func (m *Manager) report(st *jobState, out *outcome, start time.Time, timeout time.Duration) *report {
	r := &report{
		up:              out.err == nil,
		durationSeconds: time.Since(start).Seconds(),
		timeoutSeconds:  timeout.Seconds(),
		samplesLimit:    st.cfg.SampleLimit,
	}
	if out.err == nil || isOfBody(out.err) {
		r.scraped, r.afterRelabeling = out.Scraped, out.afterRelabeling()
	}
	switch {
	case out.err == nil:
		r.added, r.responseBytes = out.Added, out.bodyBytes
	case m.opts.Dialect == config.Prometheus && isOfBody(out.err):
		r.added = out.Added // up to where it failed; vmagent has none then
	}
	return r
}

// readBody parses the body through the target's table into the worker's batch.
func (m *Manager) readBody(tn *turn, resp *http.Response, w *worker, held *bool) (counts, int64, error) {
	t, job := tn.t, tn.st.cfg
	tn.slow = tn.slowness()
	yielding := &yieldingReader{ctx: tn.life, r: resp.Body, w: m.workers, held: held, slow: tn.slow}
	limited := &limitedReader{r: yielding, max: tn.asking.rq.maxBytes, strict: m.opts.Dialect == config.Prometheus}
	if tn.encoding != "" && tn.encoding != "identity" {
		z, err := m.decoder(tn.encoding, &packedReader{r: yielding, became: &limited.n})
		if err != nil {
			return counts{}, 0, err
		}
		defer m.decoders.put(z)
		limited.r, tn.packed = z, z.bytes
	} else if limited.isOver(resp.ContentLength) {
		return counts{}, 0, limited.tooLarge()
	}
	table, labels := t.table.bytes(), t.table.sets.LabelBytes()
	ahead := &aheadReader{r: limited, spool: m.spool, pool: m.opts.Pool, pause: yielding.pause, learnt: func() int64 {
		return t.table.bytes() - table + t.table.sets.LabelBytes() - labels + w.families.growth()
	}}
	defer ahead.close()
	var source io.Reader = ahead
	var meter *metered
	if m.opts.Memory != nil {
		meter = &metered{r: ahead, m: m, tn: tn, table: table, labels: labels, size: func() int64 {
			if n := resp.ContentLength; n > 0 && tn.packed == 0 {
				return n
			}
			return ahead.size()
		}}
		source = meter
	}
	w.parser.ResetBody(source, tn.body)
	vm := m.opts.Dialect == config.VMAgent
	l := &w.learn
	l.target, l.external, l.automatic = t.spec.labels, job.ExternalLabels, t.auto.sets
	l.rules, l.honor, l.limits = job.MetricRelabel, job.HonorLabels, labelLimitsOf(job)
	l.vm, l.skipBad, l.typ = vm, vm, streamparse.TypeUntyped
	l.legacyNames, l.ls.MaxBytes = job.Formats.LegacyNames, max(m.opts.MaxLineBytes, maxMadeBytes)
	r := reading{
		p: w.parser, tab: t.table, b: w.batch, learn: l, ahead: ahead, honorTime: job.HonorTimestamps, sampleLimit: noLimit, now: tn.start,
	}
	r.limits = histogramLimitsOf(job.Formats)
	r.withStart = tn.body.StartTimestamps || tn.body.Format == streamparse.FormatProtobuf
	if m.opts.Metadata {
		r.families = &w.families
		r.families.lateUnits = tn.body.Format == streamparse.FormatProtobuf
	}
	if job.SampleLimit > 0 {
		r.sampleLimit = job.SampleLimit
	}
	if meter != nil {
		meter.read, r.thaws, r.afford = &r, meter.thaws, meter.afford
	}
	err := r.body()
	if err == nil {
		err = w.batch.Err()
	}
	return r.counts, w.parser.Bytes() + r.foreseen, err
}

// decoder returns ownership of a reader of a compressed body, which is to be given to decoders.put.
func (m *Manager) decoder(encoding string, body io.Reader) (*decoder, error) {
	switch strings.ToLower(encoding) {
	case "gzip", "x-gzip":
		return m.decoders.gzipped(body)
	case "zstd":
		return m.decoders.zstandard(body)
	}
	return nil, fmt.Errorf("the target sent Content-Encoding %q, which was not asked for", cut(encoding, 100))
}

// maxBytes is the limit of a job's bodies. Prometheus' body_size_limit is one that a body may not reach.
func (m *Manager) maxBytes(job *config.Job) int64 {
	if job.MaxScrapeBytes > 0 {
		return job.MaxScrapeBytes
	}
	return m.opts.MaxScrapeBytes
}

// renew brings the target's table up to the job's present configuration. Series whose external labels change become
// others: the former ones end here, before their successors' first sample.
func (m *Manager) renew(t *target, st *jobState, w *worker, now time.Time) error {
	if t.external != st.external {
		m.metrics.markers.Add(float64(t.endSeries(w.batch, now, m.opts.Sink, st.cfg.TrackTimestampsStaleness)))
		if err := t.open(m.opts.Dict, m.seed, m.opts.Dialect, st); err != nil {
			return err
		}
	}
	if t.sampleRules != st.sampleRules {
		t.table.relearn = true
		t.sampleRules = st.sampleRules
	}
	return nil
}

// recovered turns a panic of one scrape into its failure. The target's table, which may be half changed, is discarded.
func (m *Manager) recovered(tn *turn, out *outcome, over *bool) {
	p := recover()
	if p == nil {
		return
	}
	t, st := tn.t, tn.st
	*over = true
	m.metrics.panics.Inc()
	m.log.Error("scrape panicked; please report this", "job", st.cfg.Name, "target", shownURL(t.spec.url), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	out.err = fmt.Errorf("scrape panicked: %v", p)
	t.table, t.auto, t.families = nil, automatic{}, families{} // what it held of the dictionary is lost with it
}

// finished keeps the outcome for the pages, the metrics and the log.
func (m *Manager) finished(tn *turn, out *outcome) {
	t, st := tn.t, tn.st
	if tn.skip != SkipNone {
		m.skipped(tn, out)
		return
	}
	duration := time.Since(tn.start)
	m.metrics.duration.Observe(duration.Seconds())
	m.metrics.bodyBytes.Add(float64(out.bodyBytes))
	result := "up"
	_, missing := errors.AsType[*MemoryError](out.err)
	tn.short = isShort(out.err) || missing
	if tn.short || isFull(out.err) {
		m.metrics.memoryLimited.Inc()
	}
	_, t.late = errors.AsType[*TimeoutError](out.err)
	if out.err != nil {
		result = "down"
		t.failures++
		if (t.failures >= keepFailed || !m.keepsFailed()) && t.table != nil && t.table.marked && t.table.entries.Len() > 0 {
			m.forget(t)
			tn.gaveBack = true
		}
	}
	m.metrics.scrapes.WithLabelValues(result).Inc()

	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.result
	r.health, r.lastError = HealthUp, ""
	r.start, r.duration = tn.start, duration
	r.samples, r.bodyBytes = out.Scraped, out.bodyBytes
	r.batchBytes = out.batchBytes
	table, labels := m.measure(t)
	m.tellReleased(t)
	tn.holds = r.memory + r.labelBytes
	tn.estimate(m, out, r, table+labels)
	r.scrapes++
	if out.err != nil {
		r.health, r.lastError = HealthDown, cut(out.err.Error(), 1024)
		r.failed++
	}
	if r.health != r.told && (out.err != nil || r.told == HealthDown) {
		m.logHealth(t, st, out.err)
	}
	r.told = r.health
}

// measure notes what the target's table takes now, and returns by how much that grew. The caller holds t.mu.
func (m *Manager) measure(t *target) (table, labels int64) {
	r := &t.result
	table, labels = r.memory, r.labelBytes
	r.series, r.memory, r.labelBytes = 0, 0, 0
	if t.table != nil {
		r.series, r.memory = t.table.series()-len(t.auto.sets), t.table.bytes()+t.families.bytes()
		r.labelBytes = t.table.sets.LabelBytes()
	}
	table, labels = r.memory-table, r.labelBytes-labels
	m.tableBytes.Add(table)
	return table, labels
}

// tellReleased tells of memory which the target's table took and let go of.
func (m *Manager) tellReleased(t *target) {
	if t.table != nil && t.table.released > 0 {
		m.opts.Released(t.table.released)
		t.table.released = 0
	}
}

// logHealth tells of a target's change of health, once.
func (m *Manager) logHealth(t *target, st *jobState, err error) {
	log := m.log.With("job", st.cfg.Name, "target", shownURL(t.spec.url))
	if err != nil {
		log.Warn("scrape failed", "err", cut(err.Error(), 1024))
	} else {
		log.Info("scrape recovered")
	}
}

func (m *Manager) getWorker() *worker {
	select {
	case w := <-m.idle:
		return w
	default:
		return &worker{
			parser: streamparse.New(streamparse.Options{
				Seed: m.seed,
				Pool: m.opts.Pool, MaxLineBytes: m.opts.MaxLineBytes, SkipBadLines: m.opts.Dialect == config.VMAgent,
			}),
			batch: batch.NewSpooled(m.opts.Pool, m.spool),
		}
	}
}

// putWorker takes back what a scrape borrowed: chunks go to their pool at once, scratch memory is kept for as many
// scrapes as can be parsed at a time.
func (m *Manager) putWorker(w *worker) {
	if n := w.parser.Close(); n > 0 {
		m.opts.Released(2 * n) // it doubled step by step, and left as much on the way
	}
	w.batch.Reset()
	w.learn.forget()
	w.families.end()
	select {
	case m.idle <- w:
	default:
	}
}
