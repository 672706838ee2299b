package scrape

import (
	"flag"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"scraper/batch"
	"scraper/bufpool"
	"scraper/bufpool/bufpooltest"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/relabel"
	"scraper/streamparse"
)

var longSteps = flag.Int("steps", 3000, "random bodies that the table and its oracle are fed")

// rig is a table with what a scrape needs around it, and without HTTP.
type rig struct {
	t      *testing.T
	dict   *labelcompress.Dict
	tab    *table
	parser *streamparse.Parser
	pool   *bufpool.Pool
	b      *batch.Batch
	learn  learner
	honor  bool
	limit  int
	clock  int64
	spool  *batch.Spool // if not nil, bodies are read ahead
}

func newRig(t *testing.T) *rig {
	pool := bufpooltest.New(t)
	dict := labelcompress.New(labelcompress.Options{})
	target := []relabel.Label{{Name: "instance", Value: "host:1"}, {Name: "job", Value: "j"}}
	common, err := internRefs(dict, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, dict: dict, tab: newTable(labelset.New(dict, common), maphash.MakeSeed()),
		pool: pool, parser: streamparse.New(streamparse.Options{Pool: pool}), b: batch.New(pool), honor: true, limit: noLimit, clock: 1_000_000,
	}
	r.learn.target = target
	t.Cleanup(func() {
		r.parser.Close()
		r.b.Reset()
		r.tab.release()
		if n := dict.Stats().Items; n != 0 {
			t.Errorf("%d labels are left in the dictionary of a target that is gone", n)
		}
	})
	return r
}

// scrape does what Manager.parseAndCommit does, and returns the rows that were sent.
func (r *rig) scrape(body string) (rows []string, c counts, err error) {
	r.clock += 1000
	r.b.Sets, r.b.TimestampMillis = r.tab.sets, r.clock
	var source io.Reader = strings.NewReader(body)
	var ahead *aheadReader
	if r.spool != nil {
		ahead = &aheadReader{r: source, spool: r.spool, pool: r.pool, learnt: func() int64 { return aheadBytes + 1 }, pause: func() error { return nil }}
		defer ahead.close()
		source = ahead
	}
	r.parser.Reset(source)
	r.learn.typ = streamparse.TypeUntyped
	r.tab.begin()
	rd := reading{ahead: ahead, p: r.parser, tab: r.tab, b: r.b, learn: &r.learn, honorTime: r.honor, sampleLimit: r.limit, now: time.UnixMilli(r.clock)}
	err = rd.body()
	if err == nil {
		rd.Markers = r.tab.finish(r.b, false)
	} else {
		sets := r.b.Sets
		r.b.Reset()
		r.b.Sets = sets
		r.tab.abort()
		rd.Markers = r.tab.markAll(r.b, false)
	}
	rows = r.rows()
	if err == nil {
		r.tab.commit(r.b)
	}
	r.b.Reset()
	return rows, rd.counts, err
}

// rows reads the batch as a sink would: labels decoded from the dictionary.
func (r *rig) rows() []string {
	var rows []string
	var refs []labelcompress.Ref
	for c := r.b.Cursor(); c.Next(); {
		refs = c.AppendLabels(refs[:0])
		var s strings.Builder
		for _, ref := range refs {
			name, value := r.dict.Label(ref)
			fmt.Fprintf(&s, "%s=%q ", name, value)
		}
		if batch.IsStale(c.Value) {
			fmt.Fprintf(&s, "stale @%d", c.TimestampMillis)
		} else {
			fmt.Fprintf(&s, "%v @%d", c.Value, c.TimestampMillis)
		}
		rows = append(rows, s.String())
	}
	return rows
}

