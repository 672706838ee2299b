package remotewrite

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scraper/diskqueue"
	"scraper/receiver"
)

const destA = "http://a.example" + receiver.WritePath

// onDisk lets a rig have its queues in dir.
func onDisk(dir string) func(*Options) {
	return func(o *Options) { o.QueueDir, o.MaxRowsPerBlock = dir, 30 }
}

// sizeOf is the size of all files below dir.
func sizeOf(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// flaky is a receiver which is away as long as it is told to be.
func flaky(t *testing.T) (*receiver.Receiver, *atomic.Bool) {
	away := new(atomic.Bool)
	return newReceiver(t, receiver.Options{Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
		if away.Load() {
			w.WriteHeader(503)
			return true
		}
		return false
	}}), away
}

// commitFor commits ten series in each of four slots, once a second.
func (r *rig) commitFor(seconds int, from *int64) (n int) {
	for range seconds {
		*from += 1000
		for slot := range uint64(4) {
			r.commit(r.t, r.Writer, slot, 10, *from)
			n += 10
		}
		time.Sleep(time.Second)
	}
	return n
}

// TestRestartInOutage stops and starts three times while the receiver is away.
func TestRestartInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		rc, away := flaky(t)
		var now int64
		total := 0
		left := uint64(0)
		for i := range 4 {
			r := newRig(t, onDisk(dir), Destination{URL: destA})
			closeServer := r.serve("a.example:80", rc)
			r.run()
			time.Sleep(10 * time.Millisecond)
			if b := r.balanced(); b.Recovered != left {
				t.Errorf("start %d: %d samples recovered, want %d", i, b.Recovered, left)
			}
			total += r.commitFor(10, &now)
			away.Store(i < 2)
			total += r.commitFor(10, &now)
			if st := r.Status()[0]; st.QueueState != "on disk" || st.DiskBytes == 0 {
				t.Errorf("start %d: queue is %q with %d bytes on disk", i, st.QueueState, st.DiskBytes)
			}
			if i == 2 { // back again
				time.Sleep(2 * time.Minute)
				if b := r.balanced(); b.Pending != 0 {
					t.Errorf("%d samples pending after the outage", b.Pending)
				}
			}
			r.stop()
			b := r.balanced()
			left = b.Pending
			if b.Dropped.Total() != 0 || (left == 0) != (i >= 2) {
				t.Errorf("start %d: books %+v", i, b)
			}
			closeServer()
		}
		if got := rc.Totals().Samples; got != uint64(total) {
			t.Errorf("%d samples arrived, want %d", got, total)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestBacklogIsNotInMemory has an outage of a quarter of an hour.
func TestBacklogIsNotInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc, away := flaky(t)
		r := newRig(t, onDisk(t.TempDir()), Destination{URL: destA})
		r.serve("a.example:80", rc)
		r.run()
		away.Store(true)
		var now int64
		total := r.commitFor(900, &now)
		time.Sleep(10 * time.Second)
		if s := r.Stats(); s.BlockBytes > 16<<10 { // one in each slot waits for its next attempt
			t.Errorf("Stats() = %+v with a backlog of %d samples", s, r.balanced().Pending)
		}
		away.Store(false)
		time.Sleep(3 * time.Minute)
		if b := r.balanced(); b.Acknowledged != uint64(total) {
			t.Errorf("books %+v, want %d acknowledged", b, total)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestSecondProcessWaits starts the new pod before the old one is gone.
func TestSecondProcessWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		rc, away := flaky(t)
		old := newRig(t, onDisk(dir), Destination{URL: destA})
		old.serve("a.example:80", rc)
		old.run()
		away.Store(true)
		var now int64
		total := old.commitFor(5, &now)

		next := newRig(t, onDisk(dir), Destination{URL: destA})
		next.serve("a.example:80", rc)
		next.run()
		total += next.commitFor(5, &now)
		if st := next.Status()[0]; !strings.HasPrefix(st.QueueState, "waiting") || st.InFlight != 0 {
			t.Errorf("the second's queue is %q, %d in flight: want it to wait", st.QueueState, st.InFlight)
		}
		old.stop()
		left := old.balanced().Pending
		away.Store(false)
		time.Sleep(time.Minute)
		b := next.balanced()
		if b.Recovered != left || left == 0 || b.Pending != 0 {
			t.Errorf("the second's books are %+v, want %d recovered", b, left)
		}
		if got := rc.Totals().Samples; got != uint64(total) {
			t.Errorf("%d samples arrived, want %d", got, total)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestSecondProcessGivesUpWaiting has two agents with one data path: the second sends all the same, and says what is wrong.
func TestSecondProcessGivesUpWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		first := newRig(t, onDisk(dir), Destination{URL: destA})
		first.run()
		time.Sleep(10 * time.Millisecond)
		rc := newReceiver(t, receiver.Options{})
		second := newRig(t, onDisk(dir), Destination{URL: destA})
		second.serve("a.example:80", rc)
		second.run()
		var now int64
		second.commitFor(120, &now)
		time.Sleep(10 * time.Second)
		if b := second.balanced(); b.Acknowledged != 4800 {
			t.Errorf("books %+v, want all acknowledged", b)
		}
		if n := second.logs.count("another process keeps the queue"); n != 1 {
			t.Errorf("%d log lines, want 1:\n%s", n, second.logs)
		}
	})
}

