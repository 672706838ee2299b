package remotewrite

import (
	"sync"
	"sync/atomic"
	"time"

	"scraper/batch"
	"scraper/labelcompress"
	"scraper/relabel"
)

// group is destinations which receive the same blocks: nothing in their options makes a difference to what is encoded.
//
// Its fields but the lanes' are changed with Writer.mu held for writing, when nobody commits.
type group struct {
	key groupKey
	// maxOpen is how many bytes an open block has when it is closed.
	maxOpen int
	rules   *relabel.Rules // of all of them; nil if they have none
	short   func() bool    // Options.Short
	dests   []*destination
	lanes   []*lane
	codec   *codec
	clock   *flushClock
	sent    sentMetadata
}

// groupKey is what makes blocks different, but for rules.
type groupKey struct {
	flush         time.Duration
	maxRows       int
	maxBlockBytes int
	noMetadata    bool
	noExemplars   bool
	noHistograms  bool
}

func keyOf(d Destination) groupKey {
	return groupKey{
		flush: d.FlushInterval, maxRows: d.MaxRowsPerBlock, maxBlockBytes: d.MaxBlockBytes,
		noMetadata: d.NoMetadata, noExemplars: d.NoExemplars, noHistograms: d.NoHistograms,
	}
}

// unwanted reports whether rows of a kind are not sent.
func (k *groupKey) unwanted(kind batch.Kind) bool {
	switch kind {
	case batch.KindMetadata:
		return k.noMetadata
	case batch.KindExemplar:
		return k.noExemplars
	case batch.KindHistogram:
		return k.noHistograms
	default:
		return false
	}
}

// lane is one slot of a group: its open block. What has the same slot goes through the same lane, in the order in which
// it is committed.
type lane struct {
	slot     int
	deadline atomic.Int64 // when the open block is to be closed, by the flushClock; 0 when there is none
	bytes    atomic.Int64 // memory of the open block and of the cache
	cached   atomic.Int64 // of the cache

	mu    sync.Mutex
	open  builder
	full  bool          // the last block was closed since it was full, not since its time had come
	idle  bool          // since turn was called
	cache *relabelCache // nil without rules
	refs  []labelcompress.Ref
	// inline is the labels of a row whose labels are in no dictionary.
	inline inlineLabels
}

func newGroup(key groupKey, rules *relabel.Rules, o Options, c *codec, clock *flushClock, account *atomic.Int64) *group {
	g := &group{key: key, rules: rules, short: o.Short, codec: c, clock: clock}
	for slot := range o.Slots {
		l := &lane{slot: slot, open: newBuilder(o.Pool, account)}
		if rules != nil {
			l.cache = newRelabelCache(rules, maxCacheBytes/int64(o.Slots), key.maxBlockBytes)
		}
		g.lanes = append(g.lanes, l)
	}
	return g
}

// commit encodes a batch, which it borrows, and hands the blocks that are full to the destinations. It reports what was
// dropped.
func (g *group) commit(b *batch.Batch, slot int, now time.Time) (lost batch.Dropped) {
	l := g.lanes[slot]
	l.mu.Lock()
	defer l.mu.Unlock()
	wasOpen := l.open.items > 0
	l.idle = false
	dict := b.Sets.Dict()
	if l.cache != nil {
		l.cache.begin(dict, g.short(), now)
	}
	rows, read := 0, 0 // samples and histograms, and all
	// taken says that the last sample is in the open block. Its exemplars go where it goes: receivers take none alone.
	taken := false
	c := b.Cursor()
	for ; c.Next(); read++ {
		if g.key.unwanted(c.Kind) {
			taken = taken && c.Kind != batch.KindHistogram
			continue
		}
		if c.Kind == batch.KindMetadata {
			lost.QueueFull += g.commitMetadata(l, c.Metadata(), now)
			continue
		}
		if c.Kind == batch.KindExemplar {
			if !taken {
				continue
			}
		} else if rows++; g.isFull(&l.open) {
			lost.QueueFull += g.closeLocked(l, now)
			l.full = true
		}
		r := row{value: c.Value, tsMillis: c.TimestampMillis, startMillis: c.StartMillis, kind: c.Kind, payload: c.Payload}
		if c.Labels == nil {
			l.refs = c.AppendLabels(l.refs[:0])
			r.refs = l.refs
		} else {
			l.inline.set(c.Labels)
			r.labels = l.inline.ls.L
		}
		exemplar := c.Kind == batch.KindExemplar
		if l.cache != nil {
			if f := l.cache.apply(&r); f == dropped || f == tooLarge {
				lost.Relabeled += btoi(f == dropped && !exemplar)
				lost.TooLarge += btoi(f == tooLarge && !exemplar)
				taken = false
				continue
			}
		}
		if taken = l.open.append(dict, &r, g.key.maxBlockBytes); taken || exemplar {
			continue
		}
		if l.open.items > 0 {
			lost.QueueFull += g.closeLocked(l, now)
			l.full = true
			taken = l.open.append(dict, &r, g.key.maxBlockBytes)
		}
		lost.TooLarge += btoi(!taken)
	}
	if g.isFull(&l.open) {
		lost.QueueFull += g.closeLocked(l, now)
		l.full = true
	}
	for _, d := range g.dests {
		d.commit(rows, lost.Relabeled, lost.TooLarge)
	}
	l.open.endFamily()
	if l.open.items == 0 {
		l.open.discard() // a row too large may have left an empty one
		l.deadline.Store(0)
	} else if !wasOpen || l.deadline.Load() == 0 {
		l.deadline.Store(int64(g.clock.opened(now, g.key.flush, l.full)))
	}
	l.inline.forget()
	l.accountLocked()
	// The counts of what happened once count for each destination.
	lost.Relabeled *= len(g.dests)
	lost.TooLarge *= len(g.dests)
	if c.Err() != nil {
		lost.Unreadable = (b.Len() - read) * len(g.dests)
	}
	return lost
}

