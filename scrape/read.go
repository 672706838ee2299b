package scrape

import (
	"bytes"
	"fmt"
	"time"

	"scraper/batch"
	"scraper/labelset"
	"scraper/streamparse"
)

// maxAhead is how far in the future a sample's own timestamp may lie, as in Prometheus.
const maxAhead = 10 * time.Minute

// counts is what became of a body's samples. Scraped is the sum of the others but Added and Markers.
type counts struct {
	Scraped     int // samples in the body
	Committed   int // in the batch
	Relabeled   int // dropped by metric_relabel_configs
	Limited     int // beyond sample_limit
	Duplicate   int // the same series again
	OutOfOrder  int // with a timestamp that is not newer than the last one
	OutOfBounds int // with a timestamp too far in the future
	Bad         int // lines which are not in the format, in vmagent's dialect; not among Scraped
	Failed      int // read before their scrape failed
	Unconverted int // classic histograms which could not be converted; not among Scraped
	Inline      int // of those committed, samples of series that the label dictionary has no room for
	Added       int // series which the last good body did not have
	Markers     int // staleness markers
}

// afterRelabeling is the number of samples which metric relabeling left.
func (c *counts) afterRelabeling() int { return c.Scraped - c.Relabeled }

// reading is the reading of one body into a batch, through a target's table.
type reading struct {
	p     *streamparse.Parser
	tab   *table
	b     *batch.Batch
	learn *learner
	// families takes metadata; nil if nobody wants them.
	families *familyReading
	// ahead is what p reads; nil if the body's rest is not to be read ahead.
	ahead *aheadReader

	honorTime   bool
	sampleLimit int // math.MaxInt for none
	limits      histogramLimits
	withStart   bool // start timestamps are wanted
	now         time.Time

	counts
	// missed is the length of the next line's text if the table is known not to have it, else 0; missedHash is its hash.
	missed     int
	missedHash uint64
	over       bool // beyond a limit: the rest is only counted
	frozen     bool // memory is short: nothing new is learnt
	// afford, if not nil, asks for so many bytes beside what can be seen to be taken.
	afford func(more int64) error
	// thaws, if not nil, is asked once whether new series may be learnt all the same.
	thaws    func() bool
	tooLarge error // why the first histogram which cannot be reduced to its limit is refused
	inline   inline
	// learning is how many bytes of series were learnt since others last had the worker.
	learning int
	// special says that the current entry is more than a float sample: a histogram, or a sample with exemplars.
	special bool
	extra   extraScratch
	// foreseen is how many bytes of a body which fails were read beside p's.
	foreseen int64
}

// specialFlags is the mask of flags for which a known sample is more than a value to append.
const specialFlags = entryDropped | entryAlias | entryTimed | entryOwnTime | entryMultiline

// body reads the body to its end. Any error means that nothing of it may be sent.
func (r *reading) body() error {
	for {
		if f := r.families; f != nil && f.pending && r.p.SamplesFollow() {
			f.flush(r.b)
		}
		if r.ahead != nil {
			if err := r.lookAhead(); err != nil {
				return err
			}
		}
		if err := r.expected(); err != nil {
			return r.at(err)
		}
		if taken, err := r.guessed(); err != nil {
			return r.at(err)
		} else if taken {
			continue
		}
		if done, err := r.parsed(); done || err != nil {
			return err
		}
	}
}

// at adds the line to what is wrong with its sample.
func (r *reading) at(err error) error { return &SampleError{Line: r.p.Line(), Err: err} }

// expected takes samples as long as each is the one that the table expects.
func (r *reading) expected() error {
	p, tab := r.p, r.tab
	for {
		e := tab.expected()
		if e == nil {
			return nil
		}
		n := e.length()
		hash, ok := p.PeekHash(n)
		if !ok || hash != e.hash {
			return nil
		}
		newlines := 0
		if e.meta&entryMultiline != 0 {
			newlines = bytes.Count(p.Peek(n), []byte{'\n'})
		}
		if !p.Take(n) {
			return nil
		}
		i := tab.next
		_, timed := p.Timestamp()
		r.special = len(p.Exemplars()) > 0
		if e.meta&specialFlags == 0 && !r.special && tab.seen == nil && !(timed && r.honorTime) && !r.over && !tab.isMetVia(i) {
			r.Scraped++
			tab.met(i)
			if r.afterRelabeling() > r.sampleLimit {
				r.exceed()
				continue
			}
			if start := r.start(); start == 0 {
				r.b.Append(labelset.ID(e.set), p.Value())
			} else {
				r.b.AppendExtra(batch.KindSample, labelset.ID(e.set), p.Value(), batch.Extra{StartMillis: start})
			}
			r.Committed++
			continue
		}
		r.extra.isHistogram = false
		r.special = r.special || r.start() != 0
		if newlines > 0 {
			p.SkipLines(newlines)
		}
		if err := r.known(i, e.hash, e.meta, tab.isSeen(i)); err != nil {
			return err
		}
		if r.ahead != nil && !r.ahead.begun && p.Bytes() >= r.ahead.lookAt { // exemplars are learnt here, too
			return nil
		}
	}
}

