package labelset

import (
	"encoding/binary"

	"scraper/labelcompress"
)

// additions is what label sets are added with: the one which is being added, and what finds its labels. A store has it from
// the first addition to EndAdditions: of the many targets which an agent knows, few have new series.
type additions struct {
	// texts finds a label's number.
	texts   texts
	slots   []byte
	numbers []uint32
	// former are the numbers of the label set that was added before. Series which follow each other have most labels in
	// common, at the same places: comparing a text costs less than hashing it.
	former []uint32
	// common are views of the store's common labels, of which those before next are done with.
	common []text
	next   int
	shapes shapeFinder
	// young has a bit for each number that was given since the last EndAdditions; isYoung says that the label set has such
	// a label.
	young   []uint64
	isYoung bool
}

type text struct{ name, value []byte }

// Begin starts a label set: one call of Label for each of its labels follows, in the order of their names, then End. When
// Label or End fails, with ErrShare, ErrTooMany, ErrFull or an error of the dictionary, the label set is gone, and nothing
// was acquired.
func (s *Store) Begin() {
	b := s.adding()
	b.slots, b.numbers, b.next, b.isYoung = b.slots[:0], b.numbers[:0], 0, false
	if len(b.common) < len(s.common) {
		for _, r := range s.common {
			name, value := s.dict.Label(r)
			b.common = append(b.common, text{name, value})
		}
	}
}

// Label adds a label to the label set. It borrows name and value. A label which the store does not know yet is interned.
func (s *Store) Label(name, value string) error {
	b := s.adds
	if len(b.slots) == MaxLabels {
		s.abandon()
		return tooMany(MaxLabels + 1)
	}
	for ; b.next < len(b.common); b.next++ {
		c := &b.common[b.next]
		if string(c.name) == name {
			if string(c.value) == value {
				b.next++
				b.slots = append(b.slots, byte(b.next))
				return nil
			}
		} else if string(c.name) > name {
			break
		}
	}
	n, err := s.numberOf(name, value)
	if err != nil {
		s.abandon()
		return err
	}
	b.slots = append(b.slots, shapeOwn)
	b.numbers = append(b.numbers, n)
	return nil
}

// numberOf returns the local number of a label, and counts one more use of it.
func (s *Store) numberOf(name, value string) (uint32, error) {
	if k := len(s.adds.numbers); k < len(s.adds.former) {
		n := s.adds.former[k]
		if l := s.locals.At(n); l.uses > 0 && s.dict.Is(l.ref, name, value) {
			l.uses++
			s.adds.noteAge(n)
			return n, nil
		}
	}
	s.index()
	full := s.dict.Hash(name, value)
	hash := uint32(full >> 32)
	for pos, ok := s.adds.texts.first(hash); ok; pos, ok = s.adds.texts.following(pos, hash) {
		n := s.adds.texts.at(pos)
		if l := s.locals.At(n); s.dict.Is(l.ref, name, value) {
			l.uses++
			s.adds.noteAge(n)
			return n, nil
		}
	}
	r, err := s.dict.InternHashed(full, name, value)
	if err != nil {
		return 0, err
	}
	return s.newNumber(r, hash)
}

// numberOfRef is numberOf for a reference, which it takes over.
func (s *Store) numberOfRef(r labelcompress.Ref) (uint32, error) {
	n, hash, ok := s.find(r)
	if !ok {
		return s.newNumber(r, hash)
	}
	s.dict.Release(r) // the store has one already
	s.locals.At(n).uses++
	s.adds.noteAge(n)
	return n, nil
}

// find returns the local number of r, and the hash that it has in the index.
func (s *Store) find(r labelcompress.Ref) (n, hash uint32, ok bool) {
	s.index()
	hash = uint32(s.dict.HashOf(r) >> 32)
	for pos, ok := s.adds.texts.first(hash); ok; pos, ok = s.adds.texts.following(pos, hash) {
		if n := s.adds.texts.at(pos); s.locals.At(n).ref == r {
			return n, hash, true
		}
	}
	return 0, hash, false
}

// newNumber gives a label which the store does not know a number, and takes over its reference.
func (s *Store) newNumber(r labelcompress.Ref, hash uint32) (n uint32, err error) {
	cost := s.dict.Cost(r)
	if s.maxLabelBytes > 0 && s.labelBytes+cost > s.maxLabelBytes {
		s.dict.Release(r)
		return 0, ErrShare
	}
	s.labelBytes += cost
	if k := len(s.free); k > 0 {
		n = s.free[k-1]
		s.free = s.free[:k-1]
		*s.locals.At(n) = local{r, 1}
	} else {
		n = s.locals.Push(local{r, 1})
	}
	s.adds.texts.insert(hash, n)
	s.adds.born(n)
	return n, nil
}

