package labelset

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"scraper/internal/alloctest"
	"scraper/labelcompress"
)

// rig is a store beside a model of it: what each live ID stands for.
type rig struct {
	t      *testing.T
	dict   *labelcompress.Dict
	common []string
	s      *Store
	model  map[ID]*set
	adds   int
}

type set struct {
	labels []string // "name=value", sorted
	timed  bool
	last   int64
}

func newRig(t *testing.T, common ...string) *rig {
	dict := labelcompress.New(labelcompress.Options{})
	r := &rig{t: t, dict: dict, common: common, model: make(map[ID]*set)}
	r.s = New(dict, r.refs(common))
	t.Cleanup(func() {
		r.s.Close()
		if st := dict.Stats(); st.Items != 0 || st.Misuses != 0 {
			t.Errorf("after Close the dictionary holds %d labels, and saw %d misuses, want none", st.Items, st.Misuses)
		}
	})
	return r
}

// refs interns labels, one reference for each.
func (r *rig) refs(labels []string) []labelcompress.Ref {
	var refs []labelcompress.Ref
	for _, l := range labels {
		name, value, _ := strings.Cut(l, "=")
		ref, err := r.dict.InternString(name, value)
		if err != nil {
			r.t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	return refs
}

func (r *rig) add(labels []string, timed bool) ID {
	r.t.Helper()
	id, err := r.tryAdd(labels, timed)
	if err != nil {
		r.t.Fatalf("Add(%q) = error %v", labels, err)
	}
	if _, twice := r.model[id]; twice || id >= Reserved {
		r.t.Fatalf("Add(%q) = %d, which is taken or reserved", labels, id)
	}
	r.model[id] = &set{labels: labels, timed: timed, last: NoLast}
	return id
}

// tryAdd adds a label set in one of the two ways, by turns.
func (r *rig) tryAdd(labels []string, timed bool) (ID, error) {
	r.adds++
	if r.adds%2 == 0 {
		add := r.s.Add
		if timed {
			add = r.s.AddTimed
		}
		return add(r.refs(labels))
	}
	r.s.Begin()
	for _, l := range labels {
		name, value, _ := strings.Cut(l, "=")
		if err := r.s.Label(name, value); err != nil {
			return 0, err
		}
	}
	if timed {
		return r.s.EndTimed()
	}
	return r.s.End()
}

func (r *rig) remove(id ID) {
	r.s.Remove(id, r.model[id].timed)
	delete(r.model, id)
}

func (r *rig) compact() {
	c := r.s.Compact()
	moved := make(map[ID]*set, len(r.model))
	for id, m := range r.model {
		moved[c.Move(id, m.timed)] = m
	}
	c.Close()
	r.model = moved
}

// labels reads a label set back through the dictionary.
func (r *rig) labels(id ID) []string {
	var got []string
	for _, ref := range r.s.AppendRefs(nil, id) {
		name, value := r.dict.Label(ref)
		got = append(got, fmt.Sprintf("%s=%s", name, value))
	}
	return got
}

// check compares all of the store with its model.
func (r *rig) check() {
	r.t.Helper()
	if got := r.s.Len(); got != len(r.model) {
		r.t.Fatalf("Len() = %d, want %d", got, len(r.model))
	}
	distinct := make(map[string]bool)
	for _, l := range r.common {
		distinct[l] = true
	}
	records := make(map[string]string)
	for id, m := range r.model {
		if got := r.labels(id); !slices.Equal(got, m.labels) {
			r.t.Fatalf("AppendRefs(%d) = %q, want %q", id, got, m.labels)
		}
		if m.timed {
			if got := r.s.Last(id); got != m.last {
				r.t.Fatalf("Last(%d) = %d, want %d", id, got, m.last)
			}
		}
		for _, l := range m.labels {
			distinct[l] = true
		}
		rec, text := string(r.s.Record(id)), strings.Join(m.labels, "\x00")
		if other, ok := records[rec]; ok && other != text {
			r.t.Fatalf("one record for %q and %q", other, text)
		}
		records[rec] = text
	}
	texts := make(map[string]bool)
	for _, text := range records {
		if texts[text] {
			r.t.Fatalf("two records for the label set %q", text)
		}
		texts[text] = true
	}
	if got := r.dict.Stats().Items; got != len(distinct) {
		r.t.Fatalf("the dictionary holds %d labels, want the %d which are in use", got, len(distinct))
	}
}

// TestStoreAgainstModel does random things to a store and to a map.
func TestStoreAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			common := []string{"instance=i", "job=j"}[:rnd.IntN(3)]
			r := newRig(t, common...)
			values := 1 + rnd.IntN(400)
			random := func() []string {
				labels := []string{fmt.Sprintf("__name__=m%d", rnd.IntN(values))}
				for _, name := range []string{"a", "b", "k", "z"} {
					if rnd.IntN(2) == 0 {
						labels = append(labels, fmt.Sprintf("%s=%d", name, rnd.IntN(values)))
					}
				}
				for _, l := range common {
					if rnd.IntN(10) > 0 {
						labels = append(labels, l)
					}
				}
				slices.Sort(labels)
				return labels
			}
			for step := range 4000 {
				ids := make([]ID, 0, 1)
				for id := range r.model { // any one
					ids = append(ids, id)
					break
				}
				switch op := rnd.IntN(100); {
				case op < 50 || len(ids) == 0:
					r.add(random(), rnd.IntN(3) == 0)
				case op < 90:
					r.remove(ids[0])
				case op < 95:
					m := r.model[ids[0]]
					if m.timed {
						m.last = rnd.Int64() - rnd.Int64()
						r.s.SetLast(ids[0], m.last)
						continue
					}
					id, err := r.s.Timed(ids[0])
					if err != nil {
						t.Fatal(err)
					}
					if got := r.labels(ids[0]); !slices.Equal(got, m.labels) {
						t.Fatalf("after Timed the old ID reads %q, want %q until a compaction", got, m.labels)
					}
					delete(r.model, ids[0])
					m.timed, m.last = true, NoLast
					r.model[id] = m
				case op < 97:
					r.compact()
				case op < 98:
					r.s.Settle()
				default:
					for id := range r.model {
						if rnd.IntN(2) == 0 {
							r.remove(id)
						}
					}
				}
				if step%50 == 0 {
					r.check()
				}
			}
			r.check()
		})
	}
}

