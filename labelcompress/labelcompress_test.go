package labelcompress

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scraper/internal/alloctest"
)

func mustIntern(t testing.TB, d *Dict, name, value string) Ref {
	t.Helper()
	r, err := d.InternString(name, value)
	if err != nil {
		t.Fatalf("InternString(%.40q, %.40q): %v", name, value, err)
	}
	if r == 0 {
		t.Fatalf("InternString(%.40q, %.40q) = 0, want a valid Ref", name, value)
	}
	return r
}

// wantLabel checks every way to read r.
func wantLabel(t testing.TB, d *Dict, r Ref, name, value string) {
	t.Helper()
	if got := string(d.Name(r)); got != name {
		t.Errorf("Name(%d) = %q, want %q", r, got, name)
	}
	if got := string(d.Value(r)); got != value {
		t.Errorf("Value(%d) = %q, want %q", r, got, value)
	}
	if n, v := d.Label(r); string(n) != name || string(v) != value {
		t.Errorf("Label(%d) = %q, %q, want %q, %q", r, n, v, name, value)
	}
}

func TestInternGivesOneRefPerLabel(t *testing.T) {
	d := New(Options{})
	a := mustIntern(t, d, "job", "node")
	b, err := d.Intern([]byte("job"), []byte("node"))
	if err != nil || a != b {
		t.Errorf("Intern of the same text = %d, %v, want %d, nil", b, err, a)
	}
	for _, other := range [][2]string{{"node", "job"}, {"jobn", "ode"}, {"job", ""}, {"", "jobnode"}, {"jobnode", ""}, {"", ""}, {"job", "node\x00"}} {
		if r := mustIntern(t, d, other[0], other[1]); r == a {
			t.Errorf("InternString(%q, %q) = %d, the Ref of another label", other[0], other[1], r)
		} else {
			wantLabel(t, d, r, other[0], other[1])
		}
	}
	wantLabel(t, d, a, "job", "node")
}

func TestInternBorrows(t *testing.T) {
	d := New(Options{})
	name, value := []byte("job"), []byte("node")
	r, err := d.Intern(name, value)
	if err != nil {
		t.Fatal(err)
	}
	copy(name, "xxx")
	copy(value, "xxxx")
	wantLabel(t, d, r, "job", "node")
}

func TestReleaseOfTheLastHolderForgetsTheLabel(t *testing.T) {
	d := New(Options{})
	r := mustIntern(t, d, "job", "node")
	mustIntern(t, d, "job", "node")
	d.Acquire(r)
	for range 2 {
		d.Release(r)
		wantLabel(t, d, r, "job", "node")
	}
	if got := d.Stats().Items; got != 1 {
		t.Errorf("Items with one holder = %d, want 1", got)
	}
	block := d.Open()
	d.Release(r)
	if got := d.Stats(); got.Items != 0 || got.LiveBytes != 0 {
		t.Errorf("after the last Release: Items = %d, LiveBytes = %d, want 0, 0", got.Items, got.LiveBytes)
	}
	if again := mustIntern(t, d, "job", "node"); again == r {
		t.Errorf("Intern after the last Release, a block open = %d, want another Ref", again)
	}
	block.Close()
}

func TestViewsOutliveTheLabel(t *testing.T) {
	d := New(Options{})
	var refs []Ref
	for i := range 5000 {
		refs = append(refs, mustIntern(t, d, "pod", fmt.Sprint("pod-", i)))
	}
	view := d.Wire(refs[17])
	want := bytes.Clone(view)
	for _, r := range refs {
		d.Release(r)
	}
	d.Compact()
	for i := range 5000 {
		mustIntern(t, d, "pod", fmt.Sprint("another-", i))
	}
	runtime.GC()
	if !bytes.Equal(view, want) {
		t.Errorf("a view changed after its label went: %q, want %q", view, want)
	}
}

func TestRefsAreReused(t *testing.T) {
	d := New(Options{})
	var refs []Ref
	for i := range 2000 {
		refs = append(refs, mustIntern(t, d, "a", fmt.Sprint(i)))
	}
	limit := refs[len(refs)-1]
	for round := range 20 {
		for _, r := range refs {
			d.Release(r)
		}
		refs = refs[:0]
		for i := range 2000 {
			r := mustIntern(t, d, "b", fmt.Sprint(round, " ", i))
			if r > limit {
				t.Fatalf("round %d: Ref %d beyond the %d that were ever needed at once", round, r, limit)
			}
			refs = append(refs, r)
		}
	}
	if got := refs[0]; got != 1 {
		t.Errorf("first Ref of an empty dictionary = %d, want 1", got)
	}
}

