package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/receiver"
)

// memoryPage is what tests want of /debug/memory.
type memoryPage struct {
	ResidentAnonBytes, SumBytes, NotAttributedBytes int64
	Error, Level                                    string
	Parts                                           []struct {
		Name    string
		Bytes   int64
		Account bool
	}
	Budget struct {
		Bytes, LimitBytes, SoftLimitBytes, UsedBytes int64
		Source                                       string
	}
	Beside []struct {
		Name  string
		Bytes int64
	}
	Container *struct{ TotalBytes, OOMKills int64 }
}

func (a *agent) memory(t testing.TB) memoryPage {
	t.Helper()
	status, text := fetch(t, http.MethodGet, a.url+"/debug/memory?format=json")
	var m memoryPage
	if err := json.Unmarshal([]byte(text), &m); status != http.StatusOK || err != nil {
		t.Fatalf("GET /debug/memory?format=json = %d, %v: %s", status, err, text)
	}
	return m
}

// String is the parts which are larger than nothing, in MiB.
func (m memoryPage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.2f MiB resident, %.2f in parts, %.2f (%.1f %%) not attributed:", float64(m.ResidentAnonBytes)/(1<<20),
		float64(m.SumBytes)/(1<<20), float64(m.NotAttributedBytes)/(1<<20), 100*float64(m.NotAttributedBytes)/float64(m.ResidentAnonBytes))
	for _, p := range m.Parts {
		if p.Bytes >= 1<<10 {
			fmt.Fprintf(&b, " %s %.2f,", p.Name, float64(p.Bytes)/(1<<20))
		}
	}
	return strings.TrimSuffix(b.String(), ",")
}

// growing answers with series of its own, whose number changes.
func growing(target int, series *atomic.Int64) answer {
	return func(n int, w http.ResponseWriter, _ *http.Request) {
		var body []byte
		body = append(body, "# TYPE container_network_receive_bytes_total counter\n"...)
		for i := range series.Load() {
			body = fmt.Appendf(body, "container_network_receive_bytes_total{namespace=\"team-%d\",pod=\"frontend-%d-%x\",interface=\"eth%d\"} %d\n",
				target, target, i/4, i%4, int64(n)+i)
		}
		write(w, body)
	}
}

// TestMemoryAddsUp compares what /debug/memory says with what the kernel says, from outside: idle, under a load, during a
// burst and after it, of a small agent and of a large one.
func TestMemoryAddsUp(t *testing.T) {
	t.Parallel()
	small, burst := int64(20), int64(2_000)
	if *long {
		small, burst = 500, 20_000
	}
	const targets = 50
	f := startFarm(t, 5)
	var series atomic.Int64
	series.Store(small)
	all := addTargets(f, targets, func(i int) answer { return growing(i, &series) })
	s := startSink(t, receiver.Options{CountOnly: true})
	none := startAgent(t, "-promscrape.config="+configFile(t, "scrape_configs: []\n"), "-remoteWrite.url="+s.url)
	if _, err := none.anonBytes(); err != nil {
		t.Skipf("resident memory cannot be measured here: %v", err)
	}
	checkSum(t, none, "idle")
	none.terminate(t)

	a := startAgent(t, "-promscrape.config="+scrapeConfig(t, f, time.Second, all...), "-remoteWrite.url="+s.url)
	scrapes := func(n int) {
		t.Helper()
		from := all[0].count()
		waitLonger(t, "scrapes", 3*time.Minute, func() bool { return all[0].count() >= from+n })
	}
	scrapes(4)
	checkSum(t, a, fmt.Sprintf("%d series", small*targets))
	series.Store(burst)
	scrapes(3)
	checkSum(t, a, fmt.Sprintf("a burst of %d series", burst*targets))
	series.Store(small)
	scrapes(3)
	checkSum(t, a, "after the burst")
	a.terminate(t)
}

// checkSum wants the parts to add up to within a tenth of the resident memory, and half a MiB for what comes and goes
// between two looks.
func checkSum(t *testing.T, a *agent, when string) {
	t.Helper()
	const slack = 512 << 10
	var m memoryPage
	var outside int64
	for range 3 { // a scrape may come in between
		m = a.memory(t)
		var err error
		if outside, err = a.anonBytes(); err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(m.SumBytes-outside)) <= float64(outside)/10+slack {
			t.Logf("figure: memory adds up, %s: %v", when, m)
			return
		}
	}
	t.Errorf("%s: /debug/memory adds up to %d bytes of %d, want all but a tenth: %v %s", when, m.SumBytes, outside, m, m.Error)
}

