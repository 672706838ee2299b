package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/receiver"
)

// resize changes the limit of the control group which procs is of. Version 1 refuses one below what is used and cannot be
// had at once, so it is tried for a while.
func resize(t *testing.T, procs string, limitBytes int64) {
	t.Helper()
	dir := filepath.Dir(procs)
	file := filepath.Join(dir, "memory.max")
	if _, err := os.Stat(file); err != nil {
		file = filepath.Join(dir, "memory.limit_in_bytes")
	}
	waitFor(t, "the limit to be changed", func() bool {
		return os.WriteFile(file, []byte(strconv.FormatInt(limitBytes, 10)), 0) == nil
	})
}

// TestResize changes the container's limit under load, as an in-place resize of a pod does: what follows from the limit
// follows, the agent is not killed, and no scrape is lost where the load fits in less.
func TestResize(t *testing.T) {
	t.Parallel()
	const mib, targets, series = 1 << 20, 50, 1000
	procs := memoryGroup(t, 128*mib)
	f := startFarm(t, 5)
	var n atomic.Int64
	n.Store(series)
	all := addTargets(f, targets, func(i int) answer { return growing(i, &n) })
	s := startSink(t, receiver.Options{CountOnly: true})
	a := startLimited(t, procs, "", "-promscrape.config="+scrapeConfig(t, f, time.Second, all...), "-remoteWrite.url="+s.url,
		"-remoteWrite.tmpDataPath="+t.TempDir())
	scrapes := func(n int) {
		t.Helper()
		from := all[targets-1].count()
		waitLonger(t, "scrapes", 2*time.Minute, func() bool { return all[targets-1].count() >= from+n })
	}
	scrapes(3)
	for _, c := range []struct{ limit, labels int64 }{
		{128 * mib, (128 - 12) * mib / 2},
		{80 * mib, (80 - 9) * mib / 2},
		{160 * mib, (160 - 14) * mib / 2},
	} {
		resize(t, procs, c.limit)
		waitFor(t, "the bounds to follow", func() bool {
			m := a.metrics(t)
			return m["scraper_memlimit_budget_bytes"] == float64(c.limit) && m["scraper_labelcompress_limit_bytes"] == float64(c.labels)
		})
		waitLonger(t, "the soft limit to follow", 2*time.Minute, func() bool { // which rises late
			soft := a.metrics(t)["go_gc_gomemlimit_bytes"]
			return soft < float64(c.limit) && soft > float64(c.limit)/2
		})
		scrapes(5)
		m := a.metrics(t)
		if got := m["scraper_labelcompress_bytes"]; got > m["scraper_labelcompress_limit_bytes"] {
			t.Errorf("with a limit of %d MiB the dictionary has %.0f bytes of %d", c.limit/mib, got, c.labels)
		}
		if m["scraper_memlimit_used_bytes"] > m["scraper_memlimit_limit_bytes"] || m[`scraper_scrape_memory_skipped_total{reason="shed"}`] > 0 {
			t.Errorf("with a limit of %d MiB %.0f bytes are used of %.0f, and %.0f scrapes were shed", c.limit/mib,
				m["scraper_memlimit_used_bytes"], m["scraper_memlimit_limit_bytes"], m[`scraper_scrape_memory_skipped_total{reason="shed"}`])
		}
		page := a.memory(t)
		if page.Container == nil || page.Container.OOMKills != 0 || page.Budget.Source != "the container's limit" {
			t.Errorf("with a limit of %d MiB: container %+v, budget %+v", c.limit/mib, page.Container, page.Budget)
		}
		t.Logf("figure: limit %d MiB: %.1f MiB used of %.1f, soft limit %.1f, dictionary %.1f of %.1f", c.limit/mib, m["scraper_memlimit_used_bytes"]/mib,
			m["scraper_memlimit_limit_bytes"]/mib, m["scraper_memlimit_soft_limit_bytes"]/mib, m["scraper_labelcompress_bytes"]/mib, m["scraper_labelcompress_limit_bytes"]/mib)
	}
	if n := strings.Count(a.stderr.String(), "the memory budget changed"); n != 2 {
		t.Errorf("%d changes of the budget are logged, want 2", n)
	}
	a.terminate(t)
}
