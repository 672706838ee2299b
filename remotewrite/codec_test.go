package remotewrite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"scraper/batch"
	"scraper/bufpool"
	"scraper/bufpool/bufpooltest"
	"scraper/labelcompress"
	"scraper/zstdframe"
)

// mixedBlock fills an open block with n rows of all kinds.
func mixedBlock(t testing.TB, tg *target, account *atomic.Int64, seed uint64, n int) *builder {
	t.Helper()
	b := newBuilder(tg.pool, account)
	rnd := rand.New(rand.NewPCG(seed, 1))
	trace := labelcompress.AppendLabel[string](nil, "trace_id", "abc")
	for i := range n {
		pairs := []string{"__name__", fmt.Sprintf("m%d", i/50)}
		for _, name := range []string{"a", "b", "c"} {
			if rnd.IntN(4) > 0 {
				pairs = append(pairs, name, strings.Repeat("v", rnd.IntN(3)*60)+fmt.Sprint(rnd.IntN(5)))
			}
		}
		r := row{refs: tg.store.AppendRefs(nil, tg.set(t, pairs...)), value: rnd.NormFloat64(), tsMillis: 1000 + rnd.Int64N(3)}
		switch rnd.IntN(5) {
		case 0:
			r.startMillis = 1 + rnd.Int64N(2000)
		case 1:
			r.kind, r.value, r.payload = batch.KindHistogram, 0, []byte{1 << 3, 5, 3<<3 | 1, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f}
		}
		ok := b.append(tg.dict, &r, 64<<20)
		if rnd.IntN(3) == 0 {
			e := row{refs: r.refs, kind: batch.KindExemplar, value: 1, tsMillis: rnd.Int64N(2), payload: trace[:rnd.IntN(2)*len(trace)]}
			ok = ok && b.append(tg.dict, &e, 64<<20)
		}
		if !ok {
			t.Fatal("append refused")
		}
	}
	return &b
}

// TestRecode writes blocks in each protocol, and then in another: nothing gets lost but what that protocol does not have.
func TestRecode(t *testing.T) {
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	c := newCodec(tg.pool, 0)
	for _, n := range []int{1, 2, 10, 3000} {
		b := mixedBlock(t, tg, &account, uint64(n), n)
		raw := func(blk *block) []byte {
			buf, err := c.unpack(blk)
			if err != nil {
				t.Fatal(err)
			}
			defer buf.Release()
			return bytes.Clone(buf.B)
		}
		all := make(map[Protocol]*block)
		for p := Protocol1; p < protocols; p++ {
			all[p] = c.encode(b, p, 3, time.Unix(5, 0))
		}
		for p, blk := range all {
			for to, want := range all {
				got, err := c.recode(blk, to)
				if err != nil {
					t.Fatalf("%d rows from %v to %v: %v", n, p, to, err)
				}
				if got.rows != blk.rows || got.minTS != blk.minTS || got.maxTS != blk.maxTS || got.slot != 3 || !got.closed.Equal(blk.closed) || got.protocol != to {
					t.Errorf("%v of %v from %v to %v, times %d to %d", got, blk, p, to, got.minTS, got.maxTS)
				}
				// Start timestamps are in 2.0 alone, and exemplars not in vm.
				if p == Protocol2 || to != Protocol2 && (p == Protocol1 || to == ProtocolVM) {
					if !bytes.Equal(raw(got), raw(want)) {
						t.Errorf("%d rows from %v to %v are %d bytes which differ from the %d of those which were encoded so",
							n, p, to, got.rawBytes, want.rawBytes)
					}
				}
				got.release()
			}
		}
		if p1 := all[Protocol1]; p1.rawBytes != b.size1 || all[ProtocolVM].rawBytes != b.sizeVM {
			t.Errorf("%d and %d bytes, want the %d and %d which were foreseen", p1.rawBytes, all[ProtocolVM].rawBytes, b.size1, b.sizeVM)
		}
		for _, blk := range all {
			blk.release()
		}
		b.discard()
	}
	if n := account.Load(); n != 0 {
		t.Errorf("account = %d after all blocks were released, want 0", n)
	}
}