// memoryGroup makes a control group with a limit, and returns the file that takes a process into it. It lasts as long as
// the test.
func memoryGroup(t *testing.T, limitBytes int64) (procs string) {
	t.Helper()
	for _, v := range []struct{ root, file string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max"},
	} {
		dir := filepath.Join(v.root, fmt.Sprintf("scraper-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-")))
		if err := os.Mkdir(dir, 0o700); err != nil {
			continue
		}
		t.Cleanup(func() {
			waitFor(t, "the control group to be empty", func() bool { return os.Remove(dir) == nil })
		})
		if err := os.WriteFile(filepath.Join(dir, v.file), []byte(strconv.FormatInt(limitBytes, 10)), 0); err != nil {
			continue
		}
		return filepath.Join(dir, "cgroup.procs")
	}
	t.Skip("a memory control group cannot be made here: that takes root, and a file system of control groups which is not read-only")
	return ""
}

// startLimited starts the program in a control group, with variables of its own.
func startLimited(t *testing.T, procs, variables string, args ...string) *agent {
	t.Helper()
	script := `echo $$ >"$1" && shift && exec env ` + variables + ` "$@"`
	args = append([]string{"-c", script, "sh", procs, scraperPath(), "-httpListenAddr=127.0.0.1:0"}, args...)
	a := &agent{process: start(t, "/bin/sh", args...)}
	started := regexp.MustCompile(`msg=started.* listen=(\S+)`)
	waitFor(t, "the agent to start", func() bool {
		m := started.FindStringSubmatch(a.stderr.String())
		if m == nil {
			return false
		}
		a.url = "http://" + m[1]
		return true
	})
	return a
}

// TestBudgetOfContainer starts the agent in a real control group: its limit is the budget, unless a smaller one was asked
// for, and the runtime's limit is below it.
func TestBudgetOfContainer(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name, variables string
		args            []string
		budget          int64
		source, warning string
	}{
		{"alone", "", nil, 64 * mib, "the container's limit", ""},
		{"flag above", "", []string{"-memory.limit=256MiB"}, 64 * mib, "the container's limit", "by=-memory.limit asked_bytes=268435456 budget_bytes=67108864"},
		{"flag below", "", []string{"-memory.limit=48MiB"}, 48 * mib, "-memory.limit", ""},
		{"variable below", "GOMEMLIMIT=40MiB", nil, 40 * mib, "GOMEMLIMIT", ""},
		{"variable above", "GOMEMLIMIT=1GiB", nil, 64 * mib, "the container's limit", "by=GOMEMLIMIT asked_bytes=1073741824"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			procs := memoryGroup(t, 64*mib)
			s := startSink(t, receiver.Options{CountOnly: true})
			conf := configFile(t, "scrape_configs: []\n")
			a := startLimited(t, procs, c.variables, append([]string{"-promscrape.config=" + conf, "-remoteWrite.url=" + s.url}, c.args...)...)
			waitFor(t, "the soft limit", func() bool {
				m := a.metrics(t)
				soft := m["scraper_memlimit_soft_limit_bytes"]
				return soft > 0 && m["go_gc_gomemlimit_bytes"] == soft
			})
			m := a.memory(t)
			if m.Budget.Bytes != c.budget || m.Budget.Source != c.source || m.Level != "normal" {
				t.Errorf("budget %d from %q at level %s, want %d from %q, normal", m.Budget.Bytes, m.Budget.Source, m.Level, c.budget, c.source)
			}
			if m.Budget.SoftLimitBytes >= c.budget || m.Budget.SoftLimitBytes < c.budget/2 {
				t.Errorf("soft limit %d, want below the budget of %d", m.Budget.SoftLimitBytes, c.budget)
			}
			if m.Container == nil || m.Container.TotalBytes <= 0 || m.Container.TotalBytes > 64*mib || m.Container.OOMKills != 0 {
				t.Errorf("container %+v, want what it takes of 64 MiB", m.Container)
			}
			log := a.stderr.String()
			if n := strings.Count(log, `msg="memory budget"`); n != 1 {
				t.Errorf("the budget is logged %d times, want once", n)
			}
			if warned := strings.Contains(log, "more memory was asked for"); warned != (c.warning != "") || !strings.Contains(log, c.warning) {
				t.Errorf("log:\n%swant the warning %q", log, c.warning)
			}
			a.terminate(t)
		})
	}
}

