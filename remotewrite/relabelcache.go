package remotewrite

import (
	"math/rand/v2"
	"slices"
	"time"

	"scraper/labelcompress"
	"scraper/relabel"
)

const (
	// cacheAge is how long a generation of results is current. Results which are not used for two generations go, and
	// with them the dictionary's labels that they hold. Longer, and the labels of series which are gone stay for more than
	// three minutes; shorter, and series which are scraped every minute are relabeled each time.
	cacheAge = time.Minute
	// cacheSlab is the number of references in a slab, 16 KiB. What has more than that is not cached.
	cacheSlab = 4 << 10
	// cacheEntryBytes is what a result takes in the map, by measurement of Go's maps at their usual load.
	cacheEntryBytes = 40
	// cacheReleases is how many references of an old generation are given back with a batch, so that none waits for all.
	cacheReleases = 4096
	// maxCacheBytes is the most that one group's caches take: 35,000 label sets of ten labels, since those which are in use
	// are in both generations. leastCacheBytes is what each gets however small its part is: with less there are only ends of slabs.
	maxCacheBytes   = 8 << 20
	leastCacheBytes = 256 << 10
)

// relabelCache remembers what a destination's rules make of label sets. It belongs to a lane, whose lock guards it.
//
// A label set is its references, sorted by name. The cache holds the references of what it knows, the label sets as well
// as the results, so a reference in it never comes to mean another label. It is bounded: when a generation is full, what is
// not in it is worked out each time, which is slower and no different. So is what is new while memory is short, or the
// dictionary: what waits for room there are labels which are in use.
type relabelCache struct {
	rules    *relabel.Rules
	maxBytes int64 // of each of the two generations
	maxMade  int   // bytes that rules may make of one label set
	seed     uint64
	learns   bool // new results are remembered, in this batch

	dict      *labelcompress.Dict // what the references belong to
	cur, prev generation
	dying     [][]labelcompress.Ref
	turned    time.Time

	labels inlineLabels
}

// generation is results by the hash of their label set. A result lies in a slab: the label set, then what became of it.
type generation struct {
	entries map[uint64]cached
	slabs   [][]labelcompress.Ref
	bytes   int64
}

type cached struct {
	at   uint32 // slab and place in it
	in   uint16 // number of references of the label set
	out  uint16 // number of references of the result, behind the label set
	fate fate
}

// fate is what rules made of a label set.
type fate uint8

const (
	changed fate = iota
	unchanged
	dropped
	tooLarge // the rules would have made more than a block holds
)

// minMade is how many bytes rules may make of a label set in any case: what they need on the way is not all in the block.
const minMade = 64 << 10

// newRelabelCache returns a cache of maxBytes for rules, which may make maxMade bytes of one label set.
func newRelabelCache(rules *relabel.Rules, maxBytes int64, maxMade int) *relabelCache {
	return &relabelCache{rules: rules, maxBytes: maxBytes / 2, maxMade: max(maxMade, minMade), seed: rand.Uint64()}
}

// apply replaces the labels of r by what the rules make of them, and returns what became of them: the sample is kept unless
// it is dropped or tooLarge. The references of r are borrowed, and belong to the dictionary that begin was told; what
// replaces them is a view, valid until the next call.
func (c *relabelCache) apply(r *row) fate {
	if r.labels != nil {
		return c.applyInline(r)
	}
	h := c.hash(r.refs)
	e, slab, ok := c.cur.find(h, r.refs)
	if !ok {
		if e, slab, ok = c.prev.find(h, r.refs); ok {
			in, out := slab[:e.in], slab[e.in:][:e.out]
			if c.cur.add(h, in, out, e.fate, c.maxBytes) {
				for _, ref := range slab[:int(e.in)+int(e.out)] {
					c.dict.Acquire(ref)
				}
			}
		}
	}
	if !ok {
		return c.work(h, r)
	}
	if e.fate == changed {
		r.refs = slab[e.in:][:e.out]
	}
	return e.fate
}

// work applies the rules, and remembers the result if there is room for it.
func (c *relabelCache) work(h uint64, r *row) fate {
	c.labels.wire = c.dict.AppendWire(c.labels.wire[:0], r.refs)
	c.labels.set(c.labels.wire)
	f := c.relabel()
	labels := c.labels.ls.L
	if out, ok := c.remember(h, r.refs, labels, f); ok {
		r.refs = out
	} else {
		r.labels = labels
	}
	return f
}

// applyInline is apply for labels which are in no dictionary: nothing is remembered of them.
func (c *relabelCache) applyInline(r *row) fate {
	c.labels.ls.Reset()
	c.labels.ls.L = append(c.labels.ls.L, r.labels...)
	f := c.relabel()
	r.labels = c.labels.ls.L
	return f
}

// relabel replaces c's labels by what the rules make of them, sorted by name; nothing is left of what is not kept.
func (c *relabelCache) relabel() fate {
	ls := &c.labels.ls
	ls.MaxBytes = c.maxMade
	if !c.rules.Apply(ls) {
		ls.L = ls.L[:0]
		if ls.Err() != nil {
			return tooLarge
		}
	}
	ls.L = slices.DeleteFunc(ls.L, func(l relabel.Label) bool { return l.Value == "" })
	if len(ls.L) == 0 {
		return dropped
	}
	ls.Sort()
	return changed
}

