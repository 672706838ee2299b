package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"scraper/receiver"
)

// scrapeConfig is a configuration with one job of all targets.
func scrapeConfig(t testing.TB, f *farm, interval time.Duration, targets ...*target) string {
	t.Helper()
	return configFile(t, fmt.Sprintf("global: {scrape_interval: %v}\nscrape_configs:\n%s", interval, f.job("farm", "", targets...)))
}

func addTargets(f *farm, n int, a func(i int) answer) []*target {
	var all []*target
	for i := range n {
		all = append(all, f.add(fmt.Sprintf("t%d", i), a(i)))
	}
	return all
}

// halfway answers with half of a body, and leaves it at that until the client goes away.
func halfway(f *farm) answer {
	return func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		w.Header().Set("Content-Length", "1000000")
		_, _ = io.WriteString(w, "half_total 1\n")
		_ = http.NewResponseController(w).Flush()
		f.wait(r)
		panic(http.ErrAbortHandler)
	}
}

// TestTerminate stops the agent while it scrapes a hundred targets: it is gone in time, what it had read whole is
// delivered, what it had not is not, and no series is declared over.
//
// It is not parallel, so that the receiver has the time to take everything.
func TestTerminate(t *testing.T) {
	const targets, series = 100, 200
	f := startFarm(t, 10)
	whole := addTargets(f, targets, func(int) answer { return counting(series) })
	half := f.add("half", halfway(f))
	s := startSink(t, receiver.Options{})
	a := startAgent(t, "-promscrape.config="+scrapeConfig(t, f, time.Second, append(whole, half)...), "-remoteWrite.url="+s.url)
	s.wait(t, "two scrapes", patience, func() bool { return s.Totals().Samples > 2*targets*series })

	asked := time.Now()
	a.signal(t, syscall.SIGTERM)
	if code := a.wait(t, 5*time.Second); code != 0 {
		t.Errorf("exit code after SIGTERM = %d, want 0", code)
	}
	took := time.Since(asked)

	wantUp(t, s, whole...)

	// What is on its way through the kernel is nobody's yet.
	const onItsWay = 100 * time.Millisecond
	complete, delivered := 0, 0
	for _, x := range whole {
		want := 0
		for _, one := range x.servings() {
			if asked.Sub(one.ended) > onItsWay {
				want = max(want, one.n)
			}
		}
		got := s.Series(map[string]string{"__name__": "served_total", "instance": x.name})
		n := 0
		if len(got) > 0 {
			n = len(got[0].Samples)
		}
		if n < want {
			tooSlow(t, "%s: scrapes up to %d are delivered, want %d, which was complete before the signal", x.name, n, want)
		}
		wantCounted(t, s, x, series, n) // none in part
		complete, delivered = complete+want, delivered+n
	}
	if got := s.Series(map[string]string{"__name__": "half_total"}); len(got) != 0 {
		t.Errorf("%v arrived of a body that never ended", got)
	}
	if got := s.Totals().StaleMarkers; got != 0 {
		t.Errorf("%d staleness markers arrived, want none at a stop", got)
	}
	if err := s.Verify().Err(); err != nil {
		t.Error(err)
	}
	t.Logf("figure: SIGTERM while %d targets are scraped: exit 0 after %v; of %d scrapes complete before the signal %d delivered",
		targets, took.Round(time.Millisecond), complete, min(delivered, complete))
}

// TestTerminateWithoutReceiver stops an agent which cannot deliver.
func TestTerminateWithoutReceiver(t *testing.T) {
	t.Parallel()
	f := startFarm(t, 1)
	all := addTargets(f, 10, func(int) answer { return counting(10) })
	for name, url := range map[string]string{"refused": "http://" + closedAddress + "/", "black hole": blackHole(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAgent(t, "-promscrape.config="+scrapeConfig(t, f, time.Second, all...), "-remoteWrite.url="+url)
			waitFor(t, "samples to wait", func() bool { return sum(a.metrics(t), "scraper_remotewrite_pending_samples") > 100 })
			a.terminate(t)
		})
	}
}

// TestStopTwice asks the agent to stop in more than one way at once, as supervisors do, which is no reason to lose data;
// and then in earnest, while it waits for a receiver that does not answer.
func TestStopTwice(t *testing.T) {
	t.Parallel()
	f := startFarm(t, 1)
	all := addTargets(f, 10, func(int) answer { return counting(10) })
	conf := scrapeConfig(t, f, time.Second, all...)
	hole := blackHole(t)
	stuck := func() *agent {
		a := startAgent(t, "--config.file="+conf, "--agent", "--web.enable-lifecycle", "-remoteWrite.url="+hole)
		waitFor(t, "samples to wait", func() bool { return sum(a.metrics(t), "scraper_remotewrite_pending_samples") > 100 })
		return a
	}
	a := stuck()
	if status, _ := fetch(t, http.MethodPost, a.url+"/-/quit"); status != http.StatusOK {
		t.Errorf("POST /-/quit = %d, want 200", status)
	}
	a.signal(t, syscall.SIGTERM)
	a.signal(t, syscall.SIGTERM)
	if code := a.wait(t, 6*time.Second); code != 0 {
		t.Errorf("exit code after /-/quit and two signals at once = %d, want 0", code)
	}

	a = stuck()
	a.signal(t, syscall.SIGTERM)
	time.Sleep(1500 * time.Millisecond) // which is what tells the second one from an echo
	a.signal(t, syscall.SIGTERM)
	if code := a.wait(t, time.Second); code != 1 || !strings.Contains(a.stderr.String(), "second signal") {
		t.Errorf("exit code after a second signal in earnest = %d, want 1 at once", code)
	}
}

