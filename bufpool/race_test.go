//go:build race

package bufpool_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"scraper/bufpool"
)

// child is set where the test binary runs itself to see what the race detector says.
const child = "BUFPOOL_TEST_CHILD"

func TestLateReaderIsARace(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestChildReadsLate$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "DATA RACE") || !strings.Contains(string(out), "TestChildReadsLate") {
		t.Errorf("reading a view after Release: %v\n%s\nwant the race detector's report", err, out)
	}
}

func TestChildReadsLate(t *testing.T) {
	if os.Getenv(child) == "" {
		t.Skip("this is not the child")
	}
	p, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := p.Get(100)
	b.B = append(b.B, "view"...)
	view := b.B
	b.Release()
	t.Logf("read %d", view[0])
	p.Shrink() // joins the goroutine of Release
}
