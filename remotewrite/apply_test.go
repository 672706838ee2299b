package remotewrite

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	commoncfg "github.com/prometheus/common/config"

	"scraper/bufpool/bufpooltest"
	"scraper/config"
	"scraper/receiver"
	"scraper/relabel"
)

// connections counts the connections by which requests come.
type connections struct {
	http.Handler
	mu  sync.Mutex
	all map[string]int
}

func (c *connections) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	if c.all == nil {
		c.all = make(map[string]int)
	}
	c.all[r.RemoteAddr]++
	c.mu.Unlock()
	c.Handler.ServeHTTP(w, r)
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

func names(w *Writer) (names []string) {
	for _, s := range w.Status() {
		names = append(names, s.Name)
	}
	return names
}

// TestApplyUnchanged reloads the same configuration, made anew each time, while blocks wait for their next attempt.
func TestApplyUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := func() Destination {
			h := DefaultHTTP()
			h.BasicAuth = &commoncfg.BasicAuth{Username: "me", Password: "secret"}
			return Destination{URL: "http://a.example" + receiver.WritePath, HTTP: h, Headers: map[string]string{"X-A": "b"},
				Relabel: rules(t, relabel.Config{Action: "drop", SourceLabels: []string{"i"}, Regex: ptr("0")})}
		}
		var fail atomic.Bool
		fail.Store(true)
		s := &script{steps: []http.HandlerFunc{status(429), func(w http.ResponseWriter, r *http.Request) {
			if fail.Load() {
				w.WriteHeader(429)
			}
		}}}
		c := &connections{Handler: s}
		r := newRig(t, nil, made())
		r.serve("a.example:80", c)
		r.run()
		r.commit(t, r.Writer, 0, 10, 1000)
		before := r.dests[0].client.Load()
		group := r.groups[0]
		for range 60 {
			time.Sleep(second)
			if err := r.Apply([]Destination{made()}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if r.dests[0].client.Load() != before || r.groups[0] != group {
			t.Error("Apply of the same destinations replaced something")
		}
		if n := s.requests(); n < 5 || n > 7 {
			t.Errorf("%d requests in a minute, want the backoff's 6", n)
		}
		fail.Store(false)
		time.Sleep(2 * time.Minute)
		if b := r.balanced(); b.Acknowledged != 9 || b.Dropped.Relabeled != 1 {
			t.Errorf("books = %+v", b)
		}
		if n := c.count(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

// TestApplyChanged gives a destination which is refused a new password: what waits is sent at once, and nothing is lost.
func TestApplyChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newReceiver(t, receiver.Options{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
			if _, p, _ := r.BasicAuth(); p != "new" {
				w.WriteHeader(401)
				return true
			}
			return false
		}})
		c := &connections{Handler: rc}
		dest := func(password string) Destination {
			h := DefaultHTTP()
			h.BasicAuth = &commoncfg.BasicAuth{Username: "me", Password: commoncfg.Secret(password)}
			return Destination{URL: "http://a.example" + receiver.WritePath + "?password=" + password, HTTP: h}
		}
		r := newRig(t, nil, dest("old"))
		r.serve("a.example:80", c)
		r.run()
		for i := range 60 {
			r.commit(t, r.Writer, uint64(i), 10, int64(i+1)*1000)
			time.Sleep(5 * second)
		}
		if b := r.balanced(); b.Pending != 600 {
			t.Errorf("books = %+v, want all pending", b)
		}
		if err := r.Apply([]Destination{dest("new")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(second)
		if b := r.balanced(); b.Acknowledged != 600 {
			t.Errorf("books = %+v, want all acknowledged within a second of the reload", b)
		}
		if got, want := names(r.Writer), []string{"1:a.example"}; !slices.Equal(got, want) {
			t.Errorf("names = %q, want %q", got, want)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
		// An option which concerns no request keeps the connections.
		n := c.count()
		d := dest("new")
		d.MaxRowsPerBlock, d.MaxPendingBytes = 17, 1<<20
		for i := range 3 {
			d.MaxRowsPerBlock++
			if err := r.Apply([]Destination{d}); err != nil {
				t.Fatal(err)
			}
			r.commit(t, r.Writer, 0, 10, int64(i+100)*1000)
			time.Sleep(2 * second)
		}
		if got := c.count(); got != n {
			t.Errorf("%d connections after changes which concern none, want %d", got, n)
		}
	})
}

func TestApplyAddRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newReceiver(t, receiver.Options{}), newReceiver(t, receiver.Options{}), newReceiver(t, receiver.Options{})
		dest := func(host string) Destination {
			return Destination{URL: "http://" + host + ".example" + receiver.WritePath}
		}
		reg := prometheus.NewRegistry()
		r := newRig(t, func(o *Options) { o.Metrics = NewMetrics(reg) }, dest("a"), dest("b"))
		r.serve("a.example:80", a)
		r.serve("b.example:80", b)
		r.serve("c.example:80", c)
		r.run()
		ts := int64(0)
		commit := func() {
			t.Helper()
			ts += 1000
			r.commit(t, r.Writer, uint64(ts), 10, ts)
		}
		apply := func(dests ...Destination) {
			t.Helper()
			if err := r.Apply(dests); err != nil {
				t.Fatal(err)
			}
		}
		commit()
		apply(dest("b"), dest("c")) // what is open belongs to a too
		commit()
		time.Sleep(2 * second)
		if got, want := names(r.Writer), []string{"2:b.example", "2:c.example"}; !slices.Equal(got, want) {
			t.Errorf("names = %q, want %q", got, want)
		}
		for i, want := range []uint64{10, 20, 10} {
			if got := []*receiver.Receiver{a, b, c}[i].Totals().Samples; got != want {
				t.Errorf("receiver %d has %d samples, want %d", i, got, want)
			}
		}
		if got, want := labelValues(t, reg), []string{"2:b.example", "2:c.example"}; !slices.Equal(got, want) {
			t.Errorf("metrics are about %q, want %q", got, want)
		}
		if n := len(r.Books()); n != 2 {
			t.Errorf("books of %d destinations, want 2", n)
		}
		apply()
		commit()
		time.Sleep(2 * second)
		if got := labelValues(t, reg); len(got) != 0 {
			t.Errorf("metrics are about %q, want nobody", got)
		}
		apply(dest("a"))
		commit()
		time.Sleep(2 * second)
		if got := a.Totals().Samples; got != 20 {
			t.Errorf("receiver a has %d samples, want 20", got)
		}
		if err := r.Apply([]Destination{dest("a"), {URL: "nonsense"}}); err == nil {
			t.Error("Apply of nonsense = nil, want an error")
		}
		commit()
		time.Sleep(2 * second)
		if got := a.Totals().Samples; got != 30 {
			t.Errorf("receiver a has %d samples after a reload which failed, want 30", got)
		}
	})
}

