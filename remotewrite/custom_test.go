package remotewrite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/bufpool/bufpooltest"
	"scraper/labelcompress"
	"scraper/receiver"
)

// histogramOf returns a histogram with a count and a schema, in protocol buffers.
func histogramOf(schema int64) []byte {
	p := []byte{1 << 3, 5, 4 << 3}
	return binary.AppendVarint(p, schema)
}

// TestCustomBucketsAreLeftOut writes blocks with histograms which have custom buckets among others: in remote write 1 they are the blocks
// without those, byte for byte, and nothing else differs.
func TestCustomBucketsAreLeftOut(t *testing.T) {
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	c := newCodec(tg.pool, 0)
	trace := labelcompress.AppendLabel[string](nil, "trace_id", "abc")
	for _, pattern := range []string{"c", "ce", "s c", "c s", "se ce se", "c c s", "h ce h", "s cee c he c s", strings.Repeat("s ce h c ", 200)} {
		build := func(without bool) *builder {
			b := newBuilder(tg.pool, &account)
			for i, word := range strings.Fields(pattern) {
				if without && word[0] == 'c' {
					continue
				}
				refs := tg.store.AppendRefs(nil, tg.set(t, "__name__", fmt.Sprint("m", i/2), "a", fmt.Sprint(i%3), "job", "x"))
				r := row{refs: refs, value: float64(i), tsMillis: 1000}
				switch word[0] {
				case 'c':
					r.kind, r.value, r.payload = batch.KindHistogram, 0, histogramOf(customSchema)
				case 'h':
					r.kind, r.value, r.payload = batch.KindHistogram, 0, histogramOf(3)
				}
				b.append(tg.dict, &r, 64<<20)
				for range word[1:] {
					b.append(tg.dict, &row{refs: refs, kind: batch.KindExemplar, value: 1, tsMillis: 999, payload: trace}, 64<<20)
				}
			}
			return &b
		}
		all, some := build(false), build(true)
		custom := strings.Count(pattern, "c")
		for _, p := range []Protocol{Protocol1, ProtocolVM} {
			if got, want := all.fits(p), some.fits(p); got != want {
				t.Errorf("%q fits %v: %v, want %v", pattern, p, got, want)
			}
			if !some.fits(p) {
				continue
			}
			blk, want := c.encode(all, p, 0, time.Time{}), c.encode(some, p, 0, time.Time{})
			if blk.rows != want.rows || blk.rows != all.rows-custom {
				t.Errorf("%q in %v has %d rows, want %d", pattern, p, blk.rows, want.rows)
			}
			got, err := c.unpack(blk)
			if err != nil {
				t.Fatal(err)
			}
			ref, err := c.unpack(want)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.B, ref.B) {
				t.Errorf("%q in %v is %d bytes which differ from the %d of the block without custom buckets", pattern, p, len(got.B), len(ref.B))
			}
			got.Release()
			ref.Release()
			blk.release()
			want.release()
		}
		two := c.encode(all, Protocol2, 0, time.Time{})
		if two.rows != all.rows {
			t.Errorf("%q in 2.0 has %d rows, want %d", pattern, two.rows, all.rows)
		}
		two.release()
		all.discard()
		some.discard()
	}
}

// TestCustomBucketsByProtocol has receivers of 2.0 and of 1.0, known as such or found out: the former gets all histograms, the
// latter those which it can understand, and what was left out is in the books.
func TestCustomBucketsByProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const path = receiver.WritePath
		r := newRig(t, nil,
			Destination{URL: "http://two.example" + path, Protocol: Protocol2},
			Destination{URL: "http://one.example" + path, Protocol: Protocol1},
			Destination{URL: "http://auto.example" + path, Protocol: ProtocolAuto})
		two, one := newReceiver(t, receiver.Options{Version2: true}), newReceiver(t, receiver.Options{})
		auto := newReceiver(t, receiver.Options{})
		r.serve("two.example:80", two)
		r.serve("one.example:80", one)
		r.serve("auto.example:80", http.HandlerFunc(auto.ServeHTTP))
		r.run()
		for round := range 3 {
			b := r.empty(0, time.Now().UnixMilli())
			if round != 1 { // which is a block of custom buckets alone
				b.Append(r.set(t, "__name__", "m"), 1)
				b.AppendExtra(batch.KindHistogram, r.set(t, "__name__", "plain"), 0, batch.Extra{Payload: histogramOf(2)})
			}
			b.AppendExtra(batch.KindHistogram, r.set(t, "__name__", "custom"), 0, batch.Extra{Payload: histogramOf(customSchema)})
			if lost := r.Commit(b); lost != (batch.Dropped{}) {
				t.Errorf("Commit dropped %+v", lost)
			}
			b.Reset()
			time.Sleep(5 * second)
		}
		r.balanced()
		for i, want := range []struct{ samples, histograms, left uint64 }{{2, 5, 0}, {2, 2, 3}, {2, 2, 3}} {
			got := []*receiver.Receiver{two, one, auto}[i].Totals()
			books := r.Books()[i]
			if got.Samples != want.samples || got.Histograms != want.histograms || books.Dropped.Unsupported != want.left || books.Pending != 0 || books.Refused != 0 {
				t.Errorf("%v: the receiver got %d samples and %d histograms, want %d and %d, and %d left out", books, got.Samples, got.Histograms,
					want.samples, want.histograms, want.left)
			}
		}
	})
}
