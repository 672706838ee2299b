// Package labelcompress is the agent's dictionary of labels: every distinct pair of name and value is stored once, and
// named by a small integer, a Ref. Its job is to keep the label bytes small, bounded and countable. It knows nothing of
// series, of relabeling or of what a label means.
//
// A label is stored as remote write 1 carries it inside a TimeSeries message, so that encoding a series is one copy per
// label. The bytes lie in slabs without pointers: however many labels there are, the garbage collector has nothing to
// walk. References are counted. The last Release takes the label out of the dictionary at once; its number is given to
// another label only after every Block which was open at that moment is closed. Compact moves the labels which are left
// in mostly dead slabs together and lets the old slabs go.
//
// Concurrency: all methods are safe for concurrent use. Readers (Wire, Name, Value, Label, AppendWire) and Acquire take
// no lock and run beside interning, releasing and compaction. Locks are taken in the order compactMu, shard.mu, Dict.mu.
// The package starts no goroutine.
//
// Ownership: Intern borrows what it is given. A view which a reader returned is never written again and never goes to a
// pool: it stays readable for as long as the caller keeps it, but keeps a whole slab (at most 256 KiB, or one long
// label) alive, so keep copies or references, not views.
//
// Read labelcompress.go first, then index.go (from text to Ref), refs.go (from Ref to place), slabs.go (the bytes),
// compact.go and block.go.
package labelcompress

