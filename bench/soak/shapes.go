package main

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/farm"
	"scraper/bench/proc"
	"scraper/bench/sink"
)

// shape is a load which does not fit into a memory control group, and what surrounds it. Beside its large targets stand
// small ones, which must not suffer.
type shape struct {
	name, about string
	limit       int64
	large       int // targets
	interval    time.Duration
	source      func(s *shaped, i int) body.Source
	target      func(t *farm.Target) // makes a large one what it is beside its text
	args, env   []string
	endpoint    sink.Options
	second      bool // there are two endpoints
	tls         bool
	// course is what happens; nil: nothing for some intervals.
	course func(ctx context.Context, s *shaped) error
	// fall makes the load fit; nil: all but one in twenty of the large targets go.
	fall  func(ctx context.Context, s *shaped) error
	lossy bool // the small ones may lose samples: what is lost is counted
}

// shaped is a shape which is being tried.
type shaped struct {
	shape
	*rig
	parts  *atomic.Int64 // of a hundred, of large bodies
	job    *agent.Job    // of the large targets
	small  []*farm.Target
	big    []*farm.Target
	others []*sink.Sink
}

func plainOf(series int) func(*shaped, int) body.Source {
	return func(_ *shaped, i int) body.Source { return body.NewPlain(body.Plain{Target: i, Series: series}) }
}

func sizedOf(series int) func(*shaped, int) body.Source {
	return func(s *shaped, i int) body.Source { return newSized(i, series, s.parts) }
}

func zipped(t *farm.Target) { t.Gzip = true }

