package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"scraper/memlimit"
	"scraper/scrape"
	"scraper/snapshots"
)

// TestMemoryAddsUp pins that all parts are shown with what is not attributed, and the largest targets.
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
	m.Largest = []scrape.TargetStatus{{Job: "j", URL: "http://t/", LabelBytes: 5000}, {Job: "j", URL: "http://t/", BatchBytes: 3000}}
	s := newServer(t, Options{Memory: func() Memory { return m }})
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
	if len(got.LargestTargets) != 2 || got.LargestTargets[0].LabelBytes != 5000 || got.LargestTargets[1].BatchBytes != 3000 {
		t.Errorf("largest targets %v, want those two", got.LargestTargets)
	}
	page := text(t, ask(t, s, local, http.MethodGet, "/debug/memory", ""))
	for _, want := range []string{"labels", "12 MiB", "1 MiB of 12 MiB are not attributed", ">high<", "75 %", "the container&#39;s limit; 8 MiB of it in reserve",
		`class="elevated" x="290"`, `class="high" x="581" y="0" width="139"`, "<polyline", "2 processes were killed", "reached since the start: elevated 1×, high 1×",
		">22:13:20</time>", "high at <time datetime=\"2023-11-14T22:26:40.000Z\">22:26:40</time> <span class=\"muted\">for 3m10s</span>", "a limit of <b>88 MiB</b> at least", "At most 43 MiB were used"} {
		if !strings.Contains(page, want) {
			t.Errorf("/debug/memory lacks %q: %s", want, page)
		}
	}
	m.Report.HeldBack = 30 * mib
	if page := text(t, ask(t, s, local, http.MethodGet, "/debug/memory", "")); !strings.Contains(page, "42 MiB are used, and targets which are held back would take about 30 MiB") {
		t.Errorf("/debug/memory does not say why it recommends what it does: %s", page)
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

// TestMemoryChart: the chart stays within its frame, whatever was done to the clock, and tells each time of shortage once.
func TestMemoryChart(t *testing.T) {
	at := time.Unix(1700000000, 0)
	var points []memlimit.Point
	for i, step := range []time.Duration{0, 10, 20, -3600, -3590, 30, 40 * 365 * 24 * 3600, 50} {
		points = append(points, memlimit.Point{At: at.Add(step * time.Second), Used: int64(i) << 20, Limit: 5 << 20, Level: memlimit.Level(i / 2 % 4)})
	}
	for n := range points {
		c := chartOf(points[:n+1])
		if n == 0 {
			if c != nil {
				t.Error("one point makes a chart")
			}
			continue
		}
		for xy := range strings.FieldsSeq(c.Used + " " + c.Resident) {
			var x, y int
			if _, err := fmt.Sscanf(xy, "%d,%d", &x, &y); err != nil || x < 0 || x > c.Width || y < 0 || y > c.Height {
				t.Errorf("%d points: (%d, %d) is not within %d × %d (%v)", n+1, x, y, c.Width, c.Height, err)
			}
		}
		for _, b := range c.Bands {
			if b.X < 0 || b.Width <= 0 || b.X+b.Width > c.Width {
				t.Errorf("%d points: the band %+v is not within the chart", n+1, b)
			}
		}
	}
	if c := chartOf(points); len(c.Bands) != 3 || c.Latest()[0].Level != "critical" {
		t.Errorf("bands %+v, want one of each level, the latest first", c.Bands)
	}
}

// TestMemoryHeldBack pins what the pages say of targets which are not scraped because memory is short, and of what was
// replaced and is held: in full, escaped, and bounded.
func TestMemoryHeldBack(t *testing.T) {
	at := time.Now().Add(-3 * time.Minute)
	m := Memory{
		Shortage: scrape.MemoryState{
			Admission: memlimit.AdmissionStats{Granted: 5 << 20, Waiting: 3, Waits: 17, Refused: 2, Starved: 1, Waited: 4 * time.Second},
			Next:      []scrape.HeldTarget{{ID: 7, Job: "j", URL: "http://next/", Bytes: 9 << 20}},
			Skipped:   map[scrape.SkipReason]uint64{scrape.SkipShed: 30, scrape.SkipWaiting: 4}, OwedMarkers: 12345, Shed: 8, Readmitted: 5,
		},
		Snapshots: []snapshots.Report{
			{
				Count:   snapshots.Count{Kind: "job", Superseded: 3, Oldest: 90 * time.Second},
				Holders: []snapshots.Held{{Holder: snapshots.Holder{Name: "scrape of http://x/<script>", Since: at}, Superseded: at}}, Unheld: 2,
			},
			{Count: snapshots.Count{Kind: "target"}},
		},
	}
	snap := scrape.Snapshot{Jobs: []scrape.JobStatus{{Job: "j", Active: 2}}, Targets: []scrape.TargetStatus{
		{ID: 1, Job: "j", URL: "http://held/", Health: scrape.HealthDown, LastError: "other", Held: scrape.Held{Reason: scrape.SkipShed, Since: at, Skipped: 6}},
		{ID: 2, Job: "j", URL: "http://free/", Health: scrape.HealthUp},
	}}
	m.Shortage.HeldTargets = 300
	for i := range scrape.MaxHeld {
		m.Shortage.Held = append(m.Shortage.Held, scrape.HeldTarget{
			ID: uint64(i), Job: "<b>", URL: "http://held/", Bytes: 1 << 20, Held: scrape.Held{Reason: scrape.SkipNew, Since: at, Skipped: 6},
		})
	}
	s := newServer(t, Options{Memory: func() Memory { return m }, Targets: func() scrape.Snapshot { return snap }})
	const local = "127.0.0.1:1"
	var got struct {
		Admission struct {
			GrantedBytes, Waiting, Waits, Refused, Starved int64
			WaitedSeconds                                  float64
		}
		Shedding struct {
			HeldTargets, OwedMarkers, Shed, Readmitted int64
			Held                                       []struct {
				ID, Skipped, Bytes int64
				Reason, Text       string
				Since              time.Time
			}
			Next           []map[string]any
			SkippedScrapes map[string]int
		}
		Superseded []struct {
			Kind          string
			Superseded    int
			OldestSeconds float64
			Holders       []struct {
				Name  string
				Since time.Time
			}
			Unheld int
		}
	}
	body := text(t, ask(t, s, local, http.MethodGet, "/debug/memory?format=json", ""))
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("/debug/memory?format=json: %v: %s", err, body)
	}
	if a := got.Admission; a.GrantedBytes != 5<<20 || a.Waiting != 3 || a.Waits != 17 || a.Refused != 2 || a.Starved != 1 || a.WaitedSeconds != 4 {
		t.Errorf("admission %+v, want %+v", a, m.Shortage.Admission)
	}
	x := got.Shedding
	if x.HeldTargets != 300 || len(x.Held) != scrape.MaxHeld || x.OwedMarkers != 12345 || x.Shed != 8 || x.Readmitted != 5 || x.SkippedScrapes["shed"] != 30 {
		t.Errorf("shedding %+v, want the first of those held back, and all counts", x)
	}
	if h := x.Held[2]; h.ID != 2 || h.Reason != "new" || h.Text != scrape.SkipNew.String() || !h.Since.Equal(at) || h.Skipped != 6 || h.Bytes != 1<<20 {
		t.Errorf("held back %+v, want its reason and since when", h)
	}
	if n := x.Next; len(n) != 1 || n[0]["url"] != "http://next/" || n[0]["since"] != nil || n[0]["reason"] != nil {
		t.Errorf("next %v, want one which is not held back yet", n)
	}
	if r := got.Superseded; len(r) != 2 || r[0].Superseded != 3 || r[0].OldestSeconds != 90 || len(r[0].Holders) != 1 || !r[0].Holders[0].Since.Equal(at) || r[0].Unheld != 2 {
		t.Errorf("superseded %+v, want the job's with its holder", r)
	}
	page := text(t, ask(t, s, local, http.MethodGet, "/debug/memory", ""))
	for _, want := range []string{scrape.SkipNew.String(), "3m ago", "And 200 more", "&lt;b&gt;", "34 scrapes were skipped because memory was short", "shed 8 times and let in again 5 times",
		"12\u202f345 staleness markers are owed", "5 MiB to themselves, 3 wait", ">http://next/</a>", `href="../targets?id=7"`, "scrape of http://x/&lt;script&gt;", "1m30s ago", "2 others by nobody"} {
		if !strings.Contains(page, want) {
			t.Errorf("/debug/memory lacks %q: %s", want, page)
		}
	}
	if strings.Contains(page, "<script>") || len(page) > 100<<10 {
		t.Errorf("/debug/memory is not escaped, or has %d bytes", len(page))
	}

	page = text(t, ask(t, s, local, http.MethodGet, "/targets?format=html&search=shed", ""))
	if !strings.Contains(page, scrape.SkipShed.String()) || !strings.Contains(page, "6 scrapes skipped") || !strings.Contains(page, "1 held back") || strings.Contains(page, "http://free/") {
		t.Errorf("/targets does not say who is held back, and why: %s", page)
	}
	lines := text(t, ask(t, s, local, http.MethodGet, "/targets?format=text", ""))
	if strings.Count(lines, ", held=") != 1 || !strings.Contains(lines, `held="memory limit: shed`) {
		t.Errorf("/targets as text:\n%s\nwant the reason at the target which is held back", lines)
	}
	var api struct {
		Data struct {
			ActiveTargets []struct {
				HeldBack *struct {
					Reason, Text   string
					Since          time.Time
					SkippedScrapes int
				}
			}
		}
	}
	body = text(t, ask(t, s, local, http.MethodGet, "/api/v1/targets", ""))
	if err := json.Unmarshal([]byte(body), &api); err != nil {
		t.Fatal(err)
	}
	if a := api.Data.ActiveTargets; len(a) != 2 || a[0].HeldBack == nil || a[0].HeldBack.Reason != "shed" || a[0].HeldBack.SkippedScrapes != 6 || a[1].HeldBack != nil ||
		strings.Count(body, "heldBack") != 1 {
		t.Errorf("/api/v1/targets: %s, want the reason at the target which is held back alone", body)
	}
}
