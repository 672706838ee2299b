package memlimit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// memberOf is set for a process of this program which is a member of a control group: it does what it reads.
const memberOf = "SCRAPER_TEST_MEMBER"

// sighting is what a member sees of its group.
type sighting struct {
	Usage  CgroupUsage
	Limits CgroupLimits
	Beside Beside
	Rss    int64
	Err    string
}

// memberIfAsked makes this process a member of a control group, if that is what it was started for, and ends it with its
// input. Each line is a command, and answered by one line.
func memberIfAsked() {
	if os.Getenv(memberOf) == "" {
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		command, rest, _ := strings.Cut(lines.Text(), " ")
		size, path, _ := strings.Cut(rest, " ")
		n, _ := strconv.Atoi(size)
		switch command {
		case "hold":
			_ = json.NewEncoder(os.Stdout).Encode(sighting{Err: hold(n)})
		case "write":
			_ = json.NewEncoder(os.Stdout).Encode(sighting{Err: write(path, n)})
		case "look":
			_ = json.NewEncoder(os.Stdout).Encode(lookAround(int64(n)))
		}
	}
	os.Exit(0)
}

// hold takes n bytes for good. They are not Go's, whose race detector would take several times as many beside them.
func hold(n int) string {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return err.Error()
	}
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	return ""
}

// write makes a file of n bytes.
func write(path string, n int) string {
	f, err := os.Create(path)
	if err != nil {
		return err.Error()
	}
	page := make([]byte, 4096)
	for ; n > 0 && err == nil; n -= len(page) {
		_, err = f.Write(page)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err.Error()
	}
	return ""
}

func lookAround(queued int64) (s sighting) {
	g, err := FindCgroup()
	if err == nil {
		s.Usage, err = g.Usage()
	}
	if err == nil {
		s.Limits, err = g.Limits()
	}
	if err != nil {
		s.Err = err.Error()
		return s
	}
	s.Beside, s.Rss = g.Beside(s.Limits.Max, queued), residentAnon()
	return s
}

// member is such a process.
type member struct {
	t     *testing.T
	in    io.WriteCloser
	lines *bufio.Scanner
}

// join starts a member of the control group in dir.
func join(t *testing.T, dir string) *member {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", `echo $$ >"$1" && exec "$2"`, "sh", filepath.Join(dir, "cgroup.procs"), self)
	c.Env = append(os.Environ(), memberOf+"=1", "GORACE=atexit_sleep_ms=0")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	return &member{t, in, bufio.NewScanner(out)}
}

// do has the member do something, and returns what it says.
func (m *member) do(format string, args ...any) (s sighting) {
	m.t.Helper()
	if _, err := fmt.Fprintf(m.in, format+"\n", args...); err != nil {
		m.t.Fatal(err)
	}
	if !m.lines.Scan() {
		m.t.Fatalf("%s: the member of the group is gone: %v", fmt.Sprintf(format, args...), m.lines.Err())
	}
	if err := json.Unmarshal(m.lines.Bytes(), &s); err != nil || s.Err != "" {
		m.t.Fatalf("%s: %s, %v", fmt.Sprintf(format, args...), m.lines.Text(), err)
	}
	return s
}

// makeGroup makes a control group with a limit below another, "" for the outermost, and returns its directory. It lasts as
// long as the test.
func makeGroup(t *testing.T, below string, limitBytes int64) (dir string) {
	t.Helper()
	why := "there is no file system of control groups with a count of memory"
	for _, v := range []struct{ root, file string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max"},
	} {
		at := below
		if at == "" {
			at = v.root
		}
		if v.file == "memory.max" { // groups below have the controller only after this; it may be so already
			_ = os.WriteFile(filepath.Join(at, "cgroup.subtree_control"), []byte("+memory"), 0)
		}
		dir := filepath.Join(at, fmt.Sprintf("memlimit-test-%d-%d", os.Getpid(), time.Now().UnixNano()))
		if err := os.Mkdir(dir, 0o700); err != nil {
			why = err.Error()
			continue
		}
		t.Cleanup(func() {
			for range 100 {
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(20 * time.Millisecond) // the kernel notices late that its processes have ended
			}
			t.Errorf("%s cannot be removed", dir)
		})
		err := os.WriteFile(filepath.Join(dir, v.file), []byte(strconv.FormatInt(limitBytes, 10)), 0)
		if err == nil {
			return dir
		}
		why = err.Error()
	}
	t.Skipf("a memory control group cannot be made here: that takes root, and a file system of control groups which is not read-only: %s", why)
	return ""
}