// shapes are all shapes.
func shapes() []shape {
	always := new(atomic.Bool)
	always.Store(true)
	churn := func(share int) func(*shaped, int) body.Source {
		return func(_ *shaped, i int) body.Source { return newChurning(i, 5000, share, always) }
	}
	all := []shape{
		{name: "cadvisor", about: "timestamps of their own", limit: 64, large: 200, source: func(_ *shaped, i int) body.Source { return body.NewCAdvisor(podsOf(i, 20)) }},
		{name: "cadvisor-gzip", about: "the same, gzip", limit: 64, large: 200, target: zipped, source: func(_ *shaped, i int) body.Source { return body.NewCAdvisor(podsOf(i, 20)) }},
		{name: "help", about: "histograms with help texts of 2 KiB", limit: 64, large: 200, source: func(_ *shaped, i int) body.Source { return newHelpful(i, 200) }},
		{name: "long", about: "labels of 300 bytes", limit: 64, large: 200, source: func(_ *shaped, i int) body.Source { return newLong(i, 1000) }},
		{name: "protobuf", about: "protocol buffers", limit: 64, large: 200, source: func(_ *shaped, i int) body.Source { return newProtobuf(i, 5000) },
			target: func(t *farm.Target) { t.ContentType = protobufType }},
		{name: "openmetrics", about: "OpenMetrics", limit: 64, large: 200, source: func(_ *shaped, i int) body.Source { return body.NewApplication(i, 5000, false) },
			target: func(t *farm.Target) { t.OpenMetrics = body.NewApplication(int(t.Period.Nanoseconds()), 5000, true) }},
		{name: "gzip", about: "gzip", limit: 64, large: 200, source: plainOf(5000), target: zipped},
		{name: "huge", about: "one target of 500,000 series", limit: 48, large: 1, interval: 30 * time.Second, source: sizedOf(500_000), fall: shrink(2)},
		{name: "vast", about: "one target of 2,000,000 series", limit: 64, large: 1, interval: 30 * time.Second, source: sizedOf(2_000_000), fall: shrink(1)},
		{name: "vast-gzip", about: "one target of 2,000,000 series, gzip", limit: 64, large: 1, interval: 30 * time.Second, source: sizedOf(2_000_000), target: zipped, fall: shrink(1)},
		{name: "many", about: "2,000 targets of 500 series", limit: 48, large: 2000, source: plainOf(500)},
		{name: "churn20", about: "a fifth of the series new each time", limit: 48, large: 100, source: churn(5)},
		{name: "churn100", about: "all series new each time", limit: 48, large: 100, source: churn(1)},
		{name: "steps", about: "more and more targets", limit: 64, large: 0, source: plainOf(5000), course: steps},
		{name: "grow", about: "bodies which grow", limit: 64, large: 200, source: sizedOf(5000), course: grow, fall: shrink(10)},
		{name: "flap", about: "a load which comes and goes", limit: 64, large: 200, source: plainOf(5000), course: flap},
		{name: "slow", about: "an endpoint which takes a second", limit: 64, large: 200, source: plainOf(5000), endpoint: sink.Options{Delay: time.Second}},
		{name: "outage", about: "an endpoint which is away for a while", limit: 64, large: 200, source: plainOf(5000), course: outageCourse},
		{name: "away", about: "an endpoint which is away from the start", limit: 64, large: 200, source: plainOf(5000), course: away},
		{name: "two", about: "two endpoints", limit: 64, large: 200, source: plainOf(5000), second: true},
		{name: "v2", about: "remote write 2.0", limit: 64, large: 200, source: plainOf(5000), endpoint: sink.Options{Version2: true}, args: []string{"-remoteWrite.protocol=2.0"}},
		{name: "snappy", about: "remote write 1.0", limit: 64, large: 200, source: plainOf(5000), args: []string{"-remoteWrite.protocol=1.0"}},
		{name: "second", about: "each second", limit: 64, large: 200, interval: time.Second, source: plainOf(5000)},
		{name: "minute", about: "each minute", limit: 64, large: 200, interval: time.Minute, source: plainOf(5000)},
		{name: "gomemlimit", about: "GOMEMLIMIT of nine tenths", limit: 64, large: 200, source: plainOf(5000), env: []string{"GOMEMLIMIT=57MiB"}},
		{name: "gogc", about: "GOGC=100", limit: 64, large: 200, source: plainOf(5000), env: []string{"GOGC=100"}},
		{name: "memory-queue", about: "no queue on disk, slow endpoint", limit: 64, large: 200, source: plainOf(5000), args: []string{"-remoteWrite.disableOnDiskQueue"},
			endpoint: sink.Options{Delay: time.Second}, lossy: true},
		{name: "memory-outage", about: "no queue on disk, endpoint away for a while", limit: 64, large: 200, source: plainOf(5000), args: []string{"-remoteWrite.disableOnDiskQueue"},
			course: outageCourse, lossy: true},
		{name: "prometheus", about: "Prometheus' dialect", limit: 64, large: 200, source: plainOf(5000), args: []string{"-promscrape.dialect=prometheus"}},
		{name: "tls", about: "TLS, with a load of targets", limit: 64, large: 200, source: plainOf(5000), tls: true},
		{name: "tls-many", about: "2,000 small TLS targets", limit: 64, large: 2000, source: plainOf(200), tls: true},
	}
	for i := range all {
		if all[i].interval == 0 {
			all[i].interval = 10 * time.Second
		}
	}
	return all
}

// usualShape is the one which the medium and the long form try beside plain series.
const usualShape = "long"