// TestZstdFrame looks at what receivers rely on: one frame which says how long its content is.
func TestZstdFrame(t *testing.T) {
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	b := mixedBlock(t, tg, &account, 1, 5000)
	blk := sealIn(b, ProtocolVM, 0, time.Time{})
	defer blk.release()
	var h zstd.Header
	if err := h.Decode(blockBytes(blk)); err != nil || !h.HasFCS || h.FrameContentSize != uint64(blk.rawBytes) || h.WindowSize > zstdframe.MaxDistance {
		t.Errorf("the header is %+v, %v, want a content of %d bytes", h, err, blk.rawBytes)
	}
}

// TestEncoderGoes sees that what encoding takes is counted, and goes when nobody uses it.
func TestEncoderGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.Protocol = ProtocolVM }, Destination{URL: "http://a.example/"})
		r.serve("a.example:80", status(204))
		r.run()
		r.commit(t, r.Writer, 0, 10, 1)
		time.Sleep(2 * second)
		if n := r.Stats().OpenBytes; n < 4*maxRing {
			t.Errorf("%d bytes after a block, want those of an encoder", n)
		}
		time.Sleep(2 * time.Minute)
		if n := r.Stats().OpenBytes; n != 0 {
			t.Errorf("%d bytes after a while, want none", n)
		}
		r.commit(t, r.Writer, 0, 10, 2)
		time.Sleep(2 * second)
		if n := r.Shrink(); n < 4*maxRing {
			t.Errorf("Shrink released %d bytes, want those of an encoder", n)
		}
	})
}

// FuzzDecode reads what is on a disk as requests.
func FuzzDecode(f *testing.F) {
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		f.Fatal(err)
	}
	tg := newTarget(f, pool)
	var account atomic.Int64
	c := newCodec(pool, 0)
	b := mixedBlock(f, tg, &account, 1, 20)
	for _, p := range []Protocol{Protocol1, Protocol2} {
		blk := c.encode(b, p, 0, time.Time{})
		raw, err := c.unpack(blk)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(raw.B), p == Protocol2)
		raw.Release()
		blk.release()
	}
	b.discard()
	f.Fuzz(func(t *testing.T, msg []byte, two bool) {
		p := Protocol1
		if two {
			p = Protocol2
		}

		b := newBuilder(pool, &account)
		defer b.discard()
		b.open(nil)
		d := decoder{b: &b}
		read := d.decode1
		if two {
			read = d.decode2
		}
		if read(msg) != nil || !b.fits(p) {
			return
		}
		// What was read is written as what reads as the same.
		rows := b.rows
		if p == Protocol1 {
			rows -= b.custom.rows
		}
		first := c.encode(&b, p, 0, time.Time{})
		defer first.release()
		again, err := c.recode(first, p)
		if err != nil || again == nil || again.rows != rows {
			t.Fatalf("a request of %d rows, written and read again, is %v, %v", rows, again, err)
		}
		defer again.release()
		if !bytes.Equal(blockBytes(first), blockBytes(again)) {
			t.Errorf("a request of %d rows reads differently when it was written again", rows)
		}
	})
}

// TestSpareWorkspacesGo: what encoded at the same time in a burst does not stay for ever after it.
func TestSpareWorkspacesGo(t *testing.T) {
	c := newCodec(bufpooltest.New(t), 0)
	work := func(together int) {
		var all []*workspace
		for range together {
			ws := c.get()
			ws.labels = make([]uint32, 1000)
			all = append(all, ws)
		}
		for _, ws := range all {
			c.put(ws)
		}
	}
	const each = 4000
	want := func(what string, n int64) {
		t.Helper()
		if got := c.memory(); got != n*each {
			t.Errorf("%s: %d bytes are kept, want those of %d workspaces", what, got, n)
		}
	}
	work(3)
	c.turn()
	want("after a burst", 3)
	work(2)
	work(1)
	c.turn()
	want("when two were used at the same time since", 2)
	c.turn()
	want("when none was", 0)
	work(2)
	if got := c.shrink(); got != 2*each {
		t.Errorf("shrink() = %d, want %d", got, 2*each)
	}
	work(1)
	c.turn()
	want("after it", 1)
}
