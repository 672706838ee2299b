package remotewrite

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"scraper/batch"
	"scraper/bufpool/bufpooltest"
	"scraper/labelcompress"
)

// plainWire is a wire1 which does as it is told, and checks what that is.
type plainWire struct {
	t           testing.TB
	maxDistance int
	b           []byte
}

func (w *plainWire) Pos() int          { return len(w.b) }
func (w *plainWire) Literals(p []byte) { w.b = append(w.b, p...) }
func (w *plainWire) Match(distance, length int) {
	if distance < 1 || distance > len(w.b) || distance > w.maxDistance || length < minMatch {
		w.t.Fatalf("Match(%d, %d) after %d bytes", distance, length, len(w.b))
	}
	for from := len(w.b) - distance; length > 0; { // which may overlap itself
		n := min(length, len(w.b)-from)
		w.b = append(w.b, w.b[from:from+n]...)
		length -= n
	}
}

// TestWeaverWritesTheSame holds the weaver to what encoder1 writes, for rows of every kind in every order.
func TestWeaverWritesTheSame(t *testing.T) {
	pool := bufpooltest.New(t)
	var e weaver // one for all, so that nothing of a block may stay
	for seed := range uint64(16) {
		b := randomBlock(t, seed)
		for _, exemplars := range []bool{true, false} {
			for _, maxDistance := range []int{1 << 16, 8 << 20, 500} {
				ws := &workspace{}
				out := output{pool: pool, buf: pool.Get(b.size1 + rowReserve), seg: segments{pool: pool}}
				ws.one.run(b, ws, &out, exemplars)
				got := plainWire{t: t, maxDistance: maxDistance}
				e.run(b, ws, &got, weaveOptions{maxDistance, sourcesOf(int(seed%9) - 2), exemplars})
				if !bytes.Equal(got.b, out.buf.B) {
					t.Fatalf("seed %d, exemplars %v: the request is not encoder1's: %d bytes, want %d", seed, exemplars, len(got.b), len(out.buf.B))
				}
				out.buf.Release()
			}
		}
		b.discard()
	}
}

// TestWeaverIsShort holds blocks to what a search finds: five targets with the same metrics, each with labels of its own.
func TestWeaverIsShort(t *testing.T) {
	pool := bufpooltest.New(t)
	var account atomic.Int64
	b := newBuilder(pool, &account)
	b.open(nil)
	number := make(map[string]uint32)
	label := func(name, value string) uint32 {
		n, ok := number[name+value]
		if !ok {
			n = b.addLabel(labelcompress.AppendLabel(nil, name, value))
			number[name+value] = n
		}
		return n
	}
	r := rand.New(rand.NewPCG(1, 2))
	for target := range 5 {
		for i := range 2000 {
			b.appendNumbered([]uint32{
				label("__name__", fmt.Sprintf("shop_events_of_kind_%d_total", i/40)), label("cluster", "bench"), label("code", fmt.Sprint(200+i%5)),
				label("handler", fmt.Sprintf("/api/v1/order/%d", i%40)), label("instance", fmt.Sprintf("10.0.0.%d:8080", target)),
				label("job", "load"), label("method", []string{"GET", "POST", "PUT"}[i/5%3]), label("pod", fmt.Sprintf("orders-%x", target*7919)),
			}, &row{value: float64(r.IntN(1 << r.IntN(30))), tsMillis: 1760000000000 + int64(target)*177})
		}
	}
	c := newCodec(pool, 0)
	woven := c.encode(&b, ProtocolVM, 0, time.Time{})
	raw, err := c.unpack(woven)
	if err != nil {
		t.Fatal(err)
	}
	searched := c.pack(slices.Values([][]byte{raw.B}), len(raw.B), woven, woven.rows)
	if woven.bytes > searched.bytes {
		t.Errorf("a block of %d rows has %d bytes, a search makes %d of them", woven.rows, woven.bytes, searched.bytes)
	}
	short := newCodec(pool, 9).encode(&b, ProtocolVM, 0, time.Time{})
	long := newCodec(pool, -1).encode(&b, ProtocolVM, 0, time.Time{})
	if short.bytes > woven.bytes || woven.bytes > long.bytes {
		t.Errorf("levels 9, 0 and -1 make %d, %d and %d bytes, want more from one to the next", short.bytes, woven.bytes, long.bytes)
	}
	t.Logf("%.2f bytes a row, searched %.2f, levels %d, %d, %d", float64(woven.bytes)/float64(woven.rows), float64(searched.bytes)/float64(woven.rows), short.bytes, woven.bytes, long.bytes)
	for _, x := range []*block{woven, searched, short, long} {
		x.release()
	}
	raw.Release()
	b.discard()
}

// randomBlock is an open block of rows as scrapes bring them, and as they do not.
func randomBlock(t *testing.T, seed uint64) *builder {
	r := rand.New(rand.NewPCG(seed, 7))
	var account atomic.Int64
	b := newBuilder(bufpooltest.New(t), &account)
	b.open(nil)
	var numbers []uint32
	number := make(map[string]uint32)
	label := func(name, value string) uint32 {
		key := name + "\xff" + value
		if n, ok := number[key]; ok {
			return n
		}
		number[key] = b.addLabel(labelcompress.AppendLabel(nil, name, value))
		return number[key]
	}
	values := []float64{0, 1, math.Copysign(0, -1), math.NaN(), 12345, 0.1}
	tsMillis := int64(1760000000000)
	for target := range 1 + r.IntN(6) {
		names, width := 1+r.IntN(12), r.IntN(8)
		if seed%10 == 3 {
			width = 40 + r.IntN(60) // more labels than a mask has bits
		}
		for family := range names {
			for i := range 1 + r.IntN(40) {
				numbers = append(numbers[:0], label("__name__", fmt.Sprintf("family_%d_total", family*family)))
				for l := range width {
					switch {
					case r.IntN(50) == 0: // left out
					case l%3 == 0:
						numbers = append(numbers, label(fmt.Sprintf("l%02d", l), fmt.Sprint("target-", target)))
					case l%3 == 1:
						numbers = append(numbers, label(fmt.Sprintf("l%02d", l), fmt.Sprint(i*i*i)))
					case r.IntN(9) == 0:
						numbers = append(numbers, label(fmt.Sprintf("l%02d", l), fmt.Sprint(r.IntN(1000000))))
					default:
						numbers = append(numbers, label(fmt.Sprintf("l%02d", l), fmt.Sprint(i/5)))
					}
				}
				rw := row{value: r.NormFloat64(), tsMillis: tsMillis + int64(target)*17}
				if r.IntN(2) == 0 {
					rw.value = values[r.IntN(len(values))]
				}
				switch r.IntN(30) {
				case 0:
					rw.tsMillis = int64(r.IntN(3) - 1)
				case 1:
					rw.kind, rw.payload = batch.KindHistogram, []byte{8, byte(r.IntN(100))}
				case 2:
					rw.kind, rw.payload = batch.KindExemplar, labelcompress.AppendLabel(nil, "trace_id", fmt.Sprint(r.IntN(10)))
				}
				b.appendNumbered(numbers, &rw)
			}
		}
	}
	return &b
}