// shapesOf returns the shapes of a list of names, which may say another limit: huge@96.
func shapesOf(names string) ([]shape, error) {
	var chosen []shape
	for name := range strings.SplitSeq(names, ",") {
		name, size, other := strings.Cut(name, "@")
		all := shapes()
		i := slices.IndexFunc(all, func(s shape) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no shape %q", name)
		}
		if other {
			n, err := strconv.ParseInt(size, 10, 64)
			if err != nil || n <= 0 {
				return nil, fmt.Errorf("shape %s: the limit %q is no number of MiB", name, size)
			}
			all[i].limit = n
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// steps adds targets until there are 300.
func steps(ctx context.Context, s *shaped) error {
	for range 6 {
		if err := s.grow(ctx, 50); err != nil {
			return err
		}
		if err := s.wait(ctx, 2*s.interval); err != nil {
			return err
		}
	}
	return nil
}

// grow lets bodies grow from a tenth.
func grow(ctx context.Context, s *shaped) error {
	for parts := int64(10); parts <= 100; parts += 15 {
		s.parts.Store(parts)
		if err := s.wait(ctx, s.interval); err != nil {
			return err
		}
	}
	return nil
}

// shrink makes the large bodies so many parts of a hundred of what they were.
func shrink(parts int64) func(context.Context, *shaped) error {
	return func(_ context.Context, s *shaped) error {
		s.parts.Store(parts)
		return nil
	}
}

// flap takes most of the load away, and lets it come back, each 40 s.
func flap(ctx context.Context, s *shaped) error {
	all := s.job.Groups
	for i := range 7 {
		s.job.Groups = all
		if i%2 == 1 {
			s.job.Groups = all[:len(all)/20]
		}
		if err := s.config.WriteTargets(*s.job); err != nil {
			return err
		}
		if err := s.wait(ctx, 4*s.interval); err != nil {
			return err
		}
	}
	return nil
}

func outageCourse(ctx context.Context, s *shaped) error {
	if err := s.wait(ctx, 2*s.interval); err != nil {
		return err
	}
	s.sink.SetDown(true)
	if err := s.wait(ctx, 6*s.interval); err != nil {
		return err
	}
	s.sink.SetDown(false)
	return s.wait(ctx, 3*s.interval)
}

func away(ctx context.Context, s *shaped) error {
	if err := s.wait(ctx, 9*s.interval); err != nil {
		return err
	}
	s.sink.SetDown(false)
	return s.wait(ctx, 2*s.interval)
}

// shapedRig makes the rig of a shape in so many MiB; 0: without a group.
func (t *trial) shapedRig(ctx context.Context, of shape, size int64) (s *shaped, err error) {
	s = &shaped{shape: of, parts: new(atomic.Int64)}
	s.parts.Store(100)
	if s.rig, err = t.rig(ctx, rigOptions{limit: size << 20, args: of.args, env: of.env}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	_ = s.sink.Close()
	of.endpoint.PerSeries, of.endpoint.MaxSeries = true, 1<<24
	if s.sink, err = sink.Start(ctx, of.endpoint); err != nil {
		return nil, err
	}
	s.config.WriteURL = s.sink.URL()
	if of.name == "away" {
		s.sink.SetDown(true)
	}
	if of.second {
		other, err := sink.Start(ctx, of.endpoint)
		if err != nil {
			return nil, err
		}
		s.others = append(s.others, other)
		s.config.Args = append(slices.Clone(s.config.Args), "-remoteWrite.url="+other.URL())
	}
	if of.tls {
		cert, err := sink.NewCertificate()
		if err != nil {
			return nil, err
		}
		s.farm = farm.New(farm.Options{TLS: cert.Config()})
		s.config.CAFile, s.config.ServerName = filepath.Join(s.config.Dir, "ca.pem"), sink.ServerName
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Config().Certificates[0].Certificate[0]})
		if err := os.WriteFile(s.config.CAFile, block, 0o644); err != nil {
			return nil, err
		}
	}
	if s.small, err = s.add(ctx, smallTargets, of.interval, plain(1_000_000, smallSeries)); err != nil {
		return nil, err
	}
	big := job("big", of.interval, nil)
	big.Watched, big.TLS = true, of.tls
	s.config.Jobs = append(s.config.Jobs, job("small", of.interval, s.small), big)
	s.job = &s.config.Jobs[1]
	return s, s.grow(ctx, of.large)
}

func (s *shaped) close() {
	s.rig.close()
	for _, o := range s.others {
		_ = o.Close()
	}
}

// grow adds large targets.
func (s *shaped) grow(ctx context.Context, n int) error {
	from := len(s.big)
	for i := range n {
		t := &farm.Target{Source: s.source(s, from+i), Period: s.interval, TLS: s.tls}
		if s.target != nil {
			s.target(t)
		}
		if err := s.farm.Add(ctx, t); err != nil {
			return err
		}
		s.big = append(s.big, t)
	}
	s.job.Groups = job("big", s.interval, s.big).Groups
	return s.config.WriteTargets(*s.job)
}

// states counts what the agent says of its targets.
func (r *rig) states() (up int, why map[string]int, err error) {
	text, err := r.get(http.MethodGet, "/api/v1/targets")
	if err != nil {
		return 0, nil, err
	}
	var page struct {
		Data struct {
			ActiveTargets []struct {
				Health, LastError string
				HeldBack          *struct{ Reason string }
			}
		}
	}
	if err := json.Unmarshal(text, &page); err != nil {
		return 0, nil, err
	}
	why = make(map[string]int)
	for _, x := range page.Data.ActiveTargets {
		said := x.LastError
		if len(said) > 60 {
			said = said[:60]
		}
		said = strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return -1
			}
			return r
		}, said)
		if x.HeldBack != nil {
			said = "held: " + x.HeldBack.Reason
		}
		if x.Health == "up" && x.HeldBack == nil {
			up++
			continue
		}
		why[x.Health+" "+said]++
	}
	return up, why, nil
}

