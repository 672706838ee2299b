package diskqueue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of its own, which the test may fill. It skips where that is not allowed.
func smallDisk(t *testing.T, bytes int64) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("mounting a small file system is refused: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	return dir
}

// fill takes all room of a disk, but for some bytes.
func fill(t *testing.T, dir string, leave int64) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64<<10)
	size := int64(0)
	for {
		n, err := f.Write(b)
		size += int64(n)
		if err != nil {
			break
		}
	}
	if err := f.Truncate(max(0, size-leave)); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRealFullDisk(t *testing.T) {
	disk := smallDisk(t, 8<<20)
	o := Options{Dir: filepath.Join(disk, "q"), Slots: 1}
	q := mustOpen(t, o)
	var want []uint64
	n := uint64(0)
	refused := 0
	try := func(times int) {
		for range times {
			n++
			_, err := q.Append(block(0, int(n)), payload(n, 50<<10))
			switch {
			case err == nil:
				want = append(want, n)
			case IsFull(err):
				refused++
			default:
				t.Fatalf("Append(%d) = %v", n, err)
			}
		}
	}
	try(20)
	free := fill(t, disk, 200<<10)
	try(20)
	if refused < 10 {
		t.Fatalf("%d blocks refused by a full disk", refused)
	}
	kill(q)
	q = mustOpen(t, o) // on a full disk
	for range 5 {      // sending goes on
		r, got, ok := take(t, q, 0)
		if !ok || got != want[0] {
			t.Fatalf("block %d, %t, want %d", got, ok, want[0])
		}
		ack(t, q, r)
		want = want[1:]
	}
	kill(q)
	q = mustOpen(t, o)
	free()
	refused = 0
	try(20)
	if refused != 0 {
		t.Errorf("%d blocks refused after there was room again", refused)
	}
	try(200) // it fills the disk by itself
	if refused == 0 {
		t.Error("no block was refused")
	}
	if got := drain(t, q, 0); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("there are %v, want %v", got, want)
	}
	refused = 0
	try(50)
	if refused != 0 {
		t.Errorf("%d blocks refused after all was settled", refused)
	}
}

func TestRealReadOnlyDisk(t *testing.T) {
	disk := smallDisk(t, 8<<20)
	o := Options{Dir: filepath.Join(disk, "q"), Slots: 1}
	q := mustOpen(t, o)
	for i := uint64(1); i <= 5; i++ {
		put(t, q, 0, i, 1000)
	}
	// The kernel refuses while files are open for writing, so that this is what a start meets.
	kill(q)
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("remounting is refused: %v", err)
	}
	if _, err := Open(o); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Open = %v, want %v", err, syscall.EROFS)
	}
	r, err := Inspect(o.Dir, true)
	if err != nil || r.Pending.Blocks != 5 {
		t.Errorf("Inspect has %+v, %v, want 5 blocks", r.Pending, err)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	q = mustOpen(t, o)
	put(t, q, 0, 6, 1000)
	if got := drain(t, q, 0); fmt.Sprint(got) != "[1 2 3 4 5 6]" {
		t.Errorf("there are %v", got)
	}
}
