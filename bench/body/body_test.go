package body

import (
	"strings"
	"testing"
	"time"
)

func TestAddDigits(t *testing.T) {
	f := func(in string, n uint32, want string) {
		t.Helper()
		b := []byte(in)
		addDigits(b, n)
		if string(b) != want {
			t.Errorf("addDigits(%q, %d) = %q, want %q", in, n, b, want)
		}
	}
	f("m 1", 1, "m 2")
	f("m 19", 1, "m 20")
	f("m 123", 97, "m 220")
	f("m 12.95", 7, "m 13.02")
	f("m 99", 1, "m 10")     // it stays two digits wide
	f("m 9.99", 1, "m 1.00") // and so with a dot
	f("m 99", 97, "m 96")    // which is no counter's way, but cheap
	f(`g="100009`, 1, `g="100010`)
}

// Values move, and nothing else does.
func TestTextMoves(t *testing.T) {
	text := NewPlain(Plain{Target: 3, Series: 500})
	first := strings.Split(string(text.Next(time.Time{})), "\n")
	second := strings.Split(string(text.Next(time.Time{})), "\n")
	moved := 0
	for i, line := range first {
		if len(second[i]) != len(line) {
			t.Fatalf("line %d was %q and became %q, want the same width", i, line, second[i])
		}
		cut := strings.LastIndexByte(line, ' ') + 1
		if line[:cut] != second[i][:cut] {
			t.Fatalf("series %q became %q", line[:cut], second[i][:cut])
		}
		if line != second[i] {
			moved++
		}
	}
	if moved != 250 {
		t.Errorf("%d of 500 values moved, want half", moved)
	}
}

func TestPlainSeriesAreDistinct(t *testing.T) {
	seen := make(map[string]bool)
	for target := range 3 {
		n := 0
		NewPlain(Plain{Target: target, Series: 2000}).Lines(func(series []byte) bool {
			if seen[string(series)] {
				t.Fatalf("series %q is there twice", series)
			}
			seen[string(series)] = true
			n++
			return true
		})
		if n != 2000 {
			t.Errorf("target %d has %d series, want 2000", target, n)
		}
	}
}

func TestShuffleKeepsTheLines(t *testing.T) {
	plain := NewPlain(Plain{Series: 200})
	shuffled := NewPlain(Plain{Series: 200, Shuffle: true})
	a, b := string(plain.Next(time.Time{})), string(shuffled.Next(time.Time{}))
	if a == b {
		t.Error("the shuffled text is in order")
	}
	lines := make(map[string]int)
	for line := range strings.Lines(a) {
		lines[line]++
	}
	for line := range strings.Lines(b) {
		lines[line]--
	}
	for line, n := range lines {
		if n != 0 {
			t.Errorf("line %q: the plain text has %d more", line, n)
		}
	}
}

func TestChurnReplacesSeries(t *testing.T) {
	text := NewPlain(Plain{Series: 1000, ChurnEvery: 20})
	before := seriesOf(string(text.Next(time.Time{})))
	after := seriesOf(string(text.Next(time.Time{})))
	fresh := 0
	for s := range after {
		if !before[s] {
			fresh++
		}
	}
	if fresh != 50 || len(after) != 1000 {
		t.Errorf("%d of %d series are new, want 50 of 1000", fresh, len(after))
	}
}

func seriesOf(text string) map[string]bool {
	all := make(map[string]bool)
	for line := range strings.Lines(text) {
		if line[0] != '#' {
			all[line[:strings.LastIndexByte(line, ' ')]] = true
		}
	}
	return all
}