// try tries a shape.
func (t *trial) try(ctx context.Context, of shape) error {
	cpu, err := t.tryIn(ctx, of, of.limit)
	if err != nil || t.form != long {
		return err
	}
	free, err := t.tryIn(ctx, of, 0)
	if err != nil {
		return err
	}
	t.figure("%s: CPU %.1f s in %d MiB, %.1f s without a limit", of.name, cpu.Seconds(), of.limit, free.Seconds())
	t.wantAtMost(of.name+": CPU", cpu.Seconds(), 2*free.Seconds(), "s")
	return nil
}

func (t *trial) tryIn(ctx context.Context, of shape, size int64) (cpu time.Duration, err error) {
	s, err := t.shapedRig(ctx, of, size)
	if err != nil {
		return 0, err
	}
	defer s.close()
	begun := time.Now()
	if err := s.start(); err != nil {
		return 0, err
	}
	name := fmt.Sprintf("%s in %d MiB", of.name, size)
	if of.course == nil {
		of.course = func(ctx context.Context, s *shaped) error {
			return s.wait(ctx, pick[time.Duration](t.form, 3, 6, 8)*max(s.interval, 5*time.Second))
		}
	}
	err = of.course(ctx, s)
	if size == 0 {
		if err != nil {
			return 0, err
		}
		return proc.CPU(s.process.PID())
	}
	_, anon, _, set := s.samples.Between(begun, time.Now())
	if err != nil {
		t.wantAlive(s.rig, name)
		return 0, fmt.Errorf("at most %.1f MiB resident, working set %.1f: %w", mib(anon), mib(set), err)
	}
	if cpu, err = proc.CPU(s.process.PID()); err != nil {
		return 0, err
	}
	m, err := s.metrics()
	if err != nil {
		return 0, err
	}
	said, _ := m.shed()
	up, why, err := s.states()
	if err != nil {
		return 0, err
	}
	t.figure("%s: %d of %d up (%v); at most %.1f MiB resident, working set %.1f; %s", name, up, len(s.small)+len(s.big), why, mib(anon), mib(set), strings.Join(said, ", "))
	t.onTime(name+": small targets", s.small, begun.Add(s.interval), s.interval)
	s.addsUp()
	t.wantAlive(s.rig, name)
	// The load goes.
	if err := s.falls(ctx, name); err != nil {
		return 0, err
	}
	if err := s.quiet(ctx, 5*time.Minute); err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	s.balances(name)
	t.wantAlive(s.rig, name+", at the end")
	if took := s.process.Stop(10 * time.Second); took >= 10*time.Second {
		return 0, errors.New("the agent did not end within 10 s of SIGTERM")
	}
	return cpu, nil
}

