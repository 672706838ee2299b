package memlimit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/procfs"
)

// group makes the files of a control group in a directory, and returns the mount which it is below.
func group(t *testing.T, fsType, root, path string, files map[string]string) *procfs.MountInfo {
	t.Helper()
	mount := t.TempDir()
	rel, err := filepath.Rel(root, path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(mount, rel)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &procfs.MountInfo{Root: root, MountPoint: mount, FSType: fsType, SuperOptions: map[string]string{"rw": "", "memory": ""}}
}

// TestCgroup pins which files of which control group are read, in both versions and both at once.
func TestCgroup(t *testing.T) {
	v1files := map[string]string{
		"memory.usage_in_bytes": "9000\n", "memory.kmem.usage_in_bytes": "700\n", "memory.kmem.tcp.usage_in_bytes": "30\n",
		"memory.stat":        "cache 1\nrss 2\ntotal_cache 4000\ntotal_rss 3000\ntotal_shmem 100\ntotal_dirty 20\ntotal_writeback 3\n",
		"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
	}
	v1 := CgroupUsage{Total: 9000, Anon: 3000, File: 4000, Dirty: 23, Shmem: 100, Kernel: 700, Sockets: 30, Kills: 5}
	v2files := map[string]string{
		"memory.current": "9000\n",
		"memory.stat":    "anon 3000\nfile 4000\nkernel 700\nkernel_stack 60\nsock 30\nshmem 100\nfile_dirty 20\nfile_writeback 3\nslab_reclaimable 200\n",
		"memory.events":  "low 0\nmax 7\noom 6\noom_kill 5\noom_group_kill 0\n",
	}
	v2 := CgroupUsage{Total: 9000, Anon: 3000, File: 4000, Dirty: 23, Shmem: 100, Kernel: 500, Sockets: 30, Kills: 5}
	old := map[string]string{
		"memory.current": "9000", "memory.stat": "slab 500\nslab_reclaimable 200\nkernel_stack 60\npagetables 40\npercpu 9\n",
	}
	of := func(id int, path string, controllers ...string) procfs.Cgroup {
		return procfs.Cgroup{HierarchyID: id, Controllers: controllers, Path: path}
	}
	for _, c := range []struct {
		name   string
		groups []procfs.Cgroup
		mounts []*procfs.MountInfo
		want   CgroupUsage
	}{
		{"v1", []procfs.Cgroup{of(4, "/kubepods/pod1/c1", "memory")}, []*procfs.MountInfo{group(t, "cgroup", "/", "/kubepods/pod1/c1", v1files)}, v1},
		{"v1 as a container sees it", []procfs.Cgroup{of(4, "/kubepods/pod1/c1", "memory")}, []*procfs.MountInfo{group(t, "cgroup", "/kubepods/pod1/c1", "/kubepods/pod1/c1", v1files)}, v1},
		{"v2", []procfs.Cgroup{of(0, "/a/b")}, []*procfs.MountInfo{group(t, "cgroup2", "/", "/a/b", v2files)}, v2},
		{"v2 in a namespace", []procfs.Cgroup{of(0, "/")}, []*procfs.MountInfo{group(t, "cgroup2", "/", "/", v2files)}, v2},
		{"v2, old kernel", []procfs.Cgroup{of(0, "/")}, []*procfs.MountInfo{group(t, "cgroup2", "/", "/", old)}, CgroupUsage{Total: 9000, Kernel: 409}},
		{
			"hybrid: v1 counts memory",
			[]procfs.Cgroup{of(0, "/"), of(5, "/x", "cpu"), of(4, "/x", "memory")},
			[]*procfs.MountInfo{group(t, "cgroup2", "/", "/", nil), group(t, "cgroup", "/", "/x", v1files)}, v1,
		},
		{
			"a mount of the whole tree in a namespace", []procfs.Cgroup{of(0, "/")},
			[]*procfs.MountInfo{group(t, "cgroup2", "/../..", "/../..", old), group(t, "cgroup2", "/", "/", v2files)}, v2,
		},
		{"a mount which shows another part", []procfs.Cgroup{of(0, "/a")}, []*procfs.MountInfo{group(t, "cgroup2", "/b", "/b", v2files), group(t, "cgroup2", "/", "/a", v2files)}, v2},
	} {
		g, err := findCgroup(c.groups, c.mounts)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, err := g.Usage(); err != nil || got != c.want {
			t.Errorf("%s: Usage() = %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
	if g, err := findCgroup([]procfs.Cgroup{of(0, "/a")}, nil); err == nil {
		t.Errorf("findCgroup without a mount = %+v, want an error", g)
	}
}

// TestOnTmpfs pins that files in memory are told from others, before their directory exists as well.
func TestOnTmpfs(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err == nil {
		if on, err := OnTmpfs("/dev/shm/no/such/directory"); err != nil || !on {
			t.Errorf(`OnTmpfs("/dev/shm/…") = %v, %v, want true`, on, err)
		}
	}
	if on, err := OnTmpfs("/proc/self"); err != nil || on {
		t.Errorf(`OnTmpfs("/proc/self") = %v, %v, want false`, on, err)
	}
}
