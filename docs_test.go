package scraper_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDialectRowsHaveTests pins that every test which docs/dialects.md names exists, and that every contradiction names one.
func TestDialectRowsHaveTests(t *testing.T) {
	text, err := os.ReadFile("docs/dialects.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Where they contradict each other")
	table, _, _ = strings.Cut(table, "\n## ")
	named := regexp.MustCompile("`(?:([a-z/0-9]+)\\.)?(Test[A-Za-z0-9]+)`")
	rows := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what |") {
			continue
		}
		rows++
		tests := named.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test is named for: %s", line)
		}
		dir := ""
		for _, m := range tests {
			if m[1] != "" {
				dir = m[1]
			}
			if !hasTest(t, dir, m[2]) {
				t.Errorf("there is no %s in %s, which the row names: %s", m[2], dir, line)
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d rows were found, want the whole table", rows)
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
