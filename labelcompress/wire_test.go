package labelcompress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// decodeLabel is the obvious decoder of the labels field of a TimeSeries message: one pass over protobuf fields.
func decodeLabel(wire []byte) (name, value string, err error) {
	fields := func(b []byte, f func(num uint64, text []byte)) error {
		for len(b) > 0 {
			tag, n := binary.Uvarint(b)
			if n <= 0 || tag&7 != 2 {
				return fmt.Errorf("bad tag in % x", b)
			}
			b = b[n:]
			size, n := binary.Uvarint(b)
			if n <= 0 || uint64(len(b)-n) < size {
				return errors.New("bad length")
			}
			f(tag>>3, b[n:n+int(size)])
			b = b[n+int(size):]
		}
		return nil
	}
	labels := 0
	err = fields(wire, func(num uint64, message []byte) {
		labels++
		seen := [3]int{}
		ferr := fields(message, func(num uint64, text []byte) {
			switch num {
			case 1:
				name = string(text)
			case 2:
				value = string(text)
			default:
				num = 0
			}
			seen[num]++
		})
		if ferr != nil || num != 1 || seen != [3]int{0, 1, 1} {
			labels = -1 << 20
		}
	})
	if err == nil && labels != 1 {
		err = fmt.Errorf("not one label: % x", wire)
	}
	return name, value, err
}

// TestLabelsOutsideADict pins that labels which are in no dictionary have the form of those which are, and come apart
// again.
func TestLabelsOutsideADict(t *testing.T) {
	d := New(Options{})
	labels := [][2]string{{"__name__", "up"}, {"", ""}, {"long", strings.Repeat("x", 300)}, {strings.Repeat("n", 20_000), "v"}}
	var wire []byte
	for _, l := range labels {
		n := len(wire)
		wire = AppendLabel(wire, l[0], l[1])
		r, err := d.InternString(l[0], l[1])
		if err != nil {
			t.Fatal(err)
		}
		if got, want := wire[n:], d.Wire(r); string(got) != string(want) {
			t.Errorf("AppendLabel(%.20q) appends % .60x, the dictionary has % .60x", l, got, want)
		}
	}
	for _, l := range labels {
		var name, value []byte
		if name, value, wire = SplitLabel(wire); string(name) != l[0] || string(value) != l[1] {
			t.Errorf("SplitLabel = %.20q %.20q, want %.20q", name, value, l)
		}
	}
	if len(wire) != 0 {
		t.Errorf("SplitLabel leaves % .60x behind the last label", wire)
	}
}

func FuzzWireRoundTrip(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""}, {"a", "b"}, {"__name__", "node_cpu_seconds_total"}, {"le", "+Inf"}, {"path", "/a\nb\"\\"},
		{"n", strings.Repeat("v", 121)}, {"n", strings.Repeat("v", 122)}, {"n", strings.Repeat("v", 127)}, {"n", strings.Repeat("v", 128)},
		{strings.Repeat("n", 200), strings.Repeat("v", 20_000)}, {"utf-8", "ü\xff\x00"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		d := New(Options{})
		mustIntern(t, d, value, name) // a neighbour, mirrored
		r := mustIntern(t, d, name, value)
		if again, err := d.Intern([]byte(name), []byte(value)); again != r || err != nil {
			t.Errorf("Intern(%q, %q) = %d, %v, want %d", name, value, again, err, r)
		}
		wire := d.Wire(r)
		if n, v, err := decodeLabel(wire); err != nil || n != name || v != value {
			t.Errorf("Wire decodes to %q, %q, %v, want %q, %q", n, v, err, name, value)
		}
		if len(wire) != wireBytes(len(name), len(value)) || cap(wire) != len(wire) {
			t.Errorf("len, cap of Wire = %d, %d, want %d", len(wire), cap(wire), wireBytes(len(name), len(value)))
		}
		wantLabel(t, d, r, name, value)
	})
}

// Two labels are the same only where name and value are, wherever one ends and the other begins.
func TestIsLabel(t *testing.T) {
	texts := []string{"", "a", "b", "ab", "\x12", "\x12\x01", "\x01a", "a\x12\x01b", "\x12\x00", strings.Repeat("x", 60), strings.Repeat("x", 61), strings.Repeat("x", 62), strings.Repeat("x", 130)}
	type label struct{ name, value string }
	var labels []label
	for _, name := range texts {
		for _, value := range texts {
			labels = append(labels, label{name, value})
		}
	}
	for _, stored := range labels {
		wire := make([]byte, wireBytes(len(stored.name), len(stored.value)))
		putWire(wire, stored.name, stored.value)
		if n, v, err := decodeLabel(wire); err != nil || n != stored.name || v != stored.value {
			t.Errorf("putWire of %q decodes to %q, %q, %v", stored, n, v, err)
		}
		for _, asked := range labels {
			if got, want := isLabel(wire, asked.name, asked.value), stored == asked; got != want {
				t.Errorf("isLabel(wire of %q, %q) = %v, want %v", stored, asked, got, want)
			}
		}
	}
}
