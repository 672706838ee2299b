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
)

// TestKilledChild is the other process of TestKill: it commits, and says what it has committed and when.
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
		for slot := range uint64(4) {
			tg.commit(t, w, slot, killSeries, ts)
		}
		fmt.Printf("C %d %d\n", ts, time.Now().UnixNano())
		time.Sleep(2 * time.Millisecond)
	}
}

// TestKill kills a process under load at random moments, also while the receiver is away: what was committed longer than a
// flush interval before arrives, in order, and only what was on its way arrives twice.
func TestKill(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
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
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(8, 9))
	must := make(map[int64]bool) // timestamps which may not be missing
	committed, last := 0, int64(0)
	for i := range kills {
		away.Store(i%3 == 1)
		cmd := exec.Command(self, "-test.run=^TestKilledChild$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", killEnv, dir, srv.WriteURL(), last))
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
			t.Fatalf("kill %d: the child said nothing: %v\n%s", i, err, stderr.String())
		}
		var killed atomic.Int64
		time.AfterFunc(time.Duration(50+rnd.IntN(350))*time.Millisecond, func() {
			killed.Store(time.Now().UnixNano())
			_ = cmd.Process.Kill()
		})
		log, _ := io.ReadAll(r)
		_ = cmd.Wait()
		if killed.Load() == 0 {
			t.Fatalf("kill %d: the child ended by itself: %s\n%s", i, log, stderr.String())
		}
		// The timer of a flush, and who stores the block, may be late on a machine which is busy: as late as commits are.
		var ats []int64
		late := int64(100 * time.Millisecond)
		for line := range bytes.Lines(log) {
			var ts, at int64
			if n, _ := fmt.Sscanf(string(line), "C %d %d\n", &ts, &at); n == 2 {
				if len(ats) > 0 {
					late = max(late, 3*(at-ats[len(ats)-1]))
				}
				ats = append(ats, at)
			}
		}
		if len(ats) > 0 {
			late = max(late, 3*(killed.Load()-ats[len(ats)-1]))
		}
		safe := killed.Load() - int64(killFlush) - late
		for line := range bytes.Lines(log) {
			var ts, at int64
			if n, _ := fmt.Sscanf(string(line), "C %d %d\n", &ts, &at); n != 2 {
				continue
			}
			last = ts
			committed++
			if at < safe {
				must[ts] = true
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
	if limit := uint64(kills * 4 * 200); rep.Duplicates > limit {
		t.Errorf("%d samples arrived twice, want at most %d: the blocks which were on their way", rep.Duplicates, limit)
	}
	missing := 0
	for slot := range 4 {
		for i := range killSeries {
			series := rc.Series(map[string]string{"i": strconv.Itoa(i), "slot": strconv.Itoa(slot)})
			if len(series) != 1 {
				t.Fatalf("%d series arrived, want one", len(series))
			}
			there := make(map[int64]bool)
			for _, s := range series[0].Samples {
				there[s.TimestampMillis] = true
			}
			for ts := range must {
				if !there[ts] {
					missing++
				}
			}
		}
	}
	if missing > 0 {
		t.Errorf("%d samples are missing which were committed in time, of %d", missing, 4*killSeries*len(must))
	}
	t.Logf("%d commits, %d of them safe, %d samples arrived twice", committed, len(must), rep.Duplicates)
	if len(must) < 3*kills {
		t.Skipf("%d commits were safe: too few to show anything on a machine which is that busy", len(must))
	}
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
