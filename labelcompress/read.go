package labelcompress

// Readers take no lock. A label moves only by compaction, which copies it, changes its word (refs.go) to the new place,
// and takes the old slab out of the table of slabs when all its labels have moved. So a reader which finds no slab at
// the place that the word named has been overtaken, and looks again. It must not take another slab, which has got the
// old one's number in between, for the old one: the dictionary counts such reuse before the new slab is visible, and a
// reader that sees the count change looks again.
//
// Why that is enough: let a reader load the count, the word (naming slab number n) and the slab at n. If that is not the
// slab which the word meant, the slab it meant was taken out after the word was loaded, and the count was raised after
// that and before the other slab became visible; so the second load of the count differs from the first. And a slab's
// bytes are written before any word names them, and never again.

// Wire returns the label as remote write 1 carries it inside a TimeSeries: field tag, length, and the Label message.
// It is a view: read-only, and never changed.
func (d *Dict) Wire(r Ref) []byte {
	w := d.word(r)
	if w == nil {
		d.misused(r, "Wire")
		return nil
	}
	for {
		reused := d.reused.Load()
		v := w.Load()
		if v>>32 == 0 {
			d.misused(r, "Wire")
			return nil
		}
		checkPause()
		if s := d.slabAt(uint32(v)); s != nil && d.reused.Load() == reused {
			b := s.b[v&offsetMask:] // labelAt, which is not inlined
			if n := int(b[1]); n < 0x80 {
				return b[: n+2 : n+2]
			}
			return longLabel(b)
		}
	}
}

// Name returns the label's name as a view, like Wire.
func (d *Dict) Name(r Ref) []byte {
	name, _ := splitWire(d.Wire(r))
	return name
}

// Value returns the label's value as a view, like Wire.
func (d *Dict) Value(r Ref) []byte {
	_, value := splitWire(d.Wire(r))
	return value
}

// Label returns the label's name and value as views, like Wire.
func (d *Dict) Label(r Ref) (name, value []byte) { return splitWire(d.Wire(r)) }

// Is reports whether r, which the caller holds, is the label name=value.
func (d *Dict) Is(r Ref, name, value string) bool {
	w := d.Wire(r)
	return len(w) > 0 && isLabel(w, name, value)
}

// AppendWire appends the wire forms of refs to dst, which makes the labels of one TimeSeries. It borrows refs.
func (d *Dict) AppendWire(dst []byte, refs []Ref) []byte {
	for _, r := range refs {
		dst = append(dst, d.Wire(r)...)
	}
	return dst
}
