package streamparse

import "fmt"

// decodeHistogram decodes b, a Histogram, which may be a classic and a native one at once.
func (m *metric) decodeHistogram(b []byte) error {
	m.isDirty = true
	c, h := &m.classic, &m.native
	for i := 0; i < len(b); {
		if i+2 <= len(b) && b[i] == 3<<3|wireBytes && int(b[i+1]) < min(0x80, len(b)-i-1) { // most are buckets
			end := i + 2 + int(b[i+1])
			if err := m.decodeBucket(b[i+2 : end]); err != nil {
				return err
			}
			i = end
			continue
		}
		tag, next, err := field(b, i)
		if err != nil {
			return err
		}
		var sub []byte
		var v uint64
		switch tag {
		case 1<<3 | wireVarint:
			c.count, next, err = varint(b, next)
		case 2<<3 | wireFixed64:
			c.sum, next, err = fixed64(b, next)
		case 3<<3 | wireBytes:
			if sub, next, err = message(b, next); err == nil {
				err = m.decodeBucket(sub)
			}
		case 4<<3 | wireFixed64:
			c.countFloat, next, err = fixed64(b, next)
		case 5<<3 | wireVarint:
			v, next, err = varint(b, next)
			h.Schema = unzigzag32(v)
		case 6<<3 | wireFixed64:
			h.ZeroThreshold, next, err = fixed64(b, next)
		case 7<<3 | wireVarint:
			h.ZeroCount, next, err = varint(b, next)
		case 8<<3 | wireFixed64:
			h.ZeroCountFloat, next, err = fixed64(b, next)
		case 9<<3 | wireBytes:
			h.NegativeSpans, next, err = appendSpan(h.NegativeSpans, b, next)
		case 10<<3 | wireVarint, 10<<3 | wireBytes:
			h.NegativeDeltas, next, err = appendDelta(h.NegativeDeltas, b, next, tag&7)
		case 11<<3 | wireFixed64, 11<<3 | wireBytes:
			h.NegativeCounts, next, err = appendCount(h.NegativeCounts, b, next, tag&7)
		case 12<<3 | wireBytes:
			h.PositiveSpans, next, err = appendSpan(h.PositiveSpans, b, next)
		case 13<<3 | wireVarint, 13<<3 | wireBytes:
			h.PositiveDeltas, next, err = appendDelta(h.PositiveDeltas, b, next, tag&7)
		case 14<<3 | wireFixed64, 14<<3 | wireBytes:
			h.PositiveCounts, next, err = appendCount(h.PositiveCounts, b, next, tag&7)
		case 15<<3 | wireBytes:
			if sub, next, err = message(b, next); err == nil {
				err = decodeStamp(sub, &c.start)
			}
		case 16<<3 | wireBytes:
			if sub, next, err = message(b, next); err == nil {
				n := m.newExemplar()
				m.exemplars.list[n].isNative = true
				err = m.decodeExemplar(sub, n)
			}
		default:
			next, err = skip(b, next, tag, 16)
		}
		if err != nil {
			return err
		}
		i = next
	}
	return nil
}

func appendSpan(list []Span, b []byte, i int) ([]Span, int, error) {
	sub, end, err := message(b, i)
	if err != nil {
		return list, 0, err
	}
	var s Span
	for i := 0; i < len(sub); {
		tag, next, err := field(sub, i)
		if err != nil {
			return list, 0, err
		}
		var v uint64
		switch tag {
		case 1<<3 | wireVarint:
			v, next, err = varint(sub, next)
			s.Offset = unzigzag32(v)
		case 2<<3 | wireVarint:
			v, next, err = varint(sub, next)
			s.Length = uint32(v)
		default:
			next, err = skip(sub, next, tag, 2)
		}
		if err != nil {
			return list, 0, err
		}
		i = next
	}
	list = append(room(list), s)
	return list, end, tooMany(len(list))
}

// appendDelta appends one number, or as many as are packed.
func appendDelta(list []int64, b []byte, i int, wireType uint64) ([]int64, int, error) {
	if wireType == wireVarint {
		v, next, err := varint(b, i)
		list = append(room(list), unzigzag(v))
		if err == nil {
			err = tooMany(len(list))
		}
		return list, next, err
	}
	sub, end, err := message(b, i)
	for i := 0; i < len(sub) && err == nil; {
		list, i, err = appendDelta(list, sub, i, wireVarint)
	}
	return list, end, err
}

// appendCount appends one number, or as many as are packed.
func appendCount(list []float64, b []byte, i int, wireType uint64) ([]float64, int, error) {
	if wireType == wireFixed64 {
		v, next, err := fixed64(b, i)
		list = append(room(list), v)
		if err == nil {
			err = tooMany(len(list))
		}
		return list, next, err
	}
	sub, end, err := message(b, i)
	for i := 0; i < len(sub) && err == nil; {
		list, i, err = appendCount(list, sub, i, wireFixed64)
	}
	return list, end, err
}

// checkNative completes the native histogram, and refuses one whose spans are not those of its buckets.
func (m *metric) checkNative() error {
	c, h := &m.classic, &m.native
	h.Sum = normal(c.sum)
	h.IsFloat = c.countFloat > 0 || h.ZeroCountFloat > 0 || len(h.PositiveCounts) > 0 || len(h.NegativeCounts) > 0
	positive, negative := len(h.PositiveDeltas), len(h.NegativeDeltas)
	if h.IsFloat {
		h.CountFloat = c.countFloat
		positive, negative = len(h.PositiveCounts), len(h.NegativeCounts)
	} else {
		h.Count = c.count
	}
	if n := buckets(h.PositiveSpans); n != positive {
		return fmt.Errorf("positive spans of %d buckets, and %d buckets", n, positive)
	}
	if n := buckets(h.NegativeSpans); n != negative {
		return fmt.Errorf("negative spans of %d buckets, and %d buckets", n, negative)
	}
	if h.IsFloat { // the others mean nothing
		h.PositiveDeltas, h.NegativeDeltas, h.ZeroCount = h.PositiveDeltas[:0], h.NegativeDeltas[:0], 0
	}
	if validateSpans(h.PositiveSpans, positive) == nil && validateSpans(h.NegativeSpans, negative) == nil {
		h.compact() // else it stays as it is, for Validate to refuse
	}
	return nil
}

func buckets(spans []Span) int {
	n := 0
	for _, s := range spans {
		n += int(s.Length)
	}
	return n
}

// nativeExemplars returns those of a native histogram, or else of its classic buckets. Without a timestamp they are none.
func (m *metric) nativeExemplars() []Exemplar {
	m.ofNative = m.ofNative[:0]
	own := false
	for _, e := range m.exemplars.list {
		own = own || e.isNative
	}
	for _, e := range m.exemplars.list {
		if e.HasTimestamp && e.isNative == own {
			m.ofNative = append(room(m.ofNative), e)
		}
	}
	return m.ofNative
}
