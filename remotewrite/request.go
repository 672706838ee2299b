package remotewrite

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"iter"
	"strconv"
	"strings"

	"scraper/bufpool"
)

// request is an encoded block which is read again, to be divided by series. It knows of both protocols what they have in
// common: a series is a message of field 1 or 5, its identity is its fields 1, and each of its fields 2, and 4 or 3, is a
// sample or a histogram. All else (the symbols, metadata) belongs to every part.
type request struct {
	raw    *bufpool.Buf
	msgs   []message // of series, in order
	common []byte    // of fields of the whole request; encoded
	shared [][]byte  // the symbols, in order: views of raw
	series int       // different ones
}

// message is one series with its samples.
type message struct {
	from, to int // in request.raw, with tag and length
	body     int // where its fields begin
	series   int // the number of the series, by their first message
	rows     int
}

const (
	fieldSeries1  = 1 // of a request of protocol 1
	fieldSymbols2 = 4 // of protocol 2
	fieldSeries2  = 5
)

// openRequest decodes a block, which it borrows. The caller must close the request.
func (d *destination) openRequest(blk *block) (*request, error) {
	raw, err := d.codec.unpack(blk)
	if err != nil {
		return nil, err
	}
	r := &request{raw: raw}
	if err := r.index(blk.rows); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *request) close() { r.raw.Release() }

// index finds the series. There must be rows samples.
func (r *request) index(rows int) error {
	seed := maphash.MakeSeed()
	numbers := make(map[uint64]int)
	found := 0
	err := eachField(r.raw.B, func(num, from, body, to int) error {
		msg, histograms := r.raw.B[body:to], 0
		switch num {
		case fieldSeries1:
			histograms = 4
		case fieldSeries2:
			histograms = 3
		case fieldSymbols2:
			r.shared = append(r.shared, msg)
			fallthrough
		default:
			r.common = append(r.common, r.raw.B[from:to]...)
			return nil
		}
		var h maphash.Hash
		h.SetSeed(seed)
		m := message{from: from, to: to, body: body}
		err := eachField(msg, func(num, _, body, to int) error {
			switch num {
			case 1:
				_, _ = h.Write(msg[body:to])
				_ = h.WriteByte(0xff)
			case 2, histograms:
				m.rows++
			}
			return nil
		})
		n, ok := numbers[h.Sum64()]
		if !ok {
			n = len(numbers)
			numbers[h.Sum64()] = n
		}
		m.series = n
		found += m.rows
		r.msgs = append(r.msgs, m)
		return err
	})
	r.series = len(numbers)
	if err == nil && found != rows {
		return fmt.Errorf("%w: %d samples, want %d", errEncoding, found, rows)
	}
	return err
}

// rows is the number of samples of the series from..to-1.
func (r *request) rows(from, to int) (n int) {
	for _, m := range r.msgs {
		if m.series >= from && m.series < to {
			n += m.rows
		}
	}
	return n
}

// parts are the request with the series from..to-1 alone, in views of it.
func (r *request) parts(from, to int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !yield(r.common) {
			return
		}
		for _, m := range r.msgs {
			if m.series >= from && m.series < to && !yield(r.raw.B[m.from:m.to]) {
				return
			}
		}
	}
}

// cut returns the block of the series from..to-1, with one holder. It is like blk but for that: of protocol 2's symbols it has
// those of its own series, or pieces of a block with long labels would hardly be smaller, and each piece would have the words
// that the receiver does not like.
func (d *destination) cut(r *request, blk *block, from, to int) *block {
	size := 0
	for part := range r.parts(from, to) {
		size += len(part)
	}
	piece := d.codec.pack(r.parts(from, to), size, blk, r.rows(from, to))
	if piece.protocol != Protocol2 {
		return piece
	}
	own, err := d.codec.recode(piece, Protocol2)
	if err != nil || own == nil {
		return piece
	}
	piece.release()
	return own
}

// seriesText is the name and labels of a series, as far as a log can take them.
func (r *request) seriesText(series int) string {
	for _, m := range r.msgs {
		if m.series == series {
			return r.messageText(r.raw.B[m.body:m.to])
		}
	}
	return ""
}

func (r *request) messageText(msg []byte) string {
	name, rest := "", ""
	add := func(label, value string) {
		if label == "__name__" {
			name = value
			return
		}
		if rest != "" {
			rest += ", "
		}
		rest += label + "=" + strconv.Quote(value)
	}
	_ = eachField(msg, func(num, _, body, to int) error {
		if num != 1 || len(rest) > maxSeriesText {
			return nil
		}
		if r.shared == nil {
			add(labelOf(msg[body:to]))
			return nil
		}
		for refs := msg[body:to]; len(refs) > 0; {
			label, a := binary.Uvarint(refs)
			value, b := binary.Uvarint(refs[max(a, 0):])
			if a <= 0 || b <= 0 || label >= uint64(len(r.shared)) || value >= uint64(len(r.shared)) {
				return errEncoding
			}
			add(string(r.shared[label]), string(r.shared[value]))
			refs = refs[a+b:]
		}
		return nil
	})
	text := name + "{" + rest + "}"
	if len(text) > maxSeriesText {
		return strings.ToValidUTF8(text[:maxSeriesText], "") + "…"
	}
	return text
}

func labelOf(msg []byte) (name, value string) {
	_ = eachField(msg, func(num, _, body, to int) error {
		switch num {
		case 1:
			name = string(msg[body:to])
		case 2:
			value = string(msg[body:to])
		}
		return nil
	})
	return name, value
}

// eachField calls f for each field of a message: from is where its tag begins, body where its content does, and to is its
// end. Of numbers the content is as it is encoded.
func eachField(b []byte, f func(num, from, body, to int) error) error {
	for at := 0; at < len(b); {
		tag, n := binary.Uvarint(b[at:])
		if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29 {
			return errEncoding
		}
		body, size := at+n, 0
		switch tag & 7 {
		case 0:
			_, size = binary.Uvarint(b[body:])
			if size <= 0 {
				return errEncoding
			}
		case 1:
			size = 8
		case 2:
			l, n := binary.Uvarint(b[body:])
			if n <= 0 || l > uint64(len(b)) {
				return errEncoding
			}
			body, size = body+n, int(l)
		case 5:
			size = 4
		default:
			return errEncoding
		}
		if size > len(b)-body {
			return errEncoding
		}
		if err := f(int(tag>>3), at, body, body+size); err != nil {
			return err
		}
		at = body + size
	}
	return nil
}
