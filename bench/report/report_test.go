package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
		for i := range 50 {
			r.Timeline = append(r.Timeline, Point{Second: i, Anon: int64(i) << 20})
		}
		return r
	}
	return Set{Started: time.Unix(1_700_000_000, 0), Machine: "a machine", Command: "bench -short", Note: "busy",
		Agents:    []Agent{{"ours", "1", "-a"}, {"vmagent", "2", "-b|c"}},
		Scenarios: []Scenario{{"steady", "100 targets"}, {"burst", "more targets"}, {"gzip", "not run"}},
		Results:   []Result{result("steady", "ours", 1), result("steady", "vmagent", 4), result("burst", "ours", 1), {Scenario: "burst", Agent: "vmagent", Error: "it\nended"}}}
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
	for _, want := range []string{"## steady", "| ours | 1.00 |", "it ended", "`-b\\|c`", "charts/burst-course.svg", "bench -short", "a machine", "busy"} {
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
	Table(&b, "steady", set().Results)
	if lines := strings.Split(strings.TrimSpace(b.String()), "\n"); len(lines) != 3 || !strings.Contains(lines[2], "vmagent") {
		t.Errorf("Table wrote %q, want a head and two rows", lines)
	}
}
