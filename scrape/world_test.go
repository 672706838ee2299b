package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scraper/batch"
	"scraper/bufpool/bufpooltest"
	"scraper/config"
	"scraper/discovery"
	"scraper/internal/memnet"
	"scraper/labelcompress"
	"scraper/relabel"
)

// world is a Manager with all that it needs: targets in a network in memory, and a sink that writes down what it gets.
type world struct {
	t       *testing.T
	m       *Manager
	net     *memnet.Network
	dict    *labelcompress.Dict
	sink    *recorder
	reg     *prometheus.Registry
	log     *logBuffer
	dialect config.Dialect
	servers []*http.Server
	wg      sync.WaitGroup
	stopRun context.CancelFunc
	ran     chan struct{}
	// lossy: the test makes a scrape panic, which loses what its table held of the dictionary.
	lossy  bool
	farmed map[string]*exporter // by farm
}

// newWorld returns a world without jobs. Its cleanup stops everything, and checks that nothing is left.
func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	w := &world{
		t: t, net: &memnet.Network{}, dict: o.Dict, sink: &recorder{},
		reg: prometheus.NewRegistry(), log: &logBuffer{}, dialect: o.Dialect,
	}
	if w.dict == nil {
		w.dict = labelcompress.New(labelcompress.Options{})
	}
	o.Pool = bufpooltest.New(t)
	if o.Sink == nil {
		o.Sink = w.sink
	}
	if o.DialContext == nil {
		o.DialContext = w.net.DialContext
	}
	o.Dict, o.Metrics = w.dict, NewMetrics(w.reg)
	o.Logger = slog.New(slog.NewTextHandler(w.log, nil))
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.m = m
	t.Cleanup(func() {
		w.stop()
		if err := m.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		for _, s := range w.servers {
			_ = s.Close()
		}
		w.wg.Wait()
		if st := w.dict.Stats(); (st.Items != 0 && !w.lossy) || st.Misuses != 0 {
			t.Errorf("after Close the dictionary holds %d labels, and saw %d misuses", st.Items, st.Misuses)
		}
		if got := m.Bytes(); got != 0 {
			t.Errorf("after Close Bytes() = %d, want 0", got)
		}
	})
	return w
}

// bubble runs f with a world whose clock moves when everybody waits.
func bubble(t *testing.T, o Options, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newWorld(t, o)) })
}

// bothDialects is bubble for each dialect.
func bothDialects(t *testing.T, f func(w *world)) {
	t.Helper()
	for _, d := range []config.Dialect{config.VMAgent, config.Prometheus} {
		t.Run(d.String(), func(t *testing.T) { bubble(t, Options{Dialect: d}, f) })
	}
}

// serve starts a server of h at addr.
func (w *world) serve(addr string, h http.Handler) {
	w.t.Helper()
	l, err := w.net.Listen(addr)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	w.servers = append(w.servers, s)
	w.wg.Go(func() { _ = s.Serve(l) })
}

// parse reads a configuration.
func (w *world) parse(text string) *config.Config {
	w.t.Helper()
	cfg, err := config.Parse([]byte(text), config.Options{Dialect: w.dialect})
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

// apply brings the Manager to a configuration, whose jobs have static targets.
func (w *world) apply(text string) {
	w.t.Helper()
	if err := w.tryApply(text); err != nil {
		w.t.Fatalf("Apply = %v", err)
	}
}

func (w *world) tryApply(text string) error {
	w.t.Helper()
	return w.m.Apply(w.parse(text), w.discover)
}

// discover is discovery without anything to discover.
func (w *world) discover(jobs []*config.Job) error {
	for _, j := range jobs {
		var groups []*discovery.Group
		for i, s := range j.Static {
			groups = append(groups, group(fmt.Sprint("static/0/", i), s.Labels, s.Targets...))
		}
		w.m.SetGroups(j.Name, groups)
	}
	return nil
}

func group(source string, labels []relabel.Label, addresses ...string) *discovery.Group {
	g := &discovery.Group{Source: source, Labels: labels}
	for _, a := range addresses {
		g.Targets = append(g.Targets, []relabel.Label{{Name: addressLabel, Value: a}})
	}
	return g
}

// run starts the Manager.
func (w *world) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.stopRun, w.ran = cancel, make(chan struct{})
	w.wg.Go(func() {
		defer close(w.ran)
		if err := w.m.Run(ctx); err != nil {
			w.t.Errorf("Run = %v", err)
		}
	})
}