func (r *rig) rules(t *testing.T, cfgs ...relabel.Config) {
	rules, err := relabel.Compile(cfgs, relabel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.learn.rules = rules
	r.tab.relearn = true
}

// line is one sample that the oracle knows without parsing it.
type line struct {
	name    string
	labels  [][2]string
	words   int // how it is written
	value   float64
	ts      int64
	timed   bool
	garbage bool
}

func (l line) text() string {
	if l.garbage {
		return "a{b='c'} 1\n"
	}
	labels := slices.Clone(l.labels)
	if l.words&1 != 0 {
		slices.Reverse(labels)
	}
	sep, blank := ",", ""
	if l.words&2 != 0 {
		sep = ", "
	}
	if l.words&4 != 0 {
		blank = " "
	}
	var parts []string
	for _, x := range labels {
		parts = append(parts, fmt.Sprintf("%s=%q", x[0], x[1]))
	}
	s := l.name + blank + "{" + strings.Join(parts, sep) + "}"
	if len(parts) == 0 && l.words&8 != 0 {
		s = l.name
	}
	s += fmt.Sprintf(" %v", l.value)
	if l.timed {
		s += fmt.Sprintf(" %d", l.ts)
	}
	return s + "\n"
}

// oracle is the agent as one would write it without a thought of cost: it relabels all, and remembers all in maps.
type oracle struct {
	dropC bool // the rules' version
	live  map[string]bool
	own   map[string]bool
	last  map[string]int64
	// left are the last timestamps of series with timestamps of their own which left lately.
	left    map[string]departure
	scrapes uint32
	marked  bool
	honor   bool
	limit   int
}

// final returns the identity of a line's series, empty when relabeling drops it.
func (o *oracle) final(l line) string {
	m := map[string]string{"__name__": l.name, "instance": "host:1", "job": "j"}
	for _, x := range l.labels {
		if x[1] != "" {
			m[x[0]] = x[1]
		}
	}
	if m["a"] == "drop" {
		return ""
	}
	if o.dropC {
		delete(m, "c")
	}
	var s strings.Builder
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&s, "%s=%q ", n, m[n])
	}
	return s.String()
}

func (o *oracle) scrape(lines []line, now int64) (rows []string, failed bool) {
	seen, own, last := map[string]bool{}, map[string]bool{}, map[string]int64{}
	kept := 0
	for _, l := range lines {
		if l.garbage {
			failed = true
			break
		}
		id := o.final(l)
		if id == "" {
			continue
		}
		if kept++; kept > o.limit {
			failed = true
			continue
		}
		met := seen[id]
		seen[id] = true
		if x, ok := o.left[id]; ok && !met && !o.live[id] {
			last[id] = x.lastMillis
		}
		newest := int64(math.MinInt64)
		for _, m := range []map[string]int64{o.last, last} {
			if ts, ok := m[id]; ok {
				newest = max(newest, ts)
			}
		}
		if !l.timed || !o.honor {
			if met || newest >= now {
				continue
			}
			own[id] = false
			last[id] = now
			rows = append(rows, fmt.Sprintf("%s%v @%d", id, l.value, now))
			continue
		}
		own[id] = true
		if l.ts <= newest || l.ts > now+maxAhead.Milliseconds() {
			continue
		}
		last[id] = l.ts
		rows = append(rows, fmt.Sprintf("%s%v @%d", id, l.value, l.ts))
	}
	if failed {
		rows = nil
		if !o.marked {
			for id := range o.live {
				if !o.own[id] {
					rows = append(rows, fmt.Sprintf("%sstale @%d", id, now))
					o.last[id] = now
				}
			}
		}
		o.marked = true
		return rows, true
	}
	for id := range o.live {
		if !seen[id] && !o.own[id] && !o.marked {
			rows = append(rows, fmt.Sprintf("%sstale @%d", id, now))
		}
	}
	o.marked = false
	o.scrapes++
	for id, x := range o.left {
		if o.scrapes-x.scrape > keepDeparted {
			delete(o.left, id)
		}
	}
	for id, ts := range o.last {
		if seen[id] {
			continue
		}
		if o.own[id] {
			o.left[id] = departure{ts, o.scrapes}
		}
		delete(o.last, id)
	}
	for id := range o.own {
		if !seen[id] {
			delete(o.own, id)
		}
	}
	for id, ts := range last {
		o.last[id] = ts
	}
	for id, v := range own {
		o.own[id] = v
	}
	o.live = seen
	return rows, false
}