// TestReferencesAreTaken pins who owns a reference: Add takes one of each label, whether it succeeds or not.
func TestReferencesAreTaken(t *testing.T) {
	r := newRig(t, "job=j")
	id := r.add([]string{"__name__=m", "job=j"}, false)
	again := r.add([]string{"__name__=m", "job=j"}, true)
	r.check()
	r.remove(id)
	r.check()
	r.remove(again)
	r.check()

	many := make([]string, MaxLabels+1)
	for i := range many {
		many[i] = fmt.Sprintf("l%06d=v", i)
	}
	for range 2 {
		if _, err := r.tryAdd(many, false); !errors.Is(err, ErrTooMany) || !strings.Contains(err.Error(), "label_limit") {
			t.Errorf("Add of %d labels = %v, want %v, and the option which helps", len(many), err, ErrTooMany)
		}
		r.check()
	}
	r.add(many[:MaxLabels], true)
	r.check()
	r.compact()
	r.check()
}

// TestMoreCommonLabelsThanSlots: what is beyond the number that a shape can name is kept like any other label.
func TestMoreCommonLabelsThanSlots(t *testing.T) {
	var labels []string
	for i := range maxCommon + 45 {
		labels = append(labels, fmt.Sprintf("l%03d=v", i))
	}
	r := newRig(t, labels...)
	r.common = labels[:maxCommon]
	r.check()
	r.add(labels, false)
	r.add(labels[1:], false)
	r.add(append([]string{"a=b"}, labels[10:290]...), true)
	r.check()
	r.compact()
	r.check()
}

// TestCommonLabelsCostNothing pins that labels which all series share do not appear in their records.
func TestCommonLabelsCostNothing(t *testing.T) {
	r := newRig(t, "instance=i", "job=j", "node=n")
	id := r.add([]string{"__name__=m", "instance=i", "job=j", "le=1", "node=n"}, false)
	if got := len(r.s.Record(id)); got != 3 {
		t.Errorf("a record with two labels of its own takes %d bytes, want 3", got)
	}
}

// TestMemoryComesBack pins that what went leaves nothing once the store says that it is wasteful and was compacted: neither
// bytes, nor numbers, nor shapes.
func TestMemoryComesBack(t *testing.T) {
	r := newRig(t, "k=common")
	kept := r.add([]string{"__name__=kept", "k=common"}, true)
	r.s.SetLast(kept, 7)
	r.model[kept].last = 7
	r.s.Settle()
	before := r.s.Bytes()
	for round := range 8 {
		var ids []ID
		for i := range 300 {
			labels := []string{fmt.Sprintf("__name__=m%d", round)}
			for k := range 1 + (round*300+i)%40 { // many shapes
				labels = append(labels, fmt.Sprintf("%c%02d=%d", 'a'+rune((round+k)%26), k, i))
			}
			if i%2 == 0 {
				labels = append(labels, "k=common")
			}
			slices.Sort(labels)
			ids = append(ids, r.add(labels, false))
		}
		for _, id := range ids {
			r.remove(id)
		}
		if !r.s.Wasteful() {
			t.Fatalf("round %d: a store which is all holes is not wasteful", round)
		}
		r.compact()
		if r.s.Wasteful() {
			t.Fatalf("round %d: a store is wasteful after a compaction", round)
		}
	}
	r.check()
	if got := r.s.Bytes(); got > before+64 {
		t.Errorf("Bytes() = %d after label sets came and went, want about the %d of before", got, before)
	}
}

