package scrape

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"scraper/batch"
	"scraper/config"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/memlimit"
	"scraper/relabel"
)

// jobState is what a scrape needs to know of its job. It is immutable; a reload makes a new one.
type jobState struct {
	cfg    *config.Job
	client *jobClient
	accept string // the header
	// sampleRules and external count the changes of what becomes of samples' labels: a target which learnt its series
	// under another number has to compare them anew.
	sampleRules int
	external    int
}

// target is one target: a URL with labels. Its series table belongs to the scrape that runs, of which there is one at most.
type target struct {
	id   uint64
	spec *spec
	slot uint64

	// The scheduler's, guarded by Manager.mu.
	state     *jobState
	interval  time.Duration
	timeout   time.Duration
	next      time.Time
	heapIndex int // -1: not scheduled
	removed   bool
	refused   error         // why it is not asked, nil if it is
	waiting   time.Time     // when a scrape was due which has to wait for the end of the running one; zero: none
	life      *lifetime     // of the running scrape; nil if none is
	turn      *turn         // the running scrape; nil if none is
	ended     chan struct{} // closed when the running scrape has ended, if anybody waits for it

	// The scheduler's, too, while memory is short.
	cost        cost  // of a scrape, for admission and for letting in
	wants       int64 // what its next scrape reserves, as it was refused more; 0 for what passed with the last one
	holds       int64 // what its table and its labels take now
	frees       int64 // what they took when the table went
	held        Held
	heldSince   time.Time // as of when it was let in
	letIn       int64     // it was let in: its next scrape may learn all its series, and so many bytes are kept for it
	letInLabels int64     // of these, for labels
	headAgain   time.Time
	tryAt       time.Time         // when it is to be tried though it may not fit
	tries       int               // how often it was held since it was scraped
	asked       *memlimit.Request // the scrape which waits for memory; nil if none does
	askedSince  time.Time
	askedDue    time.Time
	grant       *memlimit.Grant // what it got while it was busy
	owes        int64           // markers
	owing       bool            // it is in shortage.owing
	marked      bool            // all its series had their markers, or it has none
	failed      bool            // its table is kept although all its series had their markers
	gaveBack    time.Time       // when the table went

	// The running scrape's, or that of whoever removed the target.
	table       *table
	auto        automatic
	families    families // what list returns is guarded by mu
	sampleRules int
	external    int
	lastMillis  int64 // the last timestamp that was sent
	failures    int   // scrapes which failed in a row
	late        bool  // the last scrape timed out

	mu     sync.Mutex
	result result
}

// result is what a target's page shows of its last scrape.
type result struct {
	health    Health
	told      Health // as of the last scrape which was not skipped: what the log says
	lastError string
	start     time.Time
	duration  time.Duration
	samples   int
	series    int
	bodyBytes int64
	memory    int64
	// labelBytes and batchBytes are of the dictionary, and of the last scrape's batch.
	labelBytes, batchBytes int64

	scrapes uint64
	failed  uint64
}

// slotOf is the hash of job and URL, which decides over phase and slot. It survives restarts.
func slotOf(job, url string) uint64 {
	h := xxhash.New()
	_, _ = h.WriteString(job)
	_, _ = h.Write([]byte{0xff})
	_, _ = h.WriteString(url)
	return h.Sum64()
}

// firstDue is the first moment after now which lies in a target's phase: a fixed share of the interval that depends on
// the host and on what is scraped, so that neither restarts nor reloads move it.
func firstDue(hostSeed string, slot uint64, interval time.Duration, now time.Time) time.Time {
	h := xxhash.New()
	_, _ = h.WriteString(hostSeed)
	var b [8]byte
	for i := range b {
		b[i] = byte(slot >> (8 * i))
	}
	_, _ = h.Write(b[:])
	phase := int64(h.Sum64() % uint64(interval))
	n := now.UnixNano()
	due := n - n%int64(interval) + phase
	if due <= n {
		due += int64(interval)
	}
	return time.Unix(0, due)
}

// externalOf merges a job's external labels into a target's, for series that know no others.
func externalOf(labels, external []relabel.Label, d config.Dialect, honor bool) []relabel.Label {
	l := learner{vm: d == config.VMAgent}
	l.ls.L = append(l.ls.L, labels...)
	l.merge(external, !l.vm || honor)
	l.ls.Sort()
	return l.ls.L
}

// open makes the target's table under the configuration st, if it has none.
func (t *target) open(dict *labelcompress.Dict, seed maphash.Seed, d config.Dialect, st *jobState) error {
	if t.table != nil {
		return nil
	}
	labels := externalOf(t.spec.labels, st.cfg.ExternalLabels, d, st.cfg.HonorLabels)
	common, err := internRefs(dict, labels, nil)
	if err != nil {
		return err
	}
	sets := labelset.New(dict, common)
	sets.LimitLabels(share(dict))
	auto, err := newAutomatic(sets, labels, d)
	if err != nil {
		sets.Close()
		return err
	}
	sets.Settle()
	t.table, t.auto = newTable(sets, seed), auto
	t.table.pinned = t.auto.sets
	t.sampleRules, t.external = st.sampleRules, st.external
	return nil
}

// endSeries sends the markers of all the target's series, and forgets them. What was never sent gets none.
func (t *target) endSeries(b *batch.Batch, now time.Time, sink Sink, trackTimestamps bool) (markers int) {
	if t.table == nil || t.lastMillis == 0 {
		t.release()
		return 0
	}
	b.TimestampMillis = max(now.UnixMilli()-1, t.lastMillis+1)
	for last := false; !last; { // in pieces, since those of a large target take megabytes
		b.Slot, b.Sets = t.slot, t.table.sets
		markers += t.table.markSome(b, trackTimestamps, markersAtOnce)
		if last = t.table.marked; last {
			markers += t.auto.appendStale(b)
		}
		sink.Commit(b)
		b.Reset()
	}
	t.lastMillis = b.TimestampMillis
	t.release()
	return markers
}

// release forgets the target's series.
func (t *target) release() {
	if t.table != nil {
		t.mu.Lock()
		t.families.release(t.table.sets.Dict())
		t.mu.Unlock()
		t.table.release()
		t.table = nil
	}
	t.auto = automatic{}
}

// timestamp is the time of a scrape's samples in milliseconds: the due time, if the scrape started close to it, else its
// start; always after the last one.
func (t *target) timestamp(due, start time.Time, interval time.Duration) int64 {
	const most = 2 * time.Millisecond
	ts := start.UnixMilli()
	if late := start.Sub(due); late >= 0 && late <= min(interval/100, most) {
		ts = due.UnixMilli()
	}
	return max(ts, t.lastMillis+1)
}
