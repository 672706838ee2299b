package remotewrite

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/receiver"
)

// TestOpenBlocksAreBounded commits targets with long HELP texts, which all series of a family have in 2.0, and which go by
// themselves in 1.0: the memory of open blocks is bounded all the same, and nothing is lost.
func TestOpenBlocksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, targets, families = 128 << 10, 60, 40
		r := newRig(t, func(o *Options) { o.MaxOpenBytes, o.Slots = most, 1 },
			Destination{URL: "http://a.example" + receiver.WritePath, Protocol: Protocol2})
		got := newReceiver(t, receiver.Options{Version2: true})
		r.serve("a.example:80", got)
		r.run()
		var scratch []byte
		for i := range targets {
			b := r.empty(0, time.Now().UnixMilli())
			for f := range families {
				name := fmt.Sprintf("m%d", f)
				b.AppendMetadata(batch.Metadata{Type: 1, Family: []byte(name), Help: []byte(strings.Repeat("x", 4096))}, &scratch)
				b.Append(r.set(t, "__name__", name, "target", fmt.Sprint(i)), 1)
			}
			r.Commit(b)
			b.Reset()
			// Buffers are powers of two, of which one may be filled just beyond the bound, and one be there for rows.
			if n := r.Stats().OpenBytes - r.Stats().CacheBytes; n > 4*most {
				t.Fatalf("after %d targets the open blocks take %d bytes, want about %d", i+1, n, most)
			}
		}
		time.Sleep(2 * second)
		if n := got.Totals().Samples; n != targets*families {
			t.Errorf("the receiver got %d samples, want %d", n, targets*families)
		}
		r.balanced()
	})
}

// TestOpenBlocksFollow changes the bound of open blocks while one is filled: it is closed when it is as large as is allowed
// then, and nothing is lost.
func TestOpenBlocksFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.Slots = 1 }, Destination{URL: "http://a.example" + receiver.WritePath})
		got := newReceiver(t, receiver.Options{})
		r.serve("a.example:80", got)
		r.run()
		commit := func() {
			for i := range uint64(10) {
				r.commit(t, r.Writer, i, 200, time.Now().UnixMilli())
			}
			synctest.Wait()
		}
		blocks := func() uint64 { return r.Status()[0].SentBlocks }
		commit()
		if n := blocks(); n != 0 {
			t.Errorf("%d blocks were sent at once, want all samples in an open one", n)
		}
		r.SetMaxOpenBytes(16 << 10)
		commit()
		few := blocks()
		if few < 2 {
			t.Errorf("%d blocks were sent at once with a bound of 16 KiB, want several", few)
		}
		if err := r.Apply([]Destination{{URL: "http://a.example" + receiver.WritePath, NoMetadata: true}}); err != nil { // which makes a new group
			t.Fatal(err)
		}
		synctest.Wait()
		before := blocks()
		commit()
		if n := blocks() - before; n < few/2 {
			t.Errorf("%d blocks were sent at once after a reload, want as many as before, %d", n, few)
		}
		r.SetMaxOpenBytes(0)
		time.Sleep(2 * second)
		before = blocks()
		commit()
		if n := blocks() - before; n != 0 {
			t.Errorf("%d blocks were sent at once without a bound, want none", n)
		}
		time.Sleep(2 * second)
		if n := got.Totals().Samples; n != 4*10*200 {
			t.Errorf("the receiver got %d samples, want %d", n, 4*10*200)
		}
		r.balanced()
	})
}