func TestBlockKeepsNumbersFromReuse(t *testing.T) {
	d := New(Options{})
	early := mustIntern(t, d, "early", "")
	late := mustIntern(t, d, "late", "")

	// given interns more labels than a page has numbers, so each number that is free is given.
	next := 0
	given := func() (givenEarly, givenLate bool) {
		for range 2 * pageRefs {
			next++
			r := mustIntern(t, d, "probe", fmt.Sprint(next))
			givenEarly = givenEarly || r == early
			givenLate = givenLate || r == late
		}
		return givenEarly, givenLate
	}
	want := func(when string, wantEarly, wantLate bool) {
		t.Helper()
		if e, l := given(); e != wantEarly || l != wantLate {
			t.Errorf("%s: numbers given again: %v, %v, want %v, %v", when, e, l, wantEarly, wantLate)
		}
	}

	first := d.Open()
	second := d.Open()
	d.Release(early)
	third := d.Open()
	d.Release(late)
	want("all blocks are open", false, false)
	second.Close()
	second.Close()
	want("the second block is closed", false, false)
	first.Close()
	want("the first and second block are closed", true, false)
	fourth := d.Open()
	third.Close()
	want("only a block which was opened later is open", false, true)
	fourth.Close()
	if got := d.Stats(); got.Limbo != 0 || got.OpenBlocks != 0 {
		t.Errorf("Limbo, OpenBlocks = %d, %d, want 0, 0", got.Limbo, got.OpenBlocks)
	}
}

// A block which is never closed pins the numbers that are freed while it is open. It must not keep others from being
// freed, nor make the dictionary hold anything for the blocks which come and go beside it.
func TestPinnedBlock(t *testing.T) {
	d := New(Options{})
	d.OpenFor("stuck")
	for i := range 100_000 {
		b := d.Open()
		if i%1000 == 0 {
			d.Release(mustIntern(t, d, "pod", fmt.Sprint(i)))
		}
		b.Close()
	}
	s := d.Stats()
	if s.Limbo != 100 || s.OpenBlocks != 1 || s.OldestBlockHolder != "stuck" {
		t.Errorf("Limbo = %d, OpenBlocks = %d, OldestBlockHolder = %q, want 100, 1, stuck", s.Limbo, s.OpenBlocks, s.OldestBlockHolder)
	}
	if limit := int64(40 << 10); s.Bytes > limit {
		t.Errorf("Bytes = %d, want at most %d", s.Bytes, limit)
	}
	if d.ids.oldest != d.ids.youngest {
		t.Error("closed blocks are still linked")
	}
}

func TestOldestBlockAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		if got := d.Stats().OldestBlockAge; got != 0 {
			t.Errorf("OldestBlockAge without blocks = %v, want 0", got)
		}
		first := d.OpenFor("first")
		time.Sleep(time.Minute)
		second := d.OpenFor("second")
		time.Sleep(time.Hour)
		if got := d.Stats(); got.OldestBlockAge != time.Hour+time.Minute || got.OldestBlockHolder != "first" {
			t.Errorf("oldest block = %v %q, want 1h1m first", got.OldestBlockAge, got.OldestBlockHolder)
		}
		first.Close()
		if got := d.Stats(); got.OldestBlockAge != time.Hour || got.OldestBlockHolder != "second" {
			t.Errorf("oldest block = %v %q, want 1h second", got.OldestBlockAge, got.OldestBlockHolder)
		}
		second.Close()
	})
}

func TestTooLongLabel(t *testing.T) {
	d := New(Options{})
	long := strings.Repeat("x", MaxLabelBytes)
	_, err := d.InternString("name", long)
	if e, ok := errors.AsType[*TooLongError](err); !ok || e.Bytes <= MaxLabelBytes {
		t.Errorf("InternString of %d bytes: %v, want a *TooLongError", len(long), err)
	}
	fits := long[:MaxLabelBytes-16] // 1+4 for the label, 1+1+4 for the name, 1+4 for the value's tag and length
	r := mustIntern(t, d, "name", fits)
	wantLabel(t, d, r, "name", fits)
	d.Release(r)
	if got := d.Stats(); got.Bytes > 64<<10 {
		t.Errorf("Bytes after the release of a long label = %d, want it gone", got.Bytes)
	}
}