// TestRealCgroup has the kernel count processes, files in memory and files which are not written yet, and wants a process in
// the same group to see what is beside it.
func TestRealCgroup(t *testing.T) {
	const off = 8 * mib // what processes take besides
	dir := makeGroup(t, "", 256*mib)
	a := join(t, dir)
	a.do("hold %d", 30*mib)
	alone := a.do("look 0")
	if alone.Limits.Max != 256*mib || alone.Usage.Anon < 30*mib || alone.Usage.Total < alone.Usage.Anon {
		t.Errorf("in a group of 256 MiB, a process of 30: %+v", alone)
	}
	if b := alone.Beside; b.Others != 0 || b.Kernel < 0 || b.Kernel > 32*mib {
		t.Errorf("alone in its group, a process sees %+v beside it", b)
	}

	near := func(what string, got, want int64) {
		t.Helper()
		if got < want-mib || got > want+off {
			t.Errorf("%s: %d bytes of others, want about %d", what, got, want)
		}
	}
	b := join(t, dir)
	b.do("hold %d", 40*mib)
	two := a.do("look 0").Beside
	others := two.Others
	if others < 40*mib || others > 80*mib { // with what such a process takes by itself
		t.Errorf("beside a process of 40 MiB, another sees %+v", two)
	}

	shm, err := os.MkdirTemp("/dev/shm", "memlimit-test-")
	if on, _ := OnTmpfs(shm); err == nil && on {
		t.Cleanup(func() { _ = os.RemoveAll(shm) })
		b.do("write %d %s", 24*mib, filepath.Join(shm, "x"))
		near("24 MiB on tmpfs", a.do("look 0").Beside.Others, others+24*mib)
		near("24 MiB on tmpfs, of which 20 are counted", a.do("look %d", 20*mib).Beside.Others, others+4*mib)
		if err := os.Remove(filepath.Join(shm, "x")); err != nil {
			t.Fatal(err)
		}
		near("nothing on tmpfs any more", a.do("look 0").Beside.Others, others)
	}

	tmp := t.TempDir()
	if on, _ := OnTmpfs(tmp); !on {
		b.do("write %d %s", 16*mib, filepath.Join(tmp, "x"))
		near("16 MiB which wait to be written, of 256", a.do("look 0").Beside.Others, others)
		b.do("write %d %s", 80*mib, filepath.Join(tmp, "y"))
		s := a.do("look 0")
		near("more which wait to be written", s.Beside.Others, others+max(0, s.Usage.Dirty-64*mib))
		t.Logf("%d MiB of files, of which %d wait to be written: %d MiB of others beside %d", s.Usage.File/mib, s.Usage.Dirty/mib, s.Beside.Others/mib, others/mib)
	}
	if s := a.do("look 0"); s.Usage.Kills != 0 {
		t.Errorf("%d processes were killed", s.Usage.Kills)
	}
}

// TestRealCgroupNested has two groups in one with a limit: a process in the one sees that of the outer group, and what is in
// the other.
func TestRealCgroupNested(t *testing.T) {
	pod := makeGroup(t, "", 128*mib)
	one, two := makeGroup(t, pod, 512*mib), makeGroup(t, pod, 512*mib)
	a, b := join(t, one), join(t, two)
	if s := a.do("look 0"); s.Limits.Max != 128*mib {
		t.Errorf("Limits() = %+v in a group of a group of 128 MiB", s.Limits)
	}
	before := a.do("look 0").Beside
	b.do("hold %d", 40*mib)
	after := a.do("look 0")
	if d := after.Beside.Others - before.Others; d < 39*mib || d > 60*mib {
		t.Errorf("Beside() = %+v, and %+v after a process in another group of the same has taken 40 MiB", before, after.Beside)
	}
	if after.Usage.Anon > 40*mib {
		t.Errorf("Usage() = %+v, want that of its own group", after.Usage)
	}
}
