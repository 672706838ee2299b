package memlimit

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestCgroupFiles reads files as kernels write them: what is anonymous, what the kernel holds and cannot drop, and files by
// what it takes to be rid of them.
func TestCgroupFiles(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		version string
		want    CgroupUsage
		offHeap int64
	}{
		// The kernel's part is 9 MiB, of which 4 can be reclaimed, and the sockets' 3 come on top.
		{"v2", CgroupUsage{Total: 123 * mib, Anon: 40 * mib, File: 70 * mib, Dirty: 3 * mib, Shmem: 12 * mib, Kernel: 5 * mib, Sockets: 3 * mib, Kills: 2}, 8 * mib},
		// Version 1 keeps sockets apart, and does not count them towards the limit.
		{"v1", CgroupUsage{Total: 120 * mib, Anon: 40 * mib, File: 70 * mib, Dirty: 3 * mib, Shmem: 12 * mib, Kernel: 5 * mib, Sockets: 3 * mib, Kills: 2}, 5 * mib},
	} {
		g := &Cgroup{dir: filepath.Join("testdata", c.version), v2: c.version == "v2"}
		if got, err := g.Usage(); err != nil || got != c.want || g.OffHeap() != c.offHeap {
			t.Errorf("%s: Usage() = %+v, %v, OffHeap() = %d, want %+v and %d", c.version, got, err, g.OffHeap(), c.want, c.offHeap)
		}
		// Files include tmpfs, and the kernel's part is beside them.
		if u := c.want; u.Anon+u.File+u.Kernel > u.Total {
			t.Errorf("%s: the parts of %+v are more than their total", c.version, u)
		}
	}
}

// TestCgroupDamaged pins that files which are missing or make no sense are an error, or nothing, and never a wrong number.
func TestCgroupDamaged(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		fails bool
	}{
		{"nothing", nil, true},
		{"no count", map[string]string{"memory.stat": "anon 1\n"}, true},
		{"no table", map[string]string{"memory.current": "5\n"}, true},
		{"max for a count", map[string]string{"memory.current": "max\n", "memory.stat": "anon 1\n"}, true},
		{"beyond 64 bits", map[string]string{"memory.current": "99999999999999999999\n", "memory.stat": "anon 1\n"}, true},
		{"lines without a number", map[string]string{"memory.current": "5\n", "memory.stat": "anon\nanon x\n\nkernel max\n"}, false},
		{"more can be reclaimed than there is", map[string]string{"memory.current": "5\n", "memory.stat": "kernel 1\nslab_reclaimable 7\n"}, false},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		g := &Cgroup{dir: dir, v2: true}
		got, err := g.Usage()
		if (err != nil) != c.fails || g.OffHeap() != 0 {
			t.Errorf("%s: Usage() = %+v, %v, OffHeap() = %d, want an error %v, and nothing", c.name, got, err, g.OffHeap(), c.fails)
		}
	}
}

// TestCgroupIsAskedSeldom pins that the kernel is asked every few seconds, whoever wants to know.
func TestCgroupIsAskedSeldom(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		for name, text := range map[string]string{"memory.current": text, "memory.stat": "sock " + text} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		g := &Cgroup{dir: dir, v2: true}
		write("100\n")
		if got := g.OffHeap(); got != 100 {
			t.Errorf("OffHeap() = %d, want 100", got)
		}
		write("200\n")
		time.Sleep(cgroupEvery - time.Second)
		if got := g.OffHeap(); got != 100 {
			t.Errorf("OffHeap() within %v = %d, want 100, as it was", cgroupEvery, got)
		}
		time.Sleep(2 * time.Second)
		if got := g.OffHeap(); got != 200 {
			t.Errorf("OffHeap() after %v = %d, want 200", cgroupEvery, got)
		}
	})
}