// TestTableAgainstOracle feeds both the same random sequence of bodies: series come, go, move, repeat, change their words,
// have timestamps or not; bodies fail and exceed limits; rules change. Both must send the same samples and markers.
func TestTableAgainstOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { againstOracle(t, seed, *longSteps/4) })
	}
}

func againstOracle(t *testing.T, seed uint64, steps int) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	r := newRig(t)
	o := &oracle{live: map[string]bool{}, own: map[string]bool{}, last: map[string]int64{}, left: map[string]departure{}, honor: true, limit: noLimit}
	drop := relabel.Config{Action: "drop", SourceLabels: []string{"a"}, Regex: new("drop")}
	r.rules(t, drop)
	size := 5 + rnd.IntN(60)
	var universe []line
	for i := range size {
		l := line{name: fmt.Sprintf("m%d", i%7)}
		for _, n := range []string{"a", "b", "c", "d"} {
			if rnd.IntN(3) > 0 {
				l.labels = append(l.labels, [2]string{n, []string{"x", "y", "drop", "long value with \n", ""}[rnd.IntN(5)]})
			}
		}
		l.timed = rnd.IntN(4) == 0
		universe = append(universe, l)
	}
	var body []line
	for step := range steps {
		body = mutate(rnd, body, universe, r.clock)
		if rnd.IntN(40) == 0 {
			o.dropC = !o.dropC
			rules := []relabel.Config{drop}
			if o.dropC {
				rules = append(rules, relabel.Config{Action: "labeldrop", Regex: new("c")})
			}
			r.rules(t, rules...)
		}
		r.limit, o.limit = noLimit, noLimit
		if rnd.IntN(15) == 0 {
			n := rnd.IntN(len(body) + 1)
			r.limit, o.limit = n, n
		}
		if rnd.IntN(30) == 0 {
			r.honor = !r.honor
			o.honor = r.honor
		}
		lines := body
		if rnd.IntN(12) == 0 {
			lines = slices.Insert(slices.Clone(body), rnd.IntN(len(body)+1), line{garbage: true})
		}
		var text strings.Builder
		for _, l := range lines {
			text.WriteString(l.text())
		}
		got, c, err := r.scrape(text.String())
		want, failed := o.scrape(lines, r.clock)
		slices.Sort(got)
		slices.Sort(want)
		if failed != (err != nil) || !slices.Equal(got, want) {
			t.Fatalf("step %d (honor %v): error %v, want failure %v\nbody:\n%sgot and did not want:\n%s\nwanted and did not get:\n%s", step,
				r.honor, err, failed, text.String(), strings.Join(without(got, want), "\n"), strings.Join(without(want, got), "\n"))
		}
		if sum := c.Committed + c.Relabeled + c.Limited + c.Duplicate + c.OutOfOrder + c.OutOfBounds; sum != c.Scraped {
			t.Fatalf("step %d: %+v adds up to %d of %d samples", step, c, sum, c.Scraped)
		}
	}
}

// without returns what is in a and not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// mutate returns the next body: mostly the last one with other values.
func mutate(rnd *rand.Rand, body, universe []line, now int64) []line {
	body = slices.Clone(body)
	pick := func() int { return rnd.IntN(len(body)) }
	if len(body) == 0 || rnd.IntN(100) == 0 {
		body = nil
		for _, l := range universe {
			if rnd.IntN(3) > 0 {
				body = append(body, l)
			}
		}
	}
	for range rnd.IntN(4) {
		if len(body) == 0 {
			break
		}
		switch rnd.IntN(8) {
		case 0:
			i := pick()
			body = slices.Delete(body, i, i+1)
		case 1, 2:
			body = slices.Insert(body, pick(), universe[rnd.IntN(len(universe))])
		case 3:
			i, j := pick(), pick()
			body[i], body[j] = body[j], body[i]
		case 4:
			body[pick()].words = rnd.IntN(16)
		case 5:
			body = slices.Insert(body, pick(), body[pick()])
		case 6:
			if rnd.IntN(10) == 0 {
				rnd.Shuffle(len(body), func(i, j int) { body[i], body[j] = body[j], body[i] })
			}
		case 7:
			i := pick()
			body[i].timed = !body[i].timed
		}
	}
	for i := range body {
		body[i].value = float64(rnd.IntN(1000)) / 8
		if body[i].timed && (body[i].ts == 0 || rnd.IntN(3) > 0) {
			body[i].ts = now + int64(rnd.IntN(4000)) - 1000
			if rnd.IntN(50) == 0 {
				body[i].ts = now + 2*maxAhead.Milliseconds()
			}
		}
	}
	return body
}

