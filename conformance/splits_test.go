package conformance

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
)

const (
	// everySplitBytes is the size of the largest body that is cut at each place. Larger ones would take the square of
	// their size.
	everySplitBytes = 600
	// byteByByteBytes is the size of the largest body that is read one byte at a time.
	byteByByteBytes = 400_000
	randomSplits    = 5
)

// chunks is a reader that returns one chunk per Read, as a connection does. With eofWithLast the last one comes together
// with io.EOF, as readers may do.
type chunks struct {
	list        [][]byte
	eofWithLast bool
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.list) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.list[0])
	if c.list[0] = c.list[0][n:]; len(c.list[0]) == 0 {
		c.list = c.list[1:]
	}
	if len(c.list) == 0 && c.eofWithLast {
		return n, io.EOF
	}
	return n, nil
}

// splits returns readers of a body, each of which cuts it in another way, with its name: whole, at every place if it is
// small, at random places, and between all bytes.
func splits(text []byte, rng *rand.Rand) iter.Seq2[string, io.Reader] {
	return func(yield func(string, io.Reader) bool) {
		if !yield("whole", &chunks{list: nonEmpty(text)}) || !yield("whole, with EOF", &chunks{list: nonEmpty(text), eofWithLast: true}) {
			return
		}
		if len(text) <= everySplitBytes {
			for i := 1; i < len(text); i++ {
				if !yield(fmt.Sprintf("split at %d", i), &chunks{list: nonEmpty(text[:i], text[i:])}) {
					return
				}
			}
		}
		if len(text) > 1 {
			for range randomSplits {
				cuts := randomCuts(text, rng)
				if !yield(fmt.Sprintf("split into %d at random", len(cuts)), &chunks{list: cuts, eofWithLast: rng.IntN(2) == 0}) {
					return
				}
			}
		}
		if len(text) <= byteByByteBytes {
			if !yield("byte by byte", &chunks{list: slices.Collect(slices.Chunk(text, 1))}) {
				return
			}
		}
	}
}

func nonEmpty(list ...[]byte) [][]byte {
	return slices.DeleteFunc(list, func(b []byte) bool { return len(b) == 0 })
}

// randomCuts cuts a body into pieces whose sizes are of all magnitudes.
func randomCuts(text []byte, rng *rand.Rand) [][]byte {
	var list [][]byte
	for len(text) > 0 {
		n := min(len(text), 1+rng.IntN(1<<(1+rng.IntN(16))))
		list = append(list, text[:n])
		text = text[n:]
	}
	return list
}

// Each way to cut a body must still be that body.
func TestSplitsAreWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, text := range [][]byte{nil, []byte("a"), []byte("a 1\n"), bytes.Repeat([]byte("abc 1\n"), 20000)} {
		n := 0
		for name, r := range splits(text, rng) {
			n++
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s of %d bytes reads %d bytes, %v", name, len(text), len(got), err)
			}
		}
		if n < 3 {
			t.Errorf("%d ways to cut %d bytes, want some", n, len(text))
		}
	}
}
