package discovery

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"scraper/config"
	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// harness is a Discovery and what it said.
type harness struct {
	*Discovery
	t   *testing.T
	reg *prometheus.Registry

	mu      sync.Mutex
	updates []update
	log     bytes.Buffer
}

type update struct {
	job    string
	groups []*Group
}

func newHarness(t *testing.T, change func(*Options)) *harness {
	t.Helper()
	h := &harness{t: t, reg: prometheus.NewRegistry()}
	o := Options{
		Logger:  slog.New(slog.NewTextHandler(lockedWriter{h}, nil)),
		Metrics: NewMetrics(h.reg),
		OnUpdate: func(job string, groups []*Group) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.updates = append(h.updates, update{job, groups})
		},
	}
	if change != nil {
		change(&o)
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.Discovery = d
	return h
}

type lockedWriter struct{ h *harness }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	return w.h.log.Write(p)
}

func (h *harness) apply(jobs ...*config.Job) {
	h.t.Helper()
	if err := h.Apply(jobs); err != nil {
		h.t.Fatal(err)
	}
}

// run runs the Discovery until the test ends, or until the returned function is called.
func (h *harness) run() (stop func()) {
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("Run() = %v, want nil", err)
		}
	})
	h.t.Cleanup(stop)
	return stop
}

// taken returns how many updates there were.
func (h *harness) taken() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.updates)
}

func (h *harness) logged(text string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Count(h.log.String(), text)
}

// last returns the last update of a job, as text.
func (h *harness) last(job string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.updates) - 1; i >= 0; i-- {
		if h.updates[i].job == job {
			return render(h.updates[i].groups)
		}
	}
	return "no update"
}

// render writes groups as "source{labels} address address; …", with the directories of files cut off.
func render(groups []*Group) string {
	var parts []string
	for _, g := range groups {
		source := g.Source
		if dir, file, ok := strings.Cut(source, "/0/"); ok && dir == "file" {
			source = "file/0/" + filepath.Base(file)
		}
		var labels []string
		for _, l := range g.Labels {
			labels = append(labels, l.Name+"="+filepath.Base(l.Value))
		}
		text := source + "{" + strings.Join(labels, ",") + "}"
		for _, target := range g.Targets {
			for _, l := range target {
				text += " " + l.Value
			}
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// eventually waits until want is what got returns.
func (h *harness) eventually(what string, got func() string, want string) {
	h.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for got() != want {
		if time.Now().After(deadline) {
			h.t.Fatalf("%s = %q, want %q", what, got(), want)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (h *harness) eventuallyLast(job, want string) {
	h.t.Helper()
	h.eventually("last update of "+job, func() string { return h.last(job) }, want)
}

// metric returns the value of a metric, by name and its one label's value.
func (h *harness) metric(name, label string) (value float64, ok bool) {
	h.t.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name || label != "" && !hasLabel(m, label) {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue(), true
		}
	}
	return 0, false
}

func hasLabel(m *dto.Metric, value string) bool {
	for _, l := range m.GetLabel() {
		if l.GetValue() == value {
			return true
		}
	}
	return false
}

func (h *harness) wantMetric(name, label string, want float64) {
	h.t.Helper()
	if got, ok := h.metric(name, label); !ok || got != want {
		h.t.Errorf("metric %s{%s} = %v (present: %v), want %v", name, label, got, ok, want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace writes a file as careful programs do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".tmp", text)
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// yamlOf is a target file with one group.
func yamlOf(targets ...string) string {
	return fmt.Sprintf("- targets: [%s]\n", strings.Join(targets, ", "))
}

func fileJob(name string, interval time.Duration, files ...string) *config.Job {
	return &config.Job{Name: name, FileSD: []*config.FileSD{{Files: files, RefreshInterval: interval}}}
}
