package scrape

import (
	"hash/maphash"
	"math/bits"

	"scraper/internal/slab"
	"scraper/labelset"
)

// entry is what a table keeps of one series text: 16 bytes.
type entry struct {
	// hash is the seeded hash of the bytes before the value.
	hash uint64
	// meta is the length of these bytes, shifted by lengthShift, and the flags.
	meta uint32
	// set is the series' label set; of an alias, the index of its primary entry; nothing in a dropped one.
	set uint32
}

// Flags of an entry.
const (
	// entryDropped: metric relabeling drops the series.
	entryDropped = 1 << iota
	// entryAlias: another entry, the primary one, has the same final labels, and the label set.
	entryAlias
	// entryTimed: the label set has room for the last timestamp that was sent.
	entryTimed
	// entryOwnTime: its last sample had a timestamp of its own, so it gets no marker.
	entryOwnTime
	// entryMultiline: the text holds raw newlines.
	entryMultiline

	lengthShift = 8
	// maxSeriesBytes is the longest series text that an entry can describe. Lines are limited to less.
	maxSeriesBytes = 1<<(32-lengthShift) - 1
)

// checkLength returns what is wrong with the length of a series text.
func checkLength(series []byte) error {
	if len(series) > maxSeriesBytes {
		return &LimitError{What: "series length", Limit: maxSeriesBytes, Got: int64(len(series))}
	}
	return nil
}

// entryBytes is the size of an entry.
const entryBytes = 16

func (e *entry) length() int { return int(e.meta >> lengthShift) }

func (e *entry) setOwnTime(own bool) {
	if own {
		e.meta |= entryOwnTime
	} else {
		e.meta &^= entryOwnTime
	}
}

// A run is a sequence of entries which the body wrote in the table's order: from start up to, not including, end.
type run struct{ start, end uint32 }

const (
	// probeAhead is how many entries behind the expected one are tried before an index is built: series which are gone
	// are what a body mostly differs by.
	probeAhead = 8
	// maxRepeats is how many entries of one text the index holds. A body may repeat a line a million times, and then every
	// look-up near it would take as long; those which are not found are learnt again.
	maxRepeats = 4
	// maxRuns bounds what is remembered of a shuffled body's order, beside an eighth of the series.
	maxRuns = 64
)

// table is what a target remembers of its series, so that a steady scrape neither parses nor relabels labels.
//
// The entries stand in the order in which the target writes them. A line is recognised by the hash and the length of the
// bytes before the value, tried at the expected place first. The hash is a 64-bit maphash under a seed of this process,
// which no target knows: for one line to be taken for another, two different texts of the same length have to collide at
// the very place where the other is expected, or in the index of one target. With a million series which all change in
// every scrape, that is a chance of 1e6 × 2^-64 a scrape by position, and below 1e12 × 2^-64 through the index, reached
// only where texts of equal length meet. A disk flips bits more often.
//
// A scrape is a transaction: begin, then one call per sample, then either finish and commit, or abort. What a scrape
// learns stands behind base, and is provisional until the commit.
//
// Identity is the final label set. Of the entries which have the same one, one is primary and owns the label set, the
// others are its aliases: other words for the same series. A marker is due when none of them was met.
type table struct {
	sets *labelset.Store
	seed maphash.Seed
	// pinned are label sets of the owner's in the same store; a compaction changes them in place.
	pinned  []labelset.ID
	entries slab.Vec[entry]
	aliases int
	// marked: all series had their markers after a failed scrape, and none is due again.
	marked bool
	// markedTo is before which entry all had theirs, while they are sent bit by bit.
	markedTo uint32
	// relearn: the rules changed, so no text is recognised, and identities alone are compared.
	relearn bool
	// shuffled: the target writes its series in another order each time, so raw is kept.
	shuffled bool

	// released is the memory in bytes which transactions took and dropped since the owner asked last.
	released int64

	raw *index // committed entries by text
	// sentMillis is the timestamp of the last good scrape, or of the markers after a failed one: of all series without
	// timestamps of their own, the last one that was sent.
	sentMillis int64

	departed  departed
	exemplars lastExemplars
	// tracked: markers are sent for series with timestamps of their own, too.
	tracked bool

	// The transaction.
	base  uint32 // entries before it are committed
	next  uint32 // the committed entry which is expected next
	runs  []run
	lost  bool     // there were too many runs: the order of this body is not known
	seen  []uint64 // committed entries which were met, by their own text; nil while all before next were, and no other
	spare []uint64 // memory for seen, while the target shuffles its series
	ident *index   // primary entries which were learnt, by identity
	olds  *index   // committed primary entries by identity
	// learnt are entries which were learnt, those before learntTo, by text; nil while there are not manyOthers.
	learnt   *index
	learntTo uint32
	// via says of primary entries that were met by another text which entry that was.
	via map[uint32]uint32
	// ownTime are the entries whose entryOwnTime changes with the commit.
	ownTime map[uint32]bool
	// lasts are the last timestamps in this body, by label set. It is kept from the first repetition on.
	lasts map[labelset.ID]int64
}

