package scrape

import (
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"scraper/batch"
	"scraper/config"
	"scraper/discovery"
	"scraper/internal/slack"
	"scraper/snapshots"
	"scraper/transport"
)

// Manager holds the targets of all jobs, and scrapes them.
type Manager struct {
	opts     Options
	log      *slog.Logger
	metrics  *Metrics
	seed     maphash.Seed
	workers  workers
	heavy    chan struct{} // held by the heavy scrape which is being read
	idle     chan *worker
	decoders *decoders
	readers  transport.Readers
	parking  transport.Parking
	spool    *batch.Spool
	wake     chan struct{}
	running  sync.WaitGroup
	// oldJobs and oldTargets follow what was replaced, or is gone.
	oldJobs    *snapshots.Kind[jobState]
	oldTargets *snapshots.Kind[target]
	// tableBytes is what the tables of all targets took after their last scrapes.
	tableBytes atomic.Int64

	// applyMu is held by Apply, which gives syncMu away while it calls discovery.
	applyMu sync.Mutex

	// syncMu is held while targets come and go, so that one change follows the other.
	syncMu sync.Mutex
	nextID uint64
	hold   bool // SetGroups only keeps what it is given

	mu   sync.Mutex
	jobs []*job // in the order of the configuration
	due  schedule
	// stopping: Run is about to return.
	stopping bool
	// swept is when idle connections were looked at last.
	swept time.Time
	short shortage

	// admittedMu is taken last.
	admittedMu sync.Mutex
	admitted   []admitted // those which were called, and are to be started
}

// job is one scrape job. Its fields change under both Manager.syncMu and Manager.mu, and may be read under either.
type job struct {
	state   *jobState
	groups  []*discovery.Group
	dirty   bool // its targets are to be made anew
	targets map[specKey]*target
	most    int // targets that it once had
	dropped droppedTargets
}

// New returns a Manager without jobs. It starts nothing.
func New(o Options) (*Manager, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("scrape: %w", err)
	}
	m := &Manager{
		opts:     o,
		log:      o.Logger,
		metrics:  o.Metrics,
		seed:     maphash.MakeSeed(),
		workers:  make(workers, o.Workers),
		heavy:    make(chan struct{}, 1),
		idle:     make(chan *worker, o.Workers),
		decoders: newDecoders(o.Workers),
		spool:    batch.NewSpool(batch.SpoolOptions{Dir: o.SpoolDir, MaxBatchBytes: o.MaxBatchBytes, MaxBytes: o.MaxSpoolBytes, Logger: o.Logger}),
		wake:     make(chan struct{}, 1),
		short: shortage{
			held:    make(map[*target]struct{}),
			skipped: map[SkipReason]uint64{SkipShed: 0, SkipNew: 0, SkipWaiting: 0},
		},
	}
	m.oldJobs = snapshots.NewKind(o.Snapshots, "job", m.holdersOfJobs)
	m.oldTargets = snapshots.NewKind[target](o.Snapshots, "target", nil)
	return m, nil
}

// Apply brings the jobs to those of cfg. It calls discover, which is to hand the groups of every job whose groups differ
// to SetGroups before it returns, and then changes only the targets that differ: all others keep their schedule, their
// connection and their series. On an error nothing has changed. Discover must not call Apply, Check or Close.
func (m *Manager) Apply(cfg *config.Config, discover func([]*config.Job) error) error {
	m.applyMu.Lock()
	defer m.applyMu.Unlock()
	m.syncMu.Lock()
	defer m.syncMu.Unlock()
	states, err := m.newStates(cfg)
	if err != nil {
		m.closeUnused(states)
		return err
	}
	m.mu.Lock()
	former, before := m.jobs, slices.Clone(m.jobs)
	m.jobs = nil
	for _, st := range states {
		i := slices.IndexFunc(former, func(j *job) bool { return j.state.cfg.Name == st.cfg.Name })
		if i < 0 {
			m.jobs = append(m.jobs, &job{state: st, dirty: true, targets: make(map[specKey]*target)})
			continue
		}
		j := former[i]
		former = slices.Delete(former, i, i+1)
		if j.state != st {
			j.dirty = true
		}
		m.jobs = append(m.jobs, j)
	}
	m.hold = true
	m.mu.Unlock()
	m.syncMu.Unlock() // discovery calls SetGroups
	derr := discover(cfg.Jobs)
	m.syncMu.Lock()
	m.hold = false
	if derr != nil {
		m.mu.Lock()
		m.jobs = before
		m.mu.Unlock()
		for _, j := range m.jobs {
			if j.dirty {
				m.sync(j, j.state)
			}
		}
		m.closeUnused(states)
		return derr
	}
	for _, j := range former {
		m.removeJob(j)
	}
	for i, j := range m.jobs {
		if j.dirty {
			m.sync(j, states[i])
		}
	}
	return nil
}

