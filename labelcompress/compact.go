package labelcompress

import "sync/atomic"

// Compaction moves the labels which are left in mostly dead slabs into the open slab, worst slabs first. A slab with a
// share of u live bytes costs u/(1-u) copied bytes for each byte won; taking the worst first makes that far better than
// the average share suggests.
const (
	// compactShare: compaction is worth its work when more than one in compactShare bytes of the slabs is dead. Less
	// (10) copies up to nine bytes for a byte won; more (2) leaves slabs twice as large as the labels after a burst.
	compactShare = 5
	// quietShare is for a dictionary to which hardly anything is added: a burst is over, and what it left is gone for the
	// price of one more pass. More than quietPart of the labels being new since the last step is not quiet: then slabs would
	// be copied again and again for the little that is dead in each.
	quietShare = 20
	quietPart  = 256
	// pressureShare is for a dictionary at its limit, where the alternative is to refuse a label.
	pressureShare = 10

	// victimsPerScan is how many slabs one look at all slabs selects.
	victimsPerScan = 16
	// pagesPerLock is how many pages of Refs are visited in one go under Dict.mu.
	pagesPerLock = 256
)

// Compact moves labels out of mostly dead slabs, and drops pages of Refs that are not used any more, until at least
// four fifths of the slabs' bytes are alive or nothing more can be done. It returns by how many bytes the dictionary has
// shrunk meanwhile (zero when others made it grow). It is cheap when there is nothing to do, and may run beside
// everything else; only one runs at a time.
func (d *Dict) Compact() int64 {
	released, _ := d.compact(compaction{share: compactShare, whole: true})
	return released
}

// CompactStep is Compact bounded to about maxBytes of moved labels, but at least one slab (256 KiB) when there is one.
// Where hardly anything was added since the last step, it goes further: to a twentieth of dead bytes, and to an index
// without much room. It reports whether there is more to do.
func (d *Dict) CompactStep(maxBytes int64) (released int64, more bool) {
	c := compaction{share: compactShare, moveBytes: maxBytes}
	before := d.bytes.Load()
	if d.isQuiet() {
		c.share = quietShare
		d.tightenIndex()
	}
	d.mu.Lock()
	dead := d.deadLocked()
	if c.share == quietShare && dead < d.data.settled+d.data.slabBytes/quietShare {
		c.share = compactShare
	}
	d.mu.Unlock()
	_, moved := d.compact(c)
	released = max(0, before-d.bytes.Load())
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.share == quietShare {
		d.data.settled = 0
		if left := d.deadLocked(); (dead-left)*2*quietShare < moved { // the ends of slabs, into which no label fits
			d.data.settled = left
			return released, false
		}
	}
	return released, d.worthLocked(c.share) && len(d.victimsLocked(make([]*slab, 0, 1), c.share)) > 0
}

// isQuiet reports whether hardly anything was added since it was asked last.
func (d *Dict) isQuiet() bool {
	d.compactMu.Lock()
	defer d.compactMu.Unlock()
	added := uint64(0)
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		added += sh.added
		sh.mu.Unlock()
	}
	since := added - d.addedBefore
	d.addedBefore = added
	d.mu.Lock()
	defer d.mu.Unlock()
	return since <= uint64(d.ids.items/quietPart)
}

// compaction says how far one goes.
type compaction struct {
	share     int64 // one of those above
	moveBytes int64 // stop after so many, unless whole
	whole     bool
	limit     int64 // see fitsLocked
}

func (d *Dict) compact(c compaction) (released, moved int64) {
	d.compactMu.Lock()
	defer d.compactMu.Unlock()
	before := d.bytes.Load()
	// A dictionary which is above its limit, since that has fallen, may take one slab more in order to become smaller.
	if c.limit = d.maxBytes.Load(); before > c.limit {
		c.limit = before + maxSlabBytes + slabBytes
	}

	for !d.fileReady() {
	}
	d.mu.Lock()
	d.sealSparseLocked(c.share)
	budget := d.data.slabs // no slab that this run has filled is worth another visit
	d.mu.Unlock()

	var space [victimsPerScan]*slab
	for budget > 0 && (c.whole || moved < c.moveBytes || moved == 0) {
		d.mu.Lock()
		victims := space[:0]
		if worth := d.worthLocked(c.share); worth {
			victims = d.victimsLocked(victims, c.share)
			if len(victims) == 0 {
				d.giveUpLocked(c.share)
			}
		}
		d.mu.Unlock()
		if len(victims) == 0 {
			break
		}
		for i, s := range victims {
			if i > 0 && !c.whole && moved >= c.moveBytes {
				break
			}
			n, ok := d.evacuate(s, c.limit)
			moved += n
			budget--
			if !ok { // no room to move to
				d.mu.Lock()
				d.giveUpLocked(c.share)
				d.mu.Unlock()
				budget = 0
				break
			}
		}
	}
	for n := maxRefs / pageRefs; n > 0; {
		n = d.dropPages(n, pagesPerLock)
	}
	return max(0, before-d.bytes.Load()), moved
}

