package receiver

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorder is a visitor which writes down what it is told.
type recorder struct{ lines []string }

func (r *recorder) series(key []byte, hash uint64) {
	labels := labelsOf(string(key))
	if h := HashLabels(labels); h != hash {
		r.lines = append(r.lines, fmt.Sprintf("hash %x, want %x", hash, h))
	}
	r.lines = append(r.lines, textOf(labels))
}

func (r *recorder) sample(tsMillis int64, bits uint64) {
	r.lines = append(r.lines, fmt.Sprintf("  %d %v", tsMillis, math.Float64frombits(bits)))
}

func TestDecode(t *testing.T) {
	long := strings.Repeat("x", 300)
	label := func(name, value string) []byte { return bytesField(1, labelMessage(name, value)) }
	sample := func(tsMillis int64, v float64) []byte { return bytesField(2, sampleMessage(at(tsMillis, v))) }
	for _, tc := range []struct {
		name    string
		msg     []byte
		want    []string
		invalid error
	}{
		{"empty", nil, nil, nil},
		{"one", writeRequest(series([]Sample{at(1, 2.5)}, "__name__", "m", "a", "b")), []string{`m{a="b"}`, "  1 2.5"}, nil},
		{"two series, several samples",
			writeRequest(series([]Sample{at(1, 1), at(2, math.Inf(1))}, "__name__", "m"), series([]Sample{at(-5, 3)}, "__name__", "n")),
			[]string{"m", "  1 1", "  2 +Inf", "n", "  -5 3"}, nil},
		{"no samples", writeRequest(series(nil, "__name__", "m")), []string{"m"}, nil},
		{"uppercase sorts before the name", writeRequest(series([]Sample{at(1, 1)}, "A", "x", "__name__", "m")), []string{`m{A="x"}`, "  1 1"}, nil},
		{"escapes", writeRequest(series(nil, "__name__", "m", "a", "q\"b\\n\nü")), []string{`m{a="q\"b\\n\nü"}`}, nil},
		{"long label", writeRequest(series(nil, "__name__", "m", "a", long)), []string{`m{a="` + long + `"}`}, nil},
		{"default value and time", bytesField(1, join(label("__name__", "m"), bytesField(2, nil))), []string{"m", "  0 0"}, nil},
		{"unsorted labels", writeRequest(series(nil, "a", "b", "__name__", "m")), []string{`m{a="b"}`}, nil},
		{"value absent", writeRequest(series(nil, "__name__", "m", "a", "")), []string{"m"}, nil},
		{"samples before labels", bytesField(1, join(sample(7, 8), label("__name__", "m"), sample(9, 10))), []string{"m", "  7 8", "  9 10"}, nil},
		{"unknown fields are skipped",
			join(varintField(7, 1), bytesField(1, join(fixed64Field(9, 1), label("__name__", "m"), bytesField(12, []byte("x")), sample(1, 1))), bytesField(2, []byte("?"))),
			[]string{"m", "  1 1"}, nil},
		{"the last of a repeated scalar counts",
			bytesField(1, join(bytesField(1, join(labelMessage("x", "y"), labelMessage("__name__", "m"))), sample(1, 1))), []string{"m", "  1 1"}, nil},
		{"no name", writeRequest(series([]Sample{at(1, 1)}, "a", "b"), series(nil, "__name__", "m")), []string{"m"}, errNoName},
		{"name without value", writeRequest(series(nil, "__name__", "")), nil, errNoName},
		{"empty label name", writeRequest(series(nil, "", "b", "__name__", "m")), nil, errEmptyName},
		{"duplicate label", writeRequest(series(nil, "__name__", "m", "a", "1", "a", "1")), nil, errDuplicateName},
		{"duplicate label, apart", writeRequest(series(nil, "a", "1", "__name__", "m", "a", "2")), nil, errDuplicateName},
		{"not UTF-8", writeRequest(series(nil, "__name__", "m", "a", "\xff")), nil, errNotUTF8},
		{"too many labels", writeRequest(series(nil, append([]string{"__name__", "m"}, slices.Repeat([]string{"a", "b"}, maxLabels)...)...)), nil, errTooManyLabels},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var d decoder
			var rec recorder
			if err := d.decode(tc.msg, &rec); err != nil {
				t.Fatalf("decode(%q) = %v, want no error", tc.msg, err)
			}
			if diff := cmp.Diff(tc.want, rec.lines); diff != "" {
				t.Errorf("decode(%q): (-want +got)\n%s", tc.msg, diff)
			}
			if !errors.Is(d.invalid, tc.invalid) {
				t.Errorf("decode(%q): invalid = %v, want %v", tc.msg, d.invalid, tc.invalid)
			}
		})
	}
}

func TestDecodeCounts(t *testing.T) {
	good := series([]Sample{at(1, 1), StaleMarker(2), at(3, math.NaN())}, "__name__", "m", "a", "b")
	msg := join(writeRequest(good),
		bytesField(1, join(good.message(), bytesField(3, nil), bytesField(3, nil), bytesField(4, []byte("?")))),
		bytesField(3, nil),
		writeRequest(series([]Sample{at(1, 1)}, "z", "", "__name__", "m"), series([]Sample{at(1, 1)}, "a", "b")))
	var want Totals
	for _, s := range good.samples {
		want.Checksum += 2 * Checksum(good.labelList(), s)
	}
	want.Checksum += Checksum([]Label{{NameLabel, "m"}}, at(1, 1))
	want.TimeSeries, want.Samples, want.StaleMarkers = 4, 7, 2
	want.Exemplars, want.Histograms, want.Metadata = 2, 1, 1
	want.InvalidSeries, want.UnsortedLabels, want.EmptyValues = 1, 1, 1
	var d decoder
	if err := d.decode(msg, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, d.found); diff != "" {
		t.Errorf("decode: (-want +got)\n%s", diff)
	}
}

