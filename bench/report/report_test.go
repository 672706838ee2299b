package report

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"scraper/bench/sink"
)

func TestLateness(t *testing.T) {
	const period = 5 * time.Second
	start := time.Unix(1_700_000_000, 0)
	at := func(offsets ...time.Duration) (all []time.Time) {
		for _, o := range offsets {
			all = append(all, start.Add(o))
		}
		return all
	}
	for name, tc := range map[string]struct {
		arrivals             []time.Time
		scrapes, late, skips int
	}{
		"on time":           {at(0, period, 2*period, 3*period), 4, 0, 0},
		"a little late":     {at(0, period+40*time.Millisecond, 2*period), 3, 0, 0},
		"late once":         {at(0, period+200*time.Millisecond, 2*period, 3*period), 4, 1, 0},
		"the first is late": {at(300*time.Millisecond, period, 2*period, 3*period), 4, 1, 0},
		"one skipped":       {at(0, period, 3*period, 4*period), 4, 0, 1},
		"skipped and late":  {at(0, period, 3*period+time.Second, 4*period), 4, 1, 1},
		"none at all":       {nil, 0, 0, 1},
	} {
		var l Lateness
		l.Add(tc.arrivals, period)
		l.Finish()
		if l.Scrapes != tc.scrapes || l.Late != tc.late || l.Skipped != tc.skips {
			t.Errorf("%s: %+v, want %d scrapes, %d late, %d skipped", name, l, tc.scrapes, tc.late, tc.skips)
		}
	}
}

func TestPercentile(t *testing.T) {
	var l Lateness
	for i := range 100 {
		var late time.Duration
		if i == 7 {
			late = 2 * time.Second
		}
		start := time.Unix(int64(i), 0)
		l.Add([]time.Time{start, start.Add(10*time.Second + late), start.Add(20 * time.Second)}, 10*time.Second)
	}
	l.Finish()
	if l.Late != 1 || l.P99Millis != 0 || l.MaxMillis != 2000 {
		t.Errorf("%+v, want one late scrape by 2 s, and none at the 99th percentile", l)
	}
}

func set() Set {
	result := func(scenario, agent string, cpu float64) Result {
		r := Result{Scenario: scenario, Agent: agent, WindowSeconds: 40, CPUPerMillion: cpu, Millicores: cpu * 40, Samples: 1_600_000,
			AnonAvg: 40 << 20, AnonPeak: 50 << 20, Checked: true}
		r.Marks = []Mark{{Second: 10}, {Second: 12.2, Text: "it bursts"}}
		for i := range 50 {
			r.Timeline = append(r.Timeline, Point{Second: i, Anon: int64(i) << 20})
		}
		return r
	}
	return Set{Run: Run{Started: time.Unix(1_700_000_000, 0), Machine: "a machine", Command: "bench -short", Note: "busy", Windows: "short",
		Agents:    []Agent{{"ours", "1", "-a"}, {"vmagent", "2", "-b|c"}},
		Scenarios: []Scenario{{"steady", "100 targets"}, {"burst", "more targets"}, {"gzip", "not run"}}},
		Results: []Result{result("steady", "ours", 1), result("steady", "vmagent", 4), result("burst", "ours", 1), {Scenario: "burst", Agent: "vmagent", Error: "it\nended"}}}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, "RESULTS.md"), set()); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## steady", "| ours | 1.00 |", "it ended", "`-b\\|c`", "charts/burst-course.svg", "bench -short", "a machine", "busy", "it bursts after 12 s"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not have %q:\n%s", want, page)
		}
	}
	if strings.Contains(string(page), "## gzip") {
		t.Error("the page has a scenario without results")
	}
	for _, name := range []string{"steady-cpu.svg", "steady-memory.svg", "burst-course.svg"} {
		svg, err := os.ReadFile(filepath.Join(dir, "charts", name))
		if err != nil || !bytes.HasPrefix(svg, []byte("<svg")) || !bytes.Contains(svg, []byte("vmagent")) && name != "burst-course.svg" {
			t.Errorf("%s: %v, begins %.60q", name, err, svg)
		}
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	Table(&b, of("steady", set().Results))
	if lines := strings.Split(strings.TrimSpace(b.String()), "\n"); len(lines) != 3 || !strings.Contains(lines[2], "vmagent") {
		t.Errorf("Table wrote %q, want a head and two rows", lines)
	}
}