// guessed takes the next sample if its text is known at another place. Where the text ends is a guess, but one that is
// right when the table knows what it gives.
func (r *reading) guessed() (taken bool, err error) {
	p, tab := r.p, r.tab
	r.missed = 0
	if !tab.recognises() {
		return false, nil
	}
	n := p.Guess()
	if n == 0 {
		return false, nil
	}
	hash, ok := p.PeekHash(n)
	if !ok {
		return false, nil
	}
	i, known, again := tab.find(n, hash)
	if !known {
		r.missed, r.missedHash = n, hash
		return false, nil
	}
	if !p.Take(n) {
		return false, nil
	}
	r.special, r.extra.isHistogram = r.isSpecial(), false
	return true, r.known(i, hash, tab.entries.At(i).meta, again)
}

// parsed parses the next entry in full. done says that it was the body's end.
func (r *reading) parsed() (done bool, err error) {
	p, tab := r.p, r.tab
	line := p.Line()
	kind, err := p.Next()
	if err != nil {
		return false, err
	}
	switch kind {
	case streamparse.KindNone:
		n, _ := p.Bad()
		r.Bad += n
		r.Unconverted = p.Unconverted()
		if f := r.families; f != nil {
			f.finish(r.b)
		}
		if r.over {
			return true, r.refused()
		}
		return true, nil
	case streamparse.KindType, streamparse.KindHelp, streamparse.KindUnit:
		if kind == streamparse.KindType {
			r.learn.typ = p.Type()
		}
		if r.families != nil && !r.over {
			r.families.line(kind, p, r.b)
		}
	case streamparse.KindSample, streamparse.KindHistogram:
		r.extra.isHistogram = kind == streamparse.KindHistogram
		r.special = r.extra.isHistogram || r.isSpecial()
		if r.extra.isHistogram {
			if err := p.Histogram().Validate(); err != nil {
				return false, r.at(err)
			}
		}
		series := p.Series()
		if r.missed > 0 && len(series) == r.missed && p.Line() == line+1 { // looked up a moment ago, and no line was skipped
			err = r.unknown(series, r.missedHash)
			break
		}
		hash := p.Hash()
		if i, known, again := tab.find(len(series), hash); known {
			err = r.known(i, hash, tab.entries.At(i).meta, again)
		} else {
			err = r.unknown(series, hash)
		}
	}
	if err != nil {
		return false, r.at(err)
	}
	return false, nil
}

// SampleError says that a body's sample is in the format, but cannot be taken.
type SampleError struct {
	Line int // starting from 1
	Err  error
}