func newTable(sets *labelset.Store, seed maphash.Seed) *table {
	return &table{sets: sets, seed: seed}
}

// begin starts a scrape.
func (t *table) begin() {
	t.released += t.ident.bytes() + t.olds.bytes() + t.learnt.bytes() + int64(len(t.seen))*8
	t.base = uint32(t.entries.Len())
	t.next = 0
	t.runs = t.runs[:0]
	t.lost = false
	t.spare = nil
	if t.shuffled {
		t.spare = t.seen
	}
	t.seen = nil
	t.ident, t.olds, t.learnt = nil, nil, nil
	t.sets.EndAdditions()
	t.via, t.ownTime, t.lasts = nil, nil, nil
	t.exemplars.forgetPending()
}

// expected returns the entry which should come next, nil at the end of the known ones, or when nothing is recognised.
func (t *table) expected() *entry {
	if t.next < t.base && !t.relearn {
		return t.entries.At(t.next)
	}
	return nil
}

// recognises reports whether there are texts that could be recognised.
func (t *table) recognises() bool { return t.base > 0 && !t.relearn }

// find looks up the text of a line which is not the expected one, by its length and hash. known is false for a text that is to be learnt. A
// committed entry which was met before in this body is returned with again set.
func (t *table) find(n int, hash uint64) (i uint32, known, again bool) {
	if !t.recognises() {
		return 0, false, false
	}
	length := uint32(n)
	for i := t.next; i < min(t.next+probeAhead, t.base); i++ {
		if e := t.entries.At(i); e.hash == hash && e.meta>>lengthShift == length && !t.isSeen(i) {
			return i, true, false
		}
	}
	if t.raw == nil {
		t.raw = t.indexTexts()
	}
	last := uint32(0)
	for pos, ok := t.raw.first(hash); ok; pos, ok = t.raw.following(pos, hash) {
		i := t.raw.at(pos)
		if e := t.entries.At(i); e.hash == hash && e.meta>>lengthShift == length {
			if !t.isSeen(i) {
				return i, true, false
			}
			last, known = i, true
		}
	}
	return last, known, known
}

// indexTexts returns an index of the committed entries by text.
func (t *table) indexTexts() *index {
	x := newIndex(int(t.base), t.base)
	for i := range t.base {
		e, repeats := t.entries.At(i), 0
		if e.meta&(entryAlias|entryDropped) != 0 { // all others are different series
			for pos, ok := x.first(e.hash); ok && repeats < maxRepeats; pos, ok = x.following(pos, e.hash) {
				if t.entries.At(x.at(pos)).hash == e.hash {
					repeats++
				}
			}
		}
		if repeats < maxRepeats {
			x.insert(e.hash, i)
		}
	}
	return x
}

// isSeen reports whether the committed entry i was met in this body by its own text.
func (t *table) isSeen(i uint32) bool {
	if t.seen == nil {
		return i < t.next
	}
	return t.seen[i>>6]&(1<<(i&63)) != 0
}

// met notes that the body's next line is the committed entry i, which was not seen before, and expects its successor next.
func (t *table) met(i uint32) {
	if i != t.next || t.seen != nil {
		t.seenAt(i)
	}
	t.next = i + 1
	t.inOrder(i)
}

