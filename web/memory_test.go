package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"scraper/memlimit"
	"scraper/scrape"
)

// TestMemoryAddsUp pins that the parts which are shown are the resident memory, and that the largest targets come first.
func TestMemoryAddsUp(t *testing.T) {
	report := memlimit.Report{
		Accounts: []memlimit.Use{{Name: "labels", Bytes: 3 << 20}, {Name: "buffers", Bytes: 1 << 20}}, Sum: 4 << 20,
		HeapObjects: 6 << 20, HeapUnused: 1 << 20, HeapFree: 2 << 20, Stacks: 1 << 19, Runtime: 3 << 20, ResidentAnon: 12 << 20,
	}
	snap := scrape.Snapshot{}
	for i := range 20 {
		snap.Targets = append(snap.Targets, scrape.TargetStatus{Job: "j", URL: "http://t/", MemoryBytes: int64(i), Series: i})
	}
	s := newServer(t, Options{Memory: func() Memory { return Memory{Report: report} }, Targets: func() scrape.Snapshot { return snap }})
	var got struct {
		ResidentAnonBytes int64
		Parts             []struct{ Bytes int64 }
		LargestTargets    []struct{ Bytes int64 }
	}
	const local = "127.0.0.1:1"
	body := text(t, ask(t, s, local, http.MethodGet, "/debug/memory?format=json", ""))
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("/debug/memory?format=json: %v: %s", err, body)
	}
	var sum int64
	for _, p := range got.Parts {
		sum += p.Bytes
	}
	if sum != report.ResidentAnon || got.ResidentAnonBytes != sum {
		t.Errorf("the parts add up to %d, want %d", sum, report.ResidentAnon)
	}
	if len(got.LargestTargets) != 10 || got.LargestTargets[0].Bytes != 19 {
		t.Errorf("largest targets %v, want ten, the largest first", got.LargestTargets)
	}
	page := text(t, ask(t, s, local, http.MethodGet, "/debug/memory", ""))
	if !strings.Contains(page, "labels") || !strings.Contains(page, "12 MiB") {
		t.Errorf("/debug/memory: %s", page)
	}
	if res := ask(t, s, "192.0.2.1:1", http.MethodGet, "/debug/memory", ""); res.StatusCode != http.StatusForbidden {
		t.Errorf("/debug/memory for a neighbour: %d, want 403", res.StatusCode)
	}
}
