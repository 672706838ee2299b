// Package zstdframe writes zstd frames (RFC 8878) of literals and matches which its caller knows already, since it knows
// how what it writes is built. What is left of compression is entropy coding, which is a fraction of the time that looking
// for matches takes.
//
// It does not look for matches, and it cannot check them: a match of what was not written makes a frame which decodes to
// something else.
//
// Concurrency: a Writer is for one goroutine at a time.
//
// Ownership: a Writer borrows what it is given, and keeps its own memory, of some 200 KiB at most, between frames.
//
// Read this file first, then block.go for what a block looks like, and fse.go for the codes.
package zstdframe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/huff0"
)

const (
	// maxBlock is the most content of a block which the format allows.
	maxBlock = 128 << 10
	// A block ends before it has more literals or sequences than these: even if nothing of it can be compressed it is
	// smaller than maxBlock then, as it must be.
	maxLiterals  = 64 << 10
	maxSequences = 4 << 10
	// minWindowLog lets a block of a short frame be as large as any. maxWindowLog is what every decoder takes.
	minWindowLog = 17
	maxWindowLog = 23

	// MinMatch is the shortest match there is.
	MinMatch = 3
	// MaxDistance is how far back a match may begin.
	MaxDistance = 1 << maxWindowLog
)

// Writer writes frames. The zero value is ready for Begin.
type Writer struct {
	dst       io.Writer
	size      int // of the frame's content
	pos       int // of it, what was given
	blockFrom int // where the current block begins
	err       error

	literals []byte
	seqs     []sequence
	open     sequence // the match which is being given, with the literals before it; matchLen is 0 while there is none
	reps     [3]uint32

	huff       huff0.Scratch
	hasTable   bool // a block of this frame had a Huffman table
	lit        coder
	off        coder
	match      coder
	codes      []seqCodes
	out        []byte
	headerSent bool
}

// sequence is some literals, and a match behind them.
type sequence struct {
	literals uint32 // bytes
	matchLen uint32
	offset   uint32 // as the format has it: 1 to 3 are recent distances, others are the distance and 3
	distance uint32
}

// Begin starts a frame of size bytes of content, which is written to dst in pieces. It forgets what was not ended.
func (w *Writer) Begin(dst io.Writer, size int) {
	w.dst, w.size, w.pos, w.blockFrom, w.err = dst, size, 0, 0, nil
	w.literals, w.seqs, w.open = w.literals[:0], w.seqs[:0], sequence{}
	w.reps = [3]uint32{1, 4, 8}
	w.hasTable = false
	w.lit.begin(literalLengths)
	w.off.begin(offsets)
	w.match.begin(matchLengths)
	w.headerSent = false
}

// Pos is how much of the content was given.
func (w *Writer) Pos() int { return w.pos }

// Literals adds p, which it borrows, to the content.
func (w *Writer) Literals(p []byte) {
	if w.open.matchLen > 0 && len(p) > 0 {
		w.closeSequence()
	}
	for len(p) > 0 {
		n := min(len(p), maxBlock-(w.pos-w.blockFrom), maxLiterals-len(w.literals))
		if n == 0 {
			w.endBlock()
			continue
		}
		w.literals = append(w.literals, p[:n]...)
		w.open.literals += uint32(n)
		w.pos += n
		p = p[n:]
	}
}

// Match adds length bytes which repeat those that were given distance bytes before. The caller sees to it that they were,
// and that the distance is at most MaxDistance. A match which goes on where the one before ended, at the same distance, is
// the same match, and may be shorter than MinMatch.
func (w *Writer) Match(distance, length int) {
	if w.open.matchLen > 0 && w.open.distance != uint32(distance) {
		w.closeSequence()
	}
	w.open.distance = uint32(distance)
	w.open.matchLen += uint32(length)
	w.pos += length
	for w.pos-w.blockFrom > maxBlock {
		// It goes on in the next block, and each part of it must be a match.
		all := int(w.open.matchLen)
		rest := max(w.pos-w.blockFrom-maxBlock, MinMatch)
		if all-rest < MinMatch {
			rest = all
		}
		w.open.matchLen, w.pos = uint32(all-rest), w.pos-rest
		w.endBlock()
		w.open.distance, w.open.matchLen, w.pos = uint32(distance), uint32(rest), w.pos+rest
	}
}

// closeSequence ends the open match.
func (w *Writer) closeSequence() {
	s := w.open
	w.open = sequence{}
	s.offset = w.code(s.distance, s.literals > 0)
	if w.seqs = append(w.seqs, s); len(w.seqs) == maxSequences {
		w.endBlock()
	}
}

// code returns how the format has a distance: shorter if it was one of the last three.
func (w *Writer) code(d uint32, afterLiterals bool) uint32 {
	r := &w.reps
	switch {
	case d == r[0] && afterLiterals:
		return 1
	case d == r[1]:
		r[0], r[1] = d, r[0]
		return 1 + btou(afterLiterals)
	case d == r[2]:
		r[0], r[1], r[2] = d, r[0], r[1]
		return 2 + btou(afterLiterals)
	}
	r[0], r[1], r[2] = d, r[0], r[1]
	return d + 3
}

func btou(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// errLength says that a frame is not as long as was said.
var errLength = errors.New("zstdframe: the content is not as long as Begin was told")

// End writes what is left of the frame. It returns an error if dst did, or if the content is not as long as Begin was told.
func (w *Writer) End() error {
	if w.pos != w.size && w.err == nil {
		w.err = fmt.Errorf("%w: %d bytes, not %d", errLength, w.pos, w.size)
	}
	if w.pos > w.blockFrom || !w.headerSent {
		w.endBlock()
	}
	err := w.err
	w.dst = nil
	return err
}

// Memory is the bytes which the Writer keeps, without what its Huffman coder does.
func (w *Writer) Memory() int {
	return cap(w.literals) + 16*cap(w.seqs) + 3*cap(w.codes) + cap(w.out)
}

// endBlock writes the current block.
func (w *Writer) endBlock() {
	if w.open.matchLen > 0 {
		s := w.open
		w.open = sequence{}
		s.offset = w.code(s.distance, s.literals > 0)
		w.seqs = append(w.seqs, s)
	}
	w.open = sequence{} // its literals are the block's last
	out := w.out[:0]
	if !w.headerSent {
		out = w.appendHeader(out)
		w.headerSent = true
	}
	head := len(out)
	out = append(out, 0, 0, 0)
	out = w.appendLiterals(out)
	out = w.appendSequences(out)
	const compressed = 2
	h := uint32(len(out)-head-3)<<3 | compressed<<1
	if w.pos >= w.size {
		h |= 1 // the last one
	}
	if w.pos == w.blockFrom { // an empty block is a raw one
		out = out[:head+3]
		h = 1
	}
	out[head], out[head+1], out[head+2] = byte(h), byte(h>>8), byte(h>>16)
	w.out = out
	if w.err == nil {
		_, w.err = w.dst.Write(out)
	}
	w.blockFrom = w.pos
	w.literals, w.seqs = w.literals[:0], w.seqs[:0]
}

// appendHeader appends the frame's header: without a checksum, with the content's length.
func (w *Writer) appendHeader(dst []byte) []byte {
	const magic, sizeOf4 = 0xFD2FB528, 2 << 6
	log := min(max(bits.Len(uint(max(w.size, 1)-1)), minWindowLog), maxWindowLog)
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	dst = append(dst, sizeOf4, byte(log-10)<<3)
	return binary.LittleEndian.AppendUint32(dst, uint32(w.size))
}
