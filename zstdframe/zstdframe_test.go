package zstdframe

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// source gives a Writer a content of literals and matches, and knows what they mean.
type source struct {
	content []byte
	give    []func(w *Writer)
}

func (s *source) literals(p []byte) {
	s.content = append(s.content, p...)
	s.give = append(s.give, func(w *Writer) { w.Literals(p) })
}

func (s *source) match(distance, length int) {
	for range length {
		s.content = append(s.content, s.content[len(s.content)-distance])
	}
	s.give = append(s.give, func(w *Writer) { w.Match(distance, length) })
}

// frame returns the frame of what was given.
func (s *source) frame(tb testing.TB, w *Writer) []byte {
	tb.Helper()
	var out bytes.Buffer
	w.Begin(&out, len(s.content))
	for _, g := range s.give {
		g(w)
	}
	if w.Pos() != len(s.content) {
		tb.Errorf("Pos() = %d, want %d", w.Pos(), len(s.content))
	}
	if err := w.End(); err != nil {
		tb.Fatalf("End() = %v", err)
	}
	return out.Bytes()
}

func newDecoder(tb testing.TB) *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.Close)
	return d
}

// random makes a content of which mode decides the character.
func random(r *rand.Rand, size int, mode int) *source {
	s := &source{}
	alphabet := []int{256, 3, 1, 40, 256}[mode%5]
	var recent []int
	for len(s.content) < size {
		n := r.IntN(20)
		if mode%7 == 3 {
			n = r.IntN(9000)
		}
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.IntN(alphabet))
		}
		s.literals(p)
		for range r.IntN(3) {
			if len(s.content) == 0 {
				continue
			}
			d := 1 + r.IntN(min(len(s.content), MaxDistance))
			if len(recent) > 0 && r.IntN(2) == 0 {
				d = recent[r.IntN(len(recent))]
			}
			if recent = append(recent, d); len(recent) > 4 {
				recent = recent[1:]
			}
			l := MinMatch + r.IntN(300)
			switch mode % 4 {
			case 1:
				l = MinMatch
			case 2:
				l = MinMatch + r.IntN(1<<r.IntN(19))
			}
			s.match(d, l)
		}
	}
	return s
}

// TestFramesDecode gives a Writer all kinds of content, and lets another implementation read what it makes of it.
func TestFramesDecode(t *testing.T) {
	d := newDecoder(t)
	var w Writer // one for all, so that nothing of a frame may stay
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := random(r, r.IntN(1<<r.IntN(20)), int(seed))
		got, err := d.DecodeAll(s.frame(t, &w), nil)
		if err != nil || !bytes.Equal(got, s.content) {
			t.Fatalf("seed %d: DecodeAll() = %d bytes, %v, want %d", seed, len(got), err, len(s.content))
		}
	}
}

// TestEdges are the lengths at which the format changes.
func TestEdges(t *testing.T) {
	d := newDecoder(t)
	var w Writer
	check := func(name string, s *source) {
		t.Helper()
		got, err := d.DecodeAll(s.frame(t, &w), nil)
		if err != nil || !bytes.Equal(got, s.content) {
			t.Errorf("%s: DecodeAll() = %d bytes, %v, want %d", name, len(got), err, len(s.content))
		}
	}
	check("nothing", &source{})
	noise := make([]byte, 300<<10)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for _, n := range []int{1, 31, 32, 33, 1023, 1024, 1025, 4095, 4096, 16383, 16384, 65535, 65536, 65537, 131071, 131072, 131073, 300 << 10} {
		s := &source{}
		s.literals(noise[:n])
		check(fmt.Sprint("literals ", n), s)
		s.match(n, max(n, MinMatch))
		check(fmt.Sprint("and again ", n), s)
		s = &source{}
		s.literals(bytes.Repeat([]byte{'a'}, n))
		check(fmt.Sprint("equal literals ", n), s)
	}
	// Every length and number around the bases of their codes.
	s := &source{}
	s.literals(noise[:1<<17])
	for base := 1; base < 1<<17; base *= 2 {
		for _, n := range []int{base - 1, base, base + 1, base + 2, base + 3, base + 4} {
			s.literals(noise[:n])
			s.match(1+base, max(n, MinMatch))
			s.match(1+base+n%3, MinMatch+n%200)
		}
	}
	check("codes", s)
	// Blocks which end within a match, at every place.
	for n := range 8 {
		s := &source{}
		s.literals(noise[:maxBlock-n])
		s.match(7, 5)
		s.match(7, 6)
		s.match(9, 3)
		s.match(9, 1)
		s.match(9, 2)
		check(fmt.Sprint("end in a match ", n), s)
		s = &source{}
		s.literals(noise[:1000])
		s.match(900, maxBlock-1000-n)
		s.match(90, 4)
		check(fmt.Sprint("match at the end ", n), s)
		s = &source{}
		s.literals(noise[:maxBlock-6-n])
		for range 12 {
			s.match(900, 3)
			s.match(900, 1)
			s.match(900, 2)
		}
		check(fmt.Sprint("match at the end ", n), s)
	}
	// More sequences than a block takes.
	s = &source{}
	s.literals(noise[:5000])
	for i := range 3 * maxSequences {
		s.match(1+i%4999, MinMatch+i%2)
	}
	check("many sequences", s)
}