// TestDiskThatCannotBeUsed sends from memory, and goes over to the disk when there is one.
func TestDiskThatCannotBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "q")
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		rc, away := flaky(t)
		r := newRig(t, onDisk(dir), Destination{URL: destA})
		r.serve("a.example:80", rc)
		r.run()
		var now int64
		total := r.commitFor(30, &now)
		if b := r.balanced(); b.Acknowledged < 1000 {
			t.Errorf("books %+v, want samples sent without a disk", b)
		}
		away.Store(true)
		total += r.commitFor(30, &now)
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		total += r.commitFor(60, &now)
		if st := r.Status()[0]; st.QueueState != "on disk" || st.DiskBytes == 0 {
			t.Errorf("queue is %q with %d bytes", st.QueueState, st.DiskBytes)
		}
		if failed, works := r.logs.count("queue cannot be written"), r.logs.count("queue works again"); failed != 1 || works != 1 {
			t.Errorf("%d and %d log lines, want one of each:\n%s", failed, works, r.logs)
		}
		away.Store(false)
		time.Sleep(3 * time.Minute)
		if b := r.balanced(); b.Acknowledged != uint64(total) {
			t.Errorf("books %+v, want %d acknowledged", b, total)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestDiskBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		rc, away := flaky(t)
		const bound = 512 << 10
		r := newRig(t, onDisk(dir), Destination{URL: destA, MaxDiskBytes: bound})
		r.serve("a.example:80", rc)
		r.run()
		away.Store(true)
		var now int64
		total := r.commitFor(700, &now)
		if n := sizeOf(t, dir); n > bound || n < bound/2 {
			t.Errorf("files have %d bytes, want at most %d, and not much less", n, bound)
		}
		before := r.balanced()
		if before.Dropped.QueueFull == 0 || !strings.Contains(r.logs.String(), "oldest=") {
			t.Errorf("books %+v, want what was dropped counted, and dated:\n%s", before, r.logs)
		}
		away.Store(false)
		time.Sleep(3 * time.Minute)
		b := r.balanced()
		if b.Pending != 0 || b.Acknowledged != uint64(total)-b.Dropped.QueueFull || rc.Totals().Samples != b.Acknowledged {
			t.Errorf("books %+v, and %d samples arrived of %d", b, rc.Totals().Samples, total)
		}
		for _, s := range rc.Series(map[string]string{"i": "0"}) {
			if s.Last().TimestampMillis != now {
				t.Errorf("%v ends at %d, want the newest", s, s.Last().TimestampMillis)
			}
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestBlocksExpire(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		synctest.Test(t, func(t *testing.T) {
			rc, away := flaky(t)
			r := newRig(t, onDisk(dir), Destination{URL: destA, MaxBlockAge: time.Minute})
			r.serve("a.example:80", rc)
			r.run()
			away.Store(true)
			var now int64
			total := r.commitFor(300, &now)
			away.Store(false)
			time.Sleep(2 * time.Minute)
			b := r.balanced()
			if b.Pending != 0 || b.Expired < 200*40 || b.Expired+b.Acknowledged != uint64(total) || b.Acknowledged != rc.Totals().Samples {
				t.Errorf("dir %q: books %+v of %d samples", dir, b, total)
			}
			if err := rc.Verify().Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDamagedBacklog flips a bit of a backlog between two runs.
func TestDamagedBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		rc, away := flaky(t)
		away.Store(true)
		var now int64
		r := newRig(t, onDisk(dir), Destination{URL: destA})
		closeServer := r.serve("a.example:80", rc)
		r.run()
		total := r.commitFor(100, &now)
		r.stop()
		closeServer()
		files, _ := filepath.Glob(filepath.Join(dir, "*", "*.seg"))
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 4
		if err := os.WriteFile(files[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		away.Store(false)
		r = newRig(t, onDisk(dir), Destination{URL: destA})
		r.serve("a.example:80", rc)
		r.run()
		time.Sleep(time.Minute)
		if got := rc.Totals().Samples; got < uint64(total-30) || got >= uint64(total) {
			t.Errorf("%d samples arrived of %d, want all but one block", got, total)
		}
		if b := r.balanced(); b.Pending != 0 {
			t.Errorf("books %+v", b)
		}
		if n := r.logs.count("queue was damaged"); n != 1 {
			t.Errorf("%d log lines about it, want 1:\n%s", n, r.logs)
		}
	})
}

// TestApplyKeepsQueue takes a destination away and brings it back with another password; and changes its bound.
func TestApplyKeepsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc, away := flaky(t)
		dir := t.TempDir()
		r := newRig(t, onDisk(dir), Destination{URL: "http://me:old@a.example" + receiver.WritePath})
		r.serve("a.example:80", rc)
		r.run()
		away.Store(true)
		var now int64
		total := r.commitFor(10, &now)
		if err := r.Apply(nil); err != nil {
			t.Fatal(err)
		}
		r.commitFor(10, &now)
		if err := r.Apply([]Destination{{URL: "http://me:new@a.example" + receiver.WritePath + "?x=y"}}); err != nil {
			t.Fatal(err)
		}
		total += r.commitFor(10, &now)
		if err := r.Apply([]Destination{{URL: "http://me:new@a.example" + receiver.WritePath, MaxDiskBytes: 1 << 20}}); err != nil {
			t.Fatal(err)
		}
		total += r.commitFor(10, &now)
		away.Store(false)
		time.Sleep(time.Minute)
		if b := r.balanced(); b.Recovered != 400 || b.Acknowledged != uint64(total) {
			t.Errorf("books %+v, want 400 recovered and %d acknowledged", b, total)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestDanglingQueues(t *testing.T) {
	for _, keep := range []bool{false, true} {
		dir := t.TempDir()
		make1 := func(name string, blocks int, age time.Duration) {
			q, err := diskqueue.Open(diskqueue.Options{Dir: filepath.Join(dir, name), Slots: 4})
			if err != nil {
				t.Fatal(err)
			}
			for range blocks {
				if _, err := q.Append(diskqueue.Block{Samples: 1, Created: time.Now()}, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			files, _ := filepath.Glob(filepath.Join(dir, name, "*.seg"))
			for _, f := range files {
				at := time.Now().Add(-age)
				if err := os.Chtimes(f, at, at); err != nil {
					t.Fatal(err)
				}
			}
		}
		make1("name_empty", 0, 0)
		make1("url_new%2Fx", 3, time.Hour)
		make1("name_old", 3, 48*time.Hour)
		make1("name_old.bad-20260101T000000.000Z", 3, 48*time.Hour)
		make1("somebody_elses", 0, 0)
		make1("name_odd", 0, 0)
		if err := os.WriteFile(filepath.Join(dir, "name_odd", "notes.txt"), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		make1("name_bad", 0, 0)
		if err := os.WriteFile(filepath.Join(dir, "name_bad", "0000000000000007.seg.bad"), []byte("what was this"), 0o600); err != nil {
			t.Fatal(err)
		}
		make1("name_mine", 0, 48*time.Hour)
		w, err := New(Options{QueueDir: dir, KeepDanglingQueues: keep, Destinations: []Destination{{Name: "mine", URL: "http://a.example/"}}})
		if err != nil {
			t.Fatal(err)
		}
		w.tidyQueues(func(time.Time) bool { return true })
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		want := "name_bad name_mine name_odd name_old.bad-20260101T000000.000Z somebody_elses url_new%2Fx"
		if keep {
			want = "name_bad name_empty name_mine name_odd name_old name_old.bad-20260101T000000.000Z somebody_elses url_new%2Fx"
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("keep %t: directories are %s, want %s", keep, got, want)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "name_odd", "notes.txt")); err != nil || string(text) != "mine" {
			t.Errorf("keep %t: a file which is not the queue's is %q, %v", keep, text, err)
		}
	}
}

// TestQueueOfRemovedDestination: a destination which a reload removes leaves no directory, unless something is in it which
// was not delivered.
func TestQueueOfRemovedDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		got := newReceiver(t, receiver.Options{})
		always := Destination{URL: "http://always.example" + receiver.WritePath, Name: "always"}
		r := newRig(t, func(o *Options) { o.QueueDir = dir }, always)
		r.serve("always.example:80", got)
		r.serve("delivered.example:80", newReceiver(t, receiver.Options{}))
		r.serve("away.example:80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
		r.run()
		for i := range 3 {
			if err := r.Apply([]Destination{
				always, {URL: "http://delivered.example" + receiver.WritePath, Name: fmt.Sprintf("delivered-%d", i)}, {URL: "http://away.example/", Name: "away"},
			}); err != nil {
				t.Fatal(err)
			}
			r.commit(t, r.Writer, 0, 10, time.Now().UnixMilli())
			time.Sleep(5 * second)
		}
		if err := r.Apply([]Destination{always}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * second)
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if got, want := strings.Join(names, " "), "name_always name_away"; got != want {
			t.Errorf("directories are %s, want %s", got, want)
		}
		// A day later that is over. The files have another clock than the test.
		files, err := filepath.Glob(filepath.Join(dir, "name_away", "*.seg"))
		if err != nil || len(files) == 0 {
			t.Fatalf("the queue has the files %v, %v", files, err)
		}
		for _, f := range files {
			at := time.Now().Add(tidyEvery/2 - danglingAge)
			if err := os.Chtimes(f, at, at); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(tidyEvery)
		synctest.Wait()
		if _, err := os.Stat(filepath.Join(dir, "name_away")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after a day the queue of a destination which was removed is still there (%v)", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "name_always")); err != nil {
			t.Errorf("the queue of another destination: %v", err)
		}
	})
}

// TestDirectoryIsRemoved removes the queues' directory under a process: what comes later outlives it, and has its owner.
func TestDirectoryIsRemoved(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		rc, away := flaky(t)
		away.Store(true)
		r := newRig(t, onDisk(dir), Destination{URL: destA})
		r.serve("a.example:80", rc)
		r.run()
		var now int64
		total := r.commitFor(5, &now)
		if err := os.RemoveAll(filepath.Join(dir, dirName("url a.example"+receiver.WritePath))); err != nil {
			t.Fatal(err)
		}
		total += r.commitFor(5, &now)
		for _, pattern := range []string{tenantFile, "lock", "*.seg"} {
			if found, _ := filepath.Glob(filepath.Join(dir, "*", pattern)); len(found) == 0 {
				t.Errorf("there is no %s in the new directory", pattern)
			}
		}
		away.Store(false)
		time.Sleep(2 * time.Minute)
		if b := r.balanced(); b.Acknowledged+b.Dropped.Total() != uint64(total) || b.Pending != 0 || rc.Totals().Samples != b.Acknowledged {
			t.Errorf("books %+v of %d samples, and %d arrived", b, total, rc.Totals().Samples)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestDirName(t *testing.T) {
	f := func(d Destination, want string) {
		t.Helper()
		u, err := d.parseURL()
		if err != nil {
			t.Fatal(err)
		}
		if got := dirName(d.identity(u)); got != want {
			t.Errorf("dirName of %q, %q = %q, want %q", d.Name, d.URL, got, want)
		}
	}
	f(Destination{URL: "http://user:pass@Vm.example:8428/api/v1/write?x=y#z"}, "url_vm.example%3A8428%2Fapi%2Fv1%2Fwrite")
	f(Destination{Name: "main", URL: "http://a/"}, "name_main")
	f(Destination{Name: "../../etc", URL: "http://a/"}, "name_..%2F..%2Fetc")
	f(Destination{Name: "ä b%", URL: "http://a/"}, "name_%C3%A4%20b%25")
	long := Destination{Name: strings.Repeat("x", 300), URL: "http://a/"}
	u, _ := long.parseURL()
	other := long
	other.Name += "y"
	if a, b := dirName(long.identity(u)), dirName(other.identity(u)); len(a) > 200 || a == b {
		t.Errorf("long names become %q and %q", a, b)
	}
}
