package remotewrite

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scraper/receiver"
)

const second = time.Second

// TestAnswers pins what each answer means for the block.
func TestAnswers(t *testing.T) {
	f := func(code int, want func(b Books) bool, retried bool) {
		t.Helper()
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []http.HandlerFunc{
					func(w http.ResponseWriter, r *http.Request) {
						w.WriteHeader(code)
						_, _ = io.WriteString(w, "because of \"this\"\n")
					},
					status(204),
				}}
				r := newRig(t, nil, Destination{URL: "http://a.example/write", OnRefused: DropRefused})
				r.serve("a.example:80", s)
				r.run()
				r.commit(t, r.Writer, 0, 7, 1000)
				time.Sleep(2500 * time.Millisecond)
				synctest.Wait()
				b := r.balanced()
				if !want(b) || b.Committed != 7 || b.Pending != 0 {
					t.Errorf("books after %d: %+v", code, b)
				}
				n := 1
				if retried {
					n = 2
				}
				if s.requests() != n {
					t.Errorf("%d requests, want %d", s.requests(), n)
				}
				if (b.Resent == 7) != retried {
					t.Errorf("resent = %d", b.Resent)
				}
				st := r.Status()[0]
				if !retried && code >= 300 {
					if want := fmt.Sprintf(`send: answer %d: "because of \"this\""`, code); st.LastError != want || st.Healthy {
						t.Errorf("status = healthy %t, %q, want %q", st.Healthy, st.LastError, want)
					}
				} else if !st.Healthy || st.LastError != "" || st.LastSent.IsZero() || st.SentSamples != 7 {
					t.Errorf("status = %+v, want healthy", st)
				}
			})
		})
	}
	delivered := func(b Books) bool { return b.Acknowledged == 7 }
	refused := func(b Books) bool { return b.Refused == 7 }
	for _, code := range []int{200, 202, 204, 299} {
		if code == 204 {
			continue // writes no text
		}
		f(code, delivered, false)
	}
	for _, code := range []int{400, 413, 422} {
		f(code, refused, false)
	}
	f(409, func(b Books) bool { return b.Dropped.Conflict == 7 }, false)
	f(415, func(b Books) bool { return b.Dropped.Unsupported == 7 }, false)
	// What says nothing about the samples loses none; and a redirect which would turn the POST into a GET is no success.
	for _, code := range []int{300, 301, 302, 303, 305, 307, 308, 401, 402, 403, 404, 405, 408, 410, 418, 429, 431, 451, 500, 502, 503, 504, 507, 599} {
		f(code, delivered, true)
	}
}

func TestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{status(503), status(204)}}
		r := newRig(t, func(o *Options) { o.UserAgent = "scraper/1.2.3" }, Destination{
			URL:     "http://user:pass@a.example/api/v1/write?tenant=1",
			Headers: map[string]string{"x-scope-orgid": "me", "Content-Type": "text/plain"},
		})
		r.serve("a.example:80", s)
		r.run()
		r.commit(t, r.Writer, 3, 5, 1000)
		time.Sleep(5 * second)
		if s.requests() != 2 {
			t.Fatalf("%d requests, want 2", s.requests())
		}
		for i, h := range s.headers {
			for k, want := range map[string]string{
				"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy", "User-Agent": "scraper/1.2.3",
				"X-Prometheus-Remote-Write-Version": "0.1.0", "X-Scope-Orgid": "me", "Authorization": "Basic dXNlcjpwYXNz",
				"Retry-Attempt": []string{"", "1"}[i], "X-Idempotency-Key": "", "Transfer-Encoding": "",
				"Content-Length": fmt.Sprint(len(s.bodies[i])),
			} {
				if got := h.Get(k); got != want {
					t.Errorf("request %d: %s = %q, want %q", i, k, got, want)
				}
			}
			samples, err := decodeRequest(s.bodies[i])
			if err != nil || len(samples) != 5 {
				t.Errorf("request %d: %d samples, %v, want 5", i, len(samples), err)
			}
		}
	})
}

func TestBackoff(t *testing.T) {
	for range 200 {
		b := backoff{min: second, max: time.Minute}
		for n, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			got := b.next(0)
			least, most := want*second, want*second*5/4
			if want == 60 {
				least, most = 45*second, time.Minute
			}
			if got < least || got > most {
				t.Fatalf("wait %d = %v, want %v to %v", n, got, least, most)
			}
		}
		b.reset()
		if got := b.next(0); got > 1250*time.Millisecond {
			t.Fatalf("wait after reset = %v, want about 1s", got)
		}
		for _, tt := range []struct{ ask, least, most time.Duration }{
			{1, second, 1100 * time.Millisecond}, // below the minimum
			{10 * second, 10 * second, 11 * second},
			{time.Hour, time.Minute, time.Minute},
		} {
			if got := b.next(tt.ask); got < tt.least || got > tt.most {
				t.Fatalf("wait when asked for %v = %v, want %v to %v", tt.ask, got, tt.least, tt.most)
			}
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := func(v string, want time.Duration) {
		t.Helper()
		if got := retryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", v, got, want)
		}
	}
	f("", 0)
	f("3", 3*second)
	f(" 3 ", 3*second)
	f("-3", 0)
	f("0", 0)
	f("3.5", 0)
	f("soon", 0)
	f("99999999999999", 24*time.Hour)
	f("99999999999999999999999", 0)
	f(now.Add(90*second).Format(http.TimeFormat), 90*second)
	f(now.Add(-90*second).Format(http.TimeFormat), 0)
}

