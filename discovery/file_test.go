package discovery

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// The tests with watched in their name give files no interval worth speaking of: what they see came by inotify.

const never = 1000 * time.Hour

func one(file string, targets string) string {
	return fmt.Sprintf("file/0/%s:0{__meta_filepath=%s} %s", file, file, targets)
}

func TestWatchedFileIsReadAgain(t *testing.T) {
	ways := []struct {
		name   string
		change func(t *testing.T, path, text string)
	}{
		{"written in place", write},
		{"renamed over", replace},
		{"backup renamed, then written", func(t *testing.T, path, text string) {
			if err := os.Rename(path, path+"~"); err != nil {
				t.Fatal(err)
			}
			write(t, path, text)
		}},
		{"deleted, then written", func(t *testing.T, path, text string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			write(t, path, text)
		}},
		{"written in steps", func(t *testing.T, path, text string) {
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for i := range text {
				if _, err := f.WriteString(text[i : i+1]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond)
			}
		}},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "t.yml")
			write(t, path, yamlOf("h1"))
			h := newHarness(t, nil)
			h.apply(fileJob("a", never, path))
			h.run()
			h.eventuallyLast("a", one("t.yml", "h1"))
			h.watching(1)
			for i := range 3 {
				way.change(t, path, fmt.Sprintf("- targets: [x%d]\n- targets: [y%d]\n", i, i))
				h.eventuallyLast("a", fmt.Sprintf("file/0/t.yml:0{__meta_filepath=t.yml} x%d; file/0/t.yml:1{__meta_filepath=t.yml} y%d", i, i))
			}
		})
	}
}

// watching waits until so many directories are watched.
func (h *harness) watching(n int) {
	h.t.Helper()
	h.eventually("watched directories", func() string {
		v, _ := h.metric("scraper_discovery_watched_directories", "")
		return fmt.Sprint(v)
	}, fmt.Sprint(n))
}

// A ConfigMap volume is a link to a directory which is swapped as a whole.
func TestWatchedConfigMapSwap(t *testing.T) {
	dir := t.TempDir()
	mount := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "t.yml"), text)
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount("..1", yamlOf("h1"))
	if err := os.Symlink("..data/t.yml", filepath.Join(dir, "t.yml")); err != nil {
		t.Fatal(err)
	}
	// The second job looks through the link itself.
	h := newHarness(t, nil)
	h.apply(fileJob("a", never, filepath.Join(dir, "*.yml")), fileJob("b", never, filepath.Join(dir, "..data", "t.yml")))
	h.run()
	h.watching(2)
	mount("..2", yamlOf("h2"))
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	h.eventuallyLast("a", one("t.yml", "h2"))
	h.eventuallyLast("b", one("t.yml", "h2"))
	h.watching(2)
	mount("..3", yamlOf("h3"))
	if err := os.RemoveAll(filepath.Join(dir, "..2")); err != nil {
		t.Fatal(err)
	}
	h.eventuallyLast("a", one("t.yml", "h3"))
	h.eventuallyLast("b", one("t.yml", "h3"))
	if got := h.taken(); got != 6 {
		t.Errorf("updates = %d, want 6", got)
	}
	h.wantMetric("scraper_discovery_file_read_errors_total", "", 0)
}

func TestWatchedGlobGainsAndLosesFiles(t *testing.T) {
	dir := t.TempDir()
	h := newHarness(t, nil)
	h.apply(fileJob("a", never, filepath.Join(dir, "t*.yml")))
	if got := h.taken(); got != 0 {
		t.Fatalf("updates for an empty directory = %d, want none", got)
	}
	h.run()
	h.watching(1)
	write(t, filepath.Join(dir, "t2.yml"), yamlOf("h2"))
	h.eventuallyLast("a", one("t2.yml", "h2"))
	write(t, filepath.Join(dir, "other.yml"), yamlOf("h9"))
	if err := os.Mkdir(filepath.Join(dir, "t-dir.yml"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "t1.yml"), yamlOf("h1"))
	h.eventuallyLast("a", one("t1.yml", "h1")+"; "+one("t2.yml", "h2"))
	if err := os.Remove(filepath.Join(dir, "t2.yml")); err != nil {
		t.Fatal(err)
	}
	h.eventuallyLast("a", one("t1.yml", "h1"))
	if err := os.Remove(filepath.Join(dir, "t1.yml")); err != nil {
		t.Fatal(err)
	}
	h.eventuallyLast("a", "")
	h.wantMetric("scraper_discovery_file_read_errors_total", "", 0)
}

