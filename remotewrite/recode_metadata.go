package remotewrite

import (
	"bytes"
	"fmt"
	"math"

	"scraper/batch"
)

// Metadata of a request which is read. Version 1 has them by family, so the series of a family are found by their names;
// version 2 has them by series, so the family is found by the series' name and type.

// seriesFamily is what a series of version 2 says of its family.
type seriesFamily struct {
	name       string
	typ        uint8
	help, unit uint64 // symbols
}

// metadata1 reads the metadata of a request of version 1, which it borrows.
func (d *decoder) metadata1(msg []byte) error {
	f := field{rest: msg}
	for f.next() {
		if !f.is(3, wireBytes) {
			continue
		}
		var m batch.Metadata
		p := field{rest: f.data}
		for p.next() {
			switch {
			case p.is(1, wireVarint):
				m.Type = uint8(p.v)
			case p.is(2, wireBytes):
				m.Family = p.data
			case p.is(4, wireBytes):
				m.Help = p.data
			case p.is(5, wireBytes):
				m.Unit = p.data
			}
		}
		if p.err != nil {
			return p.err
		}
		d.b.beginFamily(m, true, math.MaxInt)
		if d.families == nil {
			d.families = make(map[string]int)
		}
		d.families[string(m.Family)] = d.b.family.number
	}
	d.b.endFamily()
	return f.err
}

// beginFamily says of which family the series is whose labels were read, and which it borrows.
func (d *decoder) beginFamily(series []byte) error {
	if d.symbols == nil {
		d.beginFamily1()
		return nil
	}
	return d.beginFamily2(series)
}

// name is the name of the series whose labels were read.
func (d *decoder) name() []byte {
	for _, n := range d.labels {
		if name, value := d.b.split(n); string(name) == "__name__" {
			return value
		}
	}
	return nil
}

// familySuffixes are what the names of series may have which the names of their families have not.
var familySuffixes = [...]string{"", "_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount"}

func (d *decoder) beginFamily1() {
	if len(d.families) == 0 {
		return
	}
	name := d.name()
	for _, suffix := range familySuffixes {
		family, ok := bytes.CutSuffix(name, []byte(suffix))
		number, known := d.families[string(family)]
		if !ok || !known {
			continue
		}
		if number != d.b.family.number || !d.b.family.active {
			d.b.resumeFamily(number)
		}
		return
	}
	d.b.endFamily()
}

func (d *decoder) beginFamily2(series []byte) error {
	var is seriesFamily
	found := false
	f := field{rest: series}
	for f.next() {
		if !f.is(5, wireBytes) {
			continue
		}
		found = true
		p := field{rest: f.data}
		for p.next() {
			switch {
			case p.is(1, wireVarint):
				is.typ = uint8(p.v)
			case p.is(3, wireVarint):
				is.help = p.v
			case p.is(4, wireVarint):
				is.unit = p.v
			}
		}
		if p.err != nil {
			return p.err
		}
	}
	if f.err != nil {
		return f.err
	}
	if !found {
		d.b.endFamily()
		d.family = seriesFamily{}
		return nil
	}
	if is.help >= uint64(len(d.symbols)) || is.unit >= uint64(len(d.symbols)) {
		return fmt.Errorf("%w: reference to no symbol", errEncoding)
	}
	name := familyOf(d.name(), is.typ)
	if is.name = d.family.name; string(name) != is.name {
		is.name = string(name)
	}
	if is != d.family || !d.b.family.active {
		d.family = is
		d.b.beginFamily(batch.Metadata{Type: is.typ, Family: name, Help: d.symbols[is.help], Unit: d.symbols[is.unit]}, true, math.MaxInt)
	}
	return nil
}

// familyOf is the name of the family of a series, by its type.
func familyOf(name []byte, typ uint8) []byte {
	const histogram, gaugeHistogram, summary = 3, 4, 5
	var suffixes []string
	switch typ {
	case histogram:
		suffixes = []string{"_bucket", "_sum", "_count"}
	case gaugeHistogram:
		suffixes = []string{"_bucket", "_gsum", "_gcount"}
	case summary:
		suffixes = []string{"_sum", "_count"}
	}
	for _, s := range suffixes {
		if family, ok := bytes.CutSuffix(name, []byte(s)); ok && len(family) > 0 {
			return family
		}
	}
	return name
}