// TestRetrySchedule looks at when requests arrive.
func TestRetrySchedule(t *testing.T) {
	f := func(name string, step http.HandlerFunc, bounds [][2]time.Duration) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []http.HandlerFunc{step}}
				r := newRig(t, nil, Destination{URL: "http://a.example/", RetryMin: second, RetryMax: 10 * second})
				r.serve("a.example:80", s)
				r.run()
				r.commit(t, r.Writer, 0, 7, 1000)
				time.Sleep(3 * time.Minute)
				gaps := s.gaps()
				for i, b := range bounds {
					if gaps[i] < b[0] || gaps[i] > b[1] {
						t.Errorf("gap %d = %v, want %v to %v", i, gaps[i], b[0], b[1])
					}
				}
				if b := r.balanced(); b.Pending != 7 {
					t.Errorf("books = %+v, want 7 pending", b)
				}
			})
		})
	}
	f("doubling", status(500), [][2]time.Duration{{second, 2 * second}, {2 * second, 3 * second}, {4 * second, 5 * second},
		{7 * second, 10 * second}, {7 * second, 10 * second}, {7 * second, 10 * second}})
	f("Retry-After within bounds", status(429, "Retry-After", "5"), [][2]time.Duration{{5 * second, 6 * second}, {5 * second, 6 * second}})
	f("Retry-After below", status(503, "Retry-After", "0"), [][2]time.Duration{{second, 2 * second}})
	f("Retry-After above", status(503, "Retry-After", "3600"), [][2]time.Duration{{9 * second, 10 * second}, {10 * second, 10 * second}})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		hang := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) == 1 {
				_ = readAll(r)
				<-r.Context().Done()
			}
		})
		r := newRig(t, nil, Destination{URL: "http://a.example/", Timeout: 3 * second})
		r.serve("a.example:80", hang)
		r.run()
		r.commit(t, r.Writer, 0, 1, 1)
		time.Sleep(4500 * time.Millisecond)
		if got, want := r.Status()[0].LastError, "send: no answer within the timeout of 3s"; !strings.HasPrefix(got, want) {
			t.Errorf("LastError = %q, want %q", got, want)
		}
		time.Sleep(2 * second)
		if b := r.balanced(); b.Acknowledged != 1 || b.Resent != 1 {
			t.Errorf("books = %+v, want 1 acknowledged at the second attempt", b)
		}
	})
}

// TestEndlessAnswer has receivers whose answers go on and on: only the status counts.
func TestEndlessAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, Destination{URL: "http://a.example/"}, Destination{URL: "http://b.example/"})
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = readAll(r)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}))
		r.serve("b.example:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = readAll(r)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
		r.run()
		for i := range 5 {
			r.commit(t, r.Writer, 0, 1, int64(i))
			time.Sleep(1100 * time.Millisecond)
		}
		time.Sleep(3 * second)
		for _, b := range r.Books() {
			if b.Acknowledged != 5 || b.Resent != 0 {
				t.Errorf("%v, want 5 acknowledged", b)
			}
		}
	})
}

// TestConnectionsAreReused looks at the number of connections, whatever the answers are.
func TestConnectionsAreReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns sync.Map
		steps := &script{steps: []http.HandlerFunc{
			status(204), status(400), status(500), func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(400)
				_, _ = w.Write(make([]byte, 30_000))
			}, status(204)}}
		r := newRig(t, nil, Destination{URL: "http://a.example/"})
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			conns.Store(req.RemoteAddr, true)
			steps.ServeHTTP(w, req)
		}))
		r.run()
		for i := range 5 {
			r.commit(t, r.Writer, 0, 1, int64(i))
			time.Sleep(3 * second)
		}
		n := 0
		conns.Range(func(any, any) bool { n++; return true })
		if n != 1 || steps.requests() != 6 {
			t.Errorf("%d requests over %d connections, want 6 over 1", steps.requests(), n)
		}
	})
}

