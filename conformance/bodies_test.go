package conformance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// body is a text to be parsed.
type body struct {
	name string
	text []byte
}

// corpusDir holds bodies of many programs. It is not a part of the project, so tests do without it when it is not there.
const corpusDir = "../../shared/corpus"

// bodies returns every body in text format 0.0.4: those that the project captured, and the corpus when it is there.
func bodies(t testing.TB) []body {
	t.Helper()
	captured := readBodies(t, "testdata")
	if len(captured) == 0 {
		t.Fatal("testdata holds no body")
	}
	if _, err := os.Stat(corpusDir); err != nil {
		t.Logf("no corpus: %v", err)
		return captured
	}
	return append(captured, readBodies(t, corpusDir)...)
}

func readBodies(t testing.TB, dir string) []body {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var all []body
	for _, f := range files {
		if strings.HasSuffix(f, ".om.txt") {
			continue // OpenMetrics
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, body{filepath.Base(f), text})
	}
	return all
}

func sortLabels(l []Label) {
	slices.SortFunc(l, func(a, b Label) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Value, b.Value)
	})
}