// stop ends Run, if it runs.
func (w *world) stop() {
	if w.stopRun != nil {
		w.stopRun()
		<-w.ran
		w.stopRun = nil
	}
}

// pass lets time pass, and returns what was sent meanwhile. In bubbles only.
func (w *world) pass(d time.Duration) []sample {
	time.Sleep(d)
	synctest.Wait()
	return w.sink.take()
}

// goroutinesHere counts the goroutines of the bubble. The runtime's own come and go.
func goroutinesHere() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte(", synctest bubble"))
}

// scrapeNow scrapes all targets once, one after the other, without Run.
func (w *world) scrapeNow() []sample {
	w.t.Helper()
	w.m.mu.Lock()
	var todo []*target
	for _, j := range w.m.jobs {
		for _, t := range j.targets {
			todo = append(todo, t)
		}
	}
	w.m.mu.Unlock()
	for _, t := range todo {
		now := time.Now()
		w.m.running.Add(1)
		w.m.begin(newTurn(t, now, now))
		w.m.running.Wait()
	}
	return w.sink.take()
}

// only returns the status of the one target that there is.
func (w *world) only() TargetStatus {
	w.t.Helper()
	s := w.m.Snapshot()
	if len(s.Targets) != 1 {
		w.t.Fatalf("%d targets, want 1; dropped: %+v", len(s.Targets), w.dropped())
	}
	return s.Targets[0]
}

// dropped are the dropped targets of all jobs, as pages show them.
func (w *world) dropped() (all []DroppedStatus) {
	for _, j := range w.m.Snapshot().Dropped {
		all = slices.AppendSeq(all, j.Each)
	}
	return all
}

// metric adds up the values of a metric, over all label sets or those with the given label value.
func (w *world) metric(name string, value ...string) float64 {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if len(value) > 0 && l.GetValue() != value[0] {
					m = nil
					break
				}
			}
			sum, found = sum+m.GetCounter().GetValue()+m.GetGauge().GetValue(), true
		}
	}
	if !found {
		w.t.Fatalf("there is no metric %s", name)
	}
	return sum
}

// sample is one row that was sent.
type sample struct {
	name   string // with all labels but instance and job
	full   string // with all labels
	value  float64
	ts     int64
	timed  bool
	slot   uint64
	commit int // its number
	inline bool
}

func (s sample) String() string {
	if batch.IsStale(s.value) {
		return s.name + " stale"
	}
	return fmt.Sprintf("%s %v", s.name, s.value)
}

// recorder is a Sink.
type recorder struct {
	mu      sync.Mutex
	samples []sample
	// families are rows of metadata as text, each with the name of the sample which follows.
	families []string
	special  []string // histograms and exemplars as text
	commits  int
	// before is called with each batch, if set.
	before func(*batch.Batch)
	// panicAt is a slot whose batches make it panic.
	panicAt uint64
}

func (r *recorder) Commit(b *batch.Batch) (d batch.Dropped) {
	if r.before != nil {
		r.before(b)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.panicAt != 0 && b.Slot == r.panicAt {
		panic("panic in the sink")
	}
	r.commits++
	dict := b.Sets.Dict()
	var refs []labelcompress.Ref
	var wire []byte
	family := ""
	for c := b.Cursor(); c.Next(); {
		if c.Kind == batch.KindMetadata {
			m := c.Metadata()
			family = fmt.Sprintf("%s %s %q %q", m.Family, metadataTypes[m.Type], m.Unit, m.Help)
			continue
		}
		s := sample{value: c.Value, ts: c.TimestampMillis, timed: c.Timed, slot: b.Slot, commit: r.commits}
		if s.inline = c.Labels != nil; s.inline {
			wire = c.Labels
		} else {
			refs = c.AppendLabels(refs[:0])
			wire = dict.AppendWire(wire[:0], refs)
		}
		var short, all []string
		metric, last := "", ""
		for rest := wire; len(rest) > 0; {
			var name, value []byte
			name, value, rest = labelcompress.SplitLabel(rest)
			if last != "" && last >= string(name) {
				panic(fmt.Sprintf("labels %q and %q are out of order", last, name))
			}
			last = string(name)
			l := fmt.Sprintf("%s=%q", name, value)
			switch string(name) {
			case "__name__":
				metric = string(value)
				continue
			case "instance", "job":
			default:
				short = append(short, l)
			}
			all = append(all, l)
		}
		s.name, s.full = metric+braces(short), metric+braces(all)
		if c.Kind != batch.KindSample {
			r.special = append(r.special, describe(c, s.name))
			continue
		}
		if family != "" {
			r.families = append(r.families, family+" before "+metric)
			family = ""
		}
		r.samples = append(r.samples, s)
	}
	return d
}

func braces(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	return "{" + strings.Join(labels, ",") + "}"
}

// take returns the samples since the last call.
func (r *recorder) take() []sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.samples
	r.samples = nil
	return s
}

