package scrape

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scraper/batch"
	"scraper/bufpool/bufpooltest"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/relabel"
	"scraper/streamparse"
)

// TestTablesShareADictionary lets several targets commit, churn, fail, compact and leave at once, over one dictionary which
// is compacted meanwhile. Of each batch two readers decode every label, as two destinations do; some references outlive
// their series, as those in a block do. Every label must read as it was written.
func TestTablesShareADictionary(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 20
	}
	dict := labelcompress.New(labelcompress.Options{})
	pool := bufpooltest.New(t)
	seed := maphash.MakeSeed()
	held := make(chan heldSet, 256)
	var targets, others sync.WaitGroup
	var done atomic.Bool
	for i := range 4 {
		targets.Go(func() {
			s := &stressTarget{
				t: t, name: fmt.Sprint("t", i), rnd: rand.New(rand.NewPCG(uint64(i), rand.Uint64())), dict: dict, seed: seed, held: held,
				parser: streamparse.New(streamparse.Options{Pool: pool}), b: batch.New(pool),
			}
			for range rounds {
				s.round()
				if t.Failed() {
					break
				}
			}
			s.leave()
			s.parser.Close()
		})
	}
	others.Go(func() {
		for !done.Load() {
			b := dict.OpenFor("test")
			dict.CompactStep(20_000)
			b.Close()
			dict.Compact()
		}
	})
	others.Go(func() { // who holds references of its own
		var sets []heldSet
		for s := range held {
			if sets = append(sets, s); len(sets) < 200 {
				continue
			}
			for i, s := range sets {
				s.check(t, dict)
				if i%2 == 0 {
					s.release(dict)
				}
			}
			kept := sets[:0]
			for i, s := range sets {
				if i%2 != 0 {
					kept = append(kept, s)
				}
			}
			sets = kept
		}
		for _, s := range sets {
			s.check(t, dict)
			s.release(dict)
		}
	})
	targets.Wait()
	done.Store(true)
	close(held)
	others.Wait()
	dict.Compact()
	if s := dict.Stats(); s.Items != 0 || s.Misuses != 0 || s.Limbo != 0 {
		t.Errorf("after all targets left: %+v", s)
	}
}

// heldSet is a label set whose references are held, and what it says.
type heldSet struct {
	refs []labelcompress.Ref
	want string
}

func (h heldSet) check(t *testing.T, dict *labelcompress.Dict) {
	if got := decoded(dict, h.refs); got != h.want {
		t.Errorf("a label set which is held = %s, want %s", got, h.want)
	}
}

func (h heldSet) release(dict *labelcompress.Dict) {
	for _, r := range h.refs {
		dict.Release(r)
	}
}

// decoded is a label set as the bodies of a stressTarget write it, with the target's labels.
func decoded(dict *labelcompress.Dict, refs []labelcompress.Ref) string {
	var s strings.Builder
	for _, r := range refs {
		name, value := dict.Label(r)
		fmt.Fprintf(&s, "%s=%s;", name, value)
	}
	return s.String()
}

// stressTarget is a target of one goroutine.
type stressTarget struct {
	t      *testing.T
	name   string
	rnd    *rand.Rand
	dict   *labelcompress.Dict
	seed   maphash.Seed
	held   chan<- heldSet
	parser *streamparse.Parser
	b      *batch.Batch
	learn  learner

	tab    *table // nil while the target is away
	clock  int64
	series []string // of the last body, as it wrote them
}

func (s *stressTarget) join() {
	s.learn.target = []relabel.Label{{Name: "instance", Value: s.name}, {Name: "job", Value: "shared"}}
	common, err := internRefs(s.dict, s.learn.target, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.tab = newTable(labelset.New(s.dict, common), s.seed)
}

func (s *stressTarget) leave() {
	if s.tab != nil {
		s.tab.release()
		s.tab = nil
	}
}

// next changes the body: of its series, a part goes, and others come: some that other targets have, some that nobody ever had.
func (s *stressTarget) next() {
	s.series = slices.DeleteFunc(s.series, func(string) bool { return s.rnd.IntN(6) == 0 })
	for range s.rnd.IntN(60) {
		pod := fmt.Sprint("pod-", s.rnd.IntN(40))
		if s.rnd.IntN(2) == 0 {
			pod = fmt.Sprint("pod-", s.name, s.rnd.Uint32())
		}
		line := fmt.Sprintf(`m%d{a="%d",ns="ns-%d",pod="%s"}`, s.rnd.IntN(20), s.rnd.IntN(3), s.rnd.IntN(5), pod)
		if !slices.Contains(s.series, line) {
			s.series = slices.Insert(s.series, s.rnd.IntN(len(s.series)+1), line)
		}
	}
}

// final returns what a line of the body becomes.
func (s *stressTarget) final(line string) string {
	name, rest, _ := strings.Cut(line, "{")
	rest = strings.NewReplacer(`"`, "", ",", ";", "}", ";").Replace(rest)
	a, rest, _ := strings.Cut(rest, ";")
	return "__name__=" + name + ";" + a + ";instance=" + s.name + ";job=shared;" + rest
}

// round is one scrape, or the target's end.
func (s *stressTarget) round() {
	if s.tab == nil {
		s.join()
	}
	s.next()
	fails := s.rnd.IntN(10) == 0
	body := strings.Join(s.series, " 1\n") + " 1\n"
	if len(s.series) == 0 {
		body = ""
	}
	if fails {
		body += "m{ 1\n"
	}
	s.clock += 1000
	s.b.Sets, s.b.TimestampMillis = s.tab.sets, s.clock
	s.parser.Reset(strings.NewReader(body))
	s.tab.begin()
	r := reading{p: s.parser, tab: s.tab, b: s.b, learn: &s.learn, sampleLimit: noLimit, now: time.UnixMilli(s.clock)}
	err := r.body()
	if (err != nil) != fails {
		s.t.Errorf("body() = %v, want a failure: %v", err, fails)
		return
	}
	var want []string
	if fails {
		s.b.Reset()
		s.b.Sets = s.tab.sets
		s.tab.abort()
		s.tab.markAll(s.b, false)
	} else {
		s.tab.finish(s.b, false)
		for _, line := range s.series {
			want = append(want, s.final(line))
		}
		slices.Sort(want)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { s.read(want) })
	}
	wg.Wait()
	if !fails {
		s.tab.commit(s.b)
	}
	s.b.Reset()
	switch s.rnd.IntN(12) {
	case 0:
		s.tab.forget()
		s.series = nil
	case 1:
		s.leave()
		s.series = nil
	}
}

// read decodes the batch as a destination does.
func (s *stressTarget) read(want []string) {
	var refs []labelcompress.Ref
	var got []string
	for c := s.b.Cursor(); c.Next(); {
		refs = c.AppendLabels(refs[:0])
		text := decoded(s.dict, refs)
		if batch.IsStale(c.Value) {
			if !strings.Contains(text, "instance="+s.name+";job=shared;") {
				s.t.Errorf("the marker of %s is not of target %s", text, s.name)
			}
			continue
		}
		got = append(got, text)
		if c.Set%16 == 0 {
			h := heldSet{slices.Clone(refs), text}
			for _, r := range refs {
				s.dict.Acquire(r)
			}
			s.held <- h
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.t.Errorf("target %s sent %q, want %q", s.name, got, want)
	}
}