// A directory which vanishes takes no targets away, and is watched again when another comes in its place.
func TestWatchedDirectoryVanishesAndReturns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	mkdir := func() {
		t.Helper()
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mkdir()
	write(t, filepath.Join(dir, "t.yml"), yamlOf("h1"))
	h := newHarness(t, nil)
	h.apply(fileJob("a", 50*time.Millisecond, filepath.Join(dir, "*.yml")), fileJob("b", 50*time.Millisecond, filepath.Join(dir, "t.yml")))
	h.run()
	h.watching(1)
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	problem := func() string {
		v, _ := h.metric("scraper_discovery_file_problems", "directory")
		return fmt.Sprint(v)
	}
	h.eventually("directory problems", problem, "2")
	h.watching(0)
	if got, want := render(h.Groups("a"))+render(h.Groups("b")), one("t.yml", "h1")+one("t.yml", "h1"); got != want {
		t.Errorf("groups without the directory = %q, want the last good %q", got, want)
	}
	mkdir()
	write(t, filepath.Join(dir, "t.yml"), yamlOf("h2"))
	h.eventuallyLast("a", one("t.yml", "h2"))
	h.eventuallyLast("b", one("t.yml", "h2"))
	h.watching(1)
	h.eventually("directory problems", problem, "0")
	if got := h.logged("last good targets are kept"); got != 2 {
		t.Errorf("warnings = %d, want 2: one for each section\n%s", got, h.log.String())
	}
	if got := h.logged("usable again"); got != 2 {
		t.Errorf("recoveries logged = %d, want 2\n%s", got, h.log.String())
	}
	if got := h.taken(); got != 4 {
		t.Errorf("updates = %d, want 4", got)
	}
}

// OnUpdate is called one at a time for a job, by Apply and by what is watched.
func TestUpdatesOfJobAreOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.yml")
	write(t, path, yamlOf("h0"))
	var inside atomic.Int32
	h := newHarness(t, func(o *Options) {
		tell := o.OnUpdate
		o.OnUpdate = func(job string, groups []*Group) {
			if inside.Add(1) != 1 {
				t.Error("OnUpdate is called by two goroutines at a time")
			}
			tell(job, groups)
			inside.Add(-1)
		}
	})
	h.apply(fileJob("a", time.Millisecond, path))
	h.run()
	for i := range 30 {
		replace(t, path, yamlOf(fmt.Sprintf("h%d", i)))
		job := fileJob("a", time.Millisecond, path)
		if i%2 == 0 {
			job = fileJob("a", 2*time.Millisecond, path)
		}
		h.apply(job)
	}
	h.eventuallyLast("a", one("t.yml", "h29"))
}

// polled makes the Discovery see no events, as where the kernel refuses to watch.
func polled(h *harness) {
	h.watch.open = func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
}

// stamp gives a file a time of its last change, for bubbles have a time of their own.
func stamp(t *testing.T, path string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// Without inotify files are polled, and one line says so.
func TestPolledWithoutInotify(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "t.yml")
	synctest.Test(t, func(t *testing.T) {
		write(t, path, yamlOf("h1"))
		stamp(t, path, time.Now().Add(-time.Hour))
		h := newHarness(t, nil)
		polled(h)
		h.apply(fileJob("a", 0, path), fileJob("b", 10*time.Second, path))
		stop := h.run()
		defer stop()
		time.Sleep(time.Second)
		replace(t, path, yamlOf("h2"))
		stamp(t, path, time.Now())
		time.Sleep(10 * time.Second)
		if got, want := h.last("a")+"|"+h.last("b"), one("t.yml", "h1")+"|"+one("t.yml", "h2"); got != want {
			t.Errorf("groups after 10 s = %q, want %q", got, want)
		}
		time.Sleep(50 * time.Second)
		if got, want := h.last("a"), one("t.yml", "h2"); got != want {
			t.Errorf("groups after the default interval of 1m = %q, want %q", got, want)
		}
		time.Sleep(time.Hour)
		if got := h.logged("cannot be watched"); got != 1 {
			t.Errorf("log lines about inotify = %d, want 1\n%s", got, h.log.String())
		}
		h.wantMetric("scraper_discovery_watched_directories", "", 0)
	})
}

// Each poll tries to watch again.
func TestWatchedOnceTheKernelAllows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.yml")
	write(t, path, yamlOf("h1"))
	h := newHarness(t, nil)
	var allowed atomic.Bool
	h.watch.open = func() (*fsnotify.Watcher, error) {
		if !allowed.Load() {
			return nil, errors.New("too many open files")
		}
		return fsnotify.NewWatcher()
	}
	h.apply(fileJob("a", 10*time.Millisecond, path))
	h.run()
	logged := func(text string) func() string {
		return func() string { return fmt.Sprint(h.logged(text)) }
	}
	h.eventually("lines about inotify", logged("cannot be watched"), "1")
	allowed.Store(true)
	h.watching(1)
	h.eventually("lines about its return", logged("watched again"), "1")
}