// takeFamilies returns the metadata since the last call.
func (r *recorder) takeFamilies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.families
	r.families = nil
	return f
}

// takeSpecial returns the histograms and exemplars since the last call.
func (r *recorder) takeSpecial() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.special
	r.special = nil
	return s
}

// labelsText writes labels in the form of a batch.
func labelsText(wire []byte) string {
	var all []string
	for len(wire) > 0 {
		var name, value []byte
		name, value, wire = labelcompress.SplitLabel(wire)
		all = append(all, fmt.Sprintf("%s=%q", name, value))
	}
	return braces(all)
}

// own returns samples as text, sorted, without those of automatic series.
func own(samples []sample) []string {
	got := []string{}
	for _, s := range samples {
		if !isAuto(s.name) {
			got = append(got, s.String())
		}
	}
	slices.Sort(got)
	return got
}

// auto returns automatic samples as text, in order, but for the duration.
func auto(samples []sample) []string {
	got := []string{}
	for _, s := range samples {
		if isAuto(s.name) && (!strings.HasPrefix(s.name, "scrape_duration_seconds") || batch.IsStale(s.value)) {
			got = append(got, s.String())
		}
	}
	return got
}

func isAuto(name string) bool {
	name, _, _ = strings.Cut(name, "{")
	return slices.Contains(autoNames[:], name)
}

// value returns the value of the one sample with that name, NaN if there is none.
func value(samples []sample, name string) float64 {
	for _, s := range samples {
		if s.name == name {
			return s.value
		}
	}
	return math.NaN()
}

// wantSamples compares what was sent, automatic series aside.
func wantSamples(t *testing.T, when string, got []sample, want ...string) {
	t.Helper()
	slices.Sort(want)
	if g := own(got); !slices.Equal(g, want) {
		t.Errorf("%s:\n got %q\nwant %q", when, g, want)
	}
}

// exporter is a target whose answer can be changed.
type exporter struct {
	mu       sync.Mutex
	text     string
	status   int
	requests int
	remotes  map[string]bool // the addresses of its clients' connections
	header   http.Header     // of the last request
}

func (e *exporter) set(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.text, e.status = text, http.StatusOK
}

func (e *exporter) fail(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

// connections is how many connections its clients made.
func (e *exporter) connections() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.remotes)
}

func (e *exporter) served() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests
}

func (e *exporter) ServeHTTP(rw http.ResponseWriter, rq *http.Request) {
	e.mu.Lock()
	text, status := e.text, e.status
	e.requests++
	e.header = rq.Header.Clone()
	if e.remotes == nil {
		e.remotes = make(map[string]bool)
	}
	e.remotes[rq.RemoteAddr] = true
	e.mu.Unlock()
	rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	if status != 0 {
		rw.WriteHeader(status)
	}
	_, _ = rw.Write([]byte(text))
}

// export serves text at addr.
func (w *world) export(addr, text string) *exporter {
	w.t.Helper()
	e := &exporter{text: text}
	w.serve(addr, e)
	return e
}

// logBuffer keeps the log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// blackHole is where nobody answers: a dial waits until it is cancelled.
const blackHole = "black.hole:1"

// dialOrWait is the network, and a black hole in it.
func (w *world) dialOrWait(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == blackHole {
		<-ctx.Done()
		return nil, errors.New("nobody answers")
	}
	return w.net.DialContext(ctx, network, addr)
}
