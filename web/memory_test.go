package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"scraper/memlimit"
	"scraper/scrape"
)

// TestMemoryAddsUp pins that all parts are shown with what is not attributed, and that the largest targets come first.
func TestMemoryAddsUp(t *testing.T) {
	const mib = 1 << 20
	m := Memory{
		Report: memlimit.Report{
			Accounts: []memlimit.Use{{Name: "labels", Bytes: 3 * mib, Released: 5 * mib}, {Name: "kernel", Bytes: mib, OffHeap: true}},
			Sum:      3 * mib, OffHeap: mib, ResidentAnon: 12 * mib, Budget: 64 * mib, Limit: 56 * mib, SoftLimit: 55 * mib, Used: 42 * mib,
			MostUsed: 43 * mib, Recommended: 88 * mib,
			Level: memlimit.High, Changes: [4]uint64{0, 1, 1, 0}, Returns: 3,
		},
		Breakdown: memlimit.Breakdown{
			Parts: []memlimit.Part{
				{Name: "labels", Kind: memlimit.KindAccount, Bytes: 3 * mib, Size: 3 * mib},
				{Name: "stacks", Kind: memlimit.KindHeap, Bytes: mib, Size: 2 * mib},
				{Name: "runtime", Kind: memlimit.KindKernel, Bytes: 7 * mib, Size: 9 * mib},
			},
			Sum: 11 * mib, NotAttributed: mib, ResidentAnon: 12 * mib,
		},
		Source: "the container's limit", Group: &memlimit.CgroupUsage{Total: 20 * mib, Kills: 2},
	}
	at := time.Unix(1700000000, 0)
	for i := range 100 {
		m.History = append(m.History, memlimit.Point{At: at.Add(time.Duration(i) * 10 * time.Second), Used: int64(i) * mib / 2, Resident: 12 * mib, Limit: 56 * mib, Level: memlimit.Level(i / 40)})
	}
	snap := scrape.Snapshot{}
	for i := range 20 {
		snap.Targets = append(snap.Targets, scrape.TargetStatus{Job: "j", URL: "http://t/", MemoryBytes: int64(i), Series: i})
	}
	snap.Targets[3].LabelBytes, snap.Targets[4].BatchBytes = 5000, 3000
	s := newServer(t, Options{Memory: func() Memory { return m }, Targets: func() scrape.Snapshot { return snap }})
	var got struct {
		ResidentAnonBytes, SumBytes, NotAttributedBytes int64
		Parts                                           []struct{ Bytes, ReleasedBytes int64 }
		LargestTargets                                  []struct{ Bytes, LabelBytes, BatchBytes int64 }
		Level                                           string
		LevelChanges                                    map[string]int
		Budget                                          struct {
			Bytes, LimitBytes, SoftLimitBytes, UsedBytes, RecommendedBytes int64
			Source                                                         string
		}
		Beside    []struct{ Name string }
		Container struct{ TotalBytes, OOMKills int64 }
		History   []struct {
			Time  time.Time
			Level string
		}
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
	if sum != 11*mib || got.SumBytes != sum || got.NotAttributedBytes != mib || got.ResidentAnonBytes != 12*mib || got.Parts[0].ReleasedBytes != 5*mib {
		t.Errorf("the parts add up to %d, and the answer is %+v", sum, got)
	}
	if got.Level != "high" || got.LevelChanges["elevated"] != 1 || got.Budget.Bytes != 64*mib || got.Budget.Source != m.Source || got.Budget.RecommendedBytes != 88*mib ||
		len(got.Beside) != 1 || got.Container.OOMKills != 2 || len(got.History) != 100 || got.History[99].Level != "high" {
		t.Errorf("level, budget, what is beside the process, history: %+v", got)
	}
	if len(got.LargestTargets) != 10 || got.LargestTargets[0].LabelBytes != 5000 || got.LargestTargets[1].BatchBytes != 3000 || got.LargestTargets[2].Bytes != 19 {
		t.Errorf("largest targets %v, want ten, the largest first", got.LargestTargets)
	}
	page := text(t, ask(t, s, local, http.MethodGet, "/debug/memory", ""))
	for _, want := range []string{"labels", "12 MiB", "1 MiB of 12 MiB are not attributed", ">high<", "75 %", "the container&#39;s limit; 8 MiB of it in reserve",
		`class="elevated" x="290"`, `class="high" x="581" y="0" width="139"`, "<polyline", "2 processes were killed", "a limit of <b>88 MiB</b> at least", "At most 43 MiB were used"} {
		if !strings.Contains(page, want) {
			t.Errorf("/debug/memory lacks %q: %s", want, page)
		}
	}
	if res := ask(t, s, "192.0.2.1:1", http.MethodGet, "/debug/memory", ""); res.StatusCode != http.StatusForbidden {
		t.Errorf("/debug/memory for a neighbour: %d, want 403", res.StatusCode)
	}
}

// TestMemoryWithoutBudget pins what the page says where there is neither a limit nor a kernel that tells.
func TestMemoryWithoutBudget(t *testing.T) {
	s := newServer(t, Options{Memory: func() Memory { return Memory{Unknown: "no such file"} }})
	page := text(t, ask(t, s, "127.0.0.1:1", http.MethodGet, "/debug/memory", ""))
	if !strings.Contains(page, "no such file") || !strings.Contains(page, "set -memory.limit") || strings.Contains(page, "<polyline") || strings.Contains(page, "Beside") {
		t.Errorf("/debug/memory: %s", page)
	}
}
