package scrape

import (
	"math/bits"

	"scraper/batch"
	"scraper/internal/slab"
	"scraper/labelset"
)

// commit ends a good scrape, after its batch was given to the sink: what was learnt stays, what was not met goes, and the
// entries come into the order of the body.
func (t *table) commit(b *batch.Batch) {
	for i, own := range t.ownTime {
		e := t.entries.At(i)
		if set := labelset.ID(e.set); own {
			last := t.sets.Last(set)
			if e.meta&entryOwnTime == 0 {
				last = max(last, t.sentMillis)
			}
			if ts, ok := t.lasts[set]; ok {
				last = max(last, ts)
			}
			t.sets.SetLast(set, last)
		}
		e.setOwnTime(own)
	}
	if b.Timed() > 0 {
		for c := b.Cursor(); c.Next(); {
			if c.Timed && c.OfSet() {
				t.sets.SetLast(c.Set, c.TimestampMillis)
			}
		}
	}
	t.marked, t.markedTo = false, 0
	t.sentMillis = b.TimestampMillis
	t.departed.expire()
	t.exemplars.commit()
	if t.steady() {
		t.runs = t.runs[:0]
		t.via, t.ownTime, t.lasts = nil, nil, nil
		t.shuffled = false
		t.dropRaw()
		return
	}
	t.reorder()
}

// reorder drops the entries that were not met, and brings the others into the body's order.
func (t *table) reorder() {
	grown := t.entries.Len() > int(t.base)
	t.sets.EndAdditions()
	gone := t.settleGone()
	if t.lost && !grown && gone == 0 { // only the order differs, and it will again
		t.shuffled = true
		t.begin()
		t.runs = nil
		return
	}
	if len(t.runs) == 1 && t.runs[0] == (run{0, uint32(t.entries.Len())}) && !t.lost {
		t.entries.Trim() // new ones at the end, as in a first scrape
	} else {
		t.rewrite()
	}
	t.shuffled = t.lost
	t.relearn = false
	t.dropRaw() // entries have moved
	t.begin()
	t.runs = nil
	if t.sets.Wasteful() {
		t.compact()
	} else {
		t.sets.Settle()
	}
}

// settleGone releases the label sets of series that were not met, and makes the entry that a series was met by its
// primary one where the former's text is gone. It returns how many entries go.
func (t *table) settleGone() (gone int) {
	forget := len(t.exemplars.of) > 0 && t.unseen() > max(leastDeparted, int(t.base)/departedShare)
	for i := range t.base {
		if t.isSeen(i) && !t.relearn {
			continue
		}
		gone++
		e := t.entries.At(i)
		switch {
		case e.meta&entryAlias != 0:
			t.aliases--
		case e.meta&entryDropped != 0:
		default:
			by, ok := t.via[i]
			if !ok {
				if forget {
					t.exemplars.forget(t.sets.Hash(labelset.ID(e.set)))
				}
				t.leave(e)
				break
			}
			heir := t.entries.At(by)
			heir.set = e.set
			heir.meta = heir.meta&^entryAlias | e.meta&(entryTimed|entryOwnTime)
			t.aliases--
		}
	}
	if forget {
		t.exemplars.settle()
	}
	return gone
}

// unseen is how many of the committed entries were not met in this body by their own text.
func (t *table) unseen() int {
	if t.seen == nil {
		return int(t.base - t.next)
	}
	n := int(t.base)
	for _, word := range t.seen {
		n -= bits.OnesCount64(word)
	}
	return n
}

// rewrite copies the entries which stay, in order, and corrects what aliases refer to.
func (t *table) rewrite() {
	// moved finds the new place of an entry that an alias refers to: the primary one, or its heir.
	var moved map[uint32]uint32
	if t.aliases > 0 {
		moved = make(map[uint32]uint32)
		for i := range uint32(t.entries.Len()) {
			if e := t.entries.At(i); e.meta&entryAlias != 0 {
				moved[t.heir(e.set)] = 0
			}
		}
	}
	var kept slab.Vec[entry]
	keep := func(i uint32) {
		e := *t.entries.At(i)
		if e.meta&entryAlias != 0 {
			e.set = t.heir(e.set)
		}
		at := kept.Push(e)
		if _, ok := moved[i]; ok {
			moved[i] = at
		}
	}
	if t.lost {
		for i := range uint32(t.entries.Len()) {
			if i >= t.base || t.isSeen(i) && !t.relearn {
				keep(i)
			}
		}
	} else {
		for _, r := range t.runs {
			for i := r.start; i < r.end; i++ {
				keep(i)
			}
		}
	}
	if t.aliases > 0 {
		for i := range uint32(kept.Len()) {
			if e := kept.At(i); e.meta&entryAlias != 0 {
				e.set = moved[e.set]
			}
		}
	}
	kept.Trim()
	t.released += int64(t.entries.Cap()) * entryBytes
	t.entries = kept
}

// heir is the entry that owns the label set of the primary entry i after settleGone.
func (t *table) heir(i uint32) uint32 {
	if by, ok := t.via[i]; ok && i < t.base && (!t.isSeen(i) || t.relearn) {
		return by
	}
	return i
}

// compact gives back what removed label sets took.
func (t *table) compact() {
	t.released += t.sets.Bytes()
	c := t.sets.Compact()
	for i, id := range t.pinned {
		t.pinned[i] = c.Move(id, false)
	}
	for i := range uint32(t.entries.Len()) {
		if e := t.entries.At(i); e.meta&(entryDropped|entryAlias) == 0 {
			e.set = uint32(c.Move(labelset.ID(e.set), e.meta&entryTimed != 0))
		}
	}
	c.Close()
}