// TestDeadConnection has a receiver which closes idle connections: a connection that was kept and is dead costs no
// waiting.
func TestDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newReceiver(t, receiver.Options{})
		r := newRig(t, nil, Destination{URL: "http://a.example" + receiver.WritePath, RetryMin: time.Minute})
		for i := range 4 {
			stop := r.serve("a.example:80", rc)
			if i == 0 {
				r.run()
			}
			r.commit(t, r.Writer, 0, 3, int64(i)*1000)
			time.Sleep(2 * second)
			stop()
		}
		if b := r.balanced(); b.Acknowledged != 12 {
			t.Errorf("books = %+v, want 12 acknowledged", b)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestOrder commits to all slots while the receiver fails in every way, and looks whether any series got a sample
// before an older one.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		rc := newReceiver(t, receiver.Options{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
			switch n.Add(1) % 7 {
			case 1:
				w.WriteHeader(500)
			case 2:
				time.Sleep(3 * second)
				w.WriteHeader(429)
			case 3:
				panic(http.ErrAbortHandler)
			case 4:
				time.Sleep(20 * second) // until the client gives up
				return false
			default:
				return false
			}
			return true
		}})
		r := newRig(t, func(o *Options) { o.MaxRowsPerBlock = 50 }, Destination{URL: "http://a.example" + receiver.WritePath, Timeout: 10 * second})
		r.serve("a.example:80", rc)
		r.run()
		const rounds, slots, series = 40, 9, 20
		for i := range rounds {
			for slot := range uint64(slots) {
				r.commit(t, r.Writer, slot, series, int64(i+1)*1000)
			}
			time.Sleep(second)
		}
		time.Sleep(3 * time.Hour)
		b := r.balanced()
		if want := uint64(rounds * slots * series); b.Acknowledged != want || b.Pending != 0 {
			t.Errorf("books = %+v, want %d acknowledged", b, want)
		}
		// What was sent twice arrives twice: a request whose answer was lost. Nothing may be missing or out of order.
		rep := rc.Verify()
		if rep.OutOfOrder > rep.Duplicates || rep.Conflicts != 0 || rep.Refused != 0 || rep.UnsortedLabels != 0 {
			t.Errorf("receiver: %+v", rep)
		}
		for _, s := range rc.Series(nil) {
			if len(s.Samples) != rounds {
				t.Errorf("%v has %d samples, want %d", s, len(s.Samples), rounds)
			}
		}
	})
}

// TestIsolation has a good destination, one which never answers, and a slow one. The good one must not notice.
func TestIsolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := newReceiver(t, receiver.Options{})
		hole := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = readAll(r); <-r.Context().Done() })
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			buf := make([]byte, 100)
			for {
				if _, err := r.Body.Read(buf); err != nil {
					return
				}
				time.Sleep(2 * time.Second)
			}
		})
		r := newRig(t, func(o *Options) { o.MaxPendingBytes = 100_000 },
			Destination{URL: "http://hole.example/"}, Destination{URL: "http://good.example" + receiver.WritePath},
			Destination{URL: "http://slow.example/"}, Destination{URL: "http://refused.example/"})
		r.serve("good.example:80", good)
		r.serve("hole.example:80", hole)
		r.serve("slow.example:80", slow)
		r.run()
		const rounds, rows = 300, 200
		for i := range rounds {
			start := time.Now()
			lost := r.commit(t, r.Writer, uint64(i%4), rows, int64(i+1)*1000)
			if d := time.Since(start); d != 0 { // in a bubble time passes only when all wait
				t.Fatalf("Commit waited for %v", d)
			}
			if lost.Relabeled+lost.Shutdown+lost.TooLarge != 0 {
				t.Fatalf("Commit() = %+v", lost)
			}
			time.Sleep(time.Second)
			if i > 3 && i%50 == 0 {
				time.Sleep(1100 * time.Millisecond)
				synctest.Wait()
				if got, want := good.Totals().Samples, uint64((i+1)*rows); got != want {
					t.Errorf("the good destination has %d samples after %d rounds, want %d", got, i+1, want)
				}
			}
		}
		time.Sleep(2 * second)
		r.balanced()
		for i, b := range r.Books() {
			if b.Committed != rounds*rows {
				t.Errorf("%v, want %d committed", b, rounds*rows)
			}
			if good := i == 1; good != (b.Dropped.Total() == 0) || good != (b.Pending == 0) {
				t.Errorf("%v", b)
			}
		}
		if got := r.Status()[0]; got.PendingBytes > 100_000 || got.Healthy {
			t.Errorf("status of the dead destination = %+v", got)
		}
		if s := r.Stats(); s.BlockBytes > 4*100_000 {
			t.Errorf("Stats() = %+v, want at most the bound of each destination", s)
		}
		r.stop()
	})
}

// TestSlowUpload sends to a receiver which reads so slowly that time is over, and comes to its senses later.
func TestSlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newReceiver(t, receiver.Options{})
		var n atomic.Int64
		r := newRig(t, nil, Destination{URL: "http://a.example" + receiver.WritePath, Timeout: 2 * second})
		r.net.BufferBytes = 1 << 10
		stuck := make(chan struct{})
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if n.Add(1) <= 3 {
				<-stuck
				return
			}
			rc.ServeHTTP(w, req)
		}))
		t.Cleanup(func() { close(stuck) })
		r.run()
		r.commit(t, r.Writer, 0, 5000, 1000)
		time.Sleep(time.Minute)
		if b := r.balanced(); b.Acknowledged != 5000 {
			t.Errorf("books = %+v, want all acknowledged", b)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}
