package remotewrite

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"scraper/relabel"
)

// spec is a destination as it is configured, checked, with its defaults filled in.
type spec struct {
	dest  Destination
	url   *url.URL
	id    string
	title string
	live  *destination // which it describes, if there is one
	next  *client      // which replaces the live one's, or is the new one's; nil if nothing changes
}

// Apply makes dests the destinations. One which is there already, by its name, else by its URL's host and path, keeps
// its queue, and if nothing that concerns requests has changed, its connections and the time of its next attempt as well.
// One which is not among dests any more gets nothing new, and has Options.DrainTimeout to deliver what it has.
//
// On error nothing changes.
func (w *Writer) Apply(dests []Destination) error {
	w.applyMu.Lock()
	defer w.applyMu.Unlock()
	specs, err := w.resolve(dests)
	if err != nil {
		return fmt.Errorf("remotewrite: %w", err)
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return ErrStopped
	}
	if w.unchangedLocked(specs) {
		return nil
	}
	// Open blocks belong to the destinations which were there when they were filled.
	for _, g := range w.groups {
		g.flush(time.Time{})
	}
	var now, fresh []*destination
	for i, s := range specs {
		d := s.live
		if d == nil {
			d = newDestination(s.id, w.freeLabelLocked(i+1, s.title, now), s.next, w.opts, w.codec, &w.blockBytes)
			w.openAccount(d)
			fresh = append(fresh, d)
		} else if s.next != nil {
			w.oldClients.Superseded(d.replaceClient(s.next))
		}
		now = append(now, d)
	}
	for _, d := range w.dests {
		if !slices.Contains(now, d) {
			w.retireLocked(d)
		}
	}
	for _, d := range fresh {
		for _, old := range w.retiring {
			if old.id == d.id {
				d.predecessor = old.gone
			}
		}
	}
	w.dests = now
	w.regroupLocked(specs)
	if w.start != nil {
		for _, d := range fresh {
			w.start(d)
		}
	}
	return nil
}

// unchangedLocked reports whether the destinations are what specs describe.
func (w *Writer) unchangedLocked(specs []*spec) bool {
	return slices.EqualFunc(w.dests, specs, func(d *destination, s *spec) bool { return s.live == d && s.next == nil })
}

// resolve checks the destinations, finds those which live already, and makes clients where they are needed. It changes
// nothing.
func (w *Writer) resolve(dests []Destination) ([]*spec, error) {
	w.mu.RLock()
	live := make(map[string]*destination, len(w.dests))
	for _, d := range w.dests {
		live[d.id] = d
	}
	w.mu.RUnlock()

	var specs []*spec
	var errs []error
	names := make(map[string]bool)
	alike := make(map[string]int) // destinations by identity
	for _, d := range dests {
		if u, err := d.parseURL(); err == nil {
			alike[d.identity(u)]++
		}
	}
	count := make(map[string]int)
	for i, d := range dests {
		u, err := d.parseURL()
		if err == nil && d.Name != "" && names[d.Name] {
			err = errors.New("the name is taken by an earlier destination")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", cmp.Or(d.Origin, fmt.Sprint("destination ", i+1)), err))
			continue
		}
		names[d.Name] = true
		s := &spec{dest: d.withDefaults(w.opts), url: u, id: w.opts.identify(d, u, alike[d.identity(u)] == 1, live), title: d.title(u)}
		if count[s.id]++; count[s.id] > 1 { // nothing but their order tells them apart
			s.id = fmt.Sprintf("%s #%d", s.id, count[s.id])
		}
		s.live = live[s.id]
		if s.next, err = s.client(w.opts); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", cmp.Or(d.Origin, fmt.Sprint("destination ", i+1)), err))
		}
		specs = append(specs, s)
	}
	return specs, errors.Join(errs...)
}

// client returns the client that the destination needs, or nil if it has it.
func (s *spec) client(o Options) (*client, error) {
	if s.live != nil {
		old := s.live.client.Load()
		if sameDestination(old.dest, s.dest) {
			return nil, nil
		}
		if sameClient(old.dest, s.dest) {
			return &client{s.dest, old.transport}, nil
		}
	}
	t, err := newTransport(s.dest, s.url, o)
	if err != nil {
		return nil, err
	}
	return &client{s.dest, t}, nil
}

// sameDestination reports whether nothing at all has changed.
func sameDestination(a, b Destination) bool {
	return sameClient(a, b) && a.Name == b.Name && a.Protocol == b.Protocol && a.Relabel.Equal(b.Relabel) && keyOf(a) == keyOf(b) &&
		a.MaxPendingBytes == b.MaxPendingBytes && a.MaxDiskBytes == b.MaxDiskBytes && a.MaxBlockAge == b.MaxBlockAge &&
		a.RateLimit == b.RateLimit && a.MinSenders == b.MinSenders && a.MaxSenders == b.MaxSenders
}

// replaceClient puts c in the place of the destination's client, and returns that.
func (d *destination) replaceClient(c *client) (old *client) {
	d.swap.Lock()
	old = d.client.Load()
	if c.isOut() { // the watchdog has put another in the place of its transport since
		c = &client{c.dest, old.transport}
	}
	d.client.Store(c)
	if old.transport != c.transport {
		old.retire()
	}
	d.swap.Unlock()
	d.mu.Lock()
	d.mem.setLimit(c.dest.MaxPendingBytes)
	d.talk.configure(c.dest.Protocol)
	d.mu.Unlock()
	return old
}

// retireLocked lets a destination run out which is configured no more.
func (w *Writer) retireLocked(d *destination) {
	d.group = nil
	w.oldClients.Superseded(d.client.Load())
	d.stop(time.Now().Add(w.opts.DrainTimeout), true)
	if w.start == nil { // nobody would send
		d.finish()
		d.closeAccount()
		w.opts.Metrics.forget(d.label)
		return
	}
	w.retiring = append(w.retiring, d)
}

// regroupLocked sorts the destinations into groups. What a group has learnt stays if it can.
func (w *Writer) regroupLocked(specs []*spec) {
	old := w.groups
	w.groups = nil
	take := func(key groupKey, rules *relabel.Rules) *group {
		for i, g := range old {
			if g != nil && g.key == key && g.rules.Equal(rules) {
				old[i] = nil
				g.dests = nil
				return g
			}
		}
		g := newGroup(key, rules, w.opts, w.codec, w.clock, &w.blockBytes)
		g.maxOpen = w.maxOpen
		return g
	}
	for i, s := range specs {
		d, key, rules := w.dests[i], keyOf(s.dest), s.dest.Relabel
		var g *group
		if at := slices.IndexFunc(w.groups, func(g *group) bool { return g.key == key && g.rules.Equal(rules) }); at >= 0 {
			g = w.groups[at]
		} else {
			g = take(key, rules)
			w.groups = append(w.groups, g)
		}
		g.dests = append(g.dests, d)
		d.group = g
	}
	w.boundCachesLocked()
	for _, g := range old {
		if g != nil {
			g.close()
		}
	}
}

// freeLabelLocked returns how a new destination is shown: with its place in the configuration, unless that name is taken
// by one which was configured before.
func (w *Writer) freeLabelLocked(n int, title string, now []*destination) string {
	for ; ; n++ {
		label := fmt.Sprintf("%d:%s", n, title)
		taken := func(d *destination) bool { return d.label == label }
		if !slices.ContainsFunc(now, taken) && !slices.ContainsFunc(w.dests, taken) && !slices.ContainsFunc(w.retiring, taken) {
			return label
		}
	}
}
