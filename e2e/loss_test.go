package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/receiver"
)

// numbered is what a test knows of the scrapes of counting targets: each is a number, which all of its samples have as value.
type numbered struct {
	series int
	all    []*target
}

// missing returns, by target, the scrapes of which not all samples arrived.
func (n *numbered) missing(t testing.TB, s *sink) map[*target][]serving {
	t.Helper()
	miss := make(map[*target][]serving)
	for _, x := range n.all {
		arrived := make(map[int]int) // how many series have the number
		for _, one := range s.Series(map[string]string{"__name__": "served_total", "instance": x.name}) {
			last := 0
			for _, v := range one.Samples {
				if v.IsStale() {
					continue
				}
				if int(v.Value) <= last {
					t.Fatalf("%v: number %v comes after %d", one, v.Value, last)
				}
				last = int(v.Value)
				arrived[last]++
			}
		}
		for _, sv := range x.servings() {
			if arrived[sv.n] != n.series {
				miss[x] = append(miss[x], sv)
			}
		}
	}
	return miss
}

// wantAll wants each scrape to have arrived, whole: but those which failed for the agent though they were answered, as they do on
// a machine without time to spare.
func (n *numbered) wantAll(t testing.TB, s *sink) {
	t.Helper()
	missing, failed := 0, failedScrapes(s, n.all...)
	example := ""
	for x, servings := range n.missing(t, s) {
		missing += len(servings)
		example = fmt.Sprintf("%s has not number %d of %d", x.name, servings[0].n, x.count())
	}
	if missing > failed {
		t.Errorf("%d scrapes are missing, and %d failed: %s", missing, failed, example)
	}
}

// death is when an agent was killed.
type death struct {
	at   time.Time // it still ran
	gone time.Time // it was gone, and so was all that it had asked for
}

// kill kills an agent, and waits until the farm has nothing to do for it.
func (f *farm) kill(t testing.TB, a *agent) death {
	t.Helper()
	d := death{at: time.Now()}
	a.kill()
	waitFor(t, "the dead agent's connections to be closed", func() bool { return f.open.Load() == 0 })
	d.gone = time.Now()
	return d
}

// wantLostToDeaths wants all missing scrapes to be some which agents took with them: each ended at most the given time before
// a death. It returns how many are missing.
func (n *numbered) wantLostToDeaths(t testing.TB, s *sink, atMost time.Duration, deaths ...death) (missing int) {
	t.Helper()
	var others []string
	for x, servings := range n.missing(t, s) {
		for _, sv := range servings {
			missing++
			next := slices.IndexFunc(deaths, func(d death) bool { return d.gone.After(sv.begun) })
			switch {
			case next < 0:
				others = append(others, fmt.Sprintf("number %d of %s, of the last life", sv.n, x.name))
			case deaths[next].at.Sub(sv.ended) > atMost:
				others = append(others, fmt.Sprintf("number %d of %s, %v before a kill", sv.n, x.name, deaths[next].at.Sub(sv.ended)))
			}
		}
	}
	if failed := failedScrapes(s, n.all...); len(others) > failed {
		tooSlow(t, "%d scrapes are missing, and %d failed; not within %v before a kill are %q", missing, failed, atMost, others)
	}
	return missing
}

// settled waits until nothing is in flight, and wants the books to balance then. It returns the metrics.
func (a *agent) settled(t testing.TB) (m map[string]float64) {
	t.Helper()
	waitLonger(t, "everything to be settled", 3*time.Minute, func() bool {
		m = a.metrics(t)
		return sum(m, "scraper_remotewrite_pending_samples") == 0
	})
	return m
}

// wantOrdered wants each series in order, and nothing twice but what was sent again.
func wantOrdered(t testing.TB, s *sink, mayBeTwice uint64) {
	t.Helper()
	rep := s.Verify()
	if rep.OutOfOrder+rep.Conflicts+rep.InvalidSeries+rep.UnsortedLabels+rep.NotKept != 0 || rep.Duplicates > mayBeTwice {
		t.Errorf("the receiver says %+v, want all in order and at most %d twice", rep, mayBeTwice)
	}
}

// lostOnPurpose is what the books say was lost.
func lostOnPurpose(m map[string]float64) float64 {
	return sum(m, "scraper_remotewrite_dropped_samples_total") + sum(m, "scraper_remotewrite_refused_samples_total") + sum(m, "scraper_remotewrite_expired_samples_total")
}

