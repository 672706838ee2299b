// Package labelset keeps the label sets of one target's series in a few bytes each.
//
// A label set is a list of references into the label dictionary, sorted by label name. The store writes it as a record of
// variable-length integers: a shape, and one target-local number per label. The labels which all series of a target share
// (its target labels) stand once, as the store's common labels; the shape says where they go among the others, so a
// record does not mention them. Records lie one after the other in an arena of slabs without pointers.
//
// Labels are sorted by name, and a label has one number, so two records of a store are equal byte by byte exactly when
// their label sets are. Series identity rests on that.
//
// The store owns one dictionary reference per distinct label that its records use, and gives it back with the last of
// them, or with Close. Concurrency: one goroutine at a time; several may call AppendRefs as long as nothing changes the
// store. Read labelset.go first, then build.go (how label sets are added) and compact.go.
package labelset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"scraper/internal/slab"
	"scraper/labelcompress"
)

// ID names a label set of a Store: its record's place in the arena. It is valid until Remove, or until a compaction moves it.
type ID uint32

// Reserved is the smallest number which is never an ID: callers may keep marks in the values from here on.
const Reserved ID = 1 << 30

// lastBytes precede a record which was made with AddTimed.
const lastBytes = 8

// NoLast is the last timestamp of a timed label set which has none yet.
const NoLast int64 = -1 << 63

// ErrTooMany says that a label set has more than MaxLabels labels.
var ErrTooMany = errors.New("too many labels in one series")

// ErrShare says that a label set was not stored because the store's labels may take no more of the dictionary.
var ErrShare = errors.New("the target's labels take all that one target may have of the dictionary")

// ErrFull says that the target's label sets take a gigabyte, which is all that their IDs can address.
var ErrFull = errors.New("the target has too many series; sample_limit would refuse it earlier")

func tooMany(n int) error {
	return fmt.Errorf("%w: %d; label_limit would refuse it earlier", ErrTooMany, n)
}

// local is what a target-local number stands for. A number without uses is free.
type local struct {
	ref  labelcompress.Ref
	uses uint32
}

// maxCommon is how many common labels a slot can name.
const maxCommon = 255

// MaxLabels is the most labels that one label set can have. A record of that many still fits into one slab whatever its
// numbers are, and nothing which is a series has as many.
const MaxLabels = 30_000

// Store holds the label sets of one target.
type Store struct {
	dict   *labelcompress.Dict
	common []labelcompress.Ref

	locals slab.Vec[local]
	free   []uint32
	adds   *additions // nil while nothing is added

	shapes shapes

	arena     slab.Bytes
	liveBytes int
	sets      int

	labelBytes    int64 // of the dictionary, for what locals hold
	maxLabelBytes int64 // 0: no limit
}

// New returns an empty store over dict. Common are the labels that most of the target's series share, sorted by name;
// the store takes ownership of one reference of each.
func New(dict *labelcompress.Dict, common []labelcompress.Ref) *Store {
	s := &Store{dict: dict, common: common}
	if len(common) > maxCommon { // the rest are ordinary labels then
		s.common = common[:maxCommon]
		for _, r := range common[maxCommon:] {
			dict.Release(r)
		}
	}
	return s
}

// LabelBytes is what the store's labels take in the dictionary, in bytes as labelcompress.Dict.Cost counts them. Others may
// have the same labels.
func (s *Store) LabelBytes() int64 { return s.labelBytes }

// LimitLabels sets how much of the dictionary the store's labels may take, in bytes as labelcompress.Dict.Cost counts them;
// labels which other stores hold too count in full. Zero is no limit.
func (s *Store) LimitLabels(bytes int64) { s.maxLabelBytes = bytes }

// Dict is the dictionary that the store's references belong to.
func (s *Store) Dict() *labelcompress.Dict { return s.dict }

// Len is the number of label sets.
func (s *Store) Len() int { return s.sets }

// Add stores the label set refs, which must be sorted by name, and returns its ID. It takes ownership of one reference of
// each of refs, also when it fails: with ErrShare, ErrTooMany or ErrFull.
func (s *Store) Add(refs []labelcompress.Ref) (ID, error) { return s.add(refs, false) }

// AddTimed is Add as EndTimed is End.
func (s *Store) AddTimed(refs []labelcompress.Ref) (ID, error) { return s.add(refs, true) }

func (s *Store) add(refs []labelcompress.Ref, timed bool) (ID, error) {
	if len(refs) > MaxLabels {
		for _, r := range refs {
			s.dict.Release(r)
		}
		return 0, tooMany(len(refs))
	}
	s.Begin()
	b := s.adding()
	for i, r := range refs {
		if k := indexRef(s.common[b.next:], r); k >= 0 {
			b.next += k + 1
			b.slots = append(b.slots, byte(b.next))
			s.dict.Release(r)
			continue
		}
		n, err := s.numberOfRef(r)
		if err != nil {
			s.abandon()
			for _, r := range refs[i+1:] {
				s.dict.Release(r)
			}
			return 0, err
		}
		b.slots = append(b.slots, shapeOwn)
		b.numbers = append(b.numbers, n)
	}
	return s.end(timed)
}

// drop takes back one use of the local number n.
func (s *Store) drop(n uint32) {
	l := s.locals.At(n)
	if l.uses--; l.uses > 0 {
		return
	}
	if s.adds != nil && s.adds.texts.slots != nil {
		s.adds.texts.remove(uint32(s.dict.HashOf(l.ref)>>32), n)
	}
	s.labelBytes -= s.dict.Cost(l.ref)
	s.dict.Release(l.ref)
	l.ref = 0
	s.free = append(s.free, n)
}