// labelValues are the values of the label destination.
func labelValues(t *testing.T, reg prometheus.Gatherer) (values []string) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "destination" {
					values = append(values, l.GetValue())
				}
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// TestApplyRemovedIsBounded removes a dead destination, and brings it back: its successor waits for it, so that no series
// is sent by both, and the books of both balance.
func TestApplyRemovedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newReceiver(t, receiver.Options{})
		dest := Destination{URL: "http://a.example" + receiver.WritePath}
		r := newRig(t, nil, dest)
		r.run()
		for i := range 5 {
			r.commit(t, r.Writer, 0, 10, int64(i+1)*1000)
			time.Sleep(2 * second)
		}
		if err := r.Apply(nil); err != nil {
			t.Fatal(err)
		}
		if b := r.balanced(); b.Pending != 50 {
			t.Errorf("books = %+v, want 50 pending", b)
		}
		if err := r.Apply([]Destination{dest}); err != nil {
			t.Fatal(err)
		}
		if got, want := names(r.Writer), []string{"2:a.example"}; !slices.Equal(got, want) {
			t.Errorf("names = %q, want %q while the first one drains", got, want)
		}
		r.commit(t, r.Writer, 0, 10, 100_000)
		time.Sleep(1500 * time.Millisecond)
		r.serve("a.example:80", rc)
		time.Sleep(4 * second)
		if got := rc.Totals(); got.Samples != 60 || got.OutOfOrder != 0 {
			t.Errorf("receiver has %d samples, %d out of order, want 60, none", got.Samples, got.OutOfOrder)
		}
		if n := len(r.Books()); n != 1 {
			t.Errorf("books of %d destinations, want 1", n)
		}
		r.balanced()

		// And one which is never there again.
		if err := r.Apply([]Destination{dest, {Name: "dead", URL: "http://dead.example/"}}); err != nil {
			t.Fatal(err)
		}
		r.commit(t, r.Writer, 0, 10, 200_000)
		if err := r.Apply([]Destination{dest}); err != nil {
			t.Fatal(err)
		}
		if n := len(r.Books()); n != 2 {
			t.Errorf("books of %d destinations, want 2", n)
		}
		time.Sleep(4100 * time.Millisecond)
		if n := len(r.Books()); n != 1 {
			t.Errorf("books of %d destinations after the time to drain, want 1", n)
		}
		if n := r.logs.count("dropped samples which could not be delivered in time"); n != 1 {
			t.Errorf("%d log lines about lost samples, want 1:\n%s", n, r.logs)
		}
	})
}