// TestNothingIsLostInAnOutage has a receiver which is away for 40 s, in the long form, in each of three ways.
func TestNothingIsLostInAnOutage(t *testing.T) {
	outage := 6 * time.Second
	if *long {
		outage = 40 * time.Second
	}
	for _, way := range []string{"refuses", "hangs", "is gone"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			f := startFarm(t, 2)
			n := numbered{20, addTargets(f, 10, func(int) answer { return counting(20) })}
			var away atomic.Bool
			r, err := receiver.New(receiver.Options{Version2: true, Zstd: true, Intercept: func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case !away.Load():
					return false
				case way == "hangs":
					f.wait(r)
				default:
					http.Error(w, "not now", http.StatusServiceUnavailable)
				}
				return true
			}})
			if err != nil {
				t.Fatal(err)
			}
			s := &sink{Receiver: r}
			addr, stop := s.listen(t, "127.0.0.1:0")
			conf := scrapeConfig(t, f, 500*time.Millisecond, n.all...)
			a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url=http://"+addr+receiver.WritePath, "-remoteWrite.sendTimeout=2s",
				"-remoteWrite.retryMinInterval=100ms", "-remoteWrite.retryMaxInterval=1s")
			waitFor(t, "some scrapes to arrive", func() bool { return s.Totals().Samples > 500 })
			away.Store(true)
			if way == "is gone" {
				stop()
			}
			time.Sleep(outage)
			away.Store(false)
			if way == "is gone" {
				_, stop = s.listen(t, addr)
			}
			t.Cleanup(stop)
			freeze(t, a, conf, n.all...)
			m := a.settled(t)
			n.wantAll(t, s)
			if lost := lostOnPurpose(m); lost != 0 {
				t.Errorf("%v samples were dropped", lost)
			}
			wantOrdered(t, s, uint64(sum(m, "scraper_remotewrite_resent_samples_total")))
			a.terminate(t)
		})
	}
}

// TestKilledUnderLoad kills the agent at random moments, also while the receiver is away, and starts it again on the same
// data path: what is missing was scraped within a flush interval before a kill.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	kills := 25
	if *long {
		kills = 50
	}
	const series, flush = 20, 500 * time.Millisecond
	f := startFarm(t, 2)
	n := numbered{series, addTargets(f, 10, func(int) answer { return counting(series) })}
	var away atomic.Bool
	s := startSink(t, receiver.Options{MaxSamplesPerSeries: 1 << 16, Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
		if away.Load() {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
		return away.Load()
	}})
	data := t.TempDir()
	conf := scrapeConfig(t, f, 100*time.Millisecond, n.all...)
	begin := func() *agent {
		return startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url="+s.url, "-remoteWrite.tmpDataPath="+data,
			fmt.Sprintf("-remoteWrite.flushInterval=%v", flush), "-remoteWrite.retryMinInterval=50ms", "-remoteWrite.retryMaxInterval=500ms")
	}
	rnd := rand.New(rand.NewPCG(*seedFlag, 3))
	var deaths []death
	twice := uint64(0)
	for i := range kills {
		away.Store(i%4 == 2 || i%4 == 3) // two lives in a row see nothing of the receiver
		a := begin()
		time.Sleep(time.Duration(rnd.IntN(1300)) * time.Millisecond)
		deaths = append(deaths, f.kill(t, a))
		twice += 4 * 10_000 // a block for each slot
	}
	away.Store(false)
	a := begin()
	time.Sleep(time.Second)
	freeze(t, a, conf, n.all...)
	m := a.settled(t)
	if lost := lostOnPurpose(m); lost != 0 {
		t.Errorf("%v samples were dropped", lost)
	}
	// A flush may be late, by what the machine needs, and a scrape ends for the agent after it did for the target.
	missing := n.wantLostToDeaths(t, s, flush+500*time.Millisecond, deaths...)
	wantOrdered(t, s, twice)
	total := 0
	for _, x := range n.all {
		total += x.count()
	}
	t.Logf("figure: %d kills under load: of %d scrapes %d are missing, all of the last flush interval; %d samples of %d came twice", kills, total, missing, s.Verify().Duplicates, s.Totals().Samples)
	a.terminate(t)
}