// TestLength is of a caller who is wrong.
func TestLength(t *testing.T) {
	var w Writer
	for _, size := range []int{0, 5, 11} {
		w.Begin(&bytes.Buffer{}, size)
		w.Literals([]byte("ten bytes!"))
		if err := w.End(); !errors.Is(err, errLength) {
			t.Errorf("End() after 10 bytes of %d = %v, want %v", size, err, errLength)
		}
	}
}

// TestWriteError is of a destination which fails.
func TestWriteError(t *testing.T) {
	var w Writer
	w.Begin(failing{}, 10)
	w.Literals([]byte("ten bytes!"))
	if err := w.End(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("End() = %v, want %v", err, os.ErrClosed)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }

// TestReference lets zstd's own program read frames, where there is one: it is stricter than others.
func TestReference(t *testing.T) {
	program, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("there is no zstd")
	}
	var w Writer
	dir := t.TempDir()
	var names []string
	var want []byte
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := random(r, r.IntN(1<<r.IntN(20)), int(seed))
		name := filepath.Join(dir, fmt.Sprintf("%02d.zst", seed))
		if err := os.WriteFile(name, s.frame(t, &w), 0o600); err != nil {
			t.Fatal(err)
		}
		names, want = append(names, name), append(want, s.content...)
	}
	got, err := exec.CommandContext(t.Context(), program, append([]string{"-dc"}, names...)...).Output()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("zstd -dc = %d bytes, %v, want %d", len(got), err, len(want))
	}
}

// FuzzFrame makes literals and matches of its input.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x05hello\x02\x04\xff\x00"))
	f.Add([]byte{200, 1, 2, 3, 0, 255, 255})
	d := newDecoder(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		s := &source{}
		for len(p) > 2 && len(s.content) < 1<<20 {
			n := int(p[0])
			p = p[1:]
			if n < 128 || len(s.content) == 0 {
				k := min(n, len(p))
				s.literals(p[:k])
				p = p[k:]
				continue
			}
			distance := 1 + (int(p[0])<<8|int(p[1]))*(n&7+1)%len(s.content)
			s.match(distance, MinMatch+(n-128)*(int(p[1])+1))
			p = p[2:]
		}
		var w Writer
		got, err := d.DecodeAll(s.frame(t, &w), nil)
		if err != nil || !bytes.Equal(got, s.content) {
			t.Fatalf("DecodeAll() = %d bytes, %v, want %d", len(got), err, len(s.content))
		}
	})
}

// TestPredefined holds the tables which both sides know by heart to their sums.
func TestPredefined(t *testing.T) {
	for a, p := range predefined {
		sum := 0
		for _, n := range p.norm {
			sum += int(max(n, -n))
		}
		if sum != 1<<p.log {
			t.Errorf("alphabet %d: the probabilities' sum is %d, want %d", a, sum, 1<<p.log)
		}
	}
	if len(literalBase) != len(literalBits) || len(matchBase) != len(matchBits) {
		t.Error("the tables of codes have different lengths")
	}
}
