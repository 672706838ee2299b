package scrape

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTimedSeriesWhichComesBack pins that a series with timestamps of its own which is missing from a few bodies is not
// sent again with a sample that was sent before, or with an older one.
func TestTimedSeriesWhichComesBack(t *testing.T) {
	const a = `__name__="a" instance="host:1" job="j" `
	scrape := func(r *rig, body string, want ...string) {
		t.Helper()
		rows, _, err := r.scrape(body)
		if err != nil {
			t.Fatal(err)
		}
		rows = slices.DeleteFunc(rows, func(s string) bool { return !strings.HasPrefix(s, a) })
		if !slices.Equal(rows, want) {
			t.Errorf("scrape of %q sent %q, want %q", body, rows, want)
		}
	}
	for _, missed := range []int{1, keepDeparted} {
		t.Run(fmt.Sprint("missed=", missed), func(t *testing.T) {
			r := newRig(t)
			scrape(r, "a 1 5000\nb 1\n", a+"1 @5000")
			for range missed {
				scrape(r, "b 1\n")
			}
			scrape(r, "a 1 5000\nb 1\n")
			scrape(r, "b 1\n")
			scrape(r, "a 2 4000\nb 1\n")
			scrape(r, "a 3 6000\nb 1\n", a+"3 @6000")
			scrape(r, "b 1\n")
			scrape(r, `{"a"} 3 6000`+"\nb 1\n") // in other words
			scrape(r, "b 1\n")
			r.limit = 1
			if _, _, err := r.scrape("a 3 6000\nb 1\n"); err == nil {
				t.Error("the scrape went beyond its limit, and did not fail")
			}
			r.limit = noLimit
			scrape(r, "a 3 6000\nb 1\n")
			scrape(r, fmt.Sprintf("a 4 %d\nb 1\n", r.clock+60_000), fmt.Sprintf(a+"4 @%d", r.clock+60_000))
			scrape(r, "b 1\n")
			scrape(r, "a 5\nb 1\n") // at the time of the scrape, which is before its last sample
			r.clock += 120_000
			scrape(r, "a 6\nb 1\n", fmt.Sprintf(a+"6 @%d", r.clock+1000))
		})
	}
	t.Run("after long", func(t *testing.T) {
		r := newRig(t)
		scrape(r, "a 1 5000\nb 1\n", a+"1 @5000")
		for range keepDeparted + 2 {
			scrape(r, "b 1\n")
		}
		if n := r.tab.departed.bytes(); n != 0 {
			t.Errorf("departures take %d bytes after all expired", n)
		}
		scrape(r, "a 1 5000\nb 1\n", a+"1 @5000")
	})
}

// TestDeparturesAreBounded pins that what is remembered of series which left stays a small part of the table, and is counted.
func TestDeparturesAreBounded(t *testing.T) {
	r := newRig(t)
	body := func(from, n int) string {
		var b strings.Builder
		for i := from; i < from+n; i++ {
			fmt.Fprintf(&b, "m{l=\"v%d\"} 1 5000\n", i)
		}
		return b.String()
	}
	for i := range 10 {
		if _, _, err := r.scrape(body(i*4000, 4000)); err != nil {
			t.Fatal(err)
		}
		if n := len(r.tab.departed.lasts); n > 4000/departedShare || i > 0 && n == 0 {
			t.Errorf("%d departures are remembered, want some, and at most an eighth of the series", n)
		}
	}
	before := r.tab.bytes()
	r.tab.forget()
	if n := len(r.tab.departed.lasts); n != 0 || before < 4000/departedShare*departureBytes {
		t.Errorf("%d departures are remembered after forget; the table's bytes were %d before", n, before)
	}
}

// TestOutOfBoundsAfterAnotherSample pins that a sample too far in the future, which is dropped, does not make the table forget
// when the series' sample before it in the same body was sent.
func TestOutOfBoundsAfterAnotherSample(t *testing.T) {
	for _, first := range []string{"", "a 1\n", "a 1 5000\n"} {
		r := newRig(t)
		if _, _, err := r.scrape(first + "b 1\n"); err != nil {
			t.Fatal(err)
		}
		rows, c, err := r.scrape(fmt.Sprintf("a 2\na 3 %d\nb 1\n", r.clock+10*maxAhead.Milliseconds()))
		if err != nil || len(rows) != 2 || c.OutOfBounds != 1 {
			t.Errorf("after %q: %q, %+v, error %v", first, rows, c, err)
		}
		rows, c, err = r.scrape(fmt.Sprintf("a 4 %d\nb 1\n", r.clock-500))
		if err != nil || len(rows) != 1 || c.OutOfOrder != 1 {
			t.Errorf("after %q: a sample older than the last one: %q, %+v, error %v", first, rows, c, err)
		}
	}
}