func (e *SampleError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the reason.
func (e *SampleError) Unwrap() error { return e.Err }

// exceed notes that the current sample is one more than the body may have: what it had is not needed any longer.
func (r *reading) exceed() {
	r.over = true
	sets := r.b.Sets
	r.b.Reset()
	r.b.Sets = sets
	r.Limited += r.Committed + 1
	r.Committed, r.Inline = 0, 0
}

// known takes a sample whose text is that of the committed entry i. again says that this body had the text before; then
// it gets an entry at this place too, so that the next body is recognised in order.
func (r *reading) known(i uint32, hash uint64, meta uint32, again bool) error {
	tab := r.tab
	r.Scraped++
	primary := i
	if meta&entryAlias != 0 {
		primary = tab.entries.At(i).set
	}
	if meta&entryDropped != 0 {
		switch {
		case !again:
			tab.met(i)
		case !r.over && !tab.hasManyOthers():
			tab.learn(entry{hash: hash, meta: meta})
		}
		r.Relabeled++
		return nil
	}
	met := tab.isMet(primary)
	if again {
		if !r.over && !tab.hasManyOthers() {
			i = tab.learn(entry{hash: hash, meta: meta&^(entryTimed|entryOwnTime) | entryAlias, set: primary})
		}
	} else {
		tab.met(i)
	}
	tab.metBy(primary, i)
	return r.append(primary, met)
}

// unknown takes a sample whose text is not in the table.
func (r *reading) unknown(series []byte, hash uint64) error {
	r.Scraped++
	tab := r.tab
	if r.over && !r.inline.over && r.learn.rules.Len() == 0 {
		r.Limited++
		return nil
	}
	if err := checkLength(series); err != nil {
		return err
	}
	if err := r.learns(series); err != nil {
		return err
	}
	meta := uint32(len(series)) << lengthShift
	if r.p.Newlines() > 0 {
		meta |= entryMultiline
	}
	kept, err := r.learn.labels(r.p)
	if err != nil {
		if r.learn.skipBad {
			r.Scraped--
			r.Bad++
			return nil
		}
		return err
	}
	if !kept {
		r.Relabeled++
		if !r.over && !r.frozen {
			tab.learnOther(entry{hash: hash, meta: meta | entryDropped})
		}
		return nil
	}
	if r.over {
		if r.inline.over {
			r.countUnfit()
		}
		r.Limited++
		return nil
	}
	if err := r.learn.checkLimits(); err != nil {
		return err
	}
	_, timed := r.p.Timestamp()
	timed = timed && r.honorTime
	if r.frozen && r.inline.isFull() && r.thaws != nil && r.thaws() {
		r.frozen = false
	}
	if r.frozen && tab.base == 0 {
		r.unfit(errShort)
		return nil
	}
	if r.isCrowded() {
		r.unfit(errCrowded)
		return nil
	}
	set, err := r.learn.intern(tab.sets, timed)
	if isFull(err) {
		r.unfit(err)
		return nil
	} else if err != nil {
		return err
	}
	if r.learn.isAutomatic(tab.sets, set) {
		tab.sets.Undo(set, timed)
		r.Duplicate++
		return nil
	}
	var primary uint32
	var found bool
	if r.frozen {
		if primary, found = tab.identifyOld(set, timed); !found {
			r.unfit(errShort)
			return nil
		}
	} else {
		primary, found = tab.identify(set, timed)
	}
	if !found {
		if timed {
			meta |= entryTimed | entryOwnTime
		}
		if set, meta, err = tab.returned(set, meta); err != nil {
			return err
		}
		if err := r.append(tab.learn(entry{hash: hash, meta: meta, set: uint32(set)}), false); err != nil {
			return err
		}
		if !r.over {
			r.Added++
		}
		return nil
	}
	met := tab.isMet(primary)
	i := tab.learnOther(entry{hash: hash, meta: meta | entryAlias, set: primary})
	tab.metBy(primary, i)
	return r.append(primary, met)
}

// append adds the current sample to the batch, for the series of the primary entry i, unless its time forbids. met says
// that the body had a sample of the series before.
func (r *reading) append(i uint32, met bool) error {
	if r.over {
		r.Limited++
		return nil
	}
	if r.afterRelabeling() > r.sampleLimit {
		r.exceed()
		return nil
	}
	if !r.limitHistogram() {
		return nil
	}
	tab := r.tab
	e := tab.entries.At(i)
	set := labelset.ID(e.set)
	ts, timed := r.p.Timestamp()
	if !timed || !r.honorTime {
		switch {
		case met:
			r.Duplicate++
			return nil
		case e.meta&entryTimed != 0:
			if tab.sets.Last(set) >= r.b.TimestampMillis {
				r.OutOfOrder++
				return nil
			}
			tab.changesTime(i, false)
		}
		if r.special {
			r.appendSpecial(set)
		} else {
			r.b.Append(set, r.p.Value())
		}
		r.Committed++
		if tab.lasts != nil {
			tab.lasts[set] = r.b.TimestampMillis
		}
		return nil
	}
	if e.meta&entryTimed == 0 {
		var err error
		if set, err = tab.sets.Timed(set); err != nil {
			return err
		}
		e.set = uint32(set)
		e.meta |= entryTimed
		if met { // its sample in this body has the scrape's time
			if _, err := r.lastInBody(set); err != nil {
				return err
			}
			tab.lasts[set] = r.b.TimestampMillis
		}
	}
	last := tab.sets.Last(set)
	if i < tab.base && e.meta&entryOwnTime == 0 { // its last sample had the time of its scrape
		last = max(last, tab.sentMillis)
	}
	tab.changesTime(i, true)
	if met {
		before, err := r.lastInBody(set)
		if err != nil {
			return err
		}
		last = max(last, before)
		if i >= tab.base {
			tab.sets.SetLast(set, last)
		}
	}
	if ts > r.now.Add(maxAhead).UnixMilli() {
		r.OutOfBounds++
		return nil
	}
	if ts <= last {
		r.OutOfOrder++
		return nil
	}
	if tab.lasts != nil {
		tab.lasts[set] = ts
	}
	if r.special {
		r.appendSpecialTimed(set, ts)
	} else {
		r.b.AppendTimed(set, r.p.Value(), ts)
	}
	r.Committed++
	return nil
}

// lastInBody returns the timestamp of the last sample of set in this body. Bodies which repeat a series with several
// timestamps are rare; only for them all timestamps are remembered, from the first repetition on.
func (r *reading) lastInBody(set labelset.ID) (int64, error) {
	if r.tab.lasts == nil {
		if r.afford != nil {
			if err := r.afford(mapBytes(r.b.Len(), lastBytes)); err != nil {
				return 0, err
			}
		}
		r.tab.lasts = make(map[labelset.ID]int64, r.b.Len())
		for c := r.b.Cursor(); c.Next(); {
			if c.OfSet() {
				r.tab.lasts[c.Set] = c.TimestampMillis
			}
		}
	}
	if ts, ok := r.tab.lasts[set]; ok {
		return ts, nil
	}
	return labelset.NoLast, nil
}
