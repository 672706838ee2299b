package remotewrite

import (
	"errors"
	"net/http"

	"scraper/batch"
)

// customSchema is the schema of native histograms with custom buckets.
const customSchema = -53

// errCustom is why samples were left out of a block which was sent all the same.
var errCustom = errors.New("native histograms with custom buckets were left out: only remote write 2.0 carries them")

// leftOut is what becomes of a block of which the receiver has so many samples, and which had others that its protocol does
// not carry.
func leftOut(stored int) *sendError {
	return &sendError{Status: http.StatusOK, Verdict: unsupported, Stored: stored, Err: errCustom}
}

// customRows is what of an open block remote write 1 does not carry: histograms with custom buckets, and their exemplars.
// Receivers of it which know native histograms would take them for others: the bounds stand in a field of their own, which
// came later. Prometheus leaves them out as well.
type customRows struct {
	rows      int // histograms
	exemplars int
	bytesVM   int // of the histograms in ProtocolVM
	last      bool
}

// note counts a row, which takes so many bytes in ProtocolVM, if it is one of them.
func (c *customRows) note(r *row, bytesVM int) {
	if r.kind == batch.KindExemplar {
		c.exemplars += btoi(c.last)
		return
	}
	c.last = r.kind == batch.KindHistogram && hasCustomBuckets(r.payload)
	if c.last {
		c.rows++
		c.bytesVM += bytesVM
	}
}

// hasCustomBuckets reports whether a histogram, in the form which both versions share, has custom buckets.
func hasCustomBuckets(histogram []byte) bool {
	for f := (field{rest: histogram}); f.next(); {
		if f.is(4, wireVarint) {
			return int64(f.v>>1)^-int64(f.v&1) == customSchema
		}
	}
	return false
}

// reader1 is reader without what remote write 1 does not carry.
func (b *builder) reader1(scratch []uint32) rowReader {
	x := b.reader(scratch)
	x.common = b.custom.rows > 0
	return x
}

// nextCommon moves to the next row which both versions carry, and reports whether there is one.
func (x *rowReader) nextCommon() bool {
	for skipped := false; x.advance(); skipped = true {
		if x.kind != batch.KindExemplar {
			x.custom = x.kind == batch.KindHistogram && hasCustomBuckets(x.payload)
		}
		if x.custom {
			continue
		}
		if skipped { // the mask is about a row which nobody saw
			x.mask, x.listed = 0, true
		}
		return true
	}
	return false
}
