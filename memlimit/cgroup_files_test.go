package memlimit

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// groupAt is the control group whose files are in a directory, of which the process has so much anonymous memory.
func groupAt(dir string, v2 bool, rss int64) *Cgroup { return groupOf([]level{{dir, v2}}, rss) }

func groupOf(levels []level, rss int64) *Cgroup {
	return &Cgroup{levels: levels, rss: func() int64 { return rss }, resident: func() (int64, error) { return rss, nil }}
}

// written writes files of a control group.
func written(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCgroupFiles reads files as kernels write them: what is anonymous, what the kernel holds and cannot drop, files by
// what it takes to be rid of them, and limits.
func TestCgroupFiles(t *testing.T) {
	for _, c := range []struct {
		files  string
		v2     bool
		want   CgroupUsage
		limits CgroupLimits
		beside Beside // of a process which has all that is anonymous
	}{
		// The kernel's part is 9 MiB, of which 4 can be reclaimed, and the sockets' 3 come on top. Of the files, 12 MiB are
		// on tmpfs; what waits to be written is little.
		{
			"v2", true, CgroupUsage{Total: 123 * mib, Anon: 40 * mib, File: 70 * mib, Dirty: 3 * mib, Shmem: 12 * mib, Kernel: 5 * mib, Sockets: 3 * mib, Kills: 2},
			CgroupLimits{Max: 128 * mib}, Beside{Kernel: 8 * mib, Others: 12 * mib},
		},
		// Before 5.18 the kernel's part is in pieces. Memory.high is what counts.
		{
			"v2-5.10", true, CgroupUsage{Total: 119 * mib, Anon: 40 * mib, File: 70 * mib, Dirty: 3 * mib, Kernel: 2 * mib, Sockets: 3 * mib},
			CgroupLimits{Max: 128 * mib, High: 115 * mib}, Beside{Kernel: 5 * mib},
		},
		// Version 1 keeps sockets apart, and does not count them towards the limit.
		{
			"v1", false, CgroupUsage{Total: 120 * mib, Anon: 40 * mib, File: 70 * mib, Dirty: 3 * mib, Shmem: 12 * mib, Kernel: 5 * mib, Sockets: 3 * mib, Kills: 2},
			CgroupLimits{Max: 128 * mib}, Beside{Kernel: 5 * mib, Others: 12 * mib},
		},
	} {
		g := groupAt(filepath.Join("testdata", c.files), c.v2, c.want.Anon)
		if got, err := g.Usage(); err != nil || got != c.want {
			t.Errorf("%s: Usage() = %+v, %v, want %+v", c.files, got, err, c.want)
		}
		if got, err := g.Limits(); err != nil || got != c.limits {
			t.Errorf("%s: Limits() = %+v, %v, want %+v", c.files, got, err, c.limits)
		}
		if got := g.Beside(c.limits.least(), 0); got != c.beside {
			t.Errorf("%s: Beside() = %+v, want %+v", c.files, got, c.beside)
		}
		// Files include tmpfs, and the kernel's part is beside them.
		if u := c.want; u.Anon+u.File+u.Kernel > u.Total {
			t.Errorf("%s: the parts of %+v are more than their total", c.files, u)
		}
	}
}

// TestBesideNested reads a container in a pod on a node: of each group the smallest limit counts, and of the pod what its
// other container takes, as far as that leaves less than the container may have itself. The node's pods together are not
// the agent's to make room for.
func TestBesideNested(t *testing.T) {
	const agent, pod = 40, 120 // MiB of anonymous memory
	for _, c := range []struct {
		name           string
		budget, queued int64
		rss            int64
		want           Beside
	}{
		// In the container are 4 of the kernel and 1 of sockets. The pod has 11 of these, 80 of others and 6 on tmpfs, and
		// 136 which the container cannot have.
		{"memory.high of the container", 120, 0, agent, Beside{Kernel: 5 * mib}},
		{"somebody else in the container", 120, 0, agent - 10, Beside{Kernel: 5 * mib, Others: 10 * mib}},
		{"more is left than the flag lets it have", 100, 0, agent, Beside{}},
		{"the kernel's part takes what is left", 118, 0, agent, Beside{Kernel: 3 * mib}},
		// As if the pod's limit was the smallest: 97 of its 256.
		{"the pod's limit", 256, 0, agent, Beside{Kernel: 5 * mib, Others: 92 * mib}},
		{"the pod's limit, with a queue on tmpfs", 256, 6 * mib, agent, Beside{Kernel: 5 * mib, Others: 86 * mib}},
		{"a queue which is larger than what was seen", 256, 60 * mib, agent, Beside{Kernel: 5 * mib, Others: 86 * mib}},
		{"a budget which is a small part of all limits", 12, 0, agent, Beside{}},
		{"without a budget", 0, 0, agent, Beside{}},
	} {
		levels := levelsOf("testdata/v2-nested", "kubepods.slice/pod.slice/agent.scope", true)
		if c.budget == 256 {
			levels[0].dir = t.TempDir()
			written(t, levels[0].dir, map[string]string{"memory.current": "73400320", "memory.stat": "anon 41943040\nkernel 4194304\nsock 1048576\n"})
		}
		g := groupOf(levels, c.rss*mib)
		if got := g.Beside(c.budget*mib, c.queued); got != c.want {
			t.Errorf("%s: Beside(%d MiB, %d) = %+v, want %+v", c.name, c.budget, c.queued, got, c.want)
		}
		want := CgroupLimits{Max: 128 * mib, High: 120 * mib}
		if c.budget == 256 {
			want = CgroupLimits{Max: 256 * mib}
		}
		if got, err := g.Limits(); err != nil || got != want {
			t.Errorf("%s: Limits() = %+v, %v, want %+v", c.name, got, err, want)
		}
	}
}

// TestLimits pins what is a limit: also one of a group which a file only tells of, and not what stands for none.
func TestLimits(t *testing.T) {
	const none = "9223372036854771712\n"
	for _, c := range []struct {
		name   string
		v2     bool
		files  []map[string]string // the innermost first
		want   CgroupLimits
		broken bool
	}{
		{name: "v2, none", v2: true, files: []map[string]string{{"memory.max": "max\n", "memory.high": "max\n"}, nil}},
		{name: "v2, high", v2: true, files: []map[string]string{{"memory.max": "max\n", "memory.high": "5000\n"}, nil}, want: CgroupLimits{High: 5000}},
		{name: "v2, no files", v2: true, files: []map[string]string{nil}},
		{name: "v2, high of the parent", v2: true, files: []map[string]string{{"memory.max": "7000\n", "memory.high": "6000\n"}, {"memory.max": "6500", "memory.high": "4000"}}, want: CgroupLimits{Max: 6500, High: 4000}},
		{name: "v2, high of 0 is about what is used now", v2: true, files: []map[string]string{{"memory.max": "7000\n", "memory.high": "0\n"}}, want: CgroupLimits{Max: 7000}},
		{name: "v2, nonsense", v2: true, files: []map[string]string{{"memory.max": "much\n"}}, broken: true},
		{name: "v1, none", files: []map[string]string{{"memory.limit_in_bytes": none, "memory.stat": "hierarchical_memory_limit " + none}}},
		{name: "v1, own", files: []map[string]string{{"memory.limit_in_bytes": "5000\n", "memory.stat": "hierarchical_memory_limit 5000\n"}}, want: CgroupLimits{Max: 5000}},
		{name: "v1, of one which is not to be seen", files: []map[string]string{{"memory.limit_in_bytes": none, "memory.stat": "hierarchical_memory_limit 4000\n"}}, want: CgroupLimits{Max: 4000}},
		{name: "v1, of the parent", files: []map[string]string{{"memory.limit_in_bytes": none}, {"memory.limit_in_bytes": "3000\n"}}, want: CgroupLimits{Max: 3000}},
	} {
		var levels []level
		for _, files := range c.files {
			dir := t.TempDir()
			written(t, dir, files)
			levels = append(levels, level{dir, c.v2})
		}
		if got, err := groupOf(levels, 0).Limits(); got != c.want || (err != nil) != c.broken {
			t.Errorf("%s: Limits() = %+v, %v, want %+v, an error %v", c.name, got, err, c.want, c.broken)
		}
	}
	if got, err := groupAt(filepath.Join(t.TempDir(), "gone"), true, 0).Limits(); err == nil {
		t.Errorf("Limits() of a group which cannot be seen any more = %+v, want an error", got)
	}
}

// TestBesideSettles pins what is waited for: pages which are written soon are not counted, and neither is what is there at
// one look alone.
func TestBesideSettles(t *testing.T) {
	dir := t.TempDir()
	write := func(anon, dirty, shmem float64) {
		written(t, dir, map[string]string{
			"memory.current": "1", "memory.max": "67108864", "memory.high": "max",
			"memory.stat": fmt.Sprintf("anon %.0f\nfile_dirty %.0f\nshmem %.0f\n", anon, dirty, shmem),
		})
	}
	synctest.Test(t, func(t *testing.T) {
		rss := int64(10e6)
		g := groupAt(dir, true, 0)
		g.rss = func() int64 { return rss }
		asked := 0
		g.resident = func() (int64, error) { asked++; return rss, nil }
		step := func(what string, want int64) {
			t.Helper()
			if got := g.Beside(64*mib, 0); got.Others != want || got.Kernel != 0 {
				t.Errorf("%s: Beside() = %+v, want %d of others", what, got, want)
			}
			time.Sleep(cgroupEvery)
		}
		write(10e6, 0, 0)
		step("alone", 0)
		write(10e6, 16e6, 0)
		step("a quarter waits to be written", 0)
		step("still", 0)
		write(10e6, 40e6, 0)
		step("much waits to be written, at once", 0)
		step("still", 40e6-16*mib)
		write(10e6, 5e6, 0)
		step("it was written", 0)
		write(10e6, 0, 7e6)
		step("files on tmpfs", 7e6)
		write(10.5e6, 0, 0)
		step("what is no more than inexact", 0)
		if asked > 0 {
			t.Errorf("pages were counted %d times while nobody else was to be seen", asked)
		}
		write(30e6, 0, 0)
		step("somebody else, for the first time", 0)
		step("still", 20e6)
		write(10e6, 0, 0)
		step("gone", 0)
		rss = 3e6
		step("the process gave memory back, which the group shows later", 0)
		write(3e6, 0, 0)
		step("it does", 0)
		write(3e6, 0, 20e6)
		for _, queued := range []int64{15e6, 5e6, 30e6} {
			if got, want := g.Beside(64*mib, queued).Others, max(0, 20e6-max(queued, 15e6)); got != want {
				t.Errorf("with %d of 20 MB on tmpfs which are counted already, soon after 15: Beside().Others = %d, want %d", queued, got, want)
			}
		}
		time.Sleep(cgroupEvery)
		write(30e6, 0, 0)
		g.resident = func() (int64, error) { return 29e6, nil }
		step("the process' own, of which it knows late", 0)
		step("still", 0)
	})
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
		written(t, dir, map[string]string{"memory.max": "1000"})
		written(t, dir, c.files)
		g := groupAt(dir, true, 0)
		got, err := g.Usage()
		if b := g.Beside(1000, 0); (err != nil) != c.fails || b != (Beside{}) {
			t.Errorf("%s: Usage() = %+v, %v, Beside() = %+v, want an error %v, and nothing", c.name, got, err, b, c.fails)
		}
	}
}

// TestCgroupIsAskedSeldom pins that the kernel is asked every few seconds, whoever wants to know, and that what was seen
// holds while it does not answer.
func TestCgroupIsAskedSeldom(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		written(t, dir, map[string]string{"memory.current": text, "memory.stat": "sock " + text, "memory.max": "10000"})
	}
	synctest.Test(t, func(t *testing.T) {
		g := groupAt(dir, true, 0)
		want := func(when string, bytes int64) {
			t.Helper()
			if got := g.Beside(10000, 0).Kernel; got != bytes {
				t.Errorf("%s: Beside().Kernel = %d, want %d", when, got, bytes)
			}
		}
		write("100\n")
		want("at first", 100)
		write("200\n")
		time.Sleep(cgroupEvery - time.Second)
		want("soon after", 100)
		time.Sleep(2 * time.Second)
		want("later", 200)
		written(t, dir, map[string]string{"memory.current": ""})
		time.Sleep(cgroupEvery)
		want("while the files cannot be read", 200)
	})
}
