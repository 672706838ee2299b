package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// root is where control groups are mounted, as a rule.
const root = "/sys/fs/cgroup"

// version holds the names which a version of control groups has for the same things.
type version struct {
	dir      string // where groups are made
	usage    string // file with the usage, in bytes
	inactive string // line of memory.stat with the file pages that the kernel would drop first
	limit    string // file for the limit
	events   string // file with the number of processes which were killed, as oom_kill
	most     string // file with the most that was used
}

var (
	v1 = version{root + "/memory", "memory.usage_in_bytes", "total_inactive_file", "memory.limit_in_bytes", "memory.oom_control", "memory.max_usage_in_bytes"}
	v2 = version{root, "memory.current", "inactive_file", "memory.max", "memory.events", "memory.peak"}
)

// Cgroup is a memory control group which the benchmark made for one agent.
type Cgroup struct {
	version
	dir string
}

// NewCgroup makes a control group. An error says why there can be none: no right to, or no memory controller. Remove ends it.
func NewCgroup(name string) (*Cgroup, error) {
	v := v1
	if _, err := os.Stat(filepath.Join(v.dir, v.usage)); err != nil {
		v = v2
		controllers, err := os.ReadFile(filepath.Join(v.dir, "cgroup.controllers"))
		if err != nil || !strings.Contains(string(controllers), "memory") {
			return nil, errors.New("there is no memory controller of cgroup v1 or v2 in " + root)
		}
		// Groups below the root have the controller only after this; it may be so already.
		_ = os.WriteFile(filepath.Join(v.dir, "cgroup.subtree_control"), []byte("+memory"), 0o644)
	}
	g := &Cgroup{version: v, dir: filepath.Join(v.dir, name)}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a memory control group: %w", err)
	}
	if _, err := g.WorkingSet(); err != nil {
		_ = os.Remove(g.dir)
		return nil, fmt.Errorf("make a memory control group: %w", err)
	}
	return g, nil
}

// Dir is the group's directory. Whoever writes its process id into cgroup.procs there is in the group.
func (g *Cgroup) Dir() string { return g.dir }

// Join puts the calling process into the group in dir.
func Join(dir string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644)
	if err != nil {
		return fmt.Errorf("join a memory control group: %w", err)
	}
	return nil
}

// Limit bounds the group's memory, in bytes.
func (g *Cgroup) Limit(n int64) error {
	err := os.WriteFile(filepath.Join(g.dir, g.limit), []byte(strconv.FormatInt(n, 10)), 0o644)
	if err != nil {
		return fmt.Errorf("limit a memory control group: %w", err)
	}
	return nil
}

// WorkingSet is the group's usage without the file pages that the kernel would drop first, in bytes, as Kubernetes
// counts it.
func (g *Cgroup) WorkingSet() (int64, error) {
	usage, err := os.ReadFile(filepath.Join(g.dir, g.usage))
	if err != nil {
		return 0, fmt.Errorf("read the working set: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(usage)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the working set: %w", err)
	}
	inactive, err := g.number("memory.stat", g.inactive)
	return max(0, n-inactive), err
}

// MostUsed is the most that the group has used, in bytes: pages of files, and what of the kernel's memory is counted there,
// included. 0 where the kernel does not tell.
func (g *Cgroup) MostUsed() int64 {
	text, err := os.ReadFile(filepath.Join(g.dir, g.most))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// Killed is how many processes of the group were killed because of its limit.
func (g *Cgroup) Killed() (int64, error) { return g.number(g.events, "oom_kill") }

// number reads one of the numbers in a file of names and numbers.
func (g *Cgroup) number(file, name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", file, err)
	}
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == name {
			return strconv.ParseInt(value, 10, 64)
		}
	}
	return 0, fmt.Errorf("read %s: there is no %s", file, name)
}

// Remove removes the group. Its processes must have ended; the kernel may need a moment to notice.
func (g *Cgroup) Remove() error {
	var err error
	for range 50 {
		if err = os.Remove(g.dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("remove a memory control group: %w", err)
}