// seenAt keeps that i was seen where that does not follow from next.
func (t *table) seenAt(i uint32) {
	if t.seen == nil {
		if n := int(t.base+63) / 64; n <= cap(t.spare) {
			t.seen = t.spare[:n]
			clear(t.seen)
		} else {
			t.seen = make([]uint64, n)
		}
		for k := range t.next {
			t.seen[k>>6] |= 1 << (k & 63)
		}
	}
	t.seen[i>>6] |= 1 << (i & 63)
}

// inOrder notes that entry i is the body's next one.
func (t *table) inOrder(i uint32) {
	if k := len(t.runs); k > 0 && t.runs[k-1].end == i {
		t.runs[k-1].end++
		return
	}
	if t.lost {
		return
	}
	if len(t.runs) >= maxRuns+int(t.base)/8 {
		t.lost, t.runs = true, t.runs[:0]
		return
	}
	t.runs = append(t.runs, run{i, i + 1})
}

// learn adds a provisional entry.
func (t *table) learn(e entry) uint32 {
	i := t.entries.Push(e)
	if e.meta&entryAlias != 0 {
		t.aliases++
	}
	t.inOrder(i)
	return i
}

// identify adds the label set of a new series, or finds the primary entry that has it. It consumes set, the label set
// that was added last.
func (t *table) identify(set labelset.ID, timed bool) (primary uint32, found bool) {
	rec := t.sets.Record(set)
	hash := maphash.Bytes(t.seed, rec)
	i := uint32(t.entries.Len())
	if t.ident == nil {
		t.ident = newIndex(64, i+64)
	} else if !t.ident.takes(i) {
		n := i - t.base + 16
		t.ident.reset(int(n+n/2), i+n)
		t.insertIdentities(t.ident, t.base, i)
	}
	primary, found = t.withRecord(t.ident, hash, rec)
	if !found && !t.sets.IsYoung() && t.base > 0 {
		if t.olds == nil {
			t.olds = newIndex(t.sets.Len(), t.base)
			t.insertIdentities(t.olds, 0, t.base)
		}
		primary, found = t.withRecord(t.olds, hash, rec)
	}
	if found {
		t.sets.Undo(set, timed)
		return primary, true
	}
	t.ident.insert(hash, i)
	return i, false
}

// identifyOld finds the committed entry that has the label set which was added last. It consumes set, and learns nothing.
func (t *table) identifyOld(set labelset.ID, timed bool) (primary uint32, found bool) {
	if !t.sets.IsYoung() {
		if t.olds == nil {
			t.olds = newIndex(t.sets.Len(), t.base)
			t.insertIdentities(t.olds, 0, t.base)
		}
		rec := t.sets.Record(set)
		primary, found = t.withRecord(t.olds, maphash.Bytes(t.seed, rec), rec)
	}
	t.sets.Undo(set, timed)
	return primary, found
}

// withRecord looks a label set's record up.
func (t *table) withRecord(x *index, hash uint64, rec []byte) (primary uint32, found bool) {
	for pos, ok := x.first(hash); ok; pos, ok = x.following(pos, hash) {
		i := x.at(pos)
		if string(t.sets.Record(labelset.ID(t.entries.At(i).set))) == string(rec) {
			return i, true
		}
	}
	return 0, false
}

// insertIdentities adds the primary ones of the entries from..to-1, in the order in which their label sets lie.
func (t *table) insertIdentities(x *index, from, to uint32) {
	for i := from; i < to; i++ {
		if e := t.entries.At(i); e.meta&(entryDropped|entryAlias) == 0 {
			x.insert(maphash.Bytes(t.seed, t.sets.Record(labelset.ID(e.set))), i)
		}
	}
}

// isMet reports whether the series of the primary entry i was met in this body, by whatever text.
func (t *table) isMet(i uint32) bool {
	if i >= t.base {
		return true // it was learnt from this body
	}
	if t.isMetVia(i) {
		return true
	}
	return t.isSeen(i) && !t.relearn
}

// isMetVia reports whether the series of entry i was met by another text than its own.
func (t *table) isMetVia(i uint32) bool {
	_, ok := t.via[i]
	return ok
}

// metBy notes that the series of the primary entry i was met by the text of entry by.
func (t *table) metBy(i, by uint32) {
	if i >= t.base || i == by {
		return
	}
	if t.via == nil {
		t.via = make(map[uint32]uint32)
	}
	t.via[i] = by
}