// closeUnused closes the clients of states which no job has. The caller holds syncMu.
func (m *Manager) closeUnused(states []*jobState) {
	for _, st := range states {
		if j := m.job(st.cfg.Name); j == nil || j.state.client != st.client {
			st.client.close()
		}
	}
}

// newStates returns a state per job: the present one where nothing differs.
func (m *Manager) newStates(cfg *config.Config) ([]*jobState, error) {
	var states []*jobState
	var errs []error
	for _, c := range cfg.Jobs {
		st, err := m.newState(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("job %q: %w", c.Name, err))
			continue
		}
		states = append(states, st)
	}
	return states, errors.Join(errs...)
}

func (m *Manager) newState(c *config.Job) (*jobState, error) {
	st := &jobState{cfg: c, accept: acceptOf(c.Formats)}
	if j := m.job(c.Name); j != nil {
		old := j.state
		diff := old.cfg.Diff(c)
		if diff.Same() {
			return old, nil
		}
		st.sampleRules, st.external = old.sampleRules, old.external
		if !diff.SameSampleRules || !sameChecks(old.cfg, c) {
			st.sampleRules++
		}
		if !slices.Equal(old.cfg.ExternalLabels, c.ExternalLabels) {
			st.external++
		}
		if diff.SameHTTP {
			st.client = old.client
			return st, nil
		}
	}
	var err error
	st.client, err = newJobClient(c.HTTP, clientOptions{m.opts.DialContext, m.opts.Pool, &m.readers, &m.parking, c.HTTP2})
	return st, err
}

// job returns the job of that name, nil if there is none. The caller holds syncMu or mu.
func (m *Manager) job(name string) *job {
	for _, j := range m.jobs {
		if j.state.cfg.Name == name {
			return j
		}
	}
	return nil
}

// SetGroups takes the complete groups of a job, and brings its targets to them. It keeps groups; the caller must not
// change them. Groups of an unknown job are ignored.
func (m *Manager) SetGroups(name string, groups []*discovery.Group) {
	m.syncMu.Lock()
	defer m.syncMu.Unlock()
	j := m.job(name)
	if j == nil {
		return
	}
	j.groups, j.dirty = groups, true
	if !m.hold {
		m.sync(j, j.state)
	}
}

// removeJob ends all targets of a job which is not configured any longer.
func (m *Manager) removeJob(j *job) {
	gone := make([]*target, 0, len(j.targets))
	for _, t := range j.targets {
		gone = append(gone, t)
	}
	m.end(gone)
	j.state.client.close()
	m.oldJobs.Superseded(j.state)
	m.metrics.targets.DeleteLabelValues(j.state.cfg.Name)
	m.metrics.dropped.DeleteLabelValues(j.state.cfg.Name)
}