func TestApplyBeforeRun(t *testing.T) {
	pool := bufpooltest.New(t)
	reg := prometheus.NewRegistry()
	w, err := New(Options{Pool: pool, Metrics: NewMetrics(reg), Destinations: []Destination{{URL: "http://a.example/"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	tg := newTarget(t, pool)
	tg.commit(t, w, 0, 10, 1)
	if err := w.Apply([]Destination{{URL: "http://b.example/"}}); err != nil {
		t.Fatal(err)
	}
	tg.commit(t, w, 0, 10, 2)
	if got, want := labelValues(t, reg), []string{"1:b.example"}; !slices.Equal(got, want) {
		t.Errorf("metrics are about %q, want %q", got, want)
	}
	if b := w.Books(); len(b) != 1 || b[0].Pending != 10 || b[0].Unbalanced() != 0 {
		t.Errorf("books = %v", b)
	}
}

func TestIdentity(t *testing.T) {
	w, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	f := func(want []string, dests ...Destination) {
		t.Helper()
		specs, err := w.resolve(dests)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range specs {
			got = append(got, s.id)
		}
		if !slices.Equal(got, want) {
			t.Errorf("identities = %q, want %q", got, want)
		}
	}
	f([]string{"url a.example/w"}, Destination{URL: "http://A.example/w"})
	f([]string{"url a.example/w"}, Destination{URL: "https://me:pw@a.example/w?x=y"})
	f([]string{"name n"}, Destination{URL: "https://me:pw@a.example/w?x=y", Name: "n"})
	// Tenants of one receiver.
	tenant := func(org, query string) Destination {
		return Destination{URL: "http://a.example/w?" + query, Headers: map[string]string{"X-Scope-OrgID": org}}
	}
	id := func(d Destination) string {
		u, err := d.parseURL()
		if err != nil {
			t.Fatal(err)
		}
		return "url a.example/w " + d.tenant(u)
	}
	one, two, three := tenant("1", ""), tenant("2", ""), tenant("1", "t=3")
	if id(one) == id(two) || id(one) == id(three) {
		t.Errorf("tenants %q, %q and %q are not told apart", id(one), id(two), id(three))
	}
	f([]string{id(one), id(two), id(three), "url b.example/w"}, one, two, three, Destination{URL: "http://b.example/w"})
	f([]string{id(three), id(one), id(two)}, three, one, two) // whatever their order
	rotated := one
	rotated.Headers = map[string]string{"x-scope-orgid": "1", "Authorization": "another"}
	f([]string{id(one), id(two)}, rotated, two)
	f([]string{id(one), id(one) + " #2"}, one, one)
}

func TestFromConfig(t *testing.T) {
	rw := &config.RemoteWrite{
		URL: "http://a.example/", Name: "n", Headers: map[string]string{"A": "b"}, Timeout: 7 * second,
		Relabel: rules(t, relabel.Config{Action: "labeldrop", Regex: ptr("a")}), HTTP: commoncfg.DefaultHTTPClientConfig,
		Queue: config.QueueConfig{MaxSamplesPerSend: 500, BatchSendDeadline: 3 * second, MinBackoff: 30 * time.Millisecond, MaxBackoff: 5 * second},
	}
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	d := FromConfig(rw).withDefaults(o)
	got := fmt.Sprint(d.Name, d.URL, d.Headers, d.Timeout, d.Relabel.Len(), d.HTTP.EnableHTTP2, d.HTTP.FollowRedirects,
		d.MaxRowsPerBlock, d.FlushInterval, d.RetryMin, d.RetryMax, d.MaxBlockBytes)
	want := fmt.Sprint("n", "http://a.example/", map[string]string{"A": "b"}, 7*second, 1, true, true, 500, 3*second, 30*time.Millisecond, 5*second, 8<<20)
	if got != want {
		t.Errorf("FromConfig() = %s, want %s", got, want)
	}
	d = FromConfig(&config.RemoteWrite{URL: "http://a.example/"}).withDefaults(o)
	got = fmt.Sprint(d.Timeout, d.RetryMin, d.RetryMax, d.HTTP.FollowRedirects, d.HTTP.EnableHTTP2, d.MaxRowsPerBlock, d.FlushInterval)
	want = fmt.Sprint(time.Minute, second, time.Minute, true, false, 10000, second)
	if got != want {
		t.Errorf("FromConfig(defaults) = %s, want %s", got, want)
	}
}

// TestEqualRulesShareBlocks has three destinations, two of them with the same rules: theirs are evaluated once, as long as
// they are the same.
func TestEqualRulesShareBlocks(t *testing.T) {
	drop := func(re string) *relabel.Rules {
		return rules(t, relabel.Config{Action: "drop", SourceLabels: []string{"i"}, Regex: &re})
	}
	dest := func(host string, r *relabel.Rules) Destination {
		return Destination{URL: "http://" + host + ".example/", Relabel: r}
	}
	pool := bufpooltest.New(t)
	w, err := New(Options{Pool: pool, Destinations: []Destination{dest("a", drop("1")), dest("b", drop("1")), dest("c", nil)}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	tg := newTarget(t, pool)
	if n := len(w.groups); n != 2 {
		t.Errorf("%d groups, want 2", n)
	}
	if lost := tg.commit(t, w, 0, 10, 1); lost.Relabeled != 2 {
		t.Errorf("Commit() = %+v, want one sample dropped by each of two destinations", lost)
	}
	if err := w.Apply([]Destination{dest("a", drop("1")), dest("b", drop("[23]")), dest("c", nil)}); err != nil {
		t.Fatal(err)
	}
	if lost := tg.commit(t, w, 0, 10, 2); lost.Relabeled != 3 || len(w.groups) != 3 {
		t.Errorf("Commit() = %+v in %d groups, want three samples dropped in three", lost, len(w.groups))
	}
	if err := w.Apply([]Destination{dest("a", drop("[23]")), dest("b", drop("[23]")), dest("c", drop("[23]"))}); err != nil {
		t.Fatal(err)
	}
	if lost := tg.commit(t, w, 0, 10, 3); lost.Relabeled != 6 || len(w.groups) != 1 {
		t.Errorf("Commit() = %+v in %d groups, want six samples dropped in one", lost, len(w.groups))
	}
	for _, b := range w.Books() {
		if b.Unbalanced() != 0 || b.Committed != 30 {
			t.Errorf("%v", b)
		}
	}
}