// TestKilledInAnOutage kills the agent in the middle of an outage: what it had on disk arrives.
func TestKilledInAnOutage(t *testing.T) {
	t.Parallel()
	half := 4 * time.Second
	if *long {
		half = 20 * time.Second
	}
	const series = 20
	f := startFarm(t, 2)
	n := numbered{series, addTargets(f, 10, func(int) answer { return counting(series) })}
	addr := freeAddress(t)
	data := t.TempDir()
	conf := scrapeConfig(t, f, 500*time.Millisecond, n.all...)
	begin := func() *agent {
		return startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url=http://"+addr+receiver.WritePath, "-remoteWrite.tmpDataPath="+data,
			"-remoteWrite.retryMinInterval=100ms", "-remoteWrite.retryMaxInterval=1s")
	}
	a := begin()
	time.Sleep(half)
	waitFor(t, "samples to wait", func() bool { return sum(a.metrics(t), "scraper_remotewrite_pending_samples") > 1000 })
	died := f.kill(t, a)
	a = begin()
	time.Sleep(half)
	r, err := receiver.New(receiver.Options{Version2: true, Zstd: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{Receiver: r}
	_, stop := s.listen(t, addr)
	t.Cleanup(stop)
	freeze(t, a, conf, n.all...)
	m := a.settled(t)
	if got := sum(m, "scraper_remotewrite_recovered_samples_total"); got == 0 || lostOnPurpose(m) != 0 {
		t.Errorf("%v samples were recovered and %v dropped, want some and none", got, lostOnPurpose(m))
	}
	n.wantLostToDeaths(t, s, 2*time.Second, died)
	wantOrdered(t, s, 0)
	a.terminate(t)
}

// rudeness is what a receiver does to a request instead of answering well.
type rudeness struct {
	name string
	do   func(s http.Handler, w http.ResponseWriter, r *http.Request)
}

func hangUp(w http.ResponseWriter, answer string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(c, answer)
	_ = c.Close()
}

// rude are the ways to fail a request which a sender must try again.
func rude() []rudeness {
	part := func(r *http.Request, n int) { _, _ = io.ReadFull(r.Body, make([]byte, n)) }
	whole := func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	return []rudeness{
		{"resets at once", func(_ http.Handler, w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }},
		{"resets while it reads", func(_ http.Handler, w http.ResponseWriter, r *http.Request) { part(r, 30); panic(http.ErrAbortHandler) }},
		{"reads and hangs up", func(_ http.Handler, w http.ResponseWriter, r *http.Request) { whole(r); hangUp(w, "") }},
		{"takes it and hangs up", func(s http.Handler, w http.ResponseWriter, r *http.Request) {
			s.ServeHTTP(httptest.NewRecorder(), r)
			hangUp(w, "")
		}},
		{"cuts the status", func(_ http.Handler, w http.ResponseWriter, r *http.Request) { whole(r); hangUp(w, "HTTP/1.1 20") }},
		{"cuts the header", func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
			whole(r)
			hangUp(w, "HTTP/1.1 200 OK\r\nCont")
		}},
		{"cuts the text of a 500", func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
			whole(r)
			hangUp(w, "HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nbec")
		}},
		{"takes it and cuts the text of a 200", func(s http.Handler, w http.ResponseWriter, r *http.Request) {
			s.ServeHTTP(httptest.NewRecorder(), r)
			hangUp(w, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nth")
		}},
		{"speaks another protocol", func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
			whole(r)
			hangUp(w, "220 mail.example ESMTP\r\n")
		}},
		{"answers 503 early and reads on", func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = http.NewResponseController(w).Flush()
			whole(r)
		}},
		{"answers 503 and then 200", func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
			whole(r)
			hangUp(w, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}},
		{"says 100 for ever", func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
			whole(r)
			text := ""
			for range 100 {
				text += "HTTP/1.1 100 Continue\r\n\r\n"
			}
			hangUp(w, text)
		}},
		{"claims a header without end", func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
			whole(r)
			hangUp(w, "HTTP/1.1 200 OK\r\nX: "+string(make([]byte, 1<<20)))
		}},
		{"takes it and is silent", func(s http.Handler, w http.ResponseWriter, r *http.Request) {
			s.ServeHTTP(httptest.NewRecorder(), r)
			<-r.Context().Done()
		}},
	}
}