// remember adds a result to the current generation, and returns the references of its labels there. It reports false when
// there is no room for it, here or in the dictionary.
func (c *relabelCache) remember(h uint64, in []labelcompress.Ref, labels []relabel.Label, f fate) ([]labelcompress.Ref, bool) {
	if !c.learns || !c.cur.fits(len(in)+len(labels), c.maxBytes) {
		return nil, false
	}
	out := make([]labelcompress.Ref, 0, len(labels))
	for _, l := range labels {
		ref, err := c.dict.InternString(l.Name, l.Value)
		if err != nil {
			for _, ref := range out {
				c.dict.Release(ref)
			}
			return nil, false
		}
		out = append(out, ref)
	}
	if f == changed && slices.Equal(in, out) {
		f = unchanged
		for _, ref := range out {
			c.dict.Release(ref) // the label set holds them too
		}
		out = out[:0]
	}
	c.cur.add(h, in, out, f, c.maxBytes)
	for _, ref := range in {
		c.dict.Acquire(ref)
	}
	if f == unchanged {
		return in, true
	}
	return out, true
}

func (c *relabelCache) hash(refs []labelcompress.Ref) uint64 {
	h := c.seed
	for _, r := range refs {
		h = (h ^ uint64(r)) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}

// begin is called before a batch whose references belong to dict. Short says that memory is.
func (c *relabelCache) begin(dict *labelcompress.Dict, short bool, now time.Time) {
	used, most := dict.Bytes(), dict.MaxBytes()
	// The last tenth of the dictionary is not for everybody. Before it comes to that, labels go which only caches hold.
	full := most > 0 && used > most/8*7
	if c.dict != dict || full && c.memory() > 0 {
		c.close()
		c.dict, c.turned = dict, now
	}
	c.learns = !short && (most == 0 || used < most/5*4)
	c.turn(now)
	c.release(cacheReleases)
}

// turn makes the current generation the previous one, when its time has come. It is called now and then, whether there are
// batches or not.
func (c *relabelCache) turn(now time.Time) {
	c.labels.forget()
	if now.Sub(c.turned) < cacheAge {
		return
	}
	c.finish()
	c.dying = c.prev.slabs
	c.prev, c.cur = c.cur, generation{}
	c.turned = now
}

// release gives back up to about n references of generations which are over.
func (c *relabelCache) release(n int) {
	for n > 0 && len(c.dying) > 0 {
		for _, ref := range c.dying[0] {
			c.dict.Release(ref)
		}
		n -= len(c.dying[0])
		c.dying[0] = nil
		c.dying = c.dying[1:]
	}
}

// finish gives back all that is left of generations which are over.
func (c *relabelCache) finish() {
	for len(c.dying) > 0 {
		c.release(cacheReleases)
	}
}

// bound changes how many bytes the cache takes.
func (c *relabelCache) bound(maxBytes int64) {
	c.maxBytes = maxBytes / 2
	if c.memory() > maxBytes {
		c.close()
	}
}

// memory is the bytes that the cache takes, without the dictionary's labels.
func (c *relabelCache) memory() int64 {
	return c.cur.bytes + c.prev.bytes + int64(len(c.dying))*cacheSlab*4
}

// close gives everything back. The cache may be used again.
func (c *relabelCache) close() {
	c.dying = slices.Concat(c.dying, c.prev.slabs, c.cur.slabs)
	c.finish()
	c.cur, c.prev, c.dying, c.dict = generation{}, generation{}, nil, nil
	c.labels = inlineLabels{}
}

// find returns the entry of a label set, and its references.
func (g *generation) find(h uint64, refs []labelcompress.Ref) (cached, []labelcompress.Ref, bool) {
	e, ok := g.entries[h]
	if !ok || int(e.in) != len(refs) {
		return e, nil, false
	}
	slab := g.slabs[e.at/cacheSlab][e.at%cacheSlab:]
	return e, slab, slices.Equal(slab[:e.in], refs)
}

// fits reports whether there is room for an entry with n references.
func (g *generation) fits(n int, maxBytes int64) bool {
	if n > cacheSlab {
		return false
	}
	more := int64(cacheEntryBytes)
	if k := len(g.slabs); k == 0 || len(g.slabs[k-1])+n > cacheSlab {
		more += cacheSlab * 4
	}
	return g.bytes+more <= maxBytes
}

// add stores an entry, and reports whether there was room for it. The references are its own from then on.
func (g *generation) add(h uint64, in, out []labelcompress.Ref, f fate, maxBytes int64) bool {
	n := len(in) + len(out)
	if !g.fits(n, maxBytes) {
		return false
	}
	if k := len(g.slabs); k == 0 || len(g.slabs[k-1])+n > cacheSlab {
		g.slabs = append(g.slabs, make([]labelcompress.Ref, 0, cacheSlab))
		g.bytes += cacheSlab * 4
	}
	if g.entries == nil {
		g.entries = make(map[uint64]cached)
	}
	k := len(g.slabs) - 1
	at := k*cacheSlab + len(g.slabs[k])
	g.slabs[k] = append(append(g.slabs[k], in...), out...)
	// Of two label sets with one hash the later one stays; the references of the other go with the generation.
	g.entries[h] = cached{at: uint32(at), in: uint16(len(in)), out: uint16(len(out)), fate: f}
	g.bytes += cacheEntryBytes
	return true
}