// Lengths around every change of the encoding and of where a label lies.
func TestLengths(t *testing.T) {
	d := New(Options{})
	text := strings.Repeat("0123456789abcdef", maxSlabBytes/8)
	refs := map[Ref][2]string{}
	for _, n := range []int{0, 1, 120, 121, 122, 123, 127, 128, 129, 255, 256, 1000, 1023, 1024, 1025, 4083, 4096, 16379, 16383, 16384, 65536, maxSlabBytes - 20, maxSlabBytes - 1, maxSlabBytes, maxSlabBytes + 1, 2 * maxSlabBytes} {
		for _, label := range [][2]string{{"", text[:n]}, {text[:n], ""}, {"v", text[:n]}, {text[:n], text[:n]}} {
			refs[mustIntern(t, d, label[0], label[1])] = label
		}
	}
	d.Compact()
	for r, label := range refs {
		if n, v := d.Label(r); string(n) != label[0] || string(v) != label[1] {
			t.Errorf("Label(%d) = %d and %d bytes, want %d and %d", r, len(n), len(v), len(label[0]), len(label[1]))
		}
	}
}

func TestAppendWire(t *testing.T) {
	d := New(Options{})
	refs := []Ref{mustIntern(t, d, "a", "b"), mustIntern(t, d, "le", "+Inf")}
	got := string(d.AppendWire([]byte("x"), refs))
	if want := "x\x0a\x06\x0a\x01a\x12\x01b\x0a\x0a\x0a\x02le\x12\x04+Inf"; got != want {
		t.Errorf("AppendWire = %q, want %q", got, want)
	}
}

func TestNoAllocations(t *testing.T) {
	d := New(Options{})
	name, value := []byte("container"), []byte("payments-7c9f7d6b5-x2x7q")
	r, err := d.Intern(name, value)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 1024)
	sum := 0
	alloctest.WantAllocs(t, 0, func() {
		if _, err := d.Intern(name, value); err != nil {
			t.Error(err)
		}
		if _, err := d.InternString("container", "payments-7c9f7d6b5-x2x7q"); err != nil {
			t.Error(err)
		}
		d.Acquire(r)
		for range 3 {
			d.Release(r)
		}
		sum += len(d.Wire(r)) + len(d.Name(r)) + len(d.Value(r))
		dst = d.AppendWire(dst[:0], []Ref{r, r, r})
		_ = d.Bytes()
	})
}

func TestMisuse(t *testing.T) {
	d := New(Options{})
	r := mustIntern(t, d, "a", "b")
	keep := mustIntern(t, d, "keep", "this")
	d.Release(r)
	uses := map[string]func(Ref){
		"Wire":    func(r Ref) { d.Wire(r) },
		"Name":    func(r Ref) { d.Name(r) },
		"Value":   func(r Ref) { d.Value(r) },
		"Acquire": d.Acquire,
		"Release": d.Release,
	}
	for name, use := range uses {
		for _, bad := range []Ref{r, 0, 512, 400, 100_000, maxRefs, ^Ref(0)} {
			func() {
				defer func() {
					p := recover()
					if msg := fmt.Sprint(p); checked != (p != nil) || checked && !strings.HasPrefix(msg, "labelcompress: ") {
						t.Errorf("%s(%d) in a build with checks %v: panic %v", name, bad, checked, p)
					}
				}()
				use(bad)
			}()
		}
	}
	if got, want := d.Stats().Misuses, uint64(5*7); got != want {
		t.Errorf("Misuses = %d, want %d", got, want)
	}
	if got := mustIntern(t, d, "c", "d"); got != r {
		t.Errorf("Intern = %d, want the freed %d once", got, r)
	}
	if got := mustIntern(t, d, "e", "f"); got == r {
		t.Errorf("the freed %d was given twice", r)
	}
	wantLabel(t, d, keep, "keep", "this")
}

func TestBitset(t *testing.T) {
	var s bitset
	if got := s.least(); got != -1 {
		t.Errorf("least of an empty set = %d, want -1", got)
	}
	members := []int{bitsetSize - 1, 70_000, 4096, 4095, 64, 63, 5, 0}
	for _, n := range members {
		s.add(n)
		if got := s.least(); got != n {
			t.Errorf("least = %d, want %d", got, n)
		}
	}
	for i := len(members) - 1; i >= 0; i-- {
		if got := s.least(); got != members[i] {
			t.Errorf("least = %d, want %d", got, members[i])
		}
		s.remove(members[i])
	}
	if got := s.least(); got != -1 {
		t.Errorf("least of an emptied set = %d, want -1", got)
	}
}
