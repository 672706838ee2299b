package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"scraper/receiver"
)

// startFickleSink starts a receiver which answers 503 while it is told to be away, as it is at first.
func startFickleSink(t testing.TB) (*sink, *atomic.Bool) {
	t.Helper()
	away := new(atomic.Bool)
	away.Store(true)
	return startSink(t, receiver.Options{MaxSamplesPerSeries: 1 << 14, Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
		if away.Load() {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
		return away.Load()
	}}), away
}

// retrySoon are flags for receivers which come back.
func retrySoon() []string {
	return []string{"-remoteWrite.retryMinInterval=50ms", "-remoteWrite.retryMaxInterval=500ms", "-remoteWrite.flushInterval=200ms"}
}

// diskUsage is what all below a directory takes of the disk.
func diskUsage(t testing.TB, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // it has gone meanwhile
		}
		if info, err := e.Info(); err == nil {
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// pending is what waits to be sent.
func (a *agent) pending(t testing.TB) float64 {
	return sum(a.metrics(t), "scraper_remotewrite_pending_samples")
}

// TestRollingUpdate starts the next process before the former one is gone, on the same data path: it scrapes at once, waits for
// the queue, and goes on with it.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	const series = 20
	f := startFarm(t, 1)
	var old, next []*target
	for i := range 4 {
		old = append(old, f.add(fmt.Sprintf("old%d", i), counting(series)))
		next = append(next, f.add(fmt.Sprintf("next%d", i), counting(series)))
	}
	s, away := startFickleSink(t)
	data := t.TempDir()
	begin := func(conf string) *agent {
		return startAgent(t, append(retrySoon(), "-promscrape.config="+conf, "-remoteWrite.url="+s.url, "-remoteWrite.tmpDataPath="+data)...)
	}
	oldConf, conf := scrapeConfig(t, f, 200*time.Millisecond, old...), scrapeConfig(t, f, 200*time.Millisecond, next...)
	a := begin(oldConf)
	waitFor(t, "a backlog", func() bool { return a.pending(t) > 1000 })
	b := begin(conf)
	waitFor(t, "scrapes of the second process", func() bool { return next[0].count() >= 5 })
	if m := b.metrics(t); sum(m, "scraper_remotewrite_queue_disk_ok") != 0 || sum(m, "scraper_remotewrite_recovered_samples_total") != 0 {
		t.Error("the second process has the queue while the first one lives")
	}
	freeze(t, a, oldConf, old...)
	left := 0.0
	waitFor(t, "all of it to be on disk", func() bool {
		was := left
		left = a.pending(t)
		return was == left
	})
	a.terminate(t)
	waitFor(t, "the second process to have the queue", func() bool {
		return sum(b.metrics(t), "scraper_remotewrite_recovered_samples_total") == left
	})
	away.Store(false)
	freeze(t, b, conf, next...)
	m := b.settled(t)
	n := numbered{series, append(old, next...)}
	n.wantAll(t, s)
	if lost := lostOnPurpose(m); lost != 0 {
		t.Errorf("%v samples were dropped", lost)
	}
	wantOrdered(t, s, 0)
	b.terminate(t)
}

// TestDiskUsageIsBounded has more to keep than it may, before and after a kill.
func TestDiskUsageIsBounded(t *testing.T) {
	t.Parallel()
	const limit, series = 1 << 20, 1000
	f := startFarm(t, 1)
	all := addTargets(f, 4, func(int) answer { return counting(series) })
	s, away := startFickleSink(t)
	data := t.TempDir()
	var conf string
	begin := func() *agent {
		conf = scrapeConfig(t, f, 100*time.Millisecond, all...)
		return startAgent(t, append(retrySoon(), "-promscrape.config="+conf, "-remoteWrite.url="+s.url, "-remoteWrite.tmpDataPath="+data,
			"-remoteWrite.maxDiskUsagePerURL="+strconv.Itoa(limit), "-remoteWrite.forcePromProto")...)
	}
	// The directories above the queue's are the agent's, too, a page each.
	most := int64(0)
	measure := func() {
		t.Helper()
		n := diskUsage(t, filepath.Join(data, "scraper-queue")) - 4096
		if most = max(most, n); n > limit {
			t.Fatalf("the queue takes %d bytes of the disk, want at most %d", n, limit)
		}
	}
	a := begin()
	waitLonger(t, "samples to be dropped", time.Minute, func() bool {
		measure()
		return sum(a.metrics(t), "scraper_remotewrite_dropped_samples_total") > 50_000
	})
	if most < limit*3/4 {
		t.Errorf("the queue takes %d bytes at most, want more of %d", most, limit)
	}
	a.kill()
	a = begin()
	from := all[0].count()
	waitFor(t, "more scrapes", func() bool { measure(); return all[0].count() > from+20 })
	away.Store(false)
	freeze(t, a, conf, all...)
	m := a.settled(t)
	measure()
	got := float64(s.Totals().Samples)
	if want := sum(m, "scraper_remotewrite_recovered_samples_total") + sum(m, "scraper_remotewrite_committed_samples_total") - lostOnPurpose(m); got != want {
		t.Errorf("%v samples arrived, want %v by the books", got, want)
	}
	wantOrdered(t, s, 0)
	// The newest are those which are kept.
	n := numbered{series, all}
	for x, servings := range n.missing(t, s) {
		if last := servings[len(servings)-1].n; last > x.count()-5 {
			tooSlow(t, "%s: scrape %d of %d is missing: the oldest should have gone", x.name, last, x.count())
		}
	}
	a.terminate(t)
	t.Logf("figure: with a bound of %d KiB the queue takes at most %d KiB of the disk", limit>>10, most>>10)
}

