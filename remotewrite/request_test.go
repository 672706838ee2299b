package remotewrite

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/bufpool"
	"scraper/labelcompress"
)

// TestCutTakesLittle cuts a block of several megabytes, as it is done with one which a receiver refuses: beside the request
// itself that takes no buffer of its size, and the pieces hold all of it.
func TestCutTakesLittle(t *testing.T) {
	const rows = 10_000
	for _, p := range []Protocol{Protocol1, ProtocolVM} {
		pool, err := bufpool.New(bufpool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var account atomic.Int64
		b := newBuilder(pool, &account)
		b.open(nil)
		shared := b.addLabel(labelcompress.AppendLabel(nil, "id", "/kubepods.slice/"+strings.Repeat("x", 400)))
		rnd := rand.New(rand.NewPCG(1, 2))
		for i := range rows {
			own := b.addLabel(labelcompress.AppendLabel(nil, "pod", fmt.Sprintf("pod-%d-%x", i, rnd.Uint64())))
			b.appendNumbered([]uint32{shared, own}, &row{value: rnd.Float64(), tsMillis: 1760000000000})
		}
		d := &destination{codec: newCodec(pool, 0)}
		blk := d.codec.encode(&b, p, 0, time.Time{})
		b.discard()
		req, err := d.openRequest(blk)
		if err != nil {
			t.Fatal(err)
		}
		size := len(req.raw.B)
		if size < 4<<20 {
			t.Fatalf("the request of %s has %d bytes, want more than a buffer which is kept", p, size)
		}
		sum := 0
		for from, cuts := 0, []int{rows / 2, rows * 3 / 4, rows}; len(cuts) > 0; from, cuts = cuts[0], cuts[1:] {
			before := largeBuffers(pool)
			piece := d.cut(req, blk, from, cuts[0])
			if n := largeBuffers(pool) - before; n != 0 {
				t.Errorf("series %d to %d of a request of %s, %d bytes, took %d buffers of a megabyte or more, want none", from, cuts[0], p, size, n)
			}
			raw, err := d.codec.unpack(piece)
			if err != nil {
				t.Fatal(err)
			}
			got := &request{raw: raw}
			if err := got.index(cuts[0] - from); err != nil || got.series != cuts[0]-from {
				t.Errorf("series %d to %d of a request of %s: %d series, %v", from, cuts[0], p, got.series, err)
			}
			sum += len(raw.B)
			got.close()
			piece.release()
		}
		if sum != size {
			t.Errorf("the pieces of a request of %s have %d bytes, want %d", p, sum, size)
		}
		req.close()
		blk.release()
		if n := pool.Stats().Total.InUseBytes; n != 0 {
			t.Errorf("%d bytes of buffers are out", n)
		}
	}
}

// largeBuffers is how many buffers of a megabyte or more were handed out so far.
func largeBuffers(pool *bufpool.Pool) uint64 {
	s := pool.Stats()
	n := s.Oversize.Gets
	for _, c := range s.Classes {
		if c.ClassBytes >= 1<<20 {
			n += c.Gets
		}
	}
	return n
}