// born notes that a number was given to a new label, which the label set has.
func (b *additions) born(n uint32) {
	for uint32(len(b.young))*64 <= n {
		b.young = append(b.young, 0)
	}
	b.young[n/64] |= 1 << (n % 64)
	b.isYoung = true
}

// noteAge notes that the label set has the label with this number.
func (b *additions) noteAge(n uint32) {
	if n/64 < uint32(len(b.young)) && b.young[n/64]&(1<<(n%64)) != 0 {
		b.isYoung = true
	}
}

// IsYoung reports whether the label set which was added last has a label that the store did not know at the last
// EndAdditions. So none that it had then is the same.
func (s *Store) IsYoung() bool { return s.adds != nil && s.adds.isYoung }

// HasRoom reports whether the labels which are new to the store would fit into its share of the dictionary.
func (s *Store) HasRoom(refs []labelcompress.Ref) bool {
	if s.maxLabelBytes == 0 {
		return true
	}
	room := s.maxLabelBytes - s.labelBytes
	for _, r := range refs {
		if indexRef(s.common, r) >= 0 {
			continue
		}
		if _, _, ok := s.find(r); !ok {
			room -= s.dict.Cost(r)
		}
	}
	return room >= 0
}

// index makes sure that there is an index of the labels' texts.
func (s *Store) index() {
	if s.adding().texts.slots != nil {
		return
	}
	s.adds.texts = newTexts(s.locals.Len() + s.locals.Len()/8)
	for i := range uint32(s.locals.Len()) {
		if l := s.locals.At(i); l.uses > 0 {
			s.adds.texts.insert(uint32(s.dict.HashOf(l.ref)>>32), i)
		}
	}
}

// abandon gives up the label set which is being added.
func (s *Store) abandon() {
	for _, n := range s.adds.numbers {
		s.drop(n)
	}
	s.adds.slots, s.adds.numbers = s.adds.slots[:0], s.adds.numbers[:0]
}

// End stores the label set that Begin started, and returns its ID.
func (s *Store) End() (ID, error) { return s.end(false) }

// EndTimed is End for a series with timestamps of its own: eight more bytes keep the last one, NoLast at first.
func (s *Store) EndTimed() (ID, error) { return s.end(true) }

func (s *Store) end(timed bool) (ID, error) {
	b := s.adds
	shape := b.shapes.number(&s.shapes, b.slots)
	size := uvarintLen(shape)
	for _, n := range b.numbers {
		size += uvarintLen(n)
	}
	off, rec, ok := s.alloc(size, timed)
	if !ok {
		s.abandon()
		return 0, ErrFull
	}
	w := putUvarint(rec, shape)
	for _, n := range b.numbers {
		w += putUvarint(rec[w:], n)
	}
	b.former, b.numbers = b.numbers, b.former
	s.sets++
	return ID(off), nil
}

// alloc makes room for a record of size bytes.
func (s *Store) alloc(size int, timed bool) (off uint32, b []byte, ok bool) {
	n := size
	if timed {
		n += lastBytes
	}
	off, b, ok = s.arena.Alloc(n)
	if !ok || off+uint32(n) >= uint32(Reserved) {
		return 0, nil, false
	}
	s.liveBytes += n
	if timed {
		binary.LittleEndian.PutUint64(b, 1<<63) // NoLast
		off, b = off+lastBytes, b[lastBytes:]
	}
	return off, b, true
}

// EndAdditions drops what only additions need. It is to be called before many label sets are removed, which is dearer
// while it is there.
func (s *Store) EndAdditions() {
	s.adds = nil
}

// adding returns the store's additions, which it makes sure that there are.
func (s *Store) adding() *additions {
	if s.adds == nil {
		s.adds = new(additions)
	}
	return s.adds
}

// Settle is EndAdditions which also drops capacity that is not used.
func (s *Store) Settle() {
	s.EndAdditions()
	s.locals.Trim()
	s.arena.Trim()
	s.shapes.trim()
	if cap(s.free) > 64 && cap(s.free) > 4*len(s.free) {
		s.free = append([]uint32(nil), s.free...)
	}
}
