package body

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCaptured(t *testing.T) {
	dir := t.TempDir()
	const text = "# HELP a Help.\n# TYPE a counter\na{x=\"1\"} 10\na{x=\"}\"} 20 1700000000000\n\na{x=\"\\\"\"} 1\n# TYPE b gauge\nb 3e+09\nc NaN\nd 99.5\n# TYPE e gauge\ne 1\n"
	for name, text := range map[string]string{"one.txt": text, "kubelet-cadvisor.txt": text, "x.om.txt": text, "small.txt": "a 1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := ReadCaptured(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := c.Text("", 3, 5)
	if got == nil {
		t.Fatal("there is no body of five samples")
	}
	first := string(got.Next(time.Time{}))
	want := "# HELP a Help.\n# TYPE a counter\na{x=\"1\"} VALUE\na{x=\"}\"} 20\n# TYPE b gauge\nb 3e+09\nc NaN\nd VALUE\n"
	lines := strings.Split(first, "\n")
	for i, line := range strings.Split(want, "\n") {
		if prefix, _, ok := strings.Cut(line, "VALUE"); !strings.HasPrefix(lines[i], prefix) || !ok && lines[i] != line {
			t.Errorf("line %d is %q, want %q", i, lines[i], line)
		}
	}
	if second := string(got.Next(time.Time{})); second == first {
		t.Error("the values do not move")
	}
	if c.Text("", 0, 7) != nil || c.Text("none", 0, 1) != nil || (*Captured)(nil).Text("", 0, 1) != nil {
		t.Error("there is a body where none has so many samples")
	}
	if _, err := ReadCaptured(t.TempDir()); err == nil {
		t.Error("ReadCaptured of an empty directory gave no error")
	}
}
