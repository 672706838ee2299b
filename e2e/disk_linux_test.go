package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/receiver"
)

// disk is a small file system of its own, in a file.
type disk struct {
	t         *testing.T
	dir, file string
}

// mountDisk makes one of the given size, empty. The test is skipped where that is not allowed.
func mountDisk(t *testing.T, size int64) *disk {
	t.Helper()
	d := &disk{t: t, dir: t.TempDir(), file: filepath.Join(t.TempDir(), "disk")}
	if err := os.WriteFile(d.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.file, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", "-F", "-m", "0", d.file).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be made: %v: %s", err, out)
	}
	if err := d.mount("loop"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", d.dir).Run() })
	return d
}

func (d *disk) mount(options string) error {
	d.t.Helper()
	args := []string{"-o", options, d.dir}
	if options == "loop" {
		args = []string{"-o", options, d.file, d.dir}
	}
	out, err := exec.CommandContext(d.t.Context(), "mount", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount %s: %w: %s", options, err, out)
	}
	return nil
}

func (d *disk) mustMount(options string) {
	d.t.Helper()
	if err := d.mount(options); err != nil {
		d.t.Fatal(err)
	}
}

// fill takes all room that there is, until free is called.
func (d *disk) fill() (free func()) {
	d.t.Helper()
	path := filepath.Join(d.dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := io.Copy(f, zeros{}); err == nil {
		d.t.Fatal("the disk has no end")
	}
	return func() {
		_ = f.Close()
		if err := os.Remove(path); err != nil {
			d.t.Fatal(err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestDisk has a disk of 64 MiB which is filled from outside and freed, read-only at a start and writable again, and
// read-only while it is in use: the agent goes on to scrape, what is lost is counted, and is what the receiver misses.
func TestDisk(t *testing.T) {
	t.Parallel()
	d := mountDisk(t, 64<<20)
	const series = 1500
	f := startFarm(t, 2)
	all := addTargets(f, 8, func(int) answer { return counting(series) })
	n := numbered{series, all}
	var away atomic.Bool
	away.Store(true)
	s := startSink(t, receiver.Options{MaxSamplesPerSeries: 1 << 14, Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
		if away.Load() {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
		return away.Load()
	}})
	var conf string
	begin := func() *agent {
		conf = scrapeConfig(t, f, 250*time.Millisecond, all...)
		return startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url="+s.url, "-remoteWrite.tmpDataPath="+filepath.Join(d.dir, "data"),
			"-memory.limit=32MiB", "-remoteWrite.forcePromProto", "-remoteWrite.retryMinInterval=100ms", "-remoteWrite.retryMaxInterval=1s")
	}
	scrapes := func(k int) {
		t.Helper()
		from := all[0].count()
		waitFor(t, "scrapes", func() bool { return all[0].count() >= from+k })
	}
	var scraped, lost float64
	end := func(a *agent) {
		t.Helper()
		m := a.metrics(t)
		scraped += sum(m, "scraper_remotewrite_committed_samples_total")
		lost += lostOnPurpose(m)
		a.terminate(t)
		if got := strings.Count(a.stderr.String(), "level=ERROR"); got > 0 {
			t.Errorf("%d errors are logged", got)
		}
	}
	dropped := func(a *agent) float64 { return lostOnPurpose(a.metrics(t)) }
	works := func(a *agent) bool { return sum(a.metrics(t), "scraper_remotewrite_queue_disk_ok") == 1 }

	a := begin()
	waitFor(t, "blocks on disk", func() bool { return sum(a.metrics(t), "scraper_remotewrite_queue_disk_bytes") > 1<<20 })
	if got := dropped(a); got != 0 {
		t.Errorf("%v samples were dropped while there was room", got)
	}
	free := d.fill()
	waitFor(t, "the full disk to be noticed", func() bool { return !works(a) })
	scrapes(5)
	waitLonger(t, "memory to be full, too", time.Minute, func() bool { return dropped(a) > 0 })
	free()
	waitFor(t, "the disk to work again", func() bool { return works(a) })
	before := dropped(a)
	scrapes(10)
	if got := dropped(a); got != before {
		t.Errorf("%v samples were dropped though there is room again", got-before)
	}
	freeze(t, a, conf, all...)
	time.Sleep(2 * time.Second) // a flush, and then some
	end(a)

	d.mustMount("remount,ro")
	a = begin()
	scrapes(10)
	if works(a) {
		t.Error("the disk is said to work, though it is read-only")
	}
	d.mustMount("remount,rw")
	waitFor(t, "the disk to work again", func() bool { return works(a) })
	scrapes(5)
	if got := sum(a.metrics(t), "scraper_remotewrite_recovered_samples_total"); got == 0 {
		t.Error("nothing was recovered of the queue on the disk which is writable again")
	}

	// A kernel which finds a file system damaged makes it read-only under its users.
	abort := d.mount("remount,abort")
	if abort == nil {
		waitFor(t, "the read-only disk to be noticed", func() bool { return !works(a) })
		scrapes(5)
	}
	away.Store(false)
	freeze(t, a, conf, all...)
	m := a.settled(t)
	resent := sum(m, "scraper_remotewrite_resent_samples_total")
	end(a)
	if got := float64(s.Totals().Samples); got != scraped-lost || lost == 0 {
		t.Errorf("%v samples were scraped, %v are counted as lost, and %v arrived", scraped, lost, got)
	}
	miss := 0
	for _, servings := range n.missing(t, s) {
		miss += len(servings)
	}
	if miss == 0 {
		t.Error("no scrape is missing, though samples are counted as lost")
	}
	wantOrdered(t, s, uint64(resent))
	t.Logf("figure: a disk of 64 MiB, full, freed, read-only and back: %v of %v samples are lost, all of them counted; aborting it: %v", lost, scraped, abort)
}
