package remotewrite

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"scraper/bufpool"
	"scraper/receiver"
)

// long runs the long forms: 1,000 kills.
var long = flag.Bool("long", false, "run the long forms of the tests")

const (
	killEnv    = "REMOTEWRITE_TEST_CHILD" // "directory URL first-timestamp"
	killFlush  = 100 * time.Millisecond
	killSeries = 5
	killSlots  = 4
)

// killLine is what the child says after a round of commits.
type killLine struct {
	ts   int64            // of the samples
	at   int64            // when they were committed, in Unix nanoseconds
	kept [killSlots]int64 // by slot: samples up to this timestamp outlive the process
}

func parseKillLine(line []byte) (l killLine, ok bool) {
	n, _ := fmt.Sscanf(string(line), "C %d %d %d %d %d %d\n", &l.ts, &l.at, &l.kept[0], &l.kept[1], &l.kept[2], &l.kept[3])
	return l, n == 6
}

// TestKilledChild is the other process of TestKill: it commits, and says what it has committed and when, and what of it is
// not in memory alone any more.
func TestKilledChild(t *testing.T) {
	var dir, url string
	var ts int64
	if n, _ := fmt.Sscan(os.Getenv(killEnv), &dir, &url, &ts); n != 3 {
		t.Skip("runs as a part of TestKill")
	}
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Options{Protocol: Protocol1, Pool: pool, QueueDir: dir, FlushInterval: killFlush, MaxRowsPerBlock: 200, Destinations: []Destination{
		{URL: url, RetryMin: 20 * time.Millisecond, RetryMax: 100 * time.Millisecond},
	}})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.Run(context.Background()) }()
	tg := newTarget(t, pool)
	for {
		ts++
		line := fmt.Sprintf("C %d %d", ts, time.Now().UnixNano())
		for slot := range uint64(killSlots) {
			tg.commit(t, w, slot, killSeries, ts)
			line += fmt.Sprint(" ", ts-int64(killHeld(w, int(slot))+killSeries-1)/killSeries)
		}
		fmt.Println(line) // one write, which is there whatever happens next
		time.Sleep(2 * time.Millisecond)
	}
}

// killHeld is how many samples of a slot would be lost if the process were killed now: those which are in memory alone.
func killHeld(w *Writer, slot int) (rows int) {
	d := w.dests[0]
	l := d.group.lanes[slot]
	l.mu.Lock()
	defer l.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	rows = l.open.rows
	for i := range d.mem.slots[slot].n {
		rows += d.mem.slots[slot].at(i).blk.rows
	}
	return rows
}

// TestKill kills a process under load at random moments, also while the receiver is away: what it had on disk arrives, in
// order, and only what was on its way arrives twice. What it had not on disk it had committed during the last second, ten
// flush intervals. Both is judged by the child's own account, so that it does not matter how busy the machine is.
func TestKill(t *testing.T) {
	kills := 12
	switch {
	case *long:
		kills = 1000
	case testing.Short():
		kills = 4
	}
	var away atomic.Bool
	rc := newReceiver(t, receiver.Options{MaxSamplesPerSeries: 1 << 20, Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
		if away.Load() {
			w.WriteHeader(503)
			return true
		}
		return false
	}})
	srv, err := rc.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- srv.Run(ctx) }()
	defer func() {
		cancel()
		<-served
	}()
	dir := memoryDir(t)
	rnd := rand.New(rand.NewPCG(8, 9))
	var must [killSlots][]killLine // what may not be missing
	committed, last, aged := 0, int64(0), 0
	for i := range kills {
		away.Store(i%3 == 1)
		life := time.Duration(50+rnd.IntN(350)) * time.Millisecond
		if i%8 == 1 {
			life += 1100 * time.Millisecond
		}
		lines := killedLife(t, dir, srv.WriteURL(), last, life)
		committed += len(lines)
		var kept [killSlots]int64
		for _, l := range lines {
			last = l.ts
			for slot := range kept {
				kept[slot] = max(kept[slot], l.kept[slot])
			}
		}
		for slot := range kept {
			for _, l := range lines {
				old := l.at < lines[len(lines)-1].at-int64(time.Second)
				aged += btoi(old)
				if l.ts <= kept[slot] || old {
					must[slot] = append(must[slot], l)
				}
			}
		}
		last++ // one may have been committed and not told
	}
	away.Store(false)
	r := newRigWithoutNet(t, dir, srv.WriteURL())
	stop := r.runPlainly()
	deadline := time.Now().Add(30 * time.Second)
	for r.Status()[0].QueueState != "on disk" || r.Books()[0].Pending > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("the backlog is not sent: %+v", r.Status()[0])
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	rep := rc.Verify()
	if rep.OutOfOrder != 0 || rep.Conflicts != 0 || rep.InvalidSeries != 0 || rep.Refused != 0 {
		t.Errorf("the receiver says %+v", rep)
	}
	if limit := uint64(kills * killSlots * 200); rep.Duplicates > limit {
		t.Errorf("%d samples arrived twice, want at most %d: the blocks which were on their way", rep.Duplicates, limit)
	}
	missing, safe := 0, 0
	for slot := range killSlots {
		safe += len(must[slot])
		for i := range killSeries {
			series := rc.Series(map[string]string{"i": strconv.Itoa(i), "slot": strconv.Itoa(slot)})
			if len(series) != 1 {
				t.Fatalf("%d series arrived, want one", len(series))
			}
			there := make(map[int64]bool)
			for _, s := range series[0].Samples {
				there[s.TimestampMillis] = true
			}
			for _, l := range must[slot] {
				if !there[l.ts] {
					missing++
				}
			}
		}
	}
	if missing > 0 {
		t.Errorf("%d samples are missing which were on disk, or committed long before, of %d", missing, killSeries*safe)
	}
	if safe < killSlots*kills || aged == 0 {
		t.Errorf("%d commits were safe, %d of them old: too few to show anything", safe, aged)
	}
	t.Logf("figure: %d kills, %d commits, %d of them safe, %d samples arrived twice", kills, killSlots*committed, safe, rep.Duplicates)
}

// memoryDir is a directory in memory, where there is one: a disk which others keep busy may stall a write for as long as it
// likes, and what waits for it is lost by right.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "scraper-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// killedLife starts the child, kills it after a while, counted from its first commit, and returns what it said.
func killedLife(t *testing.T, dir, url string, last int64, life time.Duration) (lines []killLine) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestKilledChild$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", killEnv, dir, url, last))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if _, err := r.Peek(1); err != nil {
		t.Fatalf("the child said nothing: %v\n%s", err, stderr.String())
	}
	var killed atomic.Bool
	time.AfterFunc(life, func() {
		killed.Store(true)
		_ = cmd.Process.Kill()
	})
	log, _ := io.ReadAll(r)
	_ = cmd.Wait()
	if !killed.Load() {
		t.Fatalf("the child ended by itself: %s\n%s", log, stderr.String())
	}
	for line := range bytes.Lines(log) {
		if l, ok := parseKillLine(line); ok {
			lines = append(lines, l)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("the child said %q\n%s", log, stderr.String())
	}
	return lines
}

// newRigWithoutNet makes a Writer which sends over the machine's network.
func newRigWithoutNet(t *testing.T, dir, url string) *rig {
	return newRig(t, func(o *Options) { o.QueueDir, o.DialContext = dir, nil }, Destination{URL: url})
}

// runPlainly starts Run outside of a bubble.
func (r *rig) runPlainly() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run() = %v", err)
		}
		r.balanced()
	}
}
