package scrape

import (
	"strconv"
	"strings"
	"testing"

	"scraper/relabel"
)

// TestRepetitionsTakeNoMemory: a body may repeat a line of four bytes without an end, whether relabeling keeps it or not.
func TestRepetitionsTakeNoMemory(t *testing.T) {
	t.Parallel()
	const n = manyOthers + 5000
	a, alias, d, bad := "a 1\n", "a{} 1\n", "dropped{a=\"drop\"} 3\n", "}\n"
	for name, unit := range map[string]string{"one": a, "two texts": a + alias, "dropped": d, "all": a + d + alias} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.rules(t, relabel.Config{Action: "drop", SourceLabels: []string{"a"}, Regex: new("drop")})
			body := strings.Repeat(unit, n/strings.Count(unit, "\n"))
			lines := strings.Count(body, "\n")
			for i, text := range []string{body + bad, body, body, d + body + bad, d + body, "b 1\n" + body, body} {
				rows, c, err := r.scrape(text)
				if failed := strings.HasSuffix(text, bad); (err != nil) != failed {
					t.Fatalf("body %d: error %v", i, err)
				} else if !failed && (c.Scraped < lines || c.Committed+c.Duplicate+c.Relabeled != c.Scraped || len(rows) != c.Committed+c.Markers || c.Committed > 2) {
					t.Errorf("body %d of %d lines: %d rows, %+v", i, lines, len(rows), c)
				}
				if got := r.tab.entries.Len(); got > manyOthers+8 {
					t.Errorf("body %d: %d entries for at most 4 texts, want at most %d", i, got, manyOthers+8)
				}
				if got := r.tab.sets.Bytes(); got > 4<<10 {
					t.Errorf("body %d: the label sets of 2 series take %d bytes", i, got)
				}
			}
		})
	}
}

// TestManyAliases: different texts of few series are all learnt, however many there are.
func TestManyAliases(t *testing.T) {
	r := newRig(t)
	r.rules(t, relabel.Config{Action: "labeldrop", Regex: new("gone")})
	var body strings.Builder
	const n = 3 * manyOthers / 2
	for i := range n {
		body.WriteString("a{gone=\"" + strconv.Itoa(i) + "\"} 1\n")
	}
	for i := range 3 {
		_, c, err := r.scrape(body.String())
		if err != nil || c.Committed != 1 || c.Duplicate != n-1 || r.tab.entries.Len() != n {
			t.Errorf("scrape %d: %d entries, %+v, error %v, want %d texts of one series", i, r.tab.entries.Len(), c, err, n)
		}
	}
}
