package discovery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"scraper/config"
	"scraper/snapshots"
)

// Apply replaces the set of jobs. It reads the sections which are new, and calls OnUpdate for every job whose groups
// change by it, before it returns. Providers that no job has any more are stopped. It fails, changing nothing, when two
// jobs have the same name. The jobs are borrowed, and must not change afterwards either: they are immutable.
func (d *Discovery) Apply(jobs []*config.Job) error {
	seen := make(map[string]bool, len(jobs))
	for _, c := range jobs {
		if seen[c.Name] {
			return fmt.Errorf("discovery: apply: two jobs have the name %q", c.Name)
		}
		seen[c.Name] = true
	}

	d.applyMu.Lock()
	defer d.applyMu.Unlock()

	// Only Apply changes the maps, so that they may be read without mu here, and files are read without holding it.
	providers := make(map[string]*entry)
	users := make(map[*entry][]*job)
	next := make(map[string]*job, len(jobs))
	ordered := make([]*job, 0, len(jobs))
	sections := make(map[*job][]section, len(jobs))
	for _, c := range jobs {
		j := d.jobs[c.Name]
		if j == nil {
			j = &job{name: c.Name, opts: d.opts, old: d.old}
		}
		next[c.Name] = j
		ordered = append(ordered, j)
		list := []section{{prefix: "static/0/", fixed: staticGroups(c.Static)}}
		for i, f := range c.FileSD {
			e := d.fileEntry(providers, f)
			if !slices.Contains(users[e], j) {
				users[e] = append(users[e], j)
			}
			list = append(list, section{prefix: "file/" + strconv.Itoa(i) + "/", p: e.p})
		}
		sections[j] = list
	}

	d.mu.Lock()
	old, oldJobs := d.providers, d.jobs
	d.providers, d.jobs = providers, next
	for e, js := range users {
		e.jobs = js
	}
	d.mu.Unlock()
	d.opts.Metrics.providers.Set(float64(len(providers)))

	for name, j := range oldJobs {
		if next[name] == nil {
			j.end()
		}
	}
	for _, j := range ordered {
		j.setSections(sections[j])
	}
	for key, e := range old {
		if providers[key] == nil {
			e.p.close()
		}
	}
	select {
	case d.wake <- struct{}{}:
	default: // Run has not yet seen the last one, and will see both
	}
	return nil
}

// fileEntry returns the entry of a file_sd section: one of this Apply, or of the last one, or a new one which it reads.
func (d *Discovery) fileEntry(providers map[string]*entry, f *config.FileSD) *entry {
	interval := f.RefreshInterval
	if interval <= 0 {
		interval = d.opts.FileCheckInterval
	}
	key := "file\x00" + interval.String() + "\x00" + strings.Join(f.Files, "\x00")
	e := providers[key]
	if e == nil {
		e = d.providers[key]
	}
	if e == nil {
		e = &entry{key: key, p: newFileProvider(f.Files, interval, d.watch, d.opts)}
		e.p.read()
	}
	providers[key] = e
	return e
}

// section is one section of a job: groups which are written in the configuration, or a provider's.
type section struct {
	prefix string // of the groups' sources within the job
	fixed  []*Group
	p      provider // nil: fixed

	// A provider's groups may be shared by jobs, and have a source of their own: from what the last publish took the
	// groups, and what it made of them, so that an unchanged group stays the same pointer.
	in, out []*Group
}

// job is one job's sections and what was last published of them.
type job struct {
	name string
	opts Options
	old  *snapshots.Kind[*Group]

	current atomic.Pointer[[]*Group]

	mu       sync.Mutex // held over OnUpdate: that makes it one call at a time, in order
	sections []section
	ended    bool
}

func (j *job) groups() []*Group {
	if p := j.current.Load(); p != nil {
		return *p
	}
	return nil
}

// setSections replaces the sections and publishes what changed by it.
func (j *job) setSections(list []section) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range list {
		s := &list[i]
		for _, was := range j.sections {
			if was.prefix == s.prefix && was.p == s.p {
				s.fixed = reuseGroups(was.fixed, s.fixed)
				s.in, s.out = was.in, was.out
			}
		}
	}
	j.sections = list
	j.publishLocked()
}

func (j *job) publish() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.publishLocked()
}

// end makes sure that no update comes any more.
func (j *job) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
	j.superseded()
	j.opts.Metrics.targets.DeleteLabelValues(j.name)
}

// superseded has the present list of groups followed, which is replaced now, or goes with the job.
func (j *job) superseded() {
	if list := j.groups(); len(list) > 0 {
		j.old.Superseded(&list[0])
	}
}

func (j *job) publishLocked() {
	if j.ended {
		return
	}
	var all []*Group
	for i := range j.sections {
		all = append(all, j.sections[i].groups()...)
	}
	targets := 0
	for _, g := range all {
		targets += len(g.Targets)
	}
	j.opts.Metrics.targets.WithLabelValues(j.name).Set(float64(targets))
	if slices.Equal(all, j.groups()) {
		return
	}
	j.superseded()
	j.current.Store(&all)
	j.opts.Metrics.updates.Inc()
	j.opts.OnUpdate(j.name, all)
}

// groups returns the section's groups with sources that are unique within the job.
func (s *section) groups() []*Group {
	if s.p == nil {
		return s.fixed
	}
	in := s.p.groups()
	if slices.Equal(in, s.in) {
		return s.out
	}
	known := make(map[*Group]*Group, len(s.in))
	for i, g := range s.in {
		known[g] = s.out[i]
	}
	out := make([]*Group, len(in))
	for i, g := range in {
		out[i] = known[g]
		if out[i] == nil {
			out[i] = &Group{Source: s.prefix + g.Source, Labels: g.Labels, Targets: g.Targets}
		}
	}
	s.in, s.out = in, out
	return out
}
