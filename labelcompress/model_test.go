package labelcompress

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var modelSteps = flag.Int("labelcompress.steps", 60_000, "random steps of TestModel (the long form: 1000000)")

// oracle is the dictionary as one would write it without caring for memory.
type oracle struct {
	labels  map[string]*oracleLabel // by name + "\xff" + value
	held    []*oracleLabel
	waiting map[Ref]map[*Block]bool // freed numbers: the blocks they wait for
	blocks  []*Block
}

type oracleLabel struct {
	ref         Ref
	holders     int
	name, value string
}

// TestModel runs random steps on a dictionary and on the oracle.
func TestModel(t *testing.T) {
	for _, maxBytes := range []int64{0, 96 << 10} {
		t.Run(fmt.Sprintf("MaxBytes=%d", maxBytes), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			runModel(t, New(Options{MaxBytes: maxBytes}), rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func runModel(t *testing.T, d *Dict, rnd *rand.Rand) {
	o := &oracle{labels: map[string]*oracleLabel{}, waiting: map[Ref]map[*Block]bool{}}
	steps := *modelSteps
	if testing.Short() {
		steps /= 4
	}
	names := []string{"", "pod", "namespace", "le", strings.Repeat("n", 130)}
	for step := range steps {
		// The dictionary grows and shrinks in waves, so that slabs, pages and tables come and go.
		growing := step/5000%2 == 0
		switch p := rnd.IntN(100); {
		case p < 2:
			o.open(d)
		case p < 4:
			o.close(rnd)
		case p == 4 && rnd.IntN(20) == 0:
			d.Compact()
		case p == 5:
			d.CompactStep(int64(rnd.IntN(100_000)))
		case p < 20 && len(o.held) > 0:
			l := o.held[rnd.IntN(len(o.held))]
			d.Acquire(l.ref)
			o.hold(l)
		case (growing && p < 70) || (!growing && p < 30):
			size := rnd.IntN(30)
			if rnd.IntN(200) == 0 {
				size = rnd.IntN(3000)
			}
			value := strings.Repeat("v", size) + fmt.Sprint(rnd.IntN(20_000))
			o.intern(t, d, names[rnd.IntN(len(names))], value, rnd.IntN(2) == 0)
		default:
			o.release(d, rnd)
		}
		if step%997 == 0 || step == steps-1 {
			o.compare(t, d)
		}
		if t.Failed() {
			t.Fatalf("failed at step %d", step)
		}
	}
	for len(o.held) > 0 {
		o.release(d, rnd)
	}
	for len(o.blocks) > 0 {
		o.close(rnd)
	}
	d.Compact()
	o.compare(t, d)
	if s := d.Stats(); s.Bytes > 96<<10 {
		t.Errorf("Bytes when all is released and compacted = %d (%+v)", s.Bytes, s)
	}
}

func (o *oracle) hold(l *oracleLabel) {
	l.holders++
	o.held = append(o.held, l)
}

func (o *oracle) intern(t *testing.T, d *Dict, name, value string, asString bool) {
	var r Ref
	var err error
	if asString {
		r, err = d.InternString(name, value)
	} else {
		r, err = d.Intern([]byte(name), []byte(value))
	}
	key := name + "\xff" + value
	l := o.labels[key]
	switch {
	case err != nil:
		if l != nil || d.MaxBytes() == 0 || !errors.Is(err, ErrFull) {
			t.Errorf("Intern(%q, %q): %v", name, value, err)
		}
		return
	case l == nil:
		if o.waiting[r] != nil {
			t.Errorf("Intern(%q, %q) = %d, which waits for %d blocks", name, value, r, len(o.waiting[r]))
		}
		l = &oracleLabel{ref: r, name: name, value: value}
		o.labels[key] = l
	case l.ref != r:
		t.Errorf("Intern(%q, %q) = %d, want %d", name, value, r, l.ref)
	}
	o.hold(l)
}

func (o *oracle) release(d *Dict, rnd *rand.Rand) {
	if len(o.held) == 0 {
		return
	}
	i := rnd.IntN(len(o.held))
	l := o.held[i]
	o.held[i] = o.held[len(o.held)-1]
	o.held = o.held[:len(o.held)-1]
	d.Release(l.ref)
	if l.holders--; l.holders > 0 {
		return
	}
	delete(o.labels, l.name+"\xff"+l.value)
	if len(o.blocks) > 0 {
		o.waiting[l.ref] = map[*Block]bool{}
		for _, b := range o.blocks {
			o.waiting[l.ref][b] = true
		}
	}
}

func (o *oracle) open(d *Dict) {
	if len(o.blocks) < 12 {
		o.blocks = append(o.blocks, d.Open())
	}
}

func (o *oracle) close(rnd *rand.Rand) {
	if len(o.blocks) == 0 {
		return
	}
	i := rnd.IntN(len(o.blocks))
	b := o.blocks[i]
	o.blocks = append(o.blocks[:i], o.blocks[i+1:]...)
	b.Close()
	for r, blocks := range o.waiting {
		delete(blocks, b)
		if len(blocks) == 0 {
			delete(o.waiting, r)
		}
	}
}

// compare decodes every label, and checks the account.
func (o *oracle) compare(t *testing.T, d *Dict) {
	t.Helper()
	var live int64
	refs := map[Ref]bool{}
	for _, l := range o.labels {
		name, value, err := decodeLabel(d.Wire(l.ref))
		if err != nil || name != l.name || value != l.value {
			t.Errorf("label %d = %q, %q, %v, want %q, %q", l.ref, name, value, err, l.name, l.value)
		}
		if refs[l.ref] {
			t.Errorf("Ref %d names two labels", l.ref)
		}
		refs[l.ref] = true
		live += int64(len(d.Wire(l.ref)))
	}
	s := d.Stats()
	if s.Items != len(o.labels) || s.LiveBytes != live || s.Limbo != len(o.waiting) || s.OpenBlocks != len(o.blocks) {
		t.Errorf("Items, LiveBytes, Limbo, OpenBlocks = %d, %d, %d, %d, want %d, %d, %d, %d",
			s.Items, s.LiveBytes, s.Limbo, s.OpenBlocks, len(o.labels), live, len(o.waiting), len(o.blocks))
	}
	if s.MaxBytes > 0 && s.Bytes > s.MaxBytes {
		t.Errorf("Bytes = %d, want at most %d", s.Bytes, s.MaxBytes)
	}
	checkInvariants(t, d)
}

// checkInvariants recounts what the dictionary keeps count of. Nobody else may use it meanwhile.
func checkInvariants(t *testing.T, d *Dict) {
	t.Helper()
	index, indexed := int64(0), map[Ref]bool{}
	for i := range d.shards {
		tab := &d.shards[i].table
		index += tab.bytes()
		last, items := uint32(0), 0
		for at, slot := range tab.slots {
			if slot == 0 {
				continue
			}
			h := uint32(slot >> 32)
			if h < last || tab.home(h) > at {
				t.Errorf("shard %d: hash %#x at %d, its home is %d, the hash before it %#x", i, h, at, tab.home(h), last)
			}
			for gap := tab.home(h); gap < at; gap++ {
				if tab.slots[gap] == 0 {
					t.Errorf("shard %d: a gap at %d between hash %#x at %d and its home %d", i, gap, h, at, tab.home(h))
				}
			}
			last = h
			items++
			indexed[Ref(slot)] = true
		}
		if items != tab.items || len(tab.slots) > 0 && tab.slots[len(tab.slots)-1] != 0 {
			t.Errorf("shard %d: %d items, want %d, and the last slot a gap", i, items, tab.items)
		}
	}
	if index != d.data.indexBytes || len(indexed) != d.ids.items {
		t.Errorf("index: %d bytes, %d items, want %d, %d", index, len(indexed), d.data.indexBytes, d.ids.items)
	}

	live := map[*slab]int{}
	for r := range indexed {
		v := d.word(r).Load()
		if v>>32 == 0 {
			t.Errorf("Ref %d is in the index without a holder", r)
			continue
		}
		live[d.slabAt(uint32(v))] += len(d.Wire(r))
	}
	slabs, slabTotal := 0, int64(0)
	for n := range d.data.limit {
		s := d.slabAt(uint32(n) << offsetBits)
		if s == nil {
			continue
		}
		slabs++
		slabTotal += int64(len(s.b))
		if int(s.live) != live[s] || s.live > s.used || int(s.used) > len(s.b) || s.sealed && s.live == 0 {
			t.Errorf("slab %d: live %d of %d used, sealed %v, want %d", n, s.live, s.used, s.sealed, live[s])
		}
	}
	if slabs != d.data.slabs || slabTotal != d.data.slabBytes {
		t.Errorf("slabs: %d of %d bytes, want %d, %d", slabs, slabTotal, d.data.slabs, d.data.slabBytes)
	}

	// Every number is exactly one of: in the index, in limbo, ready, on its page's list.
	pages, empty, numbers := 0, 0, 0
	seen := map[Ref]bool{}
	see := func(r Ref) {
		if seen[r] || indexed[r] {
			t.Errorf("Ref %d is in two places", r)
		}
		seen[r] = true
	}
	list := func(l refList) {
		r := l.head
		for range l.n {
			see(r)
			r = Ref(d.word(r).Load())
		}
	}
	list(d.ids.ready)
	for b := d.ids.oldest; b != nil; b = b.younger {
		list(b.limbo)
	}
	for n := range d.ids.pageLimit {
		p := d.pageAt(n)
		if p == nil {
			continue
		}
		pages++
		numbers += pageRefs - 1
		if p[0].Load()>>pageBits == 0 {
			empty++
		}
		for i := p[0].Load() & (pageRefs - 1); i != 0; i = p[i].Load() {
			see(Ref(n<<pageBits) | Ref(i))
		}
	}
	if pages != d.ids.pages || empty != d.ids.emptyPages || len(seen)+len(indexed) != numbers {
		t.Errorf("pages: %d, %d empty, %d numbers found, want %d, %d, %d", pages, empty, len(seen)+len(indexed), d.ids.pages, d.ids.emptyPages, numbers)
	}
}
