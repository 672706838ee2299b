package proc

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 1 1 0 -1 4194560 1500 0 3 0 %s 0 0 20 0 9 0 495477 3133440 390 18446744073709551615"
	for name, tc := range map[string]struct {
		stat string
		want time.Duration
	}{
		"usual":                  {"7 (prometheus) S 1 1 1 0 -1 4194560 1500 0 3 0 150 25 0 0 20 0 9 0", 1750 * time.Millisecond},
		"a name with everything": {"7 (a) S) 1 2 (x) S 1 1 1 0 -1 4194560 1500 0 3 0 1 2 0 0 20 0 9 0", 30 * time.Millisecond},
	} {
		if got, err := parseStat([]byte(tc.stat)); err != nil || got != tc.want {
			t.Errorf("%s: parseStat(%q) = %v, %v, want %v", name, tc.stat, got, err, tc.want)
		}
	}
	for _, bad := range []string{"", "7 (x) S 1", "7 x S" + rest, "7 (x) S 1 1 1 0 -1 4194560 1500 0 3 0 a b 0 0 20"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q) = %v, want an error", bad, got)
		}
	}
}

// What is read of this process is what it did.
func TestOwnProcess(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<20)
	var sum int
	for round := byte(1); ; round++ {
		for i := range block {
			block[i] += round
			sum += int(block[i])
		}
		after, err := CPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after-before >= 50*time.Millisecond {
			break
		}
	}
	m, err := ReadMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if m.Anon < 64<<20 || m.RSS < m.Anon {
		t.Errorf("ReadMemory() = %+v with a block of 64 MiB (%d), want at least that", m, sum)
	}
	if busy, err := Busy(); err != nil || busy < 50*time.Millisecond {
		t.Errorf("Busy() = %v, %v, want at least what this process used", busy, err)
	}
}

func TestParseStatusOfAnEndedProcess(t *testing.T) {
	if m, err := parseStatus("Name:\tx\nState:\tZ (zombie)\n"); err == nil {
		t.Errorf("parseStatus of a zombie = %+v, want an error", m)
	}
}

// Both versions have the same numbers, under other names.
func TestCgroupVersions(t *testing.T) {
	for name, v := range map[string]version{"v1": v1, "v2": v2} {
		g := &Cgroup{version: v, dir: t.TempDir()}
		for file, text := range map[string]string{
			v.usage: "100000\n", "memory.stat": "anon 5\n" + v.inactive + " 30000\nactive_file 1\n", v.events: "low 0\noom_kill 2\n",
		} {
			if err := os.WriteFile(filepath.Join(g.dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := g.WorkingSet(); err != nil || n != 70000 {
			t.Errorf("%s: WorkingSet() = %d, %v, want 70000", name, n, err)
		}
		if n, err := g.Killed(); err != nil || n != 2 {
			t.Errorf("%s: Killed() = %d, %v, want 2", name, n, err)
		}
		if err := g.Limit(1 << 20); err != nil {
			t.Errorf("%s: Limit: %v", name, err)
		}
		if text, err := os.ReadFile(filepath.Join(g.dir, v.limit)); err != nil || string(text) != "1048576" {
			t.Errorf("%s: the limit is %q, %v, want 1048576", name, text, err)
		}
	}
}

func TestCgroup(t *testing.T) {
	g, err := NewCgroup("scraper-bench-test")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	})
	if err := g.Limit(64 << 20); err != nil {
		t.Error(err)
	}
	if n, err := g.WorkingSet(); err != nil || n != 0 {
		t.Errorf("WorkingSet() of an empty group = %d, %v, want 0", n, err)
	}
	if n, err := g.Killed(); err != nil || n != 0 {
		t.Errorf("Killed() = %d, %v, want 0", n, err)
	}
}