// sum adds up the series of a metric.
func sum(metrics map[string]float64, name string) float64 {
	total := 0.0
	for series, v := range metrics {
		if family, _, _ := strings.Cut(series, "{"); family == name {
			total += v
		}
	}
	return total
}

// blackHole returns the URL of a server which accepts connections, and never answers.
func blackHole(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return "http://" + l.Addr().String() + "/api/v1/write"
}

// TestOutage lets the receiver fail in two ways for some seconds: nothing is missing afterwards, nothing came twice, and
// all is in order.
func TestOutage(t *testing.T) {
	t.Parallel()
	const series = 50
	f := startFarm(t, 4)
	all := addTargets(f, 20, func(int) answer { return counting(series) })
	var refusing atomic.Bool
	r, err := receiver.New(receiver.Options{Version2: true, Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
		if !refusing.Load() {
			return false
		}
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return true
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{Receiver: r}
	addr, stop := s.listen(t, "127.0.0.1:0")
	conf := scrapeConfig(t, f, time.Second, all...)
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url=http://"+addr+receiver.WritePath,
		"-remoteWrite.retryMinInterval=200ms", "-remoteWrite.retryMaxInterval=1s")
	more := func(what string, scrapes int) {
		t.Helper()
		from := all[0].count()
		waitFor(t, what, func() bool { return all[0].count() >= from+scrapes })
	}
	more("scrapes while all is well", 2)
	refusing.Store(true)
	more("scrapes while the receiver answers 503", 3)
	refusing.Store(false)
	more("scrapes while all is well again", 2)
	stop()
	more("scrapes while nobody listens", 3)
	_, stop = s.listen(t, addr)
	t.Cleanup(stop)

	freeze(t, a, conf, all...)
	wantAll(t, s, series, all...)
	a.terminate(t)
	wantUp(t, s, all...)
	for _, x := range all {
		wantCounted(t, s, x, series, x.count())
	}
	if err := s.Verify().Err(); err != nil {
		t.Error(err)
	}
	if got := s.Totals(); got.Intercepted == 0 || got.StaleMarkers != 0 {
		t.Errorf("the receiver has %+v, want some requests intercepted, and no markers", got)
	}
}

// wantAll waits for all that was served of counting targets.
func wantAll(t testing.TB, s *sink, series int, targets ...*target) {
	t.Helper()
	want := uint64(0)
	for _, x := range targets {
		want += uint64(x.count() * (series + len(automatic("vmagent"))))
	}
	s.wait(t, fmt.Sprintf("%d samples", want), patience, func() bool { return s.Totals().Samples >= want })
	if got := s.Totals().Samples; got != want {
		wantUp(t, s, targets...)
		t.Errorf("the receiver has %d samples, want %d", got, want)
	}
}

// TestAnswers lets each of many receivers give one answer once: after some, the block is sent again, or its halves are, after
// the others it is lost and counted. Nothing else is lost, and no receiver waits for another.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const series = 20
	again := []int{302, 401, 403, 404, 408, 418, 429, 500, 502, 503, 400, 413, 422}
	lost := []int{409, 415}
	f := startFarm(t, 1)
	all := addTargets(f, 4, func(int) answer { return counting(series) })
	sinks := make(map[int]*sink)
	text := "remote_write:\n"
	for _, code := range append(append([]int{}, again...), lost...) {
		var once atomic.Bool
		s := startSink(t, receiver.Options{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
			if !once.CompareAndSwap(false, true) {
				return false
			}
			w.Header().Set("Location", "/elsewhere")
			http.Error(w, "as the test wants it", code)
			return true
		}})
		sinks[code] = s
		text += fmt.Sprintf("- {name: answer-%d, url: %q, protobuf_message: prometheus.WriteRequest, queue_config: {min_backoff: 100ms, max_backoff: 1s}}\n", code, s.url)
	}
	text += "global: {scrape_interval: 1s}\nscrape_configs:\n" + f.job("farm", "", all...)
	conf := configFile(t, text)
	a := startAgent(t, "-promscrape.config="+conf)
	waitFor(t, "some scrapes", func() bool { return all[0].count() >= 3 })
	freeze(t, a, conf, all...)
	for _, code := range again {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			wantAll(t, sinks[code], series, all...)
			if err := sinks[code].Verify().Err(); err != nil {
				t.Error(err)
			}
		})
	}
	want := 0
	for _, x := range all {
		want += x.count() * (series + len(automatic("vmagent")))
	}
	for _, code := range lost {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			s := sinks[code]
			var missing float64
			waitFor(t, "the books to balance", func() bool {
				missing = 0
				for name, v := range a.metrics(t) {
					if strings.Contains(name, fmt.Sprintf("answer-%d", code)) &&
						(strings.HasPrefix(name, "scraper_remotewrite_refused_samples_total") || strings.HasPrefix(name, "scraper_remotewrite_dropped_samples_total")) {
						missing += v
					}
				}
				return missing > 0 && s.Totals().Samples+uint64(missing) == uint64(want)
			})
			if err := s.Verify().Err(); err != nil {
				t.Error(err)
			}
		})
	}
	a.terminate(t)
}