// sync makes the targets of a job anew from its groups, under the configuration st, and replaces those that differ.
func (m *Manager) sync(j *job, st *jobState) {
	specs, dropped := m.specs(j, st)
	var gone, come []*target
	now := time.Now()
	m.mu.Lock()
	former := j.state
	j.state, j.dirty, j.dropped = st, false, dropped
	for key, t := range j.targets {
		if _, ok := specs[key]; !ok {
			gone = append(gone, t)
			delete(j.targets, key)
		}
	}
	for key, s := range specs {
		t, ok := j.targets[key]
		if !ok {
			m.nextID++
			t = &target{
				id: m.nextID, spec: s, slot: slotOf(st.cfg.Name, s.url+s.socket), heapIndex: -1, state: st,
				interval: s.interval, timeout: s.timeout, sampleRules: st.sampleRules, external: st.external,
			}
			j.targets[key] = t
			come = append(come, t)
			continue
		}
		t.spec.origin, t.spec.histograms = s.origin, s.histograms
		t.state, t.timeout = st, s.timeout
		if t.interval != s.interval {
			t.interval = s.interval
			m.planLocked(t, now)
		}
	}
	j.targets = slack.Map(j.targets, &j.most)
	j.limitTargets()
	m.mu.Unlock()
	longest := st.cfg.ScrapeTimeout
	for _, s := range specs {
		longest = max(longest, s.timeout)
	}
	st.client.connectWithin(longest)

	m.end(gone) // before their successors' first sample
	j.disconnect(gone)

	m.mu.Lock()
	now = time.Now()
	for _, t := range come {
		m.planLocked(t, now)
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	if former != st {
		if former.client != st.client {
			former.client.close()
		}
		m.oldJobs.Superseded(former)
	}
	m.metrics.targets.WithLabelValues(st.cfg.Name).Set(float64(len(j.targets)))
	m.metrics.dropped.WithLabelValues(st.cfg.Name).Set(float64(dropped.n))
}

// specs turns a job's groups into targets by key. Of those which are the same, the first counts.
func (m *Manager) specs(j *job, st *jobState) (specs map[specKey]*spec, dropped droppedTargets) {
	specs = make(map[specKey]*spec)
	shown := maxDropped(st.cfg)
	for _, g := range j.groups {
		for _, own := range g.Targets {
			s, kept, err := newSpec(st.cfg, m.opts.Dialect, origin{group: g.Labels, own: own})
			switch {
			case err != nil:
				m.metrics.syncFailed.Inc()
				dropped.add(s, err.Error(), shown)
				m.log.Warn("target cannot be scraped", "job", st.cfg.Name, "source", g.Source, "err", err)
			case !kept:
				dropped.add(s, "relabeling", shown)
			default:
				key := s.key()
				if _, ok := specs[key]; ok {
					dropped.add(s, "duplicate", shown)
					continue
				}
				specs[key] = s
			}
		}
	}
	return specs, dropped
}

// end stops targets, sends the markers of their series, and forgets them.
func (m *Manager) end(targets []*target) {
	if len(targets) == 0 {
		return
	}
	m.stop(targets)
	b := batch.New(m.opts.Pool)
	for _, t := range targets {
		m.oldTargets.Superseded(t)
		m.tableBytes.Add(-t.result.memory) // nobody scrapes it any longer
		m.metrics.markers.Add(float64(t.endSeries(b, time.Now(), m.opts.Sink, t.state.cfg.TrackTimestampsStaleness)))
	}
}

// Close forgets all targets without a marker. Call it after Run has returned.
func (m *Manager) Close() error {
	m.applyMu.Lock()
	defer m.applyMu.Unlock()
	m.syncMu.Lock()
	defer m.syncMu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		for _, t := range j.targets {
			t.release()
		}
		j.state.client.close()
	}
	m.jobs, m.due = nil, nil
	m.tableBytes.Store(0)
	return m.spool.Close()
}

// Bytes is the memory that the series tables of all targets take, in bytes, without the label dictionary.
func (m *Manager) Bytes() int64 { return m.tableBytes.Load() }

// ConnectionBytes is the memory that idle connections and their read buffers take, in bytes.
func (m *Manager) ConnectionBytes() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.readers.Stats()
	n := r.InUseBytes + r.IdleBytes
	for _, j := range m.jobs {
		n += j.state.client.bytes()
	}
	return n
}

// DecoderBytes is the memory that the decoders of compressed bodies take, in bytes.
func (m *Manager) DecoderBytes() int64 { return m.decoders.bytes() }

// ReleaseDecoders lets go of idle decoders, and returns how many bytes they took.
func (m *Manager) ReleaseDecoders() int64 { return m.decoders.shrink() }

// sweep closes connections which have been idle for long, and lets go of decoders which were, once a minute.
func (m *Manager) sweep(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.swept) < time.Minute {
		return
	}
	m.swept = now
	for _, j := range m.jobs {
		j.state.client.sweep()
	}
	if freed := m.decoders.trim(); freed > 0 {
		m.opts.Released(freed)
	}
}

// Check reports whether Apply would take cfg, without changing anything.
func (m *Manager) Check(cfg *config.Config) error {
	m.applyMu.Lock()
	defer m.applyMu.Unlock()
	m.syncMu.Lock()
	defer m.syncMu.Unlock()
	states, err := m.newStates(cfg)
	m.closeUnused(states)
	return err
}
