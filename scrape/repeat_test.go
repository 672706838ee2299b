package scrape

import (
	"slices"
	"strings"
	"testing"

	"scraper/bufpool/bufpooltest"
	"scraper/streamparse"
)

// TestSkippedLinesTeachNothing: what is known of a line which was skipped is not taken for the next one.
func TestSkippedLinesTeachNothing(t *testing.T) {
	for _, skipped := range []string{"!!!} 9", "\t 9", "\t ", "!!!}", "  # }"} {
		r := newRig(t)
		r.parser = streamparse.New(streamparse.Options{Pool: bufpooltest.New(t), SkipBadLines: true})
		r.learn.skipBad = true
		for i, body := range []string{"z 1\n", "z 1\n" + skipped + "\nabcd 2\nm 2\n", "z 1\n" + skipped + "\nabcd 2\nm 2\n", skipped + "\nm 2\nabcd 2\nz 1\n"} {
			rows, c, err := r.scrape(body)
			want := strings.Count(body, " 1\n") + strings.Count(body, " 2\n")
			if err != nil || len(rows) != want || c.Duplicate != 0 || slices.ContainsFunc(rows, func(s string) bool { return strings.Contains(s, " 9 @") }) {
				t.Errorf("body %d with %q: rows %q, %+v, error %v", i, skipped, rows, c, err)
			}
		}
		r.parser.Close()
	}
}

// TestRepeatedLines: a body which repeats a few lines very often, in changing order, costs no more for each than another
// body would. Its texts are looked up in an index which holds each of them a few times at most.
func TestRepeatedLines(t *testing.T) {
	r := newRig(t)
	const n = 5_000
	a, b, d := "a 1\n", "b{l=\"x\"} 2\n", "dropped{a=\"drop\"} 3\n"
	for i, body := range []string{
		strings.Repeat(a, n) + strings.Repeat(b, n),
		b + strings.Repeat(a, n) + strings.Repeat(b, n),
		strings.Repeat(b+a+d, n),
		d + strings.Repeat(a+d+b, n),
		a,
		strings.Repeat(d, n) + b + a,
	} {
		rows, c, err := r.scrape(body)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(body, "\n")
		if c.Scraped != lines || c.Committed+c.Duplicate != lines || c.Duplicate < lines-3 || len(rows) != c.Committed+c.Markers {
			t.Errorf("body %d of %d lines: %d rows, %+v", i, lines, len(rows), c)
		}
		r.tab.begin()
		if got := int(r.tab.base) - r.tab.indexTexts().room; got > 3*(maxRepeats+1) {
			t.Errorf("body %d: the index of its texts has %d entries for 3 texts, want at most %d each and a primary one", i, got, maxRepeats)
		}
		r.tab.abort()
	}
}