// falls makes the load fit, and wants all targets to be scraped soon.
func (s *shaped) falls(ctx context.Context, name string) error {
	fall := s.shape.fall
	if fall == nil {
		fall = func(context.Context, *shaped) error {
			s.job.Groups = s.job.Groups[:max(1, len(s.job.Groups)/20)]
			return s.config.WriteTargets(*s.job)
		}
	}
	if err := fall(ctx, s); err != nil {
		return err
	}
	begun := time.Now()
	var up int
	var why map[string]int
	var all time.Duration
	const most = 4 * time.Minute
	for time.Since(begun) < most {
		if err := s.wait(ctx, time.Second); err != nil {
			return err
		}
		var err error
		if up, why, err = s.states(); err != nil {
			return err
		}
		if up == len(s.small)+len(s.job.Groups) && len(why) == 0 {
			if all == 0 {
				all = time.Since(begun)
			}
			if m, err := s.metrics(); err == nil && m["scraper_memlimit_level"] == 0 {
				break
			}
		}
	}
	s.t.figure("%s: after the load fell, all up after %.0f s, normal after %.0f s (%d up, %v)", name, all.Seconds(), time.Since(begun).Seconds(), up, why)
	s.t.want(all > 0, "%s: %v after the load fell, %d targets are up, and %v", name, most, up, why)
	s.t.wantAtMost(name+": all targets up after the load fell", all.Seconds(), (90*time.Second + 2*s.interval).Seconds(), "s")
	return nil
}

// balances compares what was served, what the agent says, and what arrived.
func (s *shaped) balances(name string) {
	t := s.t
	m, err := s.metrics()
	if err != nil {
		t.want(false, "%s: %v", name, err)
		return
	}
	_, served := s.farm.Served()
	read, failed := m["scraper_scrape_samples_read_total"], m[`scraper_scrape_samples_dropped_total{reason="failed_scrape"}`]
	committed, down := m["scraper_scrape_samples_committed_total"], m[`scraper_scrape_scrapes_total{result="down"}`]
	acked, lost := m.sum("scraper_remotewrite_acknowledged_samples_total"), m.sum("scraper_remotewrite_dropped_samples_total")+m.sum("scraper_remotewrite_refused_samples_total")
	arrived := s.sink.Counts().Samples
	for _, o := range s.others {
		arrived += o.Counts().Samples
	}
	most := 0
	for _, b := range s.big {
		most = max(most, b.Source.Samples())
	}
	if s.parts.Load() != 100 {
		most = most * 100 / int(s.parts.Load())
	}
	good := read - failed // of good scrapes
	t.figure("%s: %d samples served, %.0f of good scrapes, %.0f scrapes failed; %.0f committed; %.0f acknowledged, %d arrived, %.0f lost after the commit", name, served, good, down, committed, acked, arrived, lost)
	// Scrapes of targets which just go are given up, and count nowhere.
	t.want(good <= float64(served) && float64(served)-good <= (down+float64(len(s.big)/20+1))*float64(most), "%s: %d samples were served, %.0f are of good scrapes, and %.0f failed", name, served, good, down)
	t.want(float64(arrived) >= acked, "%s: %.0f samples are acknowledged, %d arrived", name, acked, arrived)
	got := s.missing("small", s.small)
	t.want((got.Missing == 0 || s.lossy) && got.Doubles == 0, "%s: of the small targets' samples %d are missing, %d came twice", name, got.Missing, got.Doubles)
}

// tryAll tries the shapes which were asked for.
func (t *trial) tryAll(ctx context.Context) error {
	chosen, err := shapesOf(cmp.Or(t.shapes, usualShape))
	if err != nil {
		return err
	}
	for _, s := range chosen {
		if err := t.try(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}