import (
	"errors"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Ref names one label (a pair of name and value) in a Dict. Zero is never a valid Ref. Free numbers are given again, those
// in the lowest pages of 512 first, so that numbers stay short where they are written as variable-length integers.
//
// Using a Ref without holding a reference is a broken contract. Builds with the race detector or the bufcheck tag panic
// where they see it. Others count it (Stats.Misuses); they never touch foreign memory, but may return nothing or
// another label.
type Ref uint32

// Options configure a Dict. The zero value is a dictionary without a limit.
type Options struct {
	// MaxBytes bounds Stats.Bytes: all memory of the dictionary, not only the labels' text. A label which is not known
	// yet and does not fit is refused with a *FullError; one which is known never is. Zero or less is no limit of its
	// own (what 32 bits can address remains: 4 GiB of slabs).
	MaxBytes int64
}

// Dict is the dictionary. Make one with New. It must not be copied.
type Dict struct {
	seed     maphash.Seed
	maxBytes atomic.Int64 // 0 is unlimited; changed with mu held, as internBytes is
	// internBytes is what interning may use of maxBytes. One slab is left to Compact, which must be able to move labels
	// in a dictionary that is full of dead ones.
	internBytes atomic.Int64

	pages [pageTops]atomic.Pointer[pageTable]
	slabs [slabTops]atomic.Pointer[slabTable]
	// reused counts how often a slab's number was given to another slab; readers use it to notice that it happened while
	// they looked (see read.go).
	reused atomic.Uint64

	bytes    atomic.Int64 // memory account; changed with mu held
	misuses  atomic.Uint64
	rejected atomic.Uint64
	lastFull atomic.Pointer[FullError]

	shards [shardCount]shard

	compactMu   sync.Mutex // held by the one compaction that runs
	addedBefore uint64     // labels, up to the last CompactStep

	mu   sync.Mutex
	ids  idState
	data slabState
}

// New returns an empty dictionary.
func New(opts Options) *Dict {
	d := &Dict{seed: maphash.MakeSeed()}
	d.bytes.Store(dictBytes)
	d.SetMaxBytes(opts.MaxBytes)
	return d
}

// SetMaxBytes changes Options.MaxBytes, from now on. A dictionary which is larger keeps its labels, and takes no new one
// until it is smaller, by what is released and by Compact.
func (d *Dict) SetMaxBytes(n int64) {
	n = max(0, n)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.maxBytes.Store(n)
	d.internBytes.Store(n - int64(slabSize(n)))
}

// Intern returns the reference of the label name=value, storing the label when it is new, and acquires it once for the
// caller. It borrows both. It fails with a *FullError (errors.Is ErrFull) when a new label does not fit into
// Options.MaxBytes, and with a *TooLongError when it is longer than MaxLabelBytes.
func (d *Dict) Intern(name, value []byte) (Ref, error) {
	return intern(d, d.hashBytes(name, value), name, value)
}

// InternString is Intern for strings. It does not allocate for a label which is known.
func (d *Dict) InternString(name, value string) (Ref, error) {
	return intern(d, d.Hash(name, value), name, value)
}

// Hash returns the label's hash in this dictionary, for who keeps an index of its own.
func (d *Dict) Hash(name, value string) uint64 {
	return mix(maphash.String(d.seed, name), maphash.String(d.seed, value))
}

// HashOf is Hash of a label which the caller holds.
func (d *Dict) HashOf(r Ref) uint64 { return d.hashBytes(splitWire(d.Wire(r))) }

// InternHashed is InternString for a label whose Hash is known.
func (d *Dict) InternHashed(h uint64, name, value string) (Ref, error) {
	return intern(d, h, name, value)
}

// Acquire adds a holder to r, which the caller must hold already, itself or through somebody who keeps it meanwhile.
func (d *Dict) Acquire(r Ref) {
	w := d.word(r)
	if w == nil {
		d.misused(r, "Acquire")
		return
	}
	if v := w.Add(oneHolder); v>>32 == 1 {
		w.Add(^uint64(oneHolder - 1))
		d.misused(r, "Acquire")
	}
}

// Release drops one holder of r. With the last one the label is taken out: an Intern of the same text gives another
// Ref, and r itself names another label as soon as the blocks which are open now are closed.
func (d *Dict) Release(r Ref) {
	w := d.word(r)
	if w == nil {
		d.misused(r, "Release")
		return
	}
	v := w.Load()
	for ; v>>32 > 1; v = w.Load() {
		if w.CompareAndSwap(v, v-oneHolder) {
			return
		}
	}
	if v>>32 == 0 {
		d.misused(r, "Release")
		return
	}
	// This seems to be the last holder. Only the shard's lock decides, since an Intern under it may have made a new one.
	h := d.hashBytes(splitWire(d.Wire(r)))
	sh := d.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for v = w.Load(); v>>32 != 0 && !w.CompareAndSwap(v, v-oneHolder); {
		v = w.Load()
	}
	if v>>32 > 1 {
		return
	}
	if v>>32 == 0 || !sh.table.remove(uint32(h), r) {
		d.misused(r, "Release")
		return
	}
	d.shrinkIndex(sh)
	d.free(r, uint32(v))
}

// free gives back the place and the number of a label which is no longer in the index.
func (d *Dict) free(r Ref, loc uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.slabAt(loc)
	d.dropBytesLocked(s, len(labelAt(s.b, loc)))
	d.freeIDLocked(r)
	d.ids.items--
}

// intern finds or adds a label whose hash is h.
func intern[T []byte | string](d *Dict, h uint64, name, value T) (Ref, error) {
	r, err := internOnce(d, h, name, value)
	if err == nil || !errors.Is(err, ErrFull) {
		return r, err
	}
	// What was released may still lie in mostly dead slabs. Where nothing is to be had this costs little.
	if released, moved := d.compact(compaction{share: pressureShare, whole: true}); released+moved > 0 {
		r, err = internOnce(d, h, name, value)
	}
	if err != nil {
		d.rejected.Add(1)
	}
	return r, err
}

func internOnce[T []byte | string](d *Dict, h uint64, name, value T) (Ref, error) {
	sh := d.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if r := find(d, &sh.table, uint32(h), name, value); r != 0 {
		d.word(r).Add(oneHolder)
		sh.hits++
		return r, nil
	}
	return add(d, sh, uint32(h), name, value)
}

// find returns the reference of a label, or zero. The caller holds the lock of t's shard, so no label of t moves.
func find[T []byte | string](d *Dict, t *table, h uint32, name, value T) Ref {
	for i := t.home(h); i < len(t.slots); i++ {
		slot := t.slots[i]
		if slot == 0 || uint32(slot>>32) > h {
			return 0
		}
		if uint32(slot>>32) != h {
			continue
		}
		r := Ref(slot)
		loc := uint32(d.word(r).Load())
		if isLabel(labelAt(d.slabAt(loc).b, loc), name, value) {
			return r
		}
	}
	return 0
}

// add stores a label which is not in the dictionary, with one holder. The caller holds sh's lock.
func add[T []byte | string](d *Dict, sh *shard, h uint32, name, value T) (Ref, error) {
	n := wireBytes(len(name), len(value))
	if n > MaxLabelBytes {
		return 0, &TooLongError{Bytes: n}
	}
	at, gap, ok := sh.table.place(h)
	for !ok {
		if !d.growIndex(sh) {
			return 0, d.full()
		}
		at, gap, ok = sh.table.place(h)
	}
	d.mu.Lock()
	if !d.fitsLocked(0, d.maxBytes.Load()) { // since the limit has fallen: what room there is in its slabs is not used
		d.mu.Unlock()
		return 0, d.full()
	}
	r, w := d.takeIDLocked()
	if r == 0 {
		d.mu.Unlock()
		return 0, d.full()
	}
	s, off := d.takeBytesLocked(n, d.internBytes.Load())
	if s == nil {
		d.returnIDLocked(r)
		d.mu.Unlock()
		return 0, d.full()
	}
	putWire(s.b[off:off+n], name, value)
	d.ids.items++
	d.mu.Unlock()

	w.Store(oneHolder | uint64(s.loc(off)))
	sh.table.put(at, gap, uint64(h)<<32|uint64(r))
	sh.added++
	return r, nil
}

func (d *Dict) hashBytes(name, value []byte) uint64 {
	return mix(maphash.Bytes(d.seed, name), maphash.Bytes(d.seed, value))
}

// mix makes one hash of a name's and a value's. It is not symmetric, and the rotation keeps it from losing bits where
// both are the same text.
func mix(name, value uint64) uint64 {
	const odd = 0x9e3779b97f4a7c15
	return bits.RotateLeft64(name, 32)*odd + value
}

// misused records the use of a Ref that nobody holds.
func (d *Dict) misused(r Ref, method string) {
	d.misuses.Add(1)
	checkFail(r, method)
}