// changesTime notes that the series of entry i has, or no longer has, timestamps of its own; of a committed entry that
// counts from the commit on.
func (t *table) changesTime(i uint32, own bool) {
	if e := t.entries.At(i); i >= t.base {
		e.setOwnTime(own)
		return
	} else if own == (e.meta&entryOwnTime != 0) {
		if _, ok := t.ownTime[i]; !ok {
			return
		}
	}
	if t.ownTime == nil {
		t.ownTime = make(map[uint32]bool)
	}
	t.ownTime[i] = own
}

// steady reports whether the body was the known one, in the known order.
func (t *table) steady() bool {
	return t.seen == nil && t.next == t.base && int(t.base) == t.entries.Len() && !t.relearn
}

// endReading drops what only finds series: to encode a large batch takes seconds, and that memory is as large as a third of
// the table.
func (t *table) endReading() {
	before := t.sets.Bytes()
	t.sets.EndAdditions()
	t.released += before - t.sets.Bytes() + t.ident.bytes() + t.olds.bytes() + t.learnt.bytes()
	t.ident, t.olds, t.learnt = nil, nil, nil
}

// series is the number of series that the table holds. Call it outside of a transaction.
func (t *table) series() int { return t.sets.Len() }

// abort ends a scrape which failed: what it learnt is forgotten.
func (t *table) abort() {
	took := t.sets.Bytes() + t.sets.LabelBytes()
	defer func() { t.released += max(0, took-t.sets.Bytes()-t.sets.LabelBytes()) }()
	t.sets.EndAdditions()
	for i := t.base; i < uint32(t.entries.Len()); i++ {
		switch e := t.entries.At(i); {
		case e.meta&entryAlias != 0:
			t.aliases--
		case e.meta&entryDropped == 0:
			t.sets.Remove(labelset.ID(e.set), e.meta&entryTimed != 0)
		}
	}
	t.released += int64(t.entries.Cap()) * entryBytes
	t.entries.Truncate(int(t.base))
	t.entries.Trim()
	t.released -= int64(t.entries.Cap()) * entryBytes
	t.begin()
	if !t.shuffled {
		t.dropRaw()
	}
	t.runs = nil
	if t.sets.Wasteful() {
		t.compact()
	} else {
		t.sets.Settle()
	}
}

// dropRaw forgets the index by text.
func (t *table) dropRaw() {
	t.released += t.raw.bytes()
	t.raw = nil
}

// forget drops all series, and keeps what is pinned. Call it outside of a transaction.
func (t *table) forget() {
	for i := range uint32(t.entries.Len()) {
		if e := t.entries.At(i); e.meta&(entryDropped|entryAlias) == 0 {
			t.sets.Remove(labelset.ID(e.set), e.meta&entryTimed != 0)
		}
	}
	t.released += int64(t.entries.Cap()) * entryBytes
	t.entries.Reset()
	t.aliases = 0
	t.departed, t.exemplars = departed{}, lastExemplars{}
	t.dropRaw()
	t.shuffled, t.relearn = false, false
	t.begin()
	t.runs = nil
	t.compact()
}

// release forgets all series, and what is pinned.
func (t *table) release() {
	t.sets.Close()
	*t = table{seed: t.seed}
}

// bytes is the memory that the table takes, without the dictionary, in bytes.
func (t *table) bytes() int64 {
	n := int64(t.entries.Cap())*entryBytes + int64(cap(t.runs))*8 + int64(cap(t.seen))*8
	if t.sets != nil {
		n += t.sets.Bytes()
	}
	return n + t.raw.bytes() + t.ident.bytes() + t.olds.bytes() + t.learnt.bytes() + t.departed.bytes() + t.exemplars.bytes() +
		mapBytes(len(t.via), 8) + mapBytes(len(t.ownTime), 8) + mapBytes(len(t.lasts), lastBytes)
}

// lastBytes is the size of an entry of table.lasts.
const lastBytes = 16

// mapBytes is what a map of n entries of so many bytes takes at the most, in bytes: it doubles when seven eighths are in use.
func mapBytes(n int, entry int64) int64 {
	if n == 0 {
		return 0
	}
	return (entry + 1) << bits.Len(uint(n+n/7))
}
