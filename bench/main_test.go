package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/report"
)

func TestScenarios(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range scenarios() {
		if seen[s.name] || s.about == "" || s.build == nil {
			t.Errorf("scenario %q is there twice, or not complete", s.name)
		}
		seen[s.name] = true
		for _, l := range []length{quickLength, shortLength, longLength} {
			if window := s.span(l).window; s.interval == 0 || window < s.interval || window%s.interval != 0 {
				t.Errorf("%s: a window of %v with scrapes every %v: agents would do different work in it", s.name, window, s.interval)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	f := func(names string, want ...string) {
		t.Helper()
		chosen, err := choose(names)
		var got []string
		for _, s := range chosen {
			got = append(got, s.name)
		}
		if err != nil || len(got) != len(want) {
			t.Fatalf("choose(%q) = %q, %v, want %q", names, got, err, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("choose(%q) = %q, want %q", names, got, want)
			}
		}
	}
	f("huge,steady", "huge", "steady")
	f("node60", "node60-a", "node60-b")
	f("", "node60-a", "node60-b", "steady", "small", "churn", "burst", "limit", "idle-100")
	if _, err := choose("steady,typo"); err == nil {
		t.Error("choose of a name which there is not gave no error")
	}
}

func TestParseFlags(t *testing.T) {
	f, err := parseFlags([]string{"-scenario", "idle", "-peer", "vmagent=/a", "-peer", "prometheus3=/b", "-long"})
	if err != nil || f.length != longLength || len(f.peers) != 2 {
		t.Errorf("parseFlags = %+v, %v", f, err)
	}
	for _, bad := range [][]string{{"-long", "-short"}, {"-quick", "-long"}, {"steady"}, {"-resume"}, {"-render", "-raw", "x"}} {
		if _, err := parseFlags(bad); err == nil {
			t.Errorf("parseFlags(%q) gave no error", bad)
		}
	}
}

// The agent is of another module, and is found and built all the same.
func TestFindAgentsBuildsOurs(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	agents, err := findAgents(t.Context(), flags{agents: "ours,ours-prometheus"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(agents) != 2 || agents[0].Path != agents[1].Path || agents[0].Version == "" {
		t.Errorf("findAgents = %+v, want our agent in both of its languages", agents)
	}
	if _, err := findAgents(t.Context(), flags{agents: "vmagent-2"}, t.TempDir()); err == nil {
		t.Error("an agent without a path gave no error")
	}
}

// One whole measurement, of the floor: all that is served arrives once, and what is left behind is nothing.
func TestMeasure(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	path, err := agent.Build(t.Context(), "scraper/bench", "./floor", filepath.Join(t.TempDir(), "floor"))
	if err != nil {
		t.Fatal(err)
	}
	floor, err := agent.New(t.Context(), "floor-push", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*scenario{
		{name: "plain", interval: 500 * time.Millisecond, build: plain(10, body.Plain{Series: 100}, style{})},
		{name: "secure", interval: 500 * time.Millisecond, secure: true, build: plain(10, body.Plain{Series: 100}, style{gzip: true, chunked: true, tls: true})},
	} {
		t.Run(s.name, func(t *testing.T) {
			s.short, s.perSeries = span{time.Second, 2 * time.Second}, true
			b := &bench{out: testWriter{t}, tmp: t.TempDir()}
			res, err := b.measure(t.Context(), s, floor)
			if err != nil {
				t.Fatalf("measure: %v\n%s", err, res.Log)
			}
			if !res.Checked || res.Check.Series != 1000 || res.Check.Missing != 0 || res.Check.Doubles != 0 {
				t.Errorf("check = %+v of %d scrapes, want 1000 series, nothing missing and nothing twice\n%s", res.Check, res.ServedScrapes, res.Log)
			}
			if res.Received != res.ServedSamples || res.Samples == 0 || res.Served == 0 || res.AnonAvg == 0 || res.FirstSampleSeconds <= 0 || res.Late.Scrapes == 0 {
				t.Errorf("result = %+v, want as many samples received as served, and memory, first sample and scrapes told", res)
			}
			if left, err := os.ReadDir(b.tmp); err != nil || len(left) != 0 {
				t.Errorf("%v is left behind (%v)", left, err)
			}
		})
	}
}

// An agent that ends is an error which says why, not a result.
func TestMeasureOfAnAgentThatEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vmagent")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho cannot open the queue\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b := &bench{out: testWriter{t}, tmp: t.TempDir()}
	s := &scenario{name: "none", interval: time.Second, short: span{10 * time.Second, time.Second},
		build: func(context.Context, *measurement) error { return nil }}
	_, err := b.measure(t.Context(), s, &agent.Agent{Name: "vmagent", Kind: agent.VMAgent, Path: path})
	if err == nil || err.Error() != "the agent ended (exit status 1): cannot open the queue" {
		t.Errorf("measure = %v, want what the agent said at its end", err)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(string(b))
	return len(b), nil
}

// What is measured already is not measured again, what failed or had other windows is; and nothing is begun which would
// end too late.
func TestResume(t *testing.T) {
	raw := t.TempDir()
	idle := &scenario{name: "idle", about: "nothing", interval: time.Second, quick: span{time.Second, time.Second},
		build: func(context.Context, *measurement) error { return nil }}
	ends := func(name string) *agent.Agent {
		return &agent.Agent{Name: name, Kind: agent.VMAgent, Path: "/bin/false"}
	}
	for _, r := range []report.Result{
		{Scenario: "idle", Agent: "vmagent-done", Windows: "quick", Millicores: 7},
		{Scenario: "idle", Agent: "vmagent-long", Windows: "long", Millicores: 7},
		{Scenario: "idle", Agent: "vmagent-failed", Windows: "quick", Error: "it failed"},
	} {
		if err := report.WriteRaw(raw, r); err != nil {
			t.Fatal(err)
		}
	}
	measured := func(name string) bool {
		r, err := report.ReadRaw(raw, "idle", name)
		return err == nil && strings.HasPrefix(r.Error, "the agent ended")
	}
	agents := []*agent.Agent{ends("vmagent-done"), ends("vmagent-long"), ends("vmagent-failed"), ends("vmagent-new")}
	b := &bench{out: io.Discard, length: quickLength, tmp: t.TempDir()}
	f := flags{raw: raw, resume: true, length: quickLength, stopAfter: time.Minute}
	if err := b.measureAll(t.Context(), f, []*scenario{idle}, agents, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if measured("vmagent-new") || measured("vmagent-failed") {
		t.Error("a measurement was begun which ends too late")
	}
	if err := b.measureAll(t.Context(), f, []*scenario{idle}, agents, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, a := range agents {
		if got, want := measured(a.Name), a.Name != "vmagent-done"; got != want {
			t.Errorf("%s was measured: %v, want %v", a.Name, got, want)
		}
	}
}
