package discovery

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scraper/config"
	"scraper/internal/leaktest"
	"scraper/relabel"
)

func staticJob(name string, groups ...*config.StaticGroup) *config.Job {
	return &config.Job{Name: name, Static: groups}
}

func TestStaticGroupsAreKnownWhenApplyReturns(t *testing.T) {
	h := newHarness(t, nil)
	h.apply(staticJob("a",
		&config.StaticGroup{Targets: []string{"h1:1", "h2:2"}, Labels: []relabel.Label{{Name: "env", Value: "x"}}},
		&config.StaticGroup{Targets: []string{"h3:3"}},
	))
	want := []*Group{
		{
			Source:  "static/0/0",
			Labels:  []relabel.Label{{Name: "env", Value: "x"}},
			Targets: [][]relabel.Label{{{Name: "__address__", Value: "h1:1"}}, {{Name: "__address__", Value: "h2:2"}}},
		},
		{Source: "static/0/1", Targets: [][]relabel.Label{{{Name: "__address__", Value: "h3:3"}}}},
	}
	if diff := cmp.Diff(want, h.updates[0].groups); diff != "" {
		t.Errorf("groups differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, h.Groups("a")); diff != "" {
		t.Errorf("Groups(a) differs (-want +got):\n%s", diff)
	}
	if got := h.Groups("unknown"); got != nil {
		t.Errorf("Groups(unknown) = %v, want nil", got)
	}
	h.wantMetric("scraper_discovery_targets", "a", 3)
}

func TestApplyTellsOnlyWhatChanged(t *testing.T) {
	h := newHarness(t, nil)
	group := func(address string) *config.StaticGroup { return &config.StaticGroup{Targets: []string{address}} }
	h.apply(staticJob("a", group("h1"), group("h2")), staticJob("b", group("h1")), staticJob("none"))
	if got := h.taken(); got != 2 {
		t.Fatalf("updates after the first Apply = %d, want 2: a job without targets has none", got)
	}
	first := h.updates[0].groups

	h.apply(staticJob("b", group("h1")), staticJob("a", group("h1"), group("h2")), staticJob("none"))
	if got := h.taken(); got != 2 {
		t.Errorf("updates after Apply of the same jobs = %d, want 2", got)
	}

	h.apply(staticJob("a", group("h1"), group("h9")), staticJob("b", group("h1")))
	if got := h.taken(); got != 3 {
		t.Fatalf("updates after one job changed = %d, want 3", got)
	}
	if got, want := h.last("a"), "static/0/0{} h1; static/0/1{} h9"; got != want {
		t.Errorf("groups of a = %q, want %q", got, want)
	}
	second := h.updates[2].groups
	if first[0] != second[0] {
		t.Error("the group which did not change is another value, want the same")
	}
	if first[1].Targets[0][0].Value != "h2" {
		t.Error("the group which was published first has changed, want it immutable")
	}

	h.apply(staticJob("a"))
	if got, want := h.last("a"), ""; got != want {
		t.Errorf("groups of a without targets = %q, want none", got)
	}
	if got := h.taken(); got != 4 {
		t.Errorf("updates after b was removed = %d, want 4: none for b", got)
	}
	if got := h.Groups("b"); got != nil {
		t.Errorf("Groups of a removed job = %v, want nil", got)
	}
	if _, ok := h.metric("scraper_discovery_targets", "b"); ok {
		t.Error("the removed job's metric is still there")
	}
	h.apply(staticJob("b", group("h1")))
	if got := h.taken(); got != 5 {
		t.Errorf("updates after b came back = %d, want 5", got)
	}
}

func TestApplyRefusesTwoJobsOfOneName(t *testing.T) {
	h := newHarness(t, nil)
	h.apply(staticJob("a", &config.StaticGroup{Targets: []string{"h1"}}))
	if err := h.Apply([]*config.Job{staticJob("x"), staticJob("x")}); err == nil {
		t.Error("Apply of two jobs of one name = nil, want an error")
	}
	if got, want := render(h.Groups("a")), "static/0/0{} h1"; got != want {
		t.Errorf("groups after a refused Apply = %q, want %q", got, want)
	}
}

func TestNewRefusesNegativeInterval(t *testing.T) {
	if _, err := New(Options{FileCheckInterval: -1}); err == nil {
		t.Error("New with a negative interval = nil, want an error")
	}
}

func TestRunMayBeCalledOnce(t *testing.T) {
	h := newHarness(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		t.Errorf("Run() = %v, want nil", err)
	}
	if err := h.Run(ctx); err == nil {
		t.Error("second Run() = nil, want an error")
	}
}

// Sections which are the same share a provider, and one which stands in the next configuration too is kept.
func TestProvidersAreSharedAndKept(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "t.yml")
	write(t, file, yamlOf("h1"))
	h := newHarness(t, nil)
	h.apply(fileJob("a", 0, file), fileJob("b", 0, file), fileJob("c", time.Hour, file))
	h.wantMetric("scraper_discovery_providers", "", 2)
	h.wantMetric("scraper_discovery_file_reads_total", "", 2)
	const want = "file/0/t.yml:0{__meta_filepath=t.yml} h1"
	for _, job := range []string{"a", "b", "c"} {
		if got := h.last(job); got != want {
			t.Errorf("groups of %s = %q, want %q", job, got, want)
		}
	}

	// The file is broken while the configuration is reloaded with a new user of the provider: its state serves.
	write(t, file, "- targets: [")
	h.apply(fileJob("a", 0, file), fileJob("d", 0, file))
	h.wantMetric("scraper_discovery_providers", "", 1)
	h.wantMetric("scraper_discovery_file_reads_total", "", 2)
	if got := h.last("d"); got != want {
		t.Errorf("groups of d = %q, want the provider's last good %q", got, want)
	}
	if got := h.taken(); got != 4 {
		t.Errorf("updates = %d, want 4: one for each job", got)
	}
}

