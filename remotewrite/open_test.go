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
