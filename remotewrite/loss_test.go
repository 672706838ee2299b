package remotewrite

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scraper/receiver"
)

// TestOutage has a receiver which is away for 40 s, in each of three ways: nothing is missing, and nothing comes twice.
func TestOutage(t *testing.T) {
	for _, way := range []string{"answers 503", "resets", "is not there"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var away atomic.Bool
				rc := newReceiver(t, receiver.Options{Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
					if away.Load() && way == "resets" {
						panic(http.ErrAbortHandler)
					}
					if away.Load() {
						w.WriteHeader(503)
					}
					return away.Load()
				}})
				r := newRig(t, onDisk(t.TempDir()), Destination{URL: destA})
				closeServer := r.serve("a.example:80", rc)
				r.run()
				var now int64
				total := r.commitFor(10, &now)
				away.Store(true)
				if way == "is not there" {
					closeServer()
				}
				total += r.commitFor(40, &now)
				away.Store(false)
				if way == "is not there" {
					r.serve("a.example:80", rc)
				}
				total += r.commitFor(10, &now)
				time.Sleep(2 * time.Minute)
				if b := r.balanced(); b.Acknowledged != uint64(total) || b.Dropped.Total() != 0 {
					t.Errorf("books %+v, want %d acknowledged", b, total)
				}
				if got := rc.Totals().Samples; got != uint64(total) {
					t.Errorf("%d samples arrived, want %d", got, total)
				}
				if err := rc.Verify().Err(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// rudeness is what a receiver does to a request instead of answering well. It reports whether it has taken the samples.
type rudeness func(rc http.Handler, w http.ResponseWriter, r *http.Request) (took bool)

// take lets the receiver take a request, and keeps its answer.
func take(rc http.Handler, r *http.Request) bool {
	rc.ServeHTTP(httptest.NewRecorder(), r)
	return true
}

// write answers with these bytes, and hangs up.
func write(w http.ResponseWriter, answer string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(c, answer)
	_ = c.Close()
}

// rude are the ways to fail a request.
func rude() map[string]rudeness {
	return map[string]rudeness{
		"resets at once": func(http.Handler, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"resets while it reads": func(_ http.Handler, _ http.ResponseWriter, r *http.Request) bool {
			_, _ = io.ReadFull(r.Body, make([]byte, 20))
			panic(http.ErrAbortHandler)
		},
		"reads and hangs up": func(_ http.Handler, w http.ResponseWriter, r *http.Request) bool {
			_ = readAll(r)
			write(w, "")
			return false
		},
		"takes it and hangs up": func(rc http.Handler, w http.ResponseWriter, r *http.Request) bool {
			took := take(rc, r)
			write(w, "")
			return took
		},
		"cuts the status": func(_ http.Handler, w http.ResponseWriter, r *http.Request) bool {
			_ = readAll(r)
			write(w, "HTTP/1.1 20")
			return false
		},
		"cuts the header": func(_ http.Handler, w http.ResponseWriter, r *http.Request) bool {
			_ = readAll(r)
			write(w, "HTTP/1.1 200 OK\r\nContent-Le")
			return false
		},
		"cuts the text of a 500": func(_ http.Handler, w http.ResponseWriter, r *http.Request) bool {
			_ = readAll(r)
			write(w, "HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nbecause")
			return false
		},
		"cuts the text of a 200": func(rc http.Handler, w http.ResponseWriter, r *http.Request) bool {
			took := take(rc, r)
			write(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nth")
			return took
		},
		"speaks another protocol": func(_ http.Handler, w http.ResponseWriter, r *http.Request) bool {
			_ = readAll(r)
			write(w, "SSH-2.0-OpenSSH_10.0\r\n")
			return false
		},
		"answers early and reads on": func(_ http.Handler, w http.ResponseWriter, r *http.Request) bool {
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(503)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.Copy(io.Discard, r.Body)
			return false
		},
		"answers twice": func(_ http.Handler, w http.ResponseWriter, r *http.Request) bool {
			_ = readAll(r)
			write(w, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			return false
		},
		"waits for too long": func(rc http.Handler, _ http.ResponseWriter, r *http.Request) bool {
			took := take(rc, r)
			<-r.Context().Done()
			return took
		},
	}
}

// TestRudeReceiver meets each rudeness again and again: nothing is missing, all is in order, and only what was taken
// without an answer comes twice.
func TestRudeReceiver(t *testing.T) {
	ways := rude()
	ways["of all kinds"] = nil
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n atomic.Int64
				var all []rudeness
				if way != nil {
					all = []rudeness{way}
				} else {
					for _, w := range rude() {
						all = append(all, w)
					}
				}
				rc := newReceiver(t, receiver.Options{})
				r := newRig(t, onDisk(t.TempDir()), Destination{URL: destA, Timeout: 5 * second, RetryMax: 5 * second})
				r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if k := n.Add(1); k%3 != 0 {
						all[int(k)%len(all)](rc, w, req)
						return
					}
					rc.ServeHTTP(w, req)
				}))
				r.run()
				var now int64
				total := r.commitFor(60, &now)
				time.Sleep(2 * time.Hour)
				b := r.balanced()
				if b.Acknowledged != uint64(total) || b.Dropped.Total() != 0 || b.Refused != 0 {
					t.Errorf("books %+v, want %d acknowledged", b, total)
				}
				rep := rc.Verify()
				if got := rc.Totals().Samples - rep.Duplicates; got != uint64(total) {
					t.Errorf("%d samples arrived, want %d", got, total)
				}
				if rep.Duplicates > b.Resent || rep.OutOfOrder > rep.Duplicates || rep.Conflicts+rep.Refused+rep.InvalidSeries != 0 {
					t.Errorf("the receiver says %+v; %d samples were sent again", rep, b.Resent)
				}
				for _, s := range rc.Series(nil) {
					if len(s.Samples) != 60 {
						t.Errorf("%v has %d samples, want 60", s, len(s.Samples))
					}
				}
			})
		})
	}
}