// fileReady files a part of the ready Refs with their pages, and reports whether none is left.
func (d *Dict) fileReady() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fileReadyLocked(pageRefs)
}

// worthLocked reports whether compaction is worth its work. Under pressure it is asked for each label that is refused,
// so what could not be won then is not tried again before there is more.
func (d *Dict) worthLocked(share int64) bool {
	dead := d.deadLocked()
	d.data.hopeless = min(d.data.hopeless, dead)
	if share == pressureShare {
		dead -= d.data.hopeless
		return dead >= minSlabBytes && (dead+d.data.hopeless)*share > d.data.slabBytes
	}
	return dead >= minSlabBytes && dead*share > d.data.slabBytes
}

// giveUpLocked records that what is dead now cannot be won.
func (d *Dict) giveUpLocked(share int64) {
	if share == pressureShare {
		d.data.hopeless = d.deadLocked()
	}
}

// sealSparseLocked ends the open slab where much of it is dead, or it is far too large for what the dictionary has become,
// so that it can be compacted like any other.
func (d *Dict) sealSparseLocked(share int64) {
	s := d.data.open
	if s == nil {
		return
	}
	size := int64(len(s.b))
	dead := int64(s.used - s.live)
	if size > 4*int64(slabSize(d.data.liveBytes)) || dead*share > size && d.worthLocked(share) {
		d.sealLocked()
	}
}

// victimsLocked appends to buf, up to its capacity, the sealed slabs of which the smallest part is alive, worst first,
// and none of which less than one in share bytes is dead.
func (d *Dict) victimsLocked(buf []*slab, share int64) []*slab {
	emptier := func(a, b *slab) bool { return int64(a.live)*int64(len(b.b)) < int64(b.live)*int64(len(a.b)) }
	for n := 0; n < d.data.limit; n++ {
		s := d.slabAt(uint32(n) << offsetBits)
		if s == nil || !s.sealed || s.own || (int64(len(s.b))-int64(s.live))*share < int64(len(s.b)) {
			continue
		}
		if len(buf) == cap(buf) {
			if !emptier(s, buf[len(buf)-1]) {
				continue
			}
			buf = buf[:len(buf)-1]
		}
		i := len(buf)
		buf = append(buf, s)
		for ; i > 0 && emptier(s, buf[i-1]); i-- {
			buf[i] = buf[i-1]
		}
		buf[i] = s
	}
	return buf
}

// evacuate moves the labels of a sealed slab elsewhere, which lets it go. It returns how many bytes it moved, and false
// when it had to stop because there is no room.
func (d *Dict) evacuate(s *slab, limit int64) (moved int64, ok bool) {
	d.mu.Lock()
	used := int(s.used)
	if s.live == 0 {
		used = 0 // gone meanwhile
	}
	d.mu.Unlock()
	for off := 0; off < used; {
		label := labelAt(s.b, uint32(off))
		n, ok := d.moveLabel(s, off, label, limit)
		if !ok {
			return moved, false
		}
		moved += int64(n)
		off += len(label)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.data.compactions++
	return moved, true
}

// moveLabel moves the label at off in s, if it is still in the dictionary. It returns the bytes moved, and false when
// there is no room.
func (d *Dict) moveLabel(s *slab, off int, label []byte, limit int64) (moved int, ok bool) {
	h := d.hashBytes(splitWire(label))
	sh := d.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	w := d.wordOf(&sh.table, uint32(h), s.loc(off))
	if w == nil || d.slabAt(s.loc(off)) != s { // dead, or all of s is, and its number is another slab's
		return 0, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	to, at := d.takeBytesLocked(len(label), limit)
	if to == nil {
		return 0, false
	}
	copy(to.b[at:], label)
	next := uint64(to.loc(at))
	for { // beside Acquire and Release of others
		v := w.Load()
		checkPause()
		if w.CompareAndSwap(v, v>>32<<32|next) {
			break
		}
	}
	d.data.moved += uint64(len(label))
	d.dropBytesLocked(s, len(label))
	return len(label), true
}

// wordOf returns the word of the label of table t which has hash h and lies at loc, or nil when there is none: what lies
// there is dead.
func (d *Dict) wordOf(t *table, h, loc uint32) *atomic.Uint64 {
	for i := t.home(h); i < len(t.slots) && t.slots[i] != 0 && uint32(t.slots[i]>>32) <= h; i++ {
		if uint32(t.slots[i]>>32) != h {
			continue
		}
		if w := d.word(Ref(t.slots[i])); uint32(w.Load()) == loc {
			return w
		}
	}
	return nil
}