// AppendRefs appends the label set id to dst, sorted by name. The references are borrowed from the store.
func (s *Store) AppendRefs(dst []labelcompress.Ref, id ID) []labelcompress.Ref {
	b := s.arena.From(uint32(id))
	shape, n := uvarint(b)
	b = b[n:]
	slots := s.shapes.at(shape)
	for i := range slots {
		if k := slots[i]; k != shapeOwn {
			dst = append(dst, s.common[k-1])
			continue
		}
		x, n := uvarint(b)
		b = b[n:]
		dst = append(dst, s.locals.At(x).ref)
	}
	return dst
}

// Record returns a view of the bytes which are the same for two label sets of this store exactly when their labels are.
// It is valid until the store changes.
func (s *Store) Record(id ID) []byte {
	b := s.arena.From(uint32(id))
	shape, n := uvarint(b)
	for _, slot := range s.shapes.at(shape) {
		if slot == shapeOwn {
			for b[n] >= 0x80 {
				n++
			}
			n++
		}
	}
	return b[:n:n]
}

// Hash returns a hash of the label set's labels: the same for the same labels in all stores of one dictionary, whenever.
func (s *Store) Hash(id ID) uint64 {
	b := s.arena.From(uint32(id))
	shape, n := uvarint(b)
	b = b[n:]
	slots := s.shapes.at(shape)
	h := uint64(len(slots))
	for i := range slots {
		var r labelcompress.Ref
		if k := slots[i]; k != shapeOwn {
			r = s.common[k-1]
		} else {
			x, n := uvarint(b)
			b = b[n:]
			r = s.locals.At(x).ref
		}
		// An odd factor loses nothing, and makes the order count.
		h = bits.RotateLeft64(h, 23)*0x9e3779b97f4a7c15 ^ s.dict.HashOf(r)
	}
	return h
}

// Remove releases the label set id, which was made by Add, or by AddTimed if timed is set.
func (s *Store) Remove(id ID, timed bool) {
	rec := s.Record(id)
	s.liveBytes -= len(rec)
	if timed {
		s.liveBytes -= lastBytes
	}
	_, n := uvarint(rec)
	for rec = rec[n:]; len(rec) > 0; {
		x, n := uvarint(rec)
		rec = rec[n:]
		s.drop(x)
	}
	s.sets--
}

// Undo is Remove for the label set which was added last; its place is used again.
func (s *Store) Undo(id ID, timed bool) {
	s.Remove(id, timed)
	if timed {
		id -= lastBytes
	}
	s.arena.Undo(uint32(id))
}

// Timed moves the label set id, which was made by Add, to one with room for a timestamp, and returns its new ID. The old
// one can still be read until the next compaction, but is not to be removed.
func (s *Store) Timed(id ID) (ID, error) {
	rec := s.Record(id)
	off, b, ok := s.alloc(len(rec), true)
	if !ok {
		return 0, ErrFull
	}
	copy(b, s.Record(id)) // the arena may have moved
	s.liveBytes -= len(b)
	return ID(off), nil
}

// Last is the timestamp in milliseconds which SetLast kept for id, NoLast if none. Only for timed label sets.
func (s *Store) Last(id ID) int64 {
	return int64(binary.LittleEndian.Uint64(s.arena.From(uint32(id) - lastBytes)))
}

// SetLast keeps a timestamp for id. Only for timed label sets.
func (s *Store) SetLast(id ID, tsMillis int64) {
	binary.LittleEndian.PutUint64(s.arena.From(uint32(id)-lastBytes), uint64(tsMillis))
}

// Close releases all references. The store is empty afterwards, and not to be used.
func (s *Store) Close() {
	for i := range uint32(s.locals.Len()) {
		if l := s.locals.At(i); l.uses > 0 {
			s.dict.Release(l.ref)
		}
	}
	for _, r := range s.common {
		s.dict.Release(r)
	}
	*s = Store{dict: s.dict}
}

// Bytes is the memory that the store takes, without the dictionary, in bytes.
func (s *Store) Bytes() int64 {
	n := s.arena.Cap() + s.locals.Cap()*8 + cap(s.free)*4 + cap(s.common)*4 + s.shapes.bytes()
	if b := s.adds; b != nil {
		n += len(b.texts.slots)*8 + cap(b.slots) + (cap(b.numbers)+cap(b.former))*4 + cap(b.common)*48 + cap(b.young)*8 +
			b.shapes.bytes()
	}
	return int64(n)
}

func indexRef(refs []labelcompress.Ref, r labelcompress.Ref) int {
	for i, x := range refs {
		if x == r {
			return i
		}
	}
	return -1
}

// uvarint is binary.Uvarint for the numbers that this package wrote itself, in a form that inlines.
func uvarint(b []byte) (uint32, int) {
	if b[0] < 0x80 {
		return uint32(b[0]), 1
	}
	return uvarintLong(b)
}

func uvarintLong(b []byte) (uint32, int) {
	if b[1] < 0x80 {
		return uint32(b[0]&0x7f) | uint32(b[1])<<7, 2
	}
	x, n := binary.Uvarint(b)
	return uint32(x), n
}

func uvarintLen(x uint32) int {
	n := 1
	for x >= 0x80 {
		x >>= 7
		n++
	}
	return n
}
