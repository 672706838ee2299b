package receiver

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errSymbols = errors.New("the first symbol must be there, and empty")

// decode2 is decode for remote write 2.0: labels are references into a list of symbols, which may stand anywhere.
func (d *decoder) decode2(msg []byte, v visitor) error {
	d.symbols = d.symbols[:0]
	f := fields{rest: msg}
	for f.next() {
		switch f.num {
		case 1, 2, 3: // of version 1, and reserved
			return fmt.Errorf("field %d is one of remote write 1.0", f.num)
		case 4:
			if f.typ != wireBytes {
				return fmt.Errorf("symbol %d: %w", len(d.symbols), errWireType)
			}
			d.symbols = append(d.symbols, f.data)
		}
	}
	if f.err != nil {
		return f.err
	}
	if len(d.symbols) == 0 || len(d.symbols[0]) > 0 {
		return errSymbols
	}
	f = fields{rest: msg}
	for f.next() {
		if f.num != 5 {
			continue
		}
		if f.typ != wireBytes {
			return fmt.Errorf("timeseries %d: %w", d.found.TimeSeries, errWireType)
		}
		if err := d.timeSeries(f.data, v, (*decoder).addRefs, fieldNumbers{samples: 2, histograms: 3, exemplars: 4, metadata: 5}); err != nil {
			return fmt.Errorf("timeseries %d: %w", d.found.TimeSeries, err)
		}
		d.found.TimeSeries++
	}
	return nil
}

// addRefs adds the labels whose names and values refs names.
func (d *decoder) addRefs(refs []byte) (fit bool, _ error) {
	for len(refs) > 0 {
		if len(d.labels) == maxLabels {
			return false, nil
		}
		var l labelView
		for _, text := range []*[]byte{&l.name, &l.value} {
			n, k := binary.Uvarint(refs)
			if k <= 0 || n >= uint64(len(d.symbols)) {
				return true, fmt.Errorf("reference to none of %d symbols", len(d.symbols))
			}
			*text, refs = d.symbols[n], refs[k:]
		}
		d.labels = append(d.labels, l)
	}
	return true, nil
}