// TestSteadyScrapeLearnsNothing pins that a known body is recognised by position alone.
func TestSteadyScrapeLearnsNothing(t *testing.T) {
	r := newRig(t)
	var body strings.Builder
	for i := range 500 {
		fmt.Fprintf(&body, "m{l=\"%d\"} %d\n", i, i)
	}
	for i := range 3 {
		rows, c, err := r.scrape(body.String())
		if err != nil || len(rows) != 500 || (c.Added == 500) != (i == 0) || i > 0 && c.Added != 0 {
			t.Fatalf("scrape %d: %d rows, %+v, error %v", i, len(rows), c, err)
		}
		if r.tab.raw != nil || r.tab.ident != nil || r.tab.seen != nil {
			t.Errorf("scrape %d left an index behind", i)
		}
	}
	if n := r.tab.bytes() / 500; n > 32 {
		t.Errorf("a known series takes %d bytes, want at most 32", n)
	}
}

// TestTableGivesMemoryBack pins that series which are gone leave nothing, in the table or in the dictionary.
func TestTableGivesMemoryBack(t *testing.T) {
	r := newRig(t)
	body := func(from, n int) string {
		var b strings.Builder
		for i := from; i < from+n; i++ {
			fmt.Fprintf(&b, "m{l=\"v%d\"} 1\n", i)
		}
		return b.String()
	}
	if _, _, err := r.scrape(body(0, 100)); err != nil {
		t.Fatal(err)
	}
	small, items := r.tab.bytes(), r.dict.Stats().Items
	for i := range 20 { // churn, and a burst
		if _, _, err := r.scrape(body(i*1000, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := r.scrape(body(0, 100)); err != nil {
		t.Fatal(err)
	}
	if got := r.tab.bytes(); got > small*3/2 {
		t.Errorf("the table takes %d bytes after a burst, %d before", got, small)
	}
	if got := r.dict.Stats().Items; got != items {
		t.Errorf("the dictionary holds %d labels after a burst, %d before", got, items)
	}
}

// TestFailedScrapesKeepNothing pins that what a failing body teaches is forgotten each time.
func TestFailedScrapesKeepNothing(t *testing.T) {
	r := newRig(t)
	r.limit = 300
	if _, _, err := r.scrape("a 1\nb 2\n"); err != nil {
		t.Fatal(err)
	}
	items := r.dict.Stats().Items
	var size int64
	for i := range 30 {
		var b strings.Builder
		b.WriteString("a 1\nb 2\n")
		for k := range 1000 {
			fmt.Fprintf(&b, "m{l=\"v%d\"} 1\n", i*1000+k)
		}
		if _, c, err := r.scrape(b.String()); err == nil || c.Scraped != 1002 || c.afterRelabeling() != 1002 {
			t.Fatalf("scrape %d beyond its limit: error %v, %+v", i, err, c)
		}
		if i == 0 {
			size = r.tab.bytes()
		}
	}
	if got := r.tab.bytes(); got > size*2 || r.dict.Stats().Items != items {
		t.Errorf("30 failed scrapes left %d bytes (%d after the first) and %d labels, want %d", got, size, r.dict.Stats().Items, items)
	}
}