// poll runs f with a polled file "t.yml" that was read once and holds target h1. Advance lets an interval pass.
func poll(t *testing.T, f func(t *testing.T, h *harness, path string, advance func())) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "t.yml")
		write(t, path, yamlOf("h1"))
		stamp(t, path, time.Now().Add(-time.Hour))
		h := newHarness(t, nil)
		polled(h)
		h.apply(fileJob("a", time.Minute, path))
		stop := h.run()
		defer stop()
		time.Sleep(time.Second)
		f(t, h, path, func() { time.Sleep(time.Minute) })
	})
}

func TestUnusableFileKeepsItsTargets(t *testing.T) {
	unusable := []struct {
		name, problem string
		harm          func(t *testing.T, path string)
	}{
		{"half-written YAML", "invalid", func(t *testing.T, path string) { write(t, path, "- targets: [h1, h2") }},
		{"not a list", "invalid", func(t *testing.T, path string) { write(t, path, "targets: [h1]") }},
		{"dangling link", "unreadable", func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Symlink("nowhere", path)); err != nil {
				t.Fatal(err)
			}
		}},
		{"directory", "unreadable", func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}},
		{"named pipe", "unreadable", func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, u := range unusable {
		t.Run(u.name, func(t *testing.T) {
			poll(t, func(t *testing.T, h *harness, path string, advance func()) {
				u.harm(t, path)
				for range 5 {
					advance()
				}
				if got, want := render(h.Groups("a")), one("t.yml", "h1"); got != want {
					t.Errorf("groups = %q, want the last good %q", got, want)
				}
				if got := h.logged("last good targets are kept"); got != 1 {
					t.Errorf("warnings = %d, want 1\n%s", got, h.log.String())
				}
				h.wantMetric("scraper_discovery_file_problems", u.problem, 1)
				h.wantMetric("scraper_discovery_file_read_errors_total", "", 5)

				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				write(t, path, yamlOf("h2"))
				stamp(t, path, time.Now())
				advance()
				if got, want := h.last("a"), one("t.yml", "h2"); got != want {
					t.Errorf("groups when the file is good again = %q, want %q", got, want)
				}
				h.wantMetric("scraper_discovery_file_problems", u.problem, 0)
				if got := h.logged("usable again"); got != 1 {
					t.Errorf("recoveries logged = %d, want 1\n%s", got, h.log.String())
				}
				if got := h.taken(); got != 2 {
					t.Errorf("updates = %d, want 2", got)
				}
			})
		})
	}
}

// The problems of a file go from the metrics with the last job that has it.
func TestProblemsGoWithTheJob(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.yml")
	write(t, path, "{")
	h := newHarness(t, nil)
	h.apply(fileJob("a", 0, path))
	h.wantMetric("scraper_discovery_file_problems", "invalid", 1)
	h.apply()
	h.wantMetric("scraper_discovery_file_problems", "invalid", 0)
	h.wantMetric("scraper_discovery_providers", "", 0)
}

func TestFileWhichDoesNotExist(t *testing.T) {
	poll(t, func(t *testing.T, h *harness, path string, advance func()) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			advance()
		}
		if got := h.last("a"); got != "" {
			t.Errorf("groups of a deleted file = %q, want none", got)
		}
		h.wantMetric("scraper_discovery_file_problems", "missing", 1)
		h.wantMetric("scraper_discovery_file_read_errors_total", "", 0)
		if got := h.logged("does not exist"); got != 1 {
			t.Errorf("warnings = %d, want 1\n%s", got, h.log.String())
		}
	})
}

// What is written anew without a change of its targets is no update; what did not change is not even read.
func TestRewriteWithoutChangeIsNoUpdate(t *testing.T) {
	poll(t, func(t *testing.T, h *harness, path string, advance func()) {
		advance()
		h.wantMetric("scraper_discovery_file_reads_total", "", 1)
		replace(t, path, yamlOf("h1"))
		stamp(t, path, time.Now())
		advance()
		replace(t, path, "# reformatted\n- targets:\n  - h1\n")
		stamp(t, path, time.Now())
		advance()
		if got := h.taken(); got != 1 {
			t.Errorf("updates = %d, want 1", got)
		}
		// A second file in the list leaves the first group the same value.
		replace(t, path, yamlOf("h1")+yamlOf("h2"))
		stamp(t, path, time.Now())
		advance()
		if got := h.taken(); got != 2 {
			t.Fatalf("updates = %d, want 2", got)
		}
		if h.updates[0].groups[0] != h.updates[1].groups[0] {
			t.Error("the group which did not change is another value, want the same")
		}
	})
}

