package receiver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// maxLabels bounds the labels of one series: far above what any exporter writes, and low enough that a hostile
// request cannot make the scratch space large.
const maxLabels = 4096

// Why a series is refused although its message is well formed.
var (
	errNoName        = errors.New("no metric name")
	errEmptyName     = errors.New("label with an empty name")
	errDuplicateName = errors.New("duplicate label name")
	errNotUTF8       = errors.New("label is not UTF-8")
	errTooManyLabels = fmt.Errorf("more than %d labels", maxLabels)
)

// visitor takes what a decoder finds. Key is the label set's, a view which is valid until the call returns; the
// samples of a series follow the call of series.
type visitor interface {
	series(key []byte, hash uint64)
	sample(tsMillis int64, bits uint64)
}

// decoder reads remote write 1.0's WriteRequest, or 2.0's Request. It may be reused, by one goroutine at a time.
type decoder struct {
	version2 bool
	// found is what the last decode met; only the fields which a message can tell are set.
	found Totals
	// invalid is why the first of found.InvalidSeries was refused.
	invalid error

	labels  []labelView
	symbols [][]byte // of version 2
	key     []byte
}

// labelView is a label of the message: views of it.
type labelView struct{ name, value []byte }

// decode walks msg, which it borrows, and hands its valid series to v. It returns an error if msg is not a WriteRequest;
// v may have been called before that. A series whose labels are refused is skipped, and told in found and invalid.
// With a nil v, it only checks.
func (d *decoder) decode(msg []byte, v visitor) error {
	d.found, d.invalid = Totals{}, nil
	if d.version2 {
		return d.decode2(msg, v)
	}
	f := fields{rest: msg}
	for f.next() {
		switch f.num {
		case 1: // timeseries
			if f.typ != wireBytes {
				return fmt.Errorf("timeseries %d: %w", d.found.TimeSeries, errWireType)
			}
			if err := d.timeSeries(f.data, v, (*decoder).addLabel, fieldNumbers{samples: 2, exemplars: 3, histograms: 4}); err != nil {
				return fmt.Errorf("timeseries %d: %w", d.found.TimeSeries, err)
			}
			d.found.TimeSeries++
		case 3: // metadata
			if f.typ != wireBytes {
				return fmt.Errorf("metadata %d: %w", d.found.Metadata, errWireType)
			}
			d.found.Metadata++
		}
	}
	return f.err
}

// fieldNumbers are those of a TimeSeries which differ between the versions; 0 is none.
type fieldNumbers struct{ samples, exemplars, histograms, metadata uint64 }

// timeSeries reads one TimeSeries. Its samples may stand before its labels, so it looks for the labels first: add takes the
// content of its fields 1, and reports false where there are too many.
func (d *decoder) timeSeries(msg []byte, v visitor, add func(*decoder, []byte) (bool, error), num fieldNumbers) error {
	var samples []byte // from the first sample on
	f := fields{rest: msg}
	d.labels = d.labels[:0]
	var invalid error
	for rest := f.rest; f.next(); rest = f.rest {
		if f.num > 5 || f.num > 4 && num.metadata == 0 {
			continue
		}
		if f.typ != wireBytes {
			return errWireType
		}
		switch f.num {
		case 1:
			fit, err := add(d, f.data)
			if err != nil {
				return fmt.Errorf("label: %w", err)
			}
			if !fit {
				invalid = errTooManyLabels
			}
		case num.samples:
			if samples == nil {
				samples = rest
			}
		case num.exemplars:
			d.found.Exemplars++
		case num.histograms:
			d.found.Histograms++
		case num.metadata:
			d.found.Metadata++
		}
	}
	if f.err != nil {
		return f.err
	}
	if invalid == nil {
		invalid = d.buildKey()
	}
	if invalid != nil {
		d.found.InvalidSeries++
		if d.invalid == nil {
			d.invalid = fmt.Errorf("timeseries %d: %w", d.found.TimeSeries, invalid)
		}
		v = nil
	}
	hash := xxhash.Sum64(d.key)
	if v != nil {
		v.series(d.key, hash)
	}
	f = fields{rest: samples}
	for f.next() {
		if f.num != num.samples {
			continue
		}
		tsMillis, bits, err := readSample(f.data)
		if err != nil {
			return fmt.Errorf("sample: %w", err)
		}
		if invalid != nil {
			continue
		}
		d.found.Samples++
		if bits == staleBits {
			d.found.StaleMarkers++
		}
		d.found.Checksum += sampleChecksum(hash, tsMillis, bits)
		if v != nil {
			v.sample(tsMillis, bits)
		}
	}
	return nil // the first loop read the same fields
}