func TestDecodeErrors(t *testing.T) {
	ok := series([]Sample{at(1, 1)}, "__name__", "m").message()
	for _, tc := range []struct {
		name string
		msg  []byte
		want error
	}{
		{"length beyond the end", []byte{1<<3 | 2, 5, 0}, errTruncated},
		{"huge length", []byte{1<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, errTruncated},
		{"tag alone", []byte{1<<3 | 2}, errTruncated},
		{"varint cut", []byte{7 << 3, 0x80}, errTruncated},
		{"varint too long", join([]byte{7 << 3}, slices.Repeat([]byte{0x80}, 10), []byte{1}), errVarint},
		{"fixed64 cut", []byte{7<<3 | 1, 0, 0, 0}, errTruncated},
		{"fixed32 cut", []byte{7<<3 | 5, 0}, errTruncated},
		{"field number 0", []byte{2, 0}, errTag},
		{"field number too large", varintField(1<<29, 1), errTag},
		{"group", []byte{7<<3 | 3, 7<<3 | 4}, errGroup},
		{"wire type 7", []byte{7<<3 | 7}, errWireType},
		{"timeseries is a number", varintField(1, 1), errWireType},
		{"metadata is a number", varintField(3, 1), errWireType},
		{"labels are a number", bytesField(1, varintField(1, 1)), errWireType},
		{"label name is a number", bytesField(1, bytesField(1, varintField(1, 1))), errWireType},
		{"label cut", bytesField(1, bytesField(1, []byte{1<<3 | 2, 9})), errTruncated},
		{"sample value is a varint", bytesField(1, join(ok, bytesField(2, varintField(1, 1)))), errWireType},
		{"sample time is fixed", bytesField(1, join(ok, bytesField(2, fixed64Field(2, 1)))), errWireType},
		{"sample cut", bytesField(1, join(ok, bytesField(2, []byte{1<<3 | 1, 0}))), errTruncated},
		{"a bad sample of a series with bad labels", bytesField(1, bytesField(2, []byte{0xff})), errTruncated},
		{"end of the series cut", bytesField(1, append(ok, 2<<3|2)), errTruncated},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var d decoder
			if err := d.decode(join(bytesField(1, ok), tc.msg), nil); !errors.Is(err, tc.want) {
				t.Errorf("decode(%q) = %v, want %v", tc.msg, err, tc.want)
			}
		})
	}
}

// Every cut of a message which is not at a field's end is an error, never a panic.
func TestDecodeCut(t *testing.T) {
	msg := writeRequest(series([]Sample{at(1, 1)}, "__name__", "m", "a", strings.Repeat("b", 200)))
	var d decoder
	for n := range len(msg) {
		if err := d.decode(msg[:n], nil); (err == nil) != (n == 0) {
			t.Errorf("decode of the first %d of %d bytes = %v, want an error unless there are none", n, len(msg), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(writeRequest(series([]Sample{at(1, 2.5), StaleMarker(2)}, "__name__", "m", "a", "b")))
	f.Add(writeRequest(series(nil, "b", "1", "a", "2", "__name__", "m"), series(nil, "a", "", "a", "")))
	f.Add(bytesField(1, join(bytesField(2, nil), bytesField(3, nil), bytesField(4, nil), bytesField(1, labelMessage("__name__", "m")))))
	f.Add([]byte{7<<3 | 3})
	f.Add([]byte{1<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, msg []byte) {
		before := string(msg)
		var d decoder
		err := d.decode(msg, nil)
		found := d.found
		var rec recorder
		if again := d.decode(msg, &rec); fmt.Sprint(err) != fmt.Sprint(again) || found != d.found {
			t.Errorf("decode with a visitor = %v, %+v, without = %v, %+v", again, d.found, err, found)
		}
		if string(msg) != before {
			t.Error("decode changed the message")
		}
		// What a decoder keeps is in proportion to the message.
		if got, limit := d.scratchBytes(), 4096+64*len(msg); got > limit {
			t.Errorf("decoder holds %d bytes after a message of %d, want at most %d", got, len(msg), limit)
		}
		if err != nil {
			return
		}
		// What was read, written plainly, is read the same again.
		var again []ts
		for _, line := range rec.lines {
			if strings.HasPrefix(line, "hash") {
				t.Error(line)
			}
		}
		var c collector
		if err := d.decode(msg, &c); err != nil {
			t.Fatal(err)
		}
		again = c.all
		var rec2 recorder
		if err := d.decode(writeRequest(again...), &rec2); err != nil {
			t.Fatalf("decode of what was decoded = %v", err)
		}
		if diff := cmp.Diff(rec.lines, rec2.lines); diff != "" {
			t.Errorf("decode after encode: (-first +second)\n%s", diff)
		}
	})
}

// collector is a visitor which builds what the encoder takes.
type collector struct{ all []ts }

func (c *collector) series(key []byte, _ uint64) {
	var t ts
	for name, value := range pairs(string(key)) {
		t.labels = append(t.labels, name, value)
	}
	c.all = append(c.all, t)
}

func (c *collector) sample(tsMillis int64, bits uint64) {
	last := &c.all[len(c.all)-1]
	last.samples = append(last.samples, Sample{tsMillis, math.Float64frombits(bits)})
}