// TestBlocksExpire keeps samples for no longer than it may.
func TestBlocksExpire(t *testing.T) {
	t.Parallel()
	f := startFarm(t, 1)
	all := addTargets(f, 4, func(int) answer { return counting(20) })
	s, away := startFickleSink(t)
	conf := scrapeConfig(t, f, 200*time.Millisecond, all...)
	a := startAgent(t, append(retrySoon(), "-promscrape.config="+conf, "-remoteWrite.url="+s.url, "-remoteWrite.maxBlockAge=1500ms")...)
	waitFor(t, "samples to expire", func() bool { return sum(a.metrics(t), "scraper_remotewrite_expired_samples_total") > 1000 })
	away.Store(false)
	freeze(t, a, conf, all...)
	m := a.settled(t)
	got, expired, committed := float64(s.Totals().Samples), sum(m, "scraper_remotewrite_expired_samples_total"), sum(m, "scraper_remotewrite_committed_samples_total")
	if got+expired != committed || got == 0 || lostOnPurpose(m) != expired {
		t.Errorf("%v of %v samples arrived, %v expired, %v are lost in all", got, committed, expired, lostOnPurpose(m))
	}
	wantOrdered(t, s, 0)
	a.terminate(t)
}

// TestQueueInMemory writes nothing of what waits to the disk, and sends it when it is told to end.
func TestQueueInMemory(t *testing.T) {
	t.Parallel()
	const series = 20
	f := startFarm(t, 1)
	n := numbered{series, addTargets(f, 4, func(int) answer { return counting(series) })}
	s, away := startFickleSink(t)
	data := t.TempDir()
	conf := scrapeConfig(t, f, 200*time.Millisecond, n.all...)
	a := startAgent(t, append(retrySoon(), "-promscrape.config="+conf, "-remoteWrite.url="+s.url, "-remoteWrite.tmpDataPath="+data, "-remoteWrite.disableOnDiskQueue")...)
	waitFor(t, "samples to wait", func() bool { return a.pending(t) > 1000 })
	if found, _ := filepath.Glob(filepath.Join(data, "*", "*", "*")); len(found) > 0 {
		t.Errorf("there are files: %q", found)
	}
	away.Store(false)
	freeze(t, a, conf, n.all...)
	a.terminate(t)
	n.wantAll(t, s)
	wantOrdered(t, s, 0)
}

