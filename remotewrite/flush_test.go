package remotewrite

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"scraper/receiver"
)

// TestFlushTogether commits to all slots of two groups at different times: their blocks are closed at one time, and none is
// open for longer than the interval.
func TestFlushTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{status(204)}}
		r := newRig(t, nil, Destination{URL: "http://a.example" + receiver.WritePath}, Destination{URL: "http://b.example/", MaxRowsPerBlock: 1000},
			Destination{URL: "http://c.example/", FlushInterval: 300 * time.Millisecond})
		r.serve("a.example:80", s)
		r.serve("b.example:80", s)
		c := &script{steps: []http.HandlerFunc{status(204)}}
		r.serve("c.example:80", c)
		r.run()
		for round := range 3 {
			time.Sleep(time.Minute + time.Duration(round)*123*time.Millisecond)
			for slot := range 4 {
				r.commit(t, r.Writer, uint64(slot), 10, int64(round*1000))
				time.Sleep(200 * time.Millisecond)
			}
			time.Sleep(199 * time.Millisecond)
			synctest.Wait()
			if n := s.requests(); n != 8*round {
				t.Errorf("round %d: %d requests before an interval is over, want %d", round, n, 8*round)
			}
			if n, want := c.requests(), 4*(round+1); n != want {
				t.Errorf("round %d: %d requests for the short interval, want %d", round, n, want)
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			if n, want := s.requests(), 8*(round+1); n != want {
				t.Errorf("round %d: %d requests when it is over, want %d", round, n, want)
			}
		}
	})
}

// TestFlushFull has a slot whose blocks are full before their time: that of the other slots does not cut them short.
func TestFlushFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{status(204)}}
		r := newRig(t, func(o *Options) { o.MaxRowsPerBlock = 100 }, Destination{URL: "http://a.example/"})
		r.serve("a.example:80", s)
		r.run()
		r.commit(t, r.Writer, 1, 10, 1000)
		time.Sleep(500 * time.Millisecond)
		r.commit(t, r.Writer, 0, 150, 1000)
		time.Sleep(501 * time.Millisecond)
		synctest.Wait()
		if n := s.requests(); n != 2 {
			t.Errorf("%d requests after a second, want that of the full block and that of the other slot", n)
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if n := s.requests(); n != 3 {
			t.Errorf("%d requests in the end, want 3", n)
		}
	})
}