// A file which changes within the step of the file system's clock, to the same size, is found all the same.
func TestChangeWithoutTraceIsFound(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "t.yml")
		now := time.Now()
		write(t, path, yamlOf("h1"))
		stamp(t, path, now)
		h := newHarness(t, nil)
		polled(h)
		h.apply(fileJob("a", time.Minute, path))
		write(t, path, yamlOf("h2"))
		stamp(t, path, now)
		defer h.run()()
		time.Sleep(time.Minute + time.Second)
		if got, want := h.last("a"), one("t.yml", "h2"); got != want {
			t.Errorf("groups = %q, want %q", got, want)
		}
		time.Sleep(time.Hour)
		if reads, _ := h.metric("scraper_discovery_file_reads_total", ""); reads > 3 {
			t.Errorf("reads of a file which did not change = %v, want at most 3", reads)
		}
	})
}

// An empty file is what a truncated one looks like, but it is valid YAML: it counts when it stays.
func TestEmptyFileCountsWhenItStays(t *testing.T) {
	poll(t, func(t *testing.T, h *harness, path string, advance func()) {
		time.Sleep(58 * time.Second) // the next look is in a second
		write(t, path, "")
		stamp(t, path, time.Now())
		time.Sleep(4 * time.Second)
		if got, want := h.last("a"), one("t.yml", "h1"); got != want {
			t.Errorf("groups when the file was just emptied = %q, want %q", got, want)
		}
		time.Sleep(2 * time.Second)
		if got := h.last("a"); got != "" {
			t.Errorf("groups when the file stayed empty = %q, want none", got)
		}
	})
}

// What a file holds, or that there is none, in the middle of a change is not taken for its end.
func TestLookInTheMiddleOfAChange(t *testing.T) {
	const whole = "- targets: [n1]\n- targets: [n2]\n"
	ways := []struct {
		name          string
		begin, finish func(t *testing.T, path string)
	}{
		{"half is written", func(t *testing.T, path string) { write(t, path, whole[:16]) }, func(t *testing.T, path string) { write(t, path, whole) }},
		{"deleted", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, path string) { write(t, path, whole) }},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			poll(t, func(t *testing.T, h *harness, path string, advance func()) {
				time.Sleep(59*time.Second - 10*time.Millisecond)
				way.begin(t, path)
				if _, err := os.Stat(path); err == nil {
					stamp(t, path, time.Now())
				}
				time.Sleep(50 * time.Millisecond) // over the look
				way.finish(t, path)
				stamp(t, path, time.Now())
				time.Sleep(time.Minute)
				if got, want := h.last("a"), "file/0/t.yml:0{__meta_filepath=t.yml} n1; file/0/t.yml:1{__meta_filepath=t.yml} n2"; got != want {
					t.Errorf("groups = %q, want %q", got, want)
				}
				if got := h.taken(); got != 2 {
					t.Errorf("updates = %d, want 2: the first and the last", got)
				}
			})
		})
	}
}

// A file which is never left alone is read all the same.
func TestFileWithoutRestIsRead(t *testing.T) {
	poll(t, func(t *testing.T, h *harness, path string, advance func()) {
		time.Sleep(58 * time.Second)
		for i := range 100 {
			replace(t, path, yamlOf(fmt.Sprintf("n%d", i)))
			stamp(t, path, time.Now())
			time.Sleep(50 * time.Millisecond)
		}
		if got := h.taken(); got < 2 {
			t.Errorf("updates while a file was written every 50 ms for 5 s = %d, want at least 2", got)
		}
	})
}

func TestFileLabelIsTheFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.json")
	write(t, path, `[{"targets": ["h1"], "labels": {"zone": "z", "__meta_filepath": "x", "a": "b"}}]`)
	h := newHarness(t, nil)
	h.apply(fileJob("a", 0, path))
	if got, want := h.last("a"), "file/0/t.json:0{__meta_filepath=t.json,a=b,zone=z} h1"; got != want {
		t.Errorf("groups = %q, want %q", got, want)
	}
}

func TestEnvironmentInTargetFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.yml")
	write(t, path, `- targets: ["%{HOST}:1", "%{UNKNOWN}:2"]`)
	h := newHarness(t, func(o *Options) {
		o.Getenv = func(name string) (string, bool) { return "h1", name == "HOST" }
	})
	h.apply(fileJob("a", 0, path))
	if got, want := h.last("a"), one("t.yml", "h1:1 %{UNKNOWN}:2"); got != want {
		t.Errorf("groups = %q, want %q", got, want)
	}
}