// Two sections of one job may name the same file: the sources differ.
func TestSourcesAreUniqueInJob(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.yml")
	write(t, file, yamlOf("h1")+yamlOf("h2"))
	h := newHarness(t, nil)
	job := fileJob("a", 0, file)
	job.FileSD = append(job.FileSD, job.FileSD[0])
	job.Static = []*config.StaticGroup{{Targets: []string{"h3"}}}
	h.apply(job)
	var sources []string
	for _, g := range h.Groups("a") {
		sources = append(sources, g.Source)
	}
	want := []string{"static/0/0", "file/0/" + file + ":0", "file/0/" + file + ":1", "file/1/" + file + ":0", "file/1/" + file + ":1"}
	if !slices.Equal(sources, want) {
		t.Errorf("sources = %q, want %q", sources, want)
	}
}

// Many reloads, each of which adds and removes jobs, leave no goroutine, descriptor, watch or exported series.
func TestReloadsLeaveNothing(t *testing.T) {
	leaktest.Check(t)
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"a", "b", "c", "d"} {
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(sub, "t.yml"), yamlOf("h-"+name))
		files = append(files, filepath.Join(sub, "*.yml"))
	}
	h := newHarness(t, nil)
	stop := h.run()
	base := fileJob("base", 0, files[0])
	h.apply(base)
	h.watching(1)
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	for i := range 200 {
		jobs := []*config.Job{base, fileJob("x", time.Duration(i+1)*time.Hour, files[1+i%3])}
		if i%2 == 0 {
			jobs = append(jobs, fileJob("y", 0, files[1+(i+1)%3]), fileJob("z", 0, files...))
		}
		h.apply(jobs...)
	}
	h.apply(base)
	h.watching(1)
	h.eventually("goroutines", func() string {
		if runtime.NumGoroutine() > goroutines {
			return "more"
		}
		return "as before"
	}, "as before")
	if got := descriptors(t); got > fds {
		t.Errorf("descriptors after 200 reloads = %d, want %d", got, fds)
	}
	h.wantMetric("scraper_discovery_providers", "", 1)
	for _, job := range []string{"x", "y", "z"} {
		if _, ok := h.metric("scraper_discovery_targets", job); ok {
			t.Errorf("metric of the removed job %s is still there", job)
		}
	}
	updates := 0
	for _, u := range h.updates {
		if u.job == "base" {
			updates++
		}
	}
	if updates != 1 {
		t.Errorf("updates of the job which did not change = %d, want 1", updates)
	}
	// The job that was there all the time is watched as before.
	replace(t, filepath.Join(dir, "a", "t.yml"), yamlOf("h-new"))
	h.eventuallyLast("base", "file/0/t.yml:0{__meta_filepath=t.yml} h-new")
	stop()
	if got := descriptors(t); got >= fds {
		t.Errorf("descriptors after Run = %d, want fewer than the %d with a watch", got, fds)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	return len(entries)
}