// addLabel adds the label of a Label message.
func (d *decoder) addLabel(msg []byte) (fit bool, _ error) {
	l, err := readLabel(msg)
	if err != nil || len(d.labels) == maxLabels {
		return err != nil, err
	}
	d.labels = append(d.labels, l)
	return true, nil
}

// buildKey makes the key of the current labels, or says why they are refused.
func (d *decoder) buildKey() error {
	if !d.sorted() {
		d.found.UnsortedLabels++
		slices.SortStableFunc(d.labels, func(a, b labelView) int { return bytes.Compare(a.name, b.name) })
	}
	d.key = d.key[:0]
	named := false
	for i, l := range d.labels {
		switch {
		case len(l.name) == 0:
			return errEmptyName
		case i > 0 && bytes.Equal(l.name, d.labels[i-1].name):
			return fmt.Errorf("%w %.100q", errDuplicateName, l.name)
		case len(l.value) == 0:
			d.found.EmptyValues++
			continue
		}
		named = named || string(l.name) == NameLabel
		d.key = appendPair(d.key, l.name, l.value)
	}
	if !named {
		return errNoName
	}
	if isASCII(d.key) { // the usual case, at a fraction of the cost
		return nil
	}
	for _, l := range d.labels {
		if !utf8.Valid(l.name) || !utf8.Valid(l.value) {
			return fmt.Errorf("%w: %.100q=%.100q", errNotUTF8, l.name, l.value)
		}
	}
	return nil
}

func (d *decoder) sorted() bool {
	for i := 1; i < len(d.labels); i++ {
		if string(d.labels[i-1].name) > string(d.labels[i].name) {
			return false
		}
	}
	return true
}

func isASCII(b []byte) bool {
	const high = 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func readLabel(msg []byte) (l labelView, err error) {
	if l, ok := readPlainLabel(msg); ok {
		return l, nil
	}
	f := fields{rest: msg}
	for f.next() {
		if f.num > 2 {
			continue
		}
		if f.typ != wireBytes {
			return l, errWireType
		}
		if f.num == 1 {
			l.name = f.data
		} else {
			l.value = f.data
		}
	}
	return l, f.err
}

// readPlainLabel reads a label as every encoder writes it: the name, then the value, with lengths of one byte, and
// nothing else. It says no to all others; readLabel reads those.
func readPlainLabel(msg []byte) (l labelView, ok bool) {
	const name, value = 1<<3 | byte(wireBytes), 2<<3 | byte(wireBytes)
	if len(msg) < 4 || msg[0] != name || msg[1] >= 0x80 {
		return l, false
	}
	n := 2 + int(msg[1]) // where the value's field begins
	if n+2 > len(msg) || msg[n] != value || msg[n+1] >= 0x80 || n+2+int(msg[n+1]) != len(msg) {
		return l, false
	}
	return labelView{msg[2:n], msg[n+2:]}, true
}

func readSample(msg []byte) (tsMillis int64, bits uint64, err error) {
	f := fields{rest: msg}
	for f.next() {
		switch f.num {
		case 1:
			if f.typ != wireFixed64 {
				return 0, 0, errWireType
			}
			bits = f.bits
		case 2:
			if f.typ != wireVarint {
				return 0, 0, errWireType
			}
			tsMillis = int64(f.bits)
		}
	}
	return tsMillis, bits, f.err
}
