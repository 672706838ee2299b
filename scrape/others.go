package scrape

// manyOthers is how many entries a table may have which are no series of their own, aliases and dropped ones, before texts
// are looked up so that each has one only. Below, one which a body repeats has an entry at each of its places, and is
// recognised there. A body may repeat a line of four bytes without an end.
const manyOthers = 1 << 16

// hasManyOthers reports whether texts which the body had before get no more entries.
func (t *table) hasManyOthers() bool { return t.entries.Len()-t.sets.Len() > manyOthers }

// learnOther is learn for an entry which is no series of its own: an alias, or a dropped one. Where there are many, one
// whose text was learnt from this body before is not added again; then i is the one of that time.
func (t *table) learnOther(e entry) (i uint32) {
	if t.hasManyOthers() {
		t.indexLearnt()
		if i, ok := t.learntAs(e); ok {
			return i
		}
	}
	return t.learn(e)
}

// indexLearnt brings the index of what was learnt, by text, up to date. Of entries which are alike it has one.
func (t *table) indexLearnt() {
	n := uint32(t.entries.Len())
	if t.learnt == nil {
		t.learnt, t.learntTo = newIndex(64, n+64), t.base
	}
	if t.learntTo < n && (int(n-t.learntTo) > t.learnt.room || !t.learnt.takes(n)) {
		room := n - t.base + 16
		t.learnt.reset(int(room+room/2), n+room)
		t.learntTo = t.base // all of them anew
	}
	for ; t.learntTo < n; t.learntTo++ {
		e := t.entries.At(t.learntTo)
		if e.meta&(entryAlias|entryDropped) != 0 { // all others are different series
			if _, ok := t.learntAs(*e); ok {
				continue
			}
		}
		t.learnt.insert(e.hash, t.learntTo)
	}
}

// learntAs returns the entry that has e's text and stands for the same series, among those which are in the index.
func (t *table) learntAs(e entry) (uint32, bool) {
	for pos, ok := t.learnt.first(e.hash); ok; pos, ok = t.learnt.following(pos, e.hash) {
		i := t.learnt.at(pos)
		x := t.entries.At(i)
		if x.hash != e.hash || x.length() != e.length() || (x.meta^e.meta)&entryDropped != 0 {
			continue
		}
		if e.meta&entryDropped != 0 || i == e.set || x.meta&entryAlias != 0 && x.set == e.set {
			return i, true
		}
	}
	return 0, false
}