// What was measured is read back as it was written, and a later run of other scenarios adds to it.
func TestRaw(t *testing.T) {
	dir, want := filepath.Join(t.TempDir(), "raw"), set()
	later := want.Run
	later.Agents, later.Scenarios, later.Command = []Agent{{"vmagent", "3", "-d"}, {"prometheus", "4", ""}}, []Scenario{{"idle", "none"}}, "bench -resume"
	for _, run := range []Run{want.Run, later, later} {
		if err := WriteRun(dir, run); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range want.Results {
		if err := WriteRaw(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want.Agents = []Agent{{"ours", "1", "-a"}, {"vmagent", "3", "-d"}, {"prometheus", "4", ""}}
	want.Scenarios = append(want.Scenarios, Scenario{"idle", "none"})
	want.Command = "bench -short`, `bench -resume"
	if !got.Started.Equal(want.Started) {
		t.Errorf("Load() has the start %v, want %v", got.Started, want.Started)
	}
	got.Started = want.Started
	for i := range got.Results {
		got.Results[i].Started = want.Results[i].Started
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load() = %+v, want %+v", got, want)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("Load of a directory without results gave no error")
	}
}

func TestGoals(t *testing.T) {
	result := func(scenario, agent string, cpu float64, mib int64) Result {
		return Result{Scenario: scenario, Agent: agent, WindowSeconds: 40, CPUPerMillion: cpu, Millicores: cpu * 40, Samples: 1, AnonWindowPeak: mib << 20, WorkingSetPeak: mib << 20}
	}
	s := set()
	s.Results = []Result{
		result("steady", "ours", 1.6, 20), result("steady", "ours-snappy", 1, 20), result("steady", "prometheus", 5, 300), result("steady", "prometheus-3", 3, 300),
		result("node60-a", "ours", 1, 29), result("node60-a", "vmagent", 3.5, 60),
		result("small", "ours", 20, 30), result("blackholes", "ours", 20, 37),
		{Scenario: "huge", Agent: "ours", Error: "it ended"},
	}
	var b strings.Builder
	writeGoals(&b, s)
	for _, want := range []string{
		"| steady | at most 1.5 CPU-seconds per million samples with snappy | 1.00 | kept |",
		"| steady | at most 2.1 CPU-seconds per million samples with zstd | 1.60 | kept |",
		"| steady | at most 0.25 of Prometheus' CPU per sample with snappy | 0.20 of prometheus's, 0.33 of prometheus-3's | **missed** |",
		"| node60-a | at most 0.33 of vmagent's millicores | 0.29 of vmagent's | kept |",
		"| node60-a | at most 28 MiB of working set, at its peak | 29.0 | **missed** |",
		"| blackholes | at most 8 MiB resident more than without black holes | 7.0 | kept |",
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("there is no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "huge") || strings.Contains(b.String(), "idle") {
		t.Errorf("goals without results are judged:\n%s", b.String())
	}
}

func TestFloors(t *testing.T) {
	s := set()
	s.Results = []Result{
		{Scenario: "steady", Agent: "ours", Millicores: 30}, {Scenario: "steady", Agent: "floor-discard", Millicores: 10}, {Scenario: "steady", Agent: "floor-push", Millicores: 20},
		{Scenario: "burst", Agent: "ours", Millicores: 30},
	}
	var b strings.Builder
	writeFloors(&b, s)
	if !strings.HasSuffix(b.String(), "|---|---|---|---|---|\n| steady | 10.0 | 20.0 | 30.0 | 1.50 |\n") {
		t.Errorf("writeFloors wrote %q", b.String())
	}
	b.Reset()
	if writeFloors(&b, set()); b.Len() > 0 {
		t.Errorf("writeFloors wrote %q without floors", b.String())
	}
}

// What a peer does better is told; what neither does, and what is not measured, is not.
func TestLosses(t *testing.T) {
	s := set()
	s.Results = []Result{
		{Scenario: "steady", Agent: "ours", CPUPerMillion: 1, AnonPeak: 20 << 20, WirePerSample: 21, Check: sink.Judgement{Missing: 3}},
		{Scenario: "steady", Agent: "vmagent", CPUPerMillion: 0.5, AnonPeak: 90 << 20},
		{Scenario: "steady", Agent: "floor-push", CPUPerMillion: 0.1},
	}
	var b strings.Builder
	writeLosses(&b, s)
	want := "\n## Where a peer does better\n\n- steady, CPU-s/M: 1.00, vmagent 0.50\n- steady, missing samples: 3, vmagent 0\n"
	if b.String() != want {
		t.Errorf("writeLosses wrote %q, want %q", b.String(), want)
	}
}
