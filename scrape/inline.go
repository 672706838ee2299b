package scrape

import (
	"errors"
	"fmt"
	"hash/maphash"

	"scraper/batch"
	"scraper/config"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/relabel"
)

// maxInlineBytes is how many bytes of labels one scrape may carry of series that the dictionary has no room for. They cost
// as much as all parsing and relabeling does, again with each scrape, so this is for the few that came last, and not a
// way around the limit.
const maxInlineBytes = 256 << 10

// MemoryError says that too many of a body's series did not fit into the memory which labels may take, or could not be
// learnt while memory was short.
type MemoryError struct {
	Missing int // series which did not fit
	Series  int // all that relabeling left
	Err     error
}

func (e *MemoryError) Error() string {
	if errors.Is(e.Err, errShort) { // the dictionary has room
		return fmt.Sprintf("memory limit: %d of %d series do not fit while memory is short; a higher -memory.limit, or limit of the container, would allow it",
			e.Missing, e.Series)
	}
	return fmt.Sprintf("memory limit: %d of %d series do not fit; a higher limit of the container, -memory.limit or -promscrape.maxLabelMemory would hold more",
		e.Missing, e.Series)
}

// Unwrap returns what the first of them was refused with.
func (e *MemoryError) Unwrap() error { return e.Err }

// errShort is why series are not learnt at the level high.
var errShort = errors.New("memory is short, and new series are not learnt")

// isShort reports whether a scrape failed because memory is short now, not because the dictionary is full.
func isShort(err error) bool {
	if errors.Is(err, errShort) {
		return true
	}
	_, ok := errors.AsType[*ShortError](err)
	return ok
}

// isFull reports whether err says that there is no room for new labels. A series that has none is never refused, so one
// which is refused is in no table, and not one of the automatic ones.
func isFull(err error) bool {
	return errors.Is(err, labelcompress.ErrFull) || errors.Is(err, labelset.ErrShare)
}

// keptForSmall is the part of the dictionary which is kept for automatic series, and for what known targets with few labels
// learn: a tenth. What others have learnt before must not keep a small target from being scraped; its series travel inline, but
// not so its automatic ones. What a scrape learns and takes back is not free before the next compaction, so new targets do
// not learn there at all.
const keptForSmall = 10

// fewLabels is up to which size, in bytes in the dictionary, a target's labels are few: those of some hundred series.
const fewLabels = 32 << 10

// errCrowded is why series are not learnt while only what is kept is left.
var errCrowded = fmt.Errorf("what is left is kept for small targets: %w", labelcompress.ErrFull)

// isCrowded reports whether only what is kept is left of the dictionary.
func isCrowded(d *labelcompress.Dict) bool {
	n := d.MaxBytes()
	return n > 0 && d.Bytes() > n-n/keptForSmall
}

// isCrowded reports whether there is no room for what the target would learn.
func (r *reading) isCrowded() bool {
	return (r.tab.base == 0 || r.tab.sets.LabelBytes() > fewLabels) && isCrowded(r.tab.sets.Dict())
}

// inline is what a reading knows of the series which do not fit.
type inline struct {
	series int    // how many there were
	bytes  int    // of labels in the batch
	wire   []byte // the labels of the current one, as a batch carries them
	// last has by hash of the labels the last timestamp in this body.
	last map[uint64]int64
	err  error // why the first one was refused
	// over: there were too many, so the rest of the body is only counted.
	over bool
}

// isFull reports whether there is hardly room for another series of an ordinary size.
func (in *inline) isFull() bool { return in.bytes > maxInlineBytes-4<<10 }

// unfit takes the current sample, whose labels the learner has, and which err kept from being learnt.
func (r *reading) unfit(err error) {
	in := &r.inline
	in.series++
	if in.err == nil {
		in.err = err
	}
	in.wire = in.wire[:0]
	for _, l := range r.learn.ls.L {
		in.wire = labelcompress.AppendLabel(in.wire, l.Name, l.Value)
		if in.bytes+len(in.wire) > maxInlineBytes { // before the next: rules make many of a long one
			in.over = true
			r.exceed()
			return
		}
	}
	if r.afterRelabeling() > r.sampleLimit {
		r.exceed()
		return
	}
	if !r.limitHistogram() {
		return
	}
	ts, timed := r.p.Timestamp()
	if timed = timed && r.honorTime; !timed {
		ts = r.b.TimestampMillis
	} else if ts > r.now.Add(maxAhead).UnixMilli() {
		r.OutOfBounds++
		return
	}
	if in.last == nil {
		in.last = make(map[uint64]int64)
	}
	hash := maphash.Bytes(r.tab.seed, in.wire)
	if last, met := in.last[hash]; met && !timed {
		r.Duplicate++
		return
	} else if met && ts <= last {
		r.OutOfOrder++
		return
	}
	in.last[hash] = ts
	in.bytes += len(in.wire)
	kind, x := batch.KindSample, batch.Extra{Labels: in.wire}
	if r.special && r.extra.isHistogram {
		kind, x.Payload = batch.KindHistogram, r.extra.histogram(r.p)
	}
	x.StartMillis = r.start()
	if timed {
		r.b.AppendExtraTimed(kind, 0, r.p.Value(), ts, x)
	} else {
		r.b.AppendExtra(kind, 0, r.p.Value(), x)
	}
	r.Committed++
	r.Inline++
}

// countUnfit counts the current sample, whose labels the learner has, if it does not fit either.
func (r *reading) countUnfit() {
	dict := r.tab.sets.Dict()
	if r.frozen || r.isCrowded() {
		r.inline.series++
		return
	}
	refs, err := internRefs(dict, r.learn.ls.L, r.learn.refs[:0])
	if err != nil || !r.tab.sets.HasRoom(refs) {
		r.inline.series++
	}
	for _, ref := range refs {
		dict.Release(ref)
	}
	r.learn.refs = refs[:0]
}

// refused is the error of a body that went beyond a limit.
func (r *reading) refused() error {
	if r.inline.over {
		return &MemoryError{Missing: r.inline.series, Series: r.afterRelabeling(), Err: r.inline.err}
	}
	return r.limitError(r.afterRelabeling())
}

// limitError is the error of a body which went beyond a limit other than that of memory, and has so many samples.
func (r *reading) limitError(samples int) error {
	if r.tooLarge != nil && samples <= r.sampleLimit {
		return r.tooLarge
	}
	return &LimitError{What: "sample_limit", Limit: int64(r.sampleLimit), Got: int64(samples)}
}

// appendInline adds the automatic series of a target to b, of which not even these fit into the dictionary.
func (r *report) appendInline(b *batch.Batch, labels []relabel.Label, d config.Dialect) {
	var ls relabel.Labels
	var wire []byte
	for i, v := range r.values() {
		if i >= autoPrometheus && d == config.Prometheus || i == autoSamplesLimit && r.samplesLimit == 0 {
			continue
		}
		ls.Reset()
		ls.L = append(ls.L, labels...)
		ls.Set(nameLabel, autoNames[i])
		ls.Sort()
		wire = wire[:0]
		for _, l := range ls.L {
			wire = labelcompress.AppendLabel(wire, l.Name, l.Value)
		}
		b.AppendExtra(batch.KindSample, 0, v, batch.Extra{Labels: wire})
	}
}

// share is how much of the dictionary one target may take, in bytes; 0 is all that there is.
func share(dict *labelcompress.Dict) int64 {
	if n := dict.MaxBytes(); n > 0 {
		return max(n/2, 1)
	}
	return 0
}