// TestNoBudget starts the agent where nothing limits it: it does without, and says so.
func TestNoBudget(t *testing.T) {
	t.Parallel()
	procs := memoryGroup(t, math.MaxInt64)
	s := startSink(t, receiver.Options{CountOnly: true})
	a := startLimited(t, procs, "", "-promscrape.config="+configFile(t, "scrape_configs: []\n"), "-remoteWrite.url="+s.url)
	if m := a.memory(t); m.Budget.Bytes != 0 || m.Level != "normal" || !strings.Contains(a.stderr.String(), "memory is not limited") {
		t.Errorf("budget %+v at level %s, want none", m.Budget, m.Level)
	}
	a.terminate(t)
}

// TestQueueOnTmpfs keeps the queue where files are memory: the agent says so, and counts them.
func TestQueueOnTmpfs(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/dev/shm", "scraper-test-")
	if err != nil {
		t.Skipf("there is no directory in memory: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := startFarm(t, 1)
	x := f.add("x", counting(100))
	a := startAgent(t, "-promscrape.config="+scrapeConfig(t, f, time.Second, x), "-memory.limit=64MiB",
		"-remoteWrite.url=http://"+closedAddress+"/", "-remoteWrite.tmpDataPath="+dir)
	if !strings.Contains(a.stderr.String(), "the queue's directory is in memory") {
		t.Errorf("log:\n%swant a warning about the directory", a.stderr.String())
	}
	waitFor(t, "the queue to be counted", func() bool {
		for _, p := range a.memory(t).Beside {
			if p.Name == "queue on tmpfs" && p.Bytes > 0 {
				return true
			}
		}
		return false
	})
}

// TestMemoryGetsShort lets a load grow until memory gets short, and shrink again: owners give memory back, each change is
// counted and logged once, nothing is lost, and it is over when the load is.
func TestMemoryGetsShort(t *testing.T) {
	t.Parallel()
	const targets = 50
	f := startFarm(t, 5)
	var series atomic.Int64
	series.Store(1500)
	all := addTargets(f, targets, func(i int) answer { return growing(i, &series) })
	s := startSink(t, receiver.Options{CountOnly: true})
	a := startAgent(t, "-promscrape.config="+scrapeConfig(t, f, time.Second, all...), "-remoteWrite.url="+s.url, "-memory.limit=24MiB")
	level := func() float64 { return a.metrics(t)["scraper_memlimit_level"] }
	for level() == 0 {
		if series.Add(400) > 10_000 {
			t.Fatalf("memory is not short with %d series: %v", targets*series.Load(), a.memory(t))
		}
		from := all[0].count()
		waitFor(t, "a scrape", func() bool { return all[0].count() > from+1 })
	}
	short := series.Load()
	waitFor(t, "owners to release", func() bool {
		return a.metrics(t)[`scraper_memlimit_account_released_bytes_total{account="buffers"}`] > 0
	})
	series.Store(20)
	waitLonger(t, "memory to be normal again", 2*time.Minute, func() bool { return level() == 0 })
	m := a.metrics(t)
	raised := m[`scraper_memlimit_level_changes_total{level="elevated"}`] + m[`scraper_memlimit_level_changes_total{level="high"}`] + m[`scraper_memlimit_level_changes_total{level="critical"}`]
	log := a.stderr.String()
	logged := strings.Count(log, `msg="memory is short"`) + strings.Count(log, `msg="memory is less short"`)
	if changes := raised + m[`scraper_memlimit_level_changes_total{level="normal"}`]; changes < 2 || float64(logged) != changes {
		t.Errorf("%v changes of the level, of which %d are logged, want all", changes, logged)
	}
	if m[`scraper_scrape_scrapes_total{result="down"}`] > 0 {
		tooSlow(t, "scrapes failed: %s", tail(log))
	}
	if page := a.memory(t); page.Level != "normal" || page.Budget.Bytes != 24<<20 {
		t.Errorf("level %s with a budget of %d, want normal with 24 MiB", page.Level, page.Budget.Bytes)
	}
	t.Logf("figure: memory is short from %d series on with a budget of 24 MiB", targets*short)
	a.terminate(t)
}
