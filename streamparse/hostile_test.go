package streamparse

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// Bodies which are made to take time or memory. Whatever is not linear in their size would not end before the test does.

// repeated is a reader of a text, n times, behind another one.
func repeated(first, text string, n int) io.Reader {
	return io.MultiReader(strings.NewReader(first), &repeater{text: text, left: n})
}

type repeater struct {
	text, rest string
	left       int
}

func (r *repeater) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if r.rest == "" {
			if r.left == 0 {
				return n, io.EOF
			}
			r.left--
			r.rest = r.text
		}
		k := copy(p[n:], r.rest)
		n, r.rest = n+k, r.rest[k:]
	}
	return n, nil
}

// TestLargeBodiesTakeLittleMemory reads bodies of many parts, or of 16 MiB, and pins that they take a few MiB in all, however long their
// lengths say that they are.
func TestLargeBodiesTakeLittleMemory(t *testing.T) {
	// Held at the end are a window, of 2 MiB at most, and what a line or a metric of 1 MiB was scanned into. While that grows,
	// it is copied.
	const held, allocated = 12 << 20, 64 << 20
	length := func(n uint64) string { return string(binary.AppendUvarint(nil, n)) }
	head := func(number, n uint64) string { return string([]byte{byte(number<<3 | wireBytes)}) + length(n) }
	name := head(1, 1) + "m"
	piece := strings.Repeat("x", 64<<10)
	for _, tt := range []struct {
		name string
		body func() io.Reader
		what Body
		good bool
	}{
		{"a family of 32 bits which is a label", func() io.Reader { return repeated(length(1<<34)+name+head(4, 1<<33)+head(1, 1<<32), piece, 256) }, asProtobuf, false},
		{"a name which does not end", func() io.Reader { return repeated(length(1<<34)+head(1, 1<<33), piece, 256) }, asProtobuf, false},
		{"help which does not end", func() io.Reader { return repeated(length(1<<34)+name+head(2, 1<<33), piece, 256) }, asProtobuf, false},
		{"an unknown field which does not end", func() io.Reader { return repeated(length(1<<34)+name+head(9, 1<<33), piece, 256) }, asProtobuf, false},
		{"an unknown field of 16 MiB", func() io.Reader { return repeated(length(16<<20+8)+name+head(9, 16<<20), piece, 256) }, asProtobuf, true},
		{"help of 16 MiB", func() io.Reader { return repeated(length(16<<20+8)+name+head(2, 16<<20), piece, 256) }, asProtobuf, true},
		{"groups in groups", func() io.Reader { return repeated(length(1<<34)+name, strings.Repeat("\x4b", 64<<10), 256) }, asProtobuf, false},
		{"empty families", func() io.Reader { return repeated("", "\x00", 1<<20) }, asProtobuf, true},
		{"families of names", func() io.Reader { return repeated("", "\x03\x0a\x01m", 1<<18) }, asProtobuf, true},
		{"a name said again and again", func() io.Reader { return repeated(length(1<<33), name, 1<<19) }, asProtobuf, false},
		{"buckets", func() io.Reader {
			return repeated(length(1<<33)+name+head(4, 1<<20)+head(7, 1<<20-4), "\x1a\x00", 8<<20)
		}, asProtobuf, false},
		{"spans", func() io.Reader {
			return repeated(length(1<<33)+name+head(4, 1<<20)+head(7, 1<<20-4), "\x62\x00", 8<<20)
		}, asProtobuf, false},
		{"deltas", func() io.Reader {
			return repeated(length(1<<33)+name+head(4, 1<<20)+head(7, 1<<20-4), "\x68\x00", 8<<20)
		}, asProtobuf, false},
		{"exemplars in two parts", func() io.Reader {
			return repeated(length(1<<33)+name+head(4, 1<<20-30), "\x1a\x02\x12\x00"+"\x3a\x06\x1a\x04\x1a\x02\x0a\x00", 2<<20)
		}, asProtobuf, false},
		{"a label value which does not end", func() io.Reader { return repeated("a{b=\"", piece, 256) }, Body{}, false},
		{"labels which do not end", func() io.Reader { return repeated("a{", "b=\"\",", 4<<20) }, Body{}, false},
		{"blank lines", func() io.Reader { return repeated("", "\n", 1<<17) }, Body{}, true},
		{"blanks", func() io.Reader { return repeated("", " ", 16<<20) }, Body{}, false},
		{"comments which do not end", func() io.Reader { return repeated("# ", piece, 256) }, Body{}, true},
		{"help which does not end, in text", func() io.Reader { return repeated("# HELP a ", piece, 256) }, Body{}, true},
		{"a quoted name which does not end", func() io.Reader { return repeated("# HELP \"", piece, 256) }, Body{}, false},
		{"help which does not end, in OpenMetrics", func() io.Reader { return repeated("# HELP a ", piece, 256) }, openMetrics, false},
		{"an exemplar which does not end", func() io.Reader { return repeated("a 1 # {", "b=\"\",", 4<<20) }, openMetrics, false},
		{"series without _created", func() io.Reader { return repeated("# TYPE a counter\n", "a_total{b=\"c\"} 1\n", 1<<17) }, openMetrics, false},
		{"_created alone", func() io.Reader { return repeated("# TYPE a counter\n", "a_created{b=\"c\"} 1\n", 1<<17) }, openMetrics, false},
		{"metadata alone", func() io.Reader { return repeated("", "# TYPE a counter\n", 1<<17) }, openMetrics, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newParser(t, Options{})
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			_, _, err := readAll(p, tt.body(), tt.what)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > held {
				t.Errorf("%d bytes are held, want at most %d", n, held)
			}
			if (err == nil) != tt.good {
				t.Errorf("error %v, want none = %v", err, tt.good)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > allocated {
				t.Errorf("%d bytes were allocated, want at most %d", n, allocated)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
		})
	}
}

// TestUnusualValuesOfProtobuf pins what becomes of numbers which no text can say.
func TestUnusualValuesOfProtobuf(t *testing.T) {
	p := newParser(t, Options{})
	for _, bits := range []uint64{0x7ff0000000000001, 0x7ff0000000000002, 0xfff8000000000000, math.MaxUint64} {
		v := math.Float64frombits(bits)
		h := float(num(nil, 1, 1), 2, v)
		body := append(append(family("g", familyGauge, gauge(v)), family("h", familyHistogram, sub(nil, 7, h))...),
			family("s", familySummary, sub(nil, 4, sub(h, 3, float(float(nil, 1, v), 2, v))))...)
		p.ResetBody(bytes.NewReader(body), asProtobuf)
		var got []string
		for {
			kind, err := p.Next()
			if err != nil {
				t.Fatal(err)
			}
			if kind == KindNone {
				break
			}
			if kind == KindSample {
				labels := p.AppendLabels(nil)
				last := labels[len(labels)-1]
				got = append(got, fmt.Sprintf("%s=%x", last.Value, math.Float64bits(p.Value())))
			}
		}
		want := "[g=7ff8000000000001 h_count=3ff0000000000000 h_sum=7ff8000000000001 +Inf=3ff0000000000000 s_count=3ff0000000000000 s_sum=7ff8000000000001 NaN=7ff8000000000001]"
		if fmt.Sprint(got) != want {
			t.Errorf("with %x: samples are %v, want %v", bits, got, want)
		}
	}
}

// TestHugeGroup pins that an unknown group may be as long as a line, in a family and in a metric, however it arrives.
func TestHugeGroup(t *testing.T) {
	p := newParser(t, Options{})
	group := func(n int) []byte {
		return append(append([]byte{9<<3 | wireGroup}, bytes.Repeat([]byte{1<<3 | wireVarint, 1}, n/2)...), 9<<3|wireEndOfGroup)
	}
	inFamily := func(n int) error {
		f := append(sub(num(sub(nil, 1, []byte("m")), 3, familyGauge), 4, gauge(1)), group(n)...)
		body := append(binary.AppendUvarint(nil, uint64(len(f))), f...)
		_, _, err := readAll(p, bytes.NewReader(body), asProtobuf)
		if _, _, other := readAll(p, iotest.OneByteReader(bytes.NewReader(body)), asProtobuf); fmt.Sprint(other) != fmt.Sprint(err) {
			t.Errorf("a group of %d bytes: %v, and byte by byte %v", n, err, other)
		}
		return err
	}
	for _, n := range []int{100, 40 << 10, 500 << 10, 1<<20 - 2} {
		if err := inFamily(n); err != nil {
			t.Errorf("a group of %d bytes in a family: %v", n, err)
		}
	}
	if err := inFamily(1 << 20); !errors.Is(err, ErrLineTooLong) {
		t.Errorf("a group of 1 MiB in a family: %v, want ErrLineTooLong", err)
	}
	body := family("m", familyGauge, append(gauge(1), group(500<<10)...))
	if _, sum, err := readAll(p, bytes.NewReader(body), asProtobuf); err != nil || sum != 1 {
		t.Errorf("a group of 500 KiB in a metric: %v", err)
	}
	if _, _, err := readAll(p, bytes.NewReader(family("m", familyGauge, append(gauge(1), group(1<<20)...))), asProtobuf); !errors.Is(err, ErrLineTooLong) {
		t.Errorf("a group of 1 MiB in a metric: %v, want ErrLineTooLong", err)
	}
}