// TestRudeReceiver meets each rudeness again and again, and then the receiver is nice.
func TestRudeReceiver(t *testing.T) {
	t.Parallel()
	const series = 60
	ways := rude()
	f := startFarm(t, 2)
	n := numbered{series, addTargets(f, 8, func(int) answer { return counting(series) })}
	var requests atomic.Int64
	var calm atomic.Bool
	inner, err := receiver.New(receiver.Options{Version2: true, Zstd: true, MaxSamplesPerSeries: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	front := startSink(t, receiver.Options{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
		if k := requests.Add(1); k%2 == 0 && !calm.Load() {
			ways[int(k/2)%len(ways)].do(inner, w, r)
			return true
		}
		inner.ServeHTTP(w, r)
		return true
	}})
	s := &sink{Receiver: inner}
	conf := scrapeConfig(t, f, 200*time.Millisecond, n.all...)
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url="+front.url, "-remoteWrite.sendTimeout=1s", "-remoteWrite.flushInterval=100ms",
		"-remoteWrite.retryMinInterval=10ms", "-remoteWrite.retryMaxInterval=100ms")
	waitLonger(t, "each way to be met", time.Minute, func() bool { return int(requests.Load()) > 2*2*len(ways) })
	calm.Store(true)
	freeze(t, a, conf, n.all...)
	m := a.settled(t)
	n.wantAll(t, s)
	if lost := lostOnPurpose(m); lost != 0 {
		t.Errorf("%v samples were dropped", lost)
	}
	wantOrdered(t, s, uint64(sum(m, "scraper_remotewrite_resent_samples_total")))
	wantLogLines(t, a)
	a.terminate(t)
}

// wantLogLines wants all that the agent writes to be its own log's.
func wantLogLines(t *testing.T, a *agent) {
	t.Helper()
	own := regexp.MustCompile(`^(time=|ts=|\d{4}-|\{)`)
	for line := range strings.Lines(a.stderr.String()) {
		if !own.MatchString(line) {
			t.Errorf("the agent writes %q, which is no line of its log", line)
		}
	}
}

// TestEveryAnswer gives each status from 300 to 599, one after the other: what is retried arrives, and what is not is counted.
func TestEveryAnswer(t *testing.T) {
	t.Parallel()
	const series = 20
	f := startFarm(t, 1)
	n := numbered{series, addTargets(f, 8, func(int) answer { return counting(series) })}
	var next atomic.Int64
	next.Store(299)
	s := startSink(t, receiver.Options{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
		code := int(next.Add(1))
		if code > 599 {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(code)
		return true
	}})
	conf := scrapeConfig(t, f, 200*time.Millisecond, n.all...)
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url="+s.url, "-remoteWrite.flushInterval=100ms", "-remoteWrite.forcePromProto",
		"-remoteWrite.retryMinInterval=10ms", "-remoteWrite.retryMaxInterval=50ms")
	waitLonger(t, "all statuses to be answered", 2*time.Minute, func() bool { return next.Load() > 599 })
	freeze(t, a, conf, n.all...)
	m := a.settled(t)
	missing := float64(0)
	for _, servings := range n.missing(t, s) {
		missing += float64(len(servings))
	}
	scraped := sum(m, "scraper_remotewrite_committed_samples_total")
	lost := lostOnPurpose(m)
	if got := float64(s.Totals().Samples); got+lost != scraped || lost == 0 || lost > 4*10_000 {
		t.Errorf("%v samples were scraped, %v arrived and %v are counted as lost", scraped, got, lost)
	}
	for reason, want := range map[string]bool{"conflict": true, "unsupported": true, "queue_full": false, "unreadable": false, "shutdown": false} {
		got := 0.0
		for name, v := range m {
			if strings.HasPrefix(name, "scraper_remotewrite_dropped_samples_total{") && strings.Contains(name, `reason="`+reason+`"`) {
				got += v
			}
		}
		if (got > 0) != want {
			t.Errorf("%v samples were dropped for the reason %s", got, reason)
		}
	}
	wantOrdered(t, s, 0)
	t.Logf("figure: answered by each status from 300 to 599: %v of %v samples are lost, to 409, 415 and refusals", lost, scraped)
	a.terminate(t)
}
