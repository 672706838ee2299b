package leaktest

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// The tests run their own binary again as a package which leaks, or does not.
const child = "LEAKTEST_CHILD"

func TestMain(m *testing.M) { Main(m) }

func TestMainFailsOnLeak(t *testing.T) {
	if os.Getenv(child) != "" {
		t.Skip("this is the child")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := func(test string, wantFail bool, want ...string) {
		cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+test+"$")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if (err != nil) != wantFail {
			t.Errorf("a package with %s failed: %v, want %t\n%s", test, err, wantFail, out)
		}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("a package with %s printed %s\nwant %q in it", test, out, w)
			}
		}
	}
	var children sync.WaitGroup // each takes as long as Main is patient
	defer children.Wait()
	children.Go(func() {
		f("TestChildLeaks", true, "goroutines left after all tests", "3 × [", "leaktest.sleeper")
	})
	children.Go(func() { f("TestChildEndsLate", false) })
	children.Go(func() {
		f("TestChildIsChecked", true, "goroutines left after the test", "2 × [", "leaktest.sleeper", "--- FAIL: TestChildIsChecked")
	})
}

//go:noinline
func sleeper(d time.Duration) { time.Sleep(d) }

func TestChildLeaks(t *testing.T) {
	if os.Getenv(child) == "" {
		t.Skip("this is not the child")
	}
	for range 3 {
		go sleeper(time.Hour)
	}
}

func TestChildEndsLate(t *testing.T) {
	go sleeper(50 * time.Millisecond)
}

func TestChildIsChecked(t *testing.T) {
	if os.Getenv(child) == "" {
		t.Skip("this is not the child")
	}
	Check(t)
	for range 2 {
		go sleeper(time.Hour)
	}
}

func TestCheckPasses(t *testing.T) {
	Check(t)
	done := make(chan struct{})
	go func() { <-done }()
	t.Cleanup(func() { close(done) })
}

func TestNamesAreNotResolved(t *testing.T) {
	if addrs, err := net.DefaultResolver.LookupHost(t.Context(), "example.com"); err == nil {
		t.Errorf("LookupHost(example.com) = %v, want an error", addrs)
	}
	if _, err := net.DefaultResolver.LookupHost(t.Context(), "localhost"); err != nil {
		t.Errorf("LookupHost(localhost) = %v, want nil", err)
	}
}
