package memlimit

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/procfs"
)

// cgroupEvery is how often the kernel is asked what the group uses: it has to add it up over all processors.
const cgroupEvery = 5 * time.Second

// Cgroup is the control group whose memory the process' is counted to, and by whose count the kernel kills; with those which
// it is in, as far as they can be seen.
type Cgroup struct {
	levels []level // the group itself first
	// rss is about the process' own part of CgroupUsage.Anon, in bytes; resident is exactly that, and takes longer.
	rss      func() int64
	resident func() (int64, error)

	mu    sync.Mutex
	looks []look // at each level; none before the first
	at    time.Time
	// queued is what the first caller of Beside after that look, the one at queuedAt, counted itself.
	queued   int64
	queuedAt time.Time
}

// level is one control group.
type level struct {
	dir string
	v2  bool
}

// CgroupUsage is what a control group uses, in bytes, and all that it counts: the other processes in the group as well, and
// what the kernel holds for them.
type CgroupUsage struct {
	Total int64 // what the limit is about
	Anon  int64 // as RssAnon is of one process
	// File is the page cache, which the kernel takes back when it needs it, but for Dirty, which waits to be written, and
	// Shmem, which is the files on tmpfs.
	File, Dirty, Shmem int64
	// Kernel is what the kernel holds for the processes and cannot just drop; Sockets are the buffers of connections, which
	// version 1 does not count towards the limit.
	Kernel, Sockets int64
	Kills           uint64 // processes killed for memory
}

// FindCgroup returns the process' control group. It fails where there is none, or its files are not to be seen.
func FindCgroup() (*Cgroup, error) {
	self, err := procfs.Self()
	if err != nil {
		return nil, fmt.Errorf("memlimit: find the control group: %w", err)
	}
	groups, err := self.Cgroups()
	if err != nil {
		return nil, fmt.Errorf("memlimit: find the control group: %w", err)
	}
	mounts, err := self.MountInfo()
	if err != nil {
		return nil, fmt.Errorf("memlimit: find the control group: %w", err)
	}
	return findCgroup(groups, mounts)
}

// findCgroup prefers version 1 where memory is still counted there.
func findCgroup(groups []procfs.Cgroup, mounts []*procfs.MountInfo) (*Cgroup, error) {
	for _, v2 := range []bool{false, true} {
		for _, g := range groups {
			if v2 != (g.HierarchyID == 0) || !v2 && !slices.Contains(g.Controllers, "memory") {
				continue
			}
			for _, m := range mounts {
				if _, memory := m.SuperOptions["memory"]; v2 && m.FSType != "cgroup2" || !v2 && (m.FSType != "cgroup" || !memory) {
					continue
				}
				rel, err := filepath.Rel(m.Root, g.Path)
				if err != nil || !filepath.IsLocal(rel) || strings.HasPrefix(m.Root, "/..") { // the last is above what is ours to see
					continue
				}
				levels := levelsOf(m.MountPoint, rel, v2)
				if _, err := levels[0].usage(); err == nil {
					return &Cgroup{levels: levels, rss: residentAnon, resident: mappedAnon}, nil
				}
			}
		}
	}
	return nil, errors.New("memlimit: find the control group: there is none with a count of memory")
}

// levelsOf returns the control group at rel below a mount, and those which it is in.
func levelsOf(mount, rel string, v2 bool) []level {
	levels := []level{{filepath.Join(mount, rel), v2}}
	for rel != "." {
		rel = filepath.Dir(rel)
		up := level{filepath.Join(mount, rel), v2}
		if !v2 {
			if deep, err := up.number("memory.use_hierarchy"); err != nil || deep != 1 {
				break // its limit is not about those below it
			}
		}
		levels = append(levels, up)
	}
	return levels
}

// Usage returns what the group uses, as of some seconds ago at most.
func (c *Cgroup) Usage() (CgroupUsage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.lookLocked(); err != nil {
		return CgroupUsage{}, err
	}
	return c.looks[0].CgroupUsage, nil
}

func (l level) usage() (CgroupUsage, error) {
	if l.v2 {
		return l.usageV2()
	}
	return l.usageV1()
}

func (l level) usageV2() (u CgroupUsage, err error) {
	if u.Total, err = l.number("memory.current"); err != nil {
		return u, err
	}
	s, err := l.table("memory.stat")
	if err != nil {
		return u, err
	}
	u.Anon, u.File, u.Shmem, u.Sockets = s["anon"], s["file"], s["shmem"], s["sock"]
	u.Dirty = s["file_dirty"] + s["file_writeback"]
	kernel, ok := s["kernel"]
	if !ok { // older than 5.18
		kernel = s["slab"] + s["kernel_stack"] + s["pagetables"] + s["percpu"] + s["vmalloc"]
	}
	u.Kernel = max(0, kernel-s["slab_reclaimable"])
	if events, err := l.table("memory.events"); err == nil {
		u.Kills = uint64(events["oom_kill"])
	}
	return u, nil
}

func (l level) usageV1() (u CgroupUsage, err error) {
	if u.Total, err = l.number("memory.usage_in_bytes"); err != nil {
		return u, err
	}
	s, err := l.table("memory.stat")
	if err != nil {
		return u, err
	}
	u.Anon, u.File, u.Shmem = s["total_rss"], s["total_cache"], s["total_shmem"]
	u.Dirty = s["total_dirty"] + s["total_writeback"]
	u.Kernel, _ = l.number("memory.kmem.usage_in_bytes")      // not every kernel counts it, towards the limit neither
	u.Sockets, _ = l.number("memory.kmem.tcp.usage_in_bytes") // nor this
	if control, err := l.table("memory.oom_control"); err == nil {
		u.Kills = uint64(control["oom_kill"])
	}
	return u, nil
}

func (l level) number(file string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(l.dir, file))
	if err != nil {
		return 0, fmt.Errorf("memlimit: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memlimit: %s: %w", file, err)
	}
	return n, nil
}

// table reads a file of names and numbers.
func (l level) table(file string) (map[string]int64, error) {
	f, err := os.Open(filepath.Join(l.dir, file))
	if err != nil {
		return nil, fmt.Errorf("memlimit: %w", err)
	}
	defer f.Close()
	t := make(map[string]int64)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			t[name] = n
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("memlimit: %s: %w", file, err)
	}
	return t, nil
}
