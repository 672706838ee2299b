package diskqueue

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// long runs the long forms: each offset, 1,000 kills, a backlog of 10 GB.
var long = flag.Bool("long", false, "run the long forms of the tests")

const childEnv = "DISKQUEUE_TEST_CHILD"

// killChild is the other process of TestKill: it appends and settles as fast as it can, and says what it has done, until it
// is killed. It reports whether this is that process.
func killChild() bool {
	dir := os.Getenv(childEnv)
	if dir == "" {
		return false
	}
	q, err := Open(Options{Dir: dir, Slots: killSlots, segmentBytes: 256 << 10, MaxDiskBytes: 0})
	if err != nil {
		fmt.Println("error", err)
		return true
	}
	if q.Found() != (Found{}) {
		fmt.Printf("error found %+v\n", q.Found())
		return true
	}
	next := uint64(0)
	_, _ = fmt.Scan(&next)
	rnd := rand.New(rand.NewPCG(next, 7))
	said := make([]byte, 0, 32)
	say := func(what byte, n uint64) {
		// One write, which is there whatever happens next.
		said = append(said[:0], what)
		said = binary.LittleEndian.AppendUint64(said, n)
		_, _ = os.Stdout.Write(said)
	}
	for {
		slot := rnd.IntN(killSlots)
		if rnd.IntN(100) < 52 {
			next++
			n := next<<8 | uint64(slot)
			say('a', n)
			if _, err := q.Append(block(slot, 1), payload(n, rnd.IntN(20<<10))); err != nil {
				fmt.Println("error", err)
				return true
			}
			say('A', n)
			continue
		}
		r, ok := q.Next(slot)
		if !ok {
			continue
		}
		b, err := q.Read(nil, r)
		n, good := numberOf(b)
		if err != nil || !good {
			fmt.Println("error", err, good)
			return true
		}
		say('s', n)
		if err := q.Ack(r); err != nil {
			fmt.Println("error", err)
			return true
		}
		say('S', n)
	}
}

const killSlots = 3

// TestKill kills a process which appends and settles under load, again and again: what it had appended is there, what it had
// settled is not, and the order of each slot is kept.
func TestKill(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kills := 50
	if *long {
		kills = 1000
	}
	if testing.Short() {
		kills = 10
	}
	dir := filepath.Join(t.TempDir(), "q")
	rnd := rand.New(rand.NewPCG(5, 6))
	pending := make([][]uint64, killSlots) // by slot, in their order
	next := uint64(0)
	appended, settled := 0, 0
	for i := range kills {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(in, next)
		r := bufio.NewReader(out)
		if _, err := r.Peek(9 * 4); err != nil { // it is under way
			rest, _ := io.ReadAll(r)
			t.Fatalf("kill %d: the child said %q: %v", i, rest, err)
		}
		killer := time.AfterFunc(time.Duration(rnd.IntN(40))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		log, _ := io.ReadAll(r)
		killer.Stop()
		_ = cmd.Wait()
		if at := strings.Index(string(log), "error"); at >= 0 {
			t.Fatalf("kill %d: the child said %q", i, log[at:])
		}
		var mayAppend, maySettle uint64 // what was under way
		for ; len(log) >= 9; log = log[9:] {
			n := binary.LittleEndian.Uint64(log[1:])
			slot := n & 0xff
			switch log[0] {
			case 'a':
				mayAppend, next = n, n>>8
			case 'A':
				mayAppend = 0
				pending[slot] = append(pending[slot], n)
				appended++
			case 's':
				maySettle = n
				if len(pending[slot]) == 0 || pending[slot][0] != n {
					t.Fatalf("kill %d: the child was given block %x of slot %d, want %x", i, n, slot, pending[slot][:min(1, len(pending[slot]))])
				}
			case 'S':
				maySettle = 0
				pending[slot] = pending[slot][1:]
				settled++
			default:
				t.Fatalf("kill %d: the child said %q", i, log[:9])
			}
		}
		q := mustOpen(t, Options{Dir: dir, Slots: killSlots, segmentBytes: 256 << 10})
		for slot := range killSlots {
			q.mu.Lock()
			var there []uint64
			for _, g := range q.segs {
				if g.slots[slot].blocks == 0 {
					continue
				}
				if err := q.loadLocked(g); err != nil {
					t.Fatal(err)
				}
				for j := range g.index {
					e := &g.index[j]
					if int(e.slot) != slot || !g.isPending(q, e) {
						continue
					}
					b, err := q.readLocked(e.record(g))
					n, good := numberOf(b)
					if err != nil || !good {
						t.Fatalf("kill %d: block %d cannot be read: %v", i, e.seq, err)
					}
					there = append(there, n)
				}
			}
			q.mu.Unlock()
			want := pending[slot]
			if maySettle != 0 && int(maySettle&0xff) == slot && (len(there) == 0 || there[0] != maySettle) {
				want = want[1:]
			}
			if mayAppend != 0 && int(mayAppend&0xff) == slot && len(there) > 0 && there[len(there)-1] == mayAppend {
				want = append(want, mayAppend)
			}
			if fmt.Sprint(there) != fmt.Sprint(want) {
				t.Fatalf("kill %d: slot %d has %x, want %x", i, slot, there, want)
			}
			pending[slot] = want
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d blocks appended, %d settled", appended, settled)
	if appended < 10*kills || settled < 5*kills {
		t.Errorf("%d blocks appended, %d settled: too few to show anything", appended, settled)
	}
}

// readLocked is Read for who has the lock.
func (q *Queue) readLocked(r Record) ([]byte, error) {
	q.mu.Unlock()
	defer q.mu.Lock()
	return q.Read(nil, r)
}
