package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen. Only failures wait for it.
const patience = 30 * time.Second

// output collects what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// process is a program which runs until the test ends, or it is stopped.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdout output
	stderr output
	done   chan struct{} // closed when it has ended
}

// start starts a program in a directory of its own. It is killed at the end of the test, with all that it started; if the
// test failed, what it wrote is shown.
func start(t testing.TB, path string, args ...string) *process {
	t.Helper()
	p := &process{name: filepath.Base(path), cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %q wrote:\n%s%s", p.name, args, tail(p.stdout.String()), tail(p.stderr.String()))
		}
	})
	return p
}

// tail is the end of a long text.
func tail(s string) string {
	const most = 8 << 10
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the process and its children at once.
func (p *process) kill() {
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // it may be gone
	<-p.done
}

func (p *process) signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("send %v to %s: %v", sig, p.name, err)
	}
}

// wait waits for the process to end, and returns its exit code.
func (p *process) wait(t testing.TB, atMost time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(atMost):
		t.Fatalf("%s still runs after %v", p.name, atMost)
		return -1
	}
}

// terminate asks the process to stop, and wants it to do so well within 5 s.
func (p *process) terminate(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t, 5*time.Second); code != 0 {
		t.Errorf("exit code of %s after SIGTERM = %d, want 0", p.name, code)
	}
}

// agent is a running scraper.
type agent struct {
	*process
	url string // of its pages
}

// startAgent starts the program on a free port, and waits until it says that it has started.
func startAgent(t testing.TB, args ...string) *agent {
	t.Helper()
	if !slices.ContainsFunc(args, func(a string) bool {
		return strings.Contains(a, "listen-address") || strings.Contains(a, "httpListenAddr")
	}) {
		args = append([]string{"-httpListenAddr=127.0.0.1:0"}, args...)
	}
	a := &agent{process: start(t, scraperPath(), args...)}
	started := regexp.MustCompile(`msg"?[=:]"?started.* listen=(\S+)`)
	waitFor(t, "the agent to start", func() bool {
		m := started.FindStringSubmatch(a.stderr.String())
		if m == nil {
			select {
			case <-a.done:
				t.Fatalf("the agent ended with code %d instead of starting", a.cmd.ProcessState.ExitCode())
			default:
			}
			return false
		}
		a.url = "http://" + m[1]
		return true
	})
	return a
}

// run runs the program to its end.
func run(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := start(t, scraperPath(), args...)
	code = p.wait(t, patience)
	return code, p.stdout.String(), p.stderr.String()
}

// reload asks the agent to read its configuration again, and returns the answer.
func (a *agent) reload(t testing.TB) (status int, text string) {
	t.Helper()
	return fetch(t, http.MethodPost, a.url+"/-/reload")
}

// mustReload is reload of a configuration which is good.
func (a *agent) mustReload(t testing.TB) {
	t.Helper()
	if status, text := a.reload(t); status != http.StatusOK {
		t.Fatalf("POST /-/reload = %d %q, want 200", status, text)
	}
}

// metrics returns the agent's own metrics by their series as /metrics writes them. The books balance at any time.
func (a *agent) metrics(t testing.TB) map[string]float64 {
	t.Helper()
	status, text := fetch(t, http.MethodGet, a.url+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("GET /metrics = %d, want 200", status)
	}
	return books(t, text)
}

// books returns the series of a page of metrics, and wants the books on it to balance.
func books(t testing.TB, text string) map[string]float64 {
	t.Helper()
	m := make(map[string]float64)
	for _, s := range parseText(t, text) {
		m[s.text] = s.value
		if strings.HasPrefix(s.text, "scraper_books_unbalanced_samples") && s.value != 0 {
			t.Errorf("%s %v, want 0", s.text, s.value)
		}
	}
	return m
}

// terminate is the process', after a last look at the books, where everybody may look at them.
func (a *agent) terminate(t testing.TB) {
	t.Helper()
	if status, text, err := try(http.MethodGet, a.url+"/metrics"); err == nil && status == http.StatusOK {
		books(t, text)
	}
	a.process.terminate(t)
}

// descriptors returns how many files and sockets the process has open.
func (p *process) descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// anonBytes returns the process' resident anonymous memory.
func (p *process) anonBytes() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no RssAnon in the process' status")
}

// client is for requests of the tests. It keeps no connections, so that nothing is left when a test ends.
func client() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
}

// try makes a request, and returns the answer's status and body.
func try(method, url string) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(context.Background(), method, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client().Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.String(), err
}

func fetch(t testing.TB, method, url string) (status int, text string) {
	t.Helper()
	status, text, err := try(method, url)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return status, text
}

// tooSlow reports what a test found that a machine without time to spare does too: scrapes which time out. There the test
// is skipped; elsewhere it is a failure.
func tooSlow(t testing.TB, format string, args ...any) {
	t.Helper()
	if isBusy() {
		t.Skipf("the machine is too busy to tell: "+format, args...)
	}
	t.Errorf(format, args...)
}

// isBusy says that the machine's load was more than two per processor during the last minute.
func isBusy() bool {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	return err == nil && load > 2*float64(runtime.NumCPU())
}

// waitFor waits until cond holds.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	waitLonger(t, what, patience, cond)
}

func waitLonger(t testing.TB, what string, atMost time.Duration, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(atMost); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", atMost, what)
		}
	}
}

// closedAddress is one that nobody listens on: the port is reserved for what nobody runs any more.
const closedAddress = "127.0.0.1:1"

// freeAddress is an address on loopback which nobody listens on now.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// writeFile writes a file whole, as those who replace files that others watch do, and returns its path.
func writeFile(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// configFile writes a configuration into a directory of its own.
func configFile(t testing.TB, text string) string {
	t.Helper()
	return writeFile(t, filepath.Join(t.TempDir(), "config.yml"), text)
}