// isFull reports whether an open block takes no more rows.
func (g *group) isFull(b *builder) bool { return b.rows >= g.key.maxRows || b.used() >= g.maxOpen }

// closeLocked closes the lane's open block and hands it to all destinations. It returns how many samples their queues
// lost by it.
func (g *group) closeLocked(l *lane, now time.Time) (evicted int) {
	l.deadline.Store(0)
	var byProtocol [protocols]*block // each is encoded once
	for _, d := range g.dests {
		p := d.talk.protocol()
		if p != Protocol2 {
			d.leaveOut(l.open.custom.rows)
		}
		if !l.open.fits(p) {
			continue
		}
		if byProtocol[p] == nil {
			byProtocol[p] = g.codec.encode(&l.open, p, l.slot, now)
		}
		evicted += d.enqueue(byProtocol[p].retain())
	}
	for _, blk := range byProtocol {
		if blk != nil {
			blk.release()
		}
	}
	l.open.discard()
	return evicted
}

// flush closes the open blocks whose time has come by now, or all of them if now is zero.
func (g *group) flush(now time.Time) {
	for _, l := range g.lanes {
		at := l.deadline.Load()
		if !now.IsZero() && (at == 0 || at > int64(g.clock.at(now))) {
			continue
		}
		l.mu.Lock()
		if l.open.items > 0 {
			g.closeLocked(l, time.Now())
		}
		l.full = false
		l.accountLocked()
		l.mu.Unlock()
	}
}

// next is when the next open block is to be closed, by the flushClock; 0 when there is none.
func (g *group) next() (at time.Duration) {
	for _, l := range g.lanes {
		if d := time.Duration(l.deadline.Load()); d != 0 && (at == 0 || d < at) {
			at = d
		}
	}
	return at
}

// turn lets the caches of results age, and gives back the memory of lanes which nobody uses.
func (g *group) turn(now time.Time) {
	g.sent.turn(now)
	for _, l := range g.lanes {
		l.mu.Lock()
		if l.cache != nil {
			l.cache.finish() // there may be few batches
			l.cache.turn(now)
		}
		if l.idle && l.open.items == 0 {
			l.open.forget()
		}
		l.idle = true
		l.accountLocked()
		l.mu.Unlock()
	}
}

// boundCaches bounds what the lanes remember of the rules' results, together.
func (g *group) boundCaches(maxBytes int64) {
	for _, l := range g.lanes {
		l.mu.Lock()
		l.cache.bound(maxBytes / int64(len(g.lanes)))
		l.accountLocked()
		l.mu.Unlock()
	}
}

// shrink gives back what can be worked out again.
func (g *group) shrink() (released int64) {
	for _, l := range g.lanes {
		l.mu.Lock()
		if l.open.items == 0 {
			released += l.open.memory()
			l.open.forget()
		}
		if l.cache != nil {
			released += l.cache.memory()
			l.cache.close()
		}
		l.accountLocked()
		l.mu.Unlock()
	}
	return released
}

// close gives back what the group holds. Nothing is open.
func (g *group) close() {
	for _, l := range g.lanes {
		l.mu.Lock()
		l.open.forget()
		if l.cache != nil {
			l.cache.close()
		}
		l.deadline.Store(0)
		l.accountLocked()
		l.mu.Unlock()
	}
}

// accountLocked notes what the lane takes.
func (l *lane) accountLocked() {
	cached := int64(0)
	if l.cache != nil {
		cached = l.cache.memory()
	}
	l.cached.Store(cached)
	l.bytes.Store(l.open.memory() + cached)
}

// lockAll stops all lanes, so that nothing is committed to the group's destinations; unlock lets them go on.
func (g *group) lockAll() (openRows, openBytes int64, unlock func()) {
	for _, l := range g.lanes {
		l.mu.Lock()
		openRows += int64(l.open.rows)
		openBytes += l.open.memory()
	}
	return openRows, openBytes, func() {
		for _, l := range g.lanes {
			l.mu.Unlock()
		}
	}
}