// TestQueueKeepsItsOwner starts again and again with something else in the URL or in the flags, which makes no other
// destination of it: what waits goes on to wait, and arrives. A URL which is configured no more leaves its queue.
func TestQueueKeepsItsOwner(t *testing.T) {
	t.Parallel()
	const series = 20
	f := startFarm(t, 1)
	n := numbered{series, addTargets(f, 4, func(int) answer { return counting(series) })}
	s, away := startFickleSink(t)
	data := t.TempDir()
	hostPath := strings.TrimPrefix(s.url, "http://")
	left := 0.0
	live := func(args ...string) {
		t.Helper()
		conf := scrapeConfig(t, f, 200*time.Millisecond, n.all...)
		a := startAgent(t, append(append(retrySoon(), "-promscrape.config="+conf, "-remoteWrite.tmpDataPath="+data), args...)...)
		from := n.all[0].count()
		waitFor(t, "scrapes", func() bool { return n.all[0].count() >= from+3 })
		if got := sum(a.metrics(t), "scraper_remotewrite_recovered_samples_total"); got != left {
			t.Errorf("with %q %v samples are recovered, want %v", args, got, left)
		}
		freeze(t, a, conf, n.all...)
		if !away.Load() {
			a.settled(t)
		}
		left = a.pending(t)
		a.terminate(t)
	}
	live("-remoteWrite.url=http://user:one@" + hostPath)
	live("-remoteWrite.url=http://user:two@" + hostPath)
	live("-remoteWrite.url=http://"+hostPath+"?token=x&extra_label=a=b", "-remoteWrite.headers=X-Scope-OrgID:me", "-remoteWrite.maxRowsPerBlock=500", "-remoteWrite.label=", "-remoteWrite.sendTimeout=3s")
	dirs, _ := filepath.Glob(filepath.Join(data, "scraper-queue", "*"))
	if len(dirs) != 1 {
		t.Errorf("there are the queues %q, want one", dirs)
	}

	// For a while another one is configured.
	kept := left
	left = 0
	other := "-remoteWrite.url=http://" + closedAddress + "/other"
	conf := scrapeConfig(t, f, time.Second)
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.tmpDataPath="+data, other)
	waitFor(t, "the queue without an owner to be noticed", func() bool {
		return strings.Contains(a.stderr.String(), "queue of a destination which is configured no more is kept")
	})
	a.terminate(t)

	away.Store(false)
	left = kept
	live("-remoteWrite.url=" + s.url)
	if left != 0 {
		t.Errorf("%v samples are left", left)
	}
	n.wantAll(t, s)
	wantOrdered(t, s, 0)
}

// TestQueueCommand looks at a queue while it is in use, after a kill, and damaged.
func TestQueueCommand(t *testing.T) {
	t.Parallel()
	f := startFarm(t, 1)
	all := addTargets(f, 8, func(int) answer { return counting(200) })
	s, away := startFickleSink(t)
	data := t.TempDir()
	args := append(retrySoon(), "-promscrape.config="+scrapeConfig(t, f, 100*time.Millisecond, all...), "-remoteWrite.url="+s.url, "-remoteWrite.tmpDataPath="+data, "-remoteWrite.forcePromProto")
	a := startAgent(t, args...)
	look := func(verb string, want int) (pending float64) {
		t.Helper()
		code, stdout, stderr := run(t, "queue", verb, data)
		if code != want {
			t.Errorf("scraper queue %s = %d, want %d: %s%s", verb, code, want, stdout, stderr)
		}
		if m := regexp.MustCompile(`pending: (\d+) samples`).FindStringSubmatch(stdout); m != nil {
			pending, _ = strconv.ParseFloat(m[1], 64)
		}
		return pending
	}
	for range 5 { // a backlog which grows
		look("inspect", 0)
		look("verify", 0)
	}
	away.Store(false)
	for range 10 { // and goes, and files which are used anew
		look("verify", 0)
	}
	away.Store(true)
	waitFor(t, "a backlog", func() bool { return a.pending(t) > 20_000 })
	a.kill()
	left := look("verify", 0)
	if left == 0 {
		t.Error("nothing is pending after a kill")
	}

	segs, _ := filepath.Glob(filepath.Join(data, "scraper-queue", "*", "*.seg"))
	path := segs[0]
	for _, p := range segs { // the one which holds something
		if info, err := os.Stat(p); err == nil && info.Size() > 64<<10 {
			path = p
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x10
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	look("inspect", 0)
	look("verify", 1)
	before := s.Totals().Samples
	a = startAgent(t, args...)
	recovered := sum(a.metrics(t), "scraper_remotewrite_recovered_samples_total")
	away.Store(false)
	waitFor(t, "what is left to arrive", func() bool {
		m := a.metrics(t)
		recovered = sum(m, "scraper_remotewrite_recovered_samples_total")
		return recovered > 0 && float64(s.Totals().Samples-before) > recovered
	})
	if recovered >= left+1 || recovered < left-20_000 {
		t.Errorf("%v samples are recovered of %v, want all but those of one block", recovered, left)
	}
	a.terminate(t)
	if code, _, stderr := run(t, "queue", "inspect", t.TempDir()); code != 1 || !strings.Contains(stderr, "no queue") {
		t.Errorf("scraper queue inspect of an empty directory = %d %q, want 1", code, stderr)
	}
}
