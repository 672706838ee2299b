package web

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/memlimit"
	"scraper/scrape"
	"scraper/snapshots"
)

// everything is an answer in which nothing is left out.
func everything() Memory {
	at := time.Unix(1700000000, 0)
	m := Memory{
		Report: memlimit.Report{
			Accounts: []memlimit.Use{{Name: "labels", Bytes: 1}, {Name: "kernel", Bytes: 1, OffHeap: true}}, Budget: 1, MostUsed: 1, Recommended: 1,
		},
		Breakdown: memlimit.Breakdown{Parts: []memlimit.Part{{Name: "labels", Kind: memlimit.KindAccount, Bytes: 1}}},
		Unknown:   "why", Source: "a flag", History: []memlimit.Point{{At: at}}, Group: &memlimit.CgroupUsage{},
		Buffers: bufpool.Stats{Classes: []bufpool.ClassStats{{ClassBytes: 1}}}, Labels: labelcompress.Stats{OldestBlockHolder: "a test"},
		Largest: []scrape.TargetStatus{{URL: "http://t/"}},
		Shortage: scrape.MemoryState{
			HeldTargets: 1, Held: []scrape.HeldTarget{{Held: scrape.Held{Reason: scrape.SkipShed, Since: at, Skipped: 1}}}, Next: []scrape.HeldTarget{{}},
			Skipped: map[scrape.SkipReason]uint64{scrape.SkipShed: 1, scrape.SkipNew: 1, scrape.SkipWaiting: 1},
		},
		Snapshots: []snapshots.Report{{Holders: []snapshots.Held{{Holder: snapshots.Holder{Name: "x", Since: at}, Superseded: at}}}},
	}
	return m
}

// names adds the names of all fields in v.
func names(v any, to map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			to[name] = true
			names(x, to)
		}
	case []any:
		for _, x := range v {
			names(x, to)
		}
	}
}

// TestMemoryNames: programs rely on what docs/debug-memory.md says is in the JSON. Each field is told of there, and nothing
// which is told of is missing.
func TestMemoryNames(t *testing.T) {
	s := newServer(t, Options{Memory: everything})
	body := text(t, ask(t, s, "127.0.0.1:1", http.MethodGet, "/debug/memory?format=json", ""))
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/debug-memory.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## JSON")
	quoted := regexp.MustCompile("`([A-Za-z]+)`")
	values := []string{"account", "heap", "kernel"} // of kind; account is a field as well
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		_, field, _ := strings.Cut(line, "`")
		field, about, _ := strings.Cut(field, "`")
		v, ok := got[field]
		if !ok {
			t.Errorf("the page tells of %s, which is not in the answer", field)
			continue
		}
		delete(got, field)
		want := make(map[string]bool)
		names(v, want)
		if field == "beside" || field == "level" {
			want = nil // told of elsewhere, or no fields
		}
		told := make(map[string]bool)
		for _, m := range quoted.FindAllStringSubmatch(about, -1) {
			told[m[1]] = true
		}
		for name := range want {
			if !told[name] {
				t.Errorf("the page does not tell of %s.%s", field, name)
			}
		}
		for name := range told {
			if want != nil && !want[name] && !slices.Contains(values, name) {
				t.Errorf("the page tells of %s.%s, which is not in the answer", field, name)
			}
		}
	}
	if len(got) > 0 {
		t.Errorf("the page does not tell of %v", slices.Sorted(maps.Keys(got)))
	}
}

// TestMemoryListsAreNeverNull: where there is nothing, lists are empty.
func TestMemoryListsAreNeverNull(t *testing.T) {
	s := newServer(t, Options{Memory: func() Memory { return Memory{} }})
	body := text(t, ask(t, s, "127.0.0.1:1", http.MethodGet, "/debug/memory?format=json", ""))
	if n := strings.Count(body, "null"); n != 1 || !strings.Contains(body, `"container":null`) {
		t.Errorf("%d fields are null, want only that of the container, which is not known: %s", n, body)
	}
}
