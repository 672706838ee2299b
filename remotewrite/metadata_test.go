package remotewrite

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/receiver"
)

// TestNothingButMetadata commits batches without samples: they go where metadata stand by themselves, by way of the disk, and
// no sample is counted.
func TestNothingButMetadata(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.QueueDir = dir },
			Destination{URL: "http://one.example" + receiver.WritePath},
			Destination{URL: "http://two.example" + receiver.WritePath, Protocol: Protocol2})
		one, two := newReceiver(t, receiver.Options{}), newReceiver(t, receiver.Options{Version2: true})
		r.serve("one.example:80", one)
		r.serve("two.example:80", two)
		r.run()
		var scratch []byte
		b := r.empty(0, 1000)
		b.AppendMetadata(batch.Metadata{Type: 2, Family: []byte("m"), Help: []byte("Help.")}, &scratch)
		r.Commit(b)
		b.Reset()
		time.Sleep(2 * second)
		if got := one.Totals(); got.Metadata != 1 || got.Accepted != 1 {
			t.Errorf("version 1: %+v, want one request with metadata", got)
		}
		if got := two.Totals(); got.Requests != 0 {
			t.Errorf("version 2: %+v, want no request", got)
		}
		if books := r.balanced(); books.Committed != 0 || books.Pending != 0 {
			t.Errorf("%v, want nothing", books)
		}
		if n := r.Status()[0].PendingBlocks; n != 0 {
			t.Errorf("%d blocks are pending, want none", n)
		}
	})
}

// TestSentMetadataIsForgotten: what is known of families which nobody has any longer goes, and its room, while metadata of the
// others are sent as often as before.
func TestSentMetadataIsForgotten(t *testing.T) {
	var s sentMetadata
	now := time.Unix(1e9, 0)
	sent := 0
	for second := range 600 {
		now = now.Add(time.Second)
		for i := range 10_000 {
			if i >= 10 && second > 0 {
				break
			}
			if s.due(batch.Metadata{Family: fmt.Append(nil, "family_", i)}, now) && i == 0 {
				sent++
			}
		}
		if second%30 == 29 {
			s.turn(now)
		}
	}
	if len(s.families) > 10 || s.most > 64 {
		t.Errorf("%d families are known in room for %d, want the 10 which there are", len(s.families), s.most)
	}
	if sent != 10 {
		t.Errorf("in ten minutes a family's metadata were sent %d times, want 10", sent)
	}
}
