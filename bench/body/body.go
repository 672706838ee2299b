// Package body makes the texts which the benchmark's targets serve: by code alone, so that nothing has to be downloaded,
// and cheaply, so that the farm does not take the CPU which the measured agent needs.
//
// It does not serve anything (package farm does), and does not know agents. A Text is written once and then patched in
// place: values keep their width and move digit by digit. Only the text of cAdvisor, whose containers come and go, is
// written anew each time.
//
// Concurrency: a Source belongs to one goroutine at a time. Ownership: what Next returns is a view, valid until the
// following Next.
//
// Read this file first, then steady.go for plain targets and node.go for those of a Kubernetes node.
package body

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// A Source is what one target serves.
type Source interface {
	// Next moves the values to now, and returns a view of the text, valid until the following Next.
	Next(now time.Time) []byte
	// Samples is the number of samples in the text which Next returned last, or will return first.
	Samples() int
}

// Text is an exposition whose values are patched in place. Its samples may be written in a random order each time.
type Text struct {
	buf   []byte
	rows  []row
	metas []int32 // offsets of the first row of each family, as indexes of rows
	turn  int

	// Shuffle makes Next write the samples of each family in a random order.
	Shuffle bool
	// ChurnEvery makes one row in this many become another series at each turn: its generation label counts up. 0: none.
	ChurnEvery int

	shuffled []byte
	rng      *rand.Rand
}

// row is one sample: buf[start:end], end included its newline. Its value is the digits that end at value.
type row struct {
	start, end, value int32
	gen               int32  // where the digits of the generation label end; 0: there are none
	step              uint16 // what the value grows by when it moves
	every             uint8  // it moves each time that many turns have gone; 0: never
}

// Samples implements Source.
func (t *Text) Samples() int { return len(t.rows) }

// Next implements Source. The time does not matter to it.
func (t *Text) Next(time.Time) []byte {
	t.turn++
	for i := range t.rows {
		r := &t.rows[i]
		if r.every != 0 && (t.turn+i)%int(r.every) == 0 {
			addDigits(t.buf[:r.value], uint32(r.step))
		}
	}
	if t.ChurnEvery > 0 {
		for i := t.turn % t.ChurnEvery; i < len(t.rows); i += t.ChurnEvery {
			if end := t.rows[i].gen; end > 0 {
				addDigits(t.buf[:end], 1)
			}
		}
	}
	if !t.Shuffle {
		return t.buf
	}
	return t.shuffle()
}

// shuffle copies the text with the samples of each family in a random order.
func (t *Text) shuffle() []byte {
	out := t.shuffled[:0]
	from := 0 // in buf
	for f, first := range t.metas {
		last := int32(len(t.rows))
		if f+1 < len(t.metas) {
			last = t.metas[f+1]
		}
		rows := t.rows[first:last]
		if len(rows) == 0 {
			continue
		}
		out = append(out, t.buf[from:rows[0].start]...)
		for _, i := range t.rng.Perm(len(rows)) {
			out = append(out, t.buf[rows[i].start:rows[i].end]...)
		}
		from = int(rows[len(rows)-1].end)
	}
	t.shuffled = append(out, t.buf[from:]...)
	return t.shuffled
}

// Lines calls f with each sample's series as it stands in the text, the bytes before the value, until f returns false.
func (t *Text) Lines(f func(series []byte) bool) {
	for _, r := range t.rows {
		line := t.buf[r.start:r.end]
		for i := len(line) - 1; i >= 0; i-- {
			if line[i] == ' ' {
				line = line[:i]
				break
			}
		}
		if !f(line) {
			return
		}
	}
}

// addDigits adds n to the decimal number whose digits end at the end of b, in place. A dot among the digits is passed
// over. A number which would need one more digit begins again at 1 and noughts, so that its width stays.
func addDigits(b []byte, n uint32) {
	carry := n
	for i := len(b) - 1; i >= 0; i-- {
		c := b[i]
		if c == '.' {
			continue
		}
		if c < '0' || c > '9' {
			if carry > 0 && b[i+1] == '0' {
				b[i+1] = '1'
			}
			return
		}
		sum := uint32(c-'0') + carry
		b[i] = '0' + byte(sum%10)
		if carry = sum / 10; carry == 0 {
			return
		}
	}
}

// writer writes a Text.
type writer struct {
	Text
	openMetrics bool
}

func newWriter(size int) *writer {
	w := &writer{}
	w.buf = make([]byte, 0, size)
	return w
}

// family begins a metric family.
func (w *writer) family(name, typ, help string) {
	if w.openMetrics && typ == "counter" && len(name) > 6 && name[len(name)-6:] == "_total" {
		name = name[:len(name)-6]
	}
	if w.openMetrics && typ == "untyped" {
		typ = "unknown"
	}
	for _, part := range []string{"# HELP ", name, " ", help, "\n# TYPE ", name, " ", typ, "\n"} {
		w.buf = append(w.buf, part...)
	}
	w.metas = append(w.metas, int32(len(w.rows)))
}

// sample writes one sample: the series as it is to stand in the text, and the value's digits. The value moves by step each
// time that every turns have gone.
func (w *writer) sample(series, value string, every uint8, step uint16) {
	w.sampleWithGeneration(series, -1, value, every, step)
}

// sampleWithGeneration writes a sample; series[:gen] ends in the digits of its generation label.
func (w *writer) sampleWithGeneration(series string, gen int, value string, every uint8, step uint16) {
	r := row{start: int32(len(w.buf)), step: step, every: every}
	w.buf = append(w.buf, series...)
	if gen > 0 {
		r.gen = r.start + int32(gen)
	}
	w.buf = append(w.buf, ' ')
	w.buf = append(w.buf, value...)
	r.value = int32(len(w.buf))
	w.buf = append(w.buf, '\n')
	r.end = int32(len(w.buf))
	w.rows = append(w.rows, r)
}

// text ends the writing.
func (w *writer) text() *Text {
	if w.openMetrics {
		w.buf = append(w.buf, "# EOF\n"...)
	}
	if len(w.metas) == 0 {
		w.metas = []int32{0}
	}
	t := w.Text
	t.rng = rand.New(rand.NewPCG(1, uint64(len(t.rows))))
	return &t
}

// digits returns a number of n digits which depends on seed alone.
func digits(seed uint64, n int) string {
	low := uint64(1)
	for range n - 1 {
		low *= 10
	}
	return strconv.FormatUint(low+mix(seed)%(9*low), 10)
}

// decimal returns a number with n digits behind its dot.
func decimal(seed uint64, whole, n int) string { return digits(seed, whole) + "." + digits(seed+1, n) }

// mix scatters seed over all bits (the finalizer of splitmix64).
func mix(seed uint64) uint64 {
	seed += 0x9e3779b97f4a7c15
	seed = (seed ^ seed>>30) * 0xbf58476d1ce4e5b9
	seed = (seed ^ seed>>27) * 0x94d049bb133111eb
	return seed ^ seed>>31
}

// hexID returns n hexadecimal digits which depend on seed alone, as names of containers are made of.
func hexID(seed uint64, n int) string {
	const hex = "0123456789abcdef"
	b := make([]byte, n)
	for i := range b {
		if i%16 == 0 {
			seed = mix(seed)
		}
		b[i] = hex[seed>>(i%16*4)&15]
	}
	return string(b)
}
