package remotewrite

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// smallDisk mounts a file system of its own. It skips where that is not allowed.
func smallDisk(t *testing.T, bytes int64) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("mounting a small file system is refused: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill takes all room of a disk.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); err == nil {
		t.Fatal("the disk has no end")
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestFullDisk has a disk which is filled from outside while the receiver is away, freed, filled again, and made read-only
// for a start. Scraping goes on, what is lost is what the receiver misses, and it is told once.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 16<<20)
	dir := filepath.Join(disk, "q")
	synctest.Test(t, func(t *testing.T) {
		rc, away := flaky(t)
		var now int64
		total, dropped := 0, uint64(0)
		dest := Destination{URL: destA, MaxPendingBytes: 300_000}
		start := func() (*rig, func()) {
			r := newRig(t, onDisk(dir), dest)
			closeServer := r.serve("a.example:80", rc)
			r.run()
			return r, closeServer
		}
		r, closeServer := start()
		total += r.commitFor(20, &now)
		away.Store(true)
		total += r.commitFor(60, &now)
		free := fill(t, disk)
		total += r.commitFor(600, &now) // more than memory holds
		b := r.balanced()
		if b.Dropped.QueueFull == 0 || r.Status()[0].QueueState != "in memory: the disk fails" {
			t.Errorf("on a full disk the queue is %q, books %+v", r.Status()[0].QueueState, b)
		}
		free()
		total += r.commitFor(10, &now)
		b = r.balanced()
		total += r.commitFor(60, &now)
		if after := r.balanced(); after.Dropped != b.Dropped || r.Status()[0].QueueState != "on disk" {
			t.Errorf("with room again the queue is %q, books %+v", r.Status()[0].QueueState, after)
		}
		if failed, works := r.logs.count("queue cannot be written"), r.logs.count("queue works again"); failed == 0 || failed > 4 || works != 1 {
			t.Errorf("%d and %d log lines:\n%s", failed, works, r.logs)
		}
		free = fill(t, disk)
		away.Store(false) // on a full disk the backlog is sent all the same
		total += r.commitFor(120, &now)
		away.Store(true)
		free()
		total += r.commitFor(30, &now)
		r.stop()
		dropped += r.balanced().Dropped.Total()
		left := r.balanced().Pending
		closeServer()

		if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatalf("remount: %v", err)
		}
		r, closeServer = start()
		total += r.commitFor(30, &now)
		if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, ""); err != nil {
			t.Fatalf("remount: %v", err)
		}
		total += r.commitFor(30, &now)
		away.Store(false)
		time.Sleep(3 * time.Minute)
		b = r.balanced()
		if b.Recovered != left || left == 0 || b.Pending != 0 {
			t.Errorf("books %+v after a read-only start, want %d recovered", b, left)
		}
		r.stop()
		closeServer()
		dropped += r.balanced().Dropped.Total()
		if got := rc.Totals().Samples; got != uint64(total)-dropped || dropped == 0 {
			t.Errorf("%d samples arrived of %d, with %d dropped", got, total, dropped)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}
