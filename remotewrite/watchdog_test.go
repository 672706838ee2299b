package remotewrite

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scraper/receiver"
)

// TestWatchdog has a connection whose other end will never take anything again, while new ones are good.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newReceiver(t, receiver.Options{})
		var mu sync.Mutex
		bad, requests := "", 0
		r := newRig(t, onDisk(t.TempDir()), Destination{URL: destA, MaxSenders: 1})
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			mu.Lock()
			if bad == "" {
				bad = req.RemoteAddr
			}
			requests++
			away := req.RemoteAddr == bad
			mu.Unlock()
			if away {
				_ = readAll(req)
				w.WriteHeader(429)
				return
			}
			rc.ServeHTTP(w, req)
		}))
		r.run()
		var now int64
		total := r.commitFor(240, &now)
		if b := r.balanced(); b.Acknowledged != 0 {
			t.Errorf("books %+v, want nothing acknowledged yet", b)
		}
		total += r.commitFor(240, &now)
		time.Sleep(time.Minute)
		if b := r.balanced(); b.Acknowledged != uint64(total) {
			t.Errorf("books %+v, want %d acknowledged", b, total)
		}
		if n := r.logs.count("nothing was delivered though the receiver answers"); n != 1 {
			t.Errorf("%d log lines say it, want 1:\n%s", n, r.logs)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
		// What gets on is left alone, and so is what has nothing to do.
		mu.Lock()
		bad = "none"
		mu.Unlock()
		r.commitFor(600, &now)
		time.Sleep(time.Hour)
		if n := r.logs.count("nothing was delivered"); n != 1 {
			t.Errorf("%d log lines, want no more than one:\n%s", n, r.logs)
		}
	})
}

// TestWatchdogWaits has a receiver which is away, and one which takes nothing but empty requests: nothing is lost, and
// nobody asks more often than before.
func TestWatchdogWaits(t *testing.T) {
	for _, emptyToo := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{}
			s.steps = []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
				s.mu.Lock()
				last := s.bodies[len(s.bodies)-1]
				s.mu.Unlock()
				if emptyToo || len(last) > 1 {
					w.WriteHeader(503)
				}
			}}
			r := newRig(t, nil, Destination{URL: "http://a.example/"})
			r.serve("a.example:80", s)
			r.run()
			r.commit(t, r.Writer, 0, 10, 1000)
			time.Sleep(time.Hour)
			if b := r.balanced(); b.Pending != 10 {
				t.Errorf("books %+v, want all pending", b)
			}
			if n := s.requests(); n < 55 || n > 160 {
				t.Errorf("%d requests in an hour, want little more than one a minute", n)
			}
			if said := strings.Contains(r.logs.String(), "sending begins anew"); said == emptyToo {
				t.Errorf("the log says %t that sending began anew:\n%s", said, r.logs)
			}
		})
	}
}

// TestFreshConnection has a balancer which keeps a connection with a server that always fails, while the others are good:
// after a few attempts another connection is made.
func TestFreshConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newReceiver(t, receiver.Options{})
		var mu sync.Mutex
		bad, refused := "", 0
		r := newRig(t, nil, Destination{URL: destA})
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if bad == "" {
				bad = req.RemoteAddr
			}
			if req.RemoteAddr == bad {
				refused++
				_ = readAll(req)
				w.WriteHeader(503)
				return
			}
			rc.ServeHTTP(w, req)
		}))
		r.run()
		r.commit(t, r.Writer, 0, 10, 1000)
		time.Sleep(time.Minute)
		if b := r.balanced(); b.Acknowledged != 10 || refused != freshEvery {
			t.Errorf("books %+v after %d failures, want the 10 samples acknowledged after %d", b, refused, freshEvery)
		}
	})
}