// TestSteadyUseAllocatesNothing gates what a scrape does for each known series.
func TestSteadyUseAllocatesNothing(t *testing.T) {
	r := newRig(t, "instance=i", "job=j")
	id := r.add([]string{"__name__=m", "instance=i", "job=j", "le=1"}, true)
	refs := make([]labelcompress.Ref, 0, 8)
	alloctest.WantAllocs(t, 0, func() {
		refs = r.s.AppendRefs(refs[:0], id)
		r.s.SetLast(id, r.s.Last(id)+1)
		_ = r.s.Record(id)
	})
	if len(refs) != 4 {
		t.Errorf("AppendRefs gave %d labels, want 4", len(refs))
	}
	r.model[id].last = r.s.Last(id)
}

// TestLabelsShare pins that a store refuses new labels beyond its share of the dictionary, takes known ones still, and
// has room again when label sets go.
func TestLabelsShare(t *testing.T) {
	r := newRig(t, "job=x")
	const most = 10_000
	r.s.LimitLabels(most)
	var ids []ID
	for i := 0; ; i++ {
		id, err := r.tryAdd([]string{"a=" + strings.Repeat("v", i%40) + fmt.Sprint(i), fmt.Sprintf("b=%d", i), "job=x"}, false)
		if errors.Is(err, ErrShare) {
			break
		} else if err != nil || i > most {
			t.Fatalf("Add number %d = error %v, want ErrShare at some time", i, err)
		}
		ids = append(ids, id)
	}
	if n := r.dict.Stats().LiveBytes; n > most || n < most/4 {
		t.Errorf("the store's labels take %d bytes of the dictionary, the limit is %d", n, most)
	}
	known := []string{"a=0", "b=1", "job=x"}
	for range 2 {
		if id, err := r.tryAdd(known, false); err != nil {
			t.Errorf("Add(%q), whose labels are known, = error %v", known, err)
		} else {
			r.s.Remove(id, false)
		}
		if _, err := r.tryAdd([]string{"a=0", "b=" + strings.Repeat("v", most)}, false); !errors.Is(err, ErrShare) {
			t.Errorf("Add of a label beyond the share = error %v, want ErrShare", err)
		}
	}
	for _, id := range ids {
		r.s.Remove(id, false)
	}
	for i := range ids { // as much as before fits again
		if _, err := r.tryAdd([]string{"a=" + strings.Repeat("v", i%40) + fmt.Sprint(i), fmt.Sprintf("b=%d", i), "job=x"}, false); err != nil {
			t.Fatalf("after all were removed, Add number %d = error %v", i, err)
		}
	}
}

// TestFullDictionary pins that a label set whose labels do not fit into the dictionary leaves nothing behind.
func TestFullDictionary(t *testing.T) {
	dict := labelcompress.New(labelcompress.Options{MaxBytes: 64 << 10})
	s := New(dict, nil)
	var ids []ID
	for i := 0; ; i++ {
		s.Begin()
		err := s.Label("a", fmt.Sprint(i))
		if err == nil {
			err = s.Label("b", strings.Repeat("v", 100)+fmt.Sprint(i))
		}
		if errors.Is(err, labelcompress.ErrFull) {
			break
		} else if err != nil || i > 10_000 {
			t.Fatalf("Label number %d = error %v, want ErrFull at some time", i, err)
		}
		id, err := s.End()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if got, want := dict.Stats().Items, 2*len(ids); got != want || s.Len() != len(ids) {
		t.Errorf("the dictionary holds %d labels of %d label sets, want %d of %d", got, s.Len(), want, len(ids))
	}
	for _, id := range ids {
		s.Remove(id, false)
	}
	if got := dict.Stats().Items; got != 0 {
		t.Errorf("the dictionary holds %d labels of no label set", got)
	}
	s.Close()
}

// TestChurnAllocatesNothing gates what a new series costs whose labels the store knows.
func TestChurnAllocatesNothing(t *testing.T) {
	r := newRig(t, "instance=i", "job=j")
	sets := [][]string{{"__name__=m", "a=1", "instance=i", "job=j"}, {"__name__=n", "b=2", "instance=i", "job=j"}, {"__name__=m", "b=1", "job=j"}}
	for _, labels := range sets {
		r.add(labels, false)
	}
	labels := make([][][2]string, len(sets))
	for i := range sets {
		for _, l := range sets[i] {
			name, value, _ := strings.Cut(l, "=")
			labels[i] = append(labels[i], [2]string{name, value})
		}
	}
	i := 0
	alloctest.WantAllocs(t, 0.02, func() { // the arena grows now and then
		r.s.Begin()
		for _, l := range labels[i%len(labels)] {
			if err := r.s.Label(l[0], l[1]); err != nil {
				t.Fatal(err)
			}
		}
		id, err := r.s.End()
		if err != nil {
			t.Fatal(err)
		}
		r.s.Remove(id, false)
		i++
	})
	r.check()
}