// TestDestinationsAreIsolated runs two agents at the same time on targets of the same kind: one pushes to a good receiver alone,
// one also to a black hole, to a port where nobody listens, to a receiver which is slow, and to one which reads 1 kB/s. Their
// schedules and what the good receivers have are the same, but for what two runs of one thing differ by.
func TestDestinationsAreIsolated(t *testing.T) {
	t.Parallel()
	const series, targets = 200, 50
	slow := startSink(t, receiver.Options{Intercept: func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-time.After(3 * time.Second):
		case <-r.Context().Done():
		}
		return false
	}})
	trickle := startSink(t, receiver.Options{Intercept: func(_ http.ResponseWriter, r *http.Request) bool {
		for part := make([]byte, 100); ; time.Sleep(100 * time.Millisecond) { // 1 kB/s
			if _, err := io.ReadFull(r.Body, part); err != nil {
				return true
			}
		}
	}})
	type side struct {
		f    *farm
		all  []*target
		good *sink
		conf string
		a    *agent

		scrapes, late, skipped, arrived float64
	}
	var sides [2]side
	for i, others := range [][]string{nil, {
		"-remoteWrite.url=" + blackHole(t), "-remoteWrite.url=http://" + closedAddress + "/", "-remoteWrite.url=" + slow.url, "-remoteWrite.url=" + trickle.url,
	}} {
		x := &sides[i]
		x.f = startFarm(t, 4)
		x.all = addTargets(x.f, targets, func(int) answer { return counting(series) })
		x.good = startSink(t, receiver.Options{})
		x.conf = scrapeConfig(t, x.f, time.Second, x.all...)
		// The good one is the last, which whoever takes one after the other gets to last.
		x.a = startAgent(t, append(append([]string{"-promscrape.config=" + x.conf}, others...), "-remoteWrite.url="+x.good.url)...)
	}
	for i := range sides {
		sides[i].good.wait(t, "the first scrapes", patience, func() bool { return sides[i].good.Len() >= targets*series })
	}
	look := func(sign float64) {
		for i := range sides {
			x := &sides[i]
			m := x.a.metrics(t)
			x.late += sign * sum(m, "scraper_scrape_late_total")
			x.skipped += sign * sum(m, "scraper_scrape_skipped_total")
			x.arrived += sign * float64(x.good.Totals().Samples)
			for _, one := range x.all {
				x.scrapes += sign * float64(one.count())
			}
		}
	}
	duration := 8 * time.Second
	if *long {
		duration = time.Minute
	}
	look(-1)
	time.Sleep(duration)
	look(1)
	alone, beside := sides[0], sides[1]
	t.Logf("figure: in %v beside a black hole, a closed port, a slow receiver and one which reads 1 kB/s: %v scrapes (%v alone), %v of them late (%v), %v skipped (%v), %v samples at the good receiver (%v)",
		duration, beside.scrapes, alone.scrapes, beside.late, alone.late, beside.skipped, alone.skipped, beside.arrived, alone.arrived)
	// A look may come just before or after a round of scrapes.
	if beside.scrapes < 0.9*alone.scrapes-targets || beside.arrived < 0.9*alone.arrived-targets*series {
		tooSlow(t, "%v scrapes and %v samples beside other destinations, want about %v and %v", beside.scrapes, beside.arrived, alone.scrapes, alone.arrived)
	}
	if beside.late > alone.late+0.1*alone.scrapes || beside.skipped > alone.skipped+0.1*alone.scrapes {
		tooSlow(t, "%v scrapes late and %v skipped beside other destinations, want about %v and %v", beside.late, beside.skipped, alone.late, alone.skipped)
	}
	for i := range sides {
		x := &sides[i]
		freeze(t, x.a, x.conf, x.all...)
		wantAll(t, x.good, series, x.all...)
		wantUp(t, x.good, x.all...)
		for _, one := range x.all {
			wantCounted(t, x.good, one, series, one.count())
		}
		if err := x.good.Verify().Err(); err != nil {
			t.Error(err)
		}
		x.a.terminate(t)
	}
}
