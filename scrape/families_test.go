package scrape

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"scraper/config"
)

// TestMetadata pins when metadata are sent: with the first scrape, when they change, and once a minute; never of a scrape
// that failed.
func TestMetadata(t *testing.T) {
	bubble(t, Options{Dialect: config.Prometheus, Metadata: true}, func(w *world) {
		const (
			first  = "# HELP a The first,\\nin two \\\\ lines.\n# TYPE a counter\na{l=\"1\"} 1\na{l=\"2\"} 1\n"
			second = "# TYPE b gauge\nb 1\nnone 1\n"
			third  = "# HELP c Without a type.\nc 1\n"
		)
		e := w.export("a:80", first+second+third)
		w.apply(oneJob())
		w.run()
		check := func(when string, want ...string) {
			t.Helper()
			if got := w.sink.takeFamilies(); !slices.Equal(got, want) {
				t.Errorf("%s:\n got %q\nwant %q", when, got, want)
			}
		}
		a := `a counter "" "The first,\nin two \\ lines." before a`
		b := `b gauge "" "" before b`
		c := `c unknown "" "Without a type." before c`
		w.scrapeNow()
		check("the first scrape", a, b, c)
		w.scrapeNow()
		check("the second scrape")
		changed := strings.ReplaceAll(second, "gauge", "counter")
		e.set(first + changed + third)
		w.scrapeNow()
		check("another type", `b counter "" "" before b`)
		e.set(third + first + changed)
		w.scrapeNow()
		check("another order")
		e.set(third + "# TYPE new gauge\nnew 1\nbad line}\n")
		w.scrapeNow()
		check("a body with a mistake")
		e.set(third + "# TYPE new gauge\nnew 1\n")
		w.scrapeNow()
		check("without the mistake", `new gauge "" "" before new`)
		w.pass(metadataEvery + 10*time.Second)
		check("after a minute", c, `new gauge "" "" before new`)
		e.set("# HELP long " + strings.Repeat("é", 10_000) + "\nlong 1\n")
		w.scrapeNow()
		if got := w.sink.takeFamilies(); len(got) != 1 || len(got[0]) > maxHelpBytes+50 || strings.Contains(got[0], `\x`) {
			t.Errorf("a long text is sent as %.100q", got)
		}
		if got := w.metadata(); len(got) != 1 || got[0].Family != "long" || got[0].Type != "unknown" {
			t.Errorf("Metadata() = %.100v", got)
		}
	})
}

// TestMetadataIsKeptAsItIs compares what is kept with random bodies' metadata, shuffled, changed and repeated.
func TestMetadataIsKeptAsItIs(t *testing.T) {
	bubble(t, Options{Dialect: config.VMAgent, Metadata: true}, func(w *world) {
		rnd := rand.New(rand.NewPCG(1, 2))
		e := w.export("a:80", "")
		w.apply(oneJob())
		w.run()
		helps := [8]int{}
		order := rnd.Perm(8)
		for round := range 200 {
			switch rnd.IntN(4) {
			case 0:
				helps[rnd.IntN(8)]++
			case 1:
				order = rnd.Perm(8)[:rnd.IntN(9)]
			}
			var body strings.Builder
			var want []Metadata
			for _, i := range order {
				m := Metadata{Family: fmt.Sprintf("f%d", i), Type: "gauge", Help: fmt.Sprintf("help %d", helps[i])}
				fmt.Fprintf(&body, "# HELP %s %s\n# TYPE %[1]s gauge\n%[1]s 1\n", m.Family, m.Help)
				want = append(want, m)
			}
			e.set(body.String())
			if rnd.IntN(5) == 0 {
				e.fail(500)
				w.scrapeNow()
				continue
			}
			w.scrapeNow()
			if got := w.metadata(); !slices.Equal(got, want) {
				t.Fatalf("round %d: kept is\n%v, want\n%v", round, got, want)
			}
		}
	})
}

// TestNoMetadata: nothing is kept or sent where nobody wants it.
func TestNoMetadata(t *testing.T) {
	bothDialects(t, func(w *world) {
		w.export("a:80", "# HELP a The first.\n# TYPE a counter\na 1\n")
		w.apply(oneJob())
		w.run()
		w.scrapeNow()
		if got := w.sink.takeFamilies(); len(got) != 0 {
			t.Errorf("sent were %q", got)
		}
		if got := w.metadata(); len(got) != 0 {
			t.Errorf("kept are %q", got)
		}
	})
}

// metadata returns what the only target said.
func (w *world) metadata() []Metadata {
	w.t.Helper()
	for id, all := range w.m.Metadata() {
		if id == w.only().ID {
			return all
		}
	}
	w.t.Fatal("the target is not among those of Metadata()")
	return nil
}

// TestManyFamilies: what the families of a target take is bounded, whatever its body has, and what is beyond comes when there is room.
func TestManyFamilies(t *testing.T) {
	t.Parallel()
	bubble(t, Options{Dialect: config.Prometheus, Metadata: true}, func(w *world) {
		const n = 2 * maxFamilyBytes / (1 << 10)
		body := func(from, to int) string {
			var b strings.Builder
			for i := from; i < to; i++ {
				fmt.Fprintf(&b, "# HELP f%05d %05d%s\nf%05[1]d 1\n", i, i, strings.Repeat("x", 1000))
			}
			return b.String() + "a 1\n"
		}
		e := w.export("a:80", body(0, n))
		w.apply(oneJob())
		w.run()
		w.scrapeNow()
		first := w.metadata()
		if len(first) < n/3 || len(first) > n/2 {
			t.Fatalf("%d families are kept of %d of 1 KiB, want %d bytes", len(first), n, maxFamilyBytes)
		}
		if sent := w.sink.takeFamilies(); len(sent) != len(first) {
			t.Errorf("%d families were sent, and %d kept", len(sent), len(first))
		}
		check := func(what, text string, sent int, want ...Metadata) {
			t.Helper()
			e.set(text)
			w.scrapeNow()
			if got := w.sink.takeFamilies(); len(got) != sent {
				t.Errorf("%s: %d families were sent, want %d", what, len(got), sent)
			}
			if got := w.metadata(); !slices.Equal(got, want) {
				t.Errorf("%s: %d families are kept, want %d", what, len(got), len(want))
			}
		}
		k := len(first)
		check("the same again", body(0, n), 0, first...)
		check("some of them", body(0, k-2), 0, first[:k-2]...)
		check("as many as there were", body(0, k), 2, first...)
		check("all", body(0, n), 0, first...)
		check("one at the beginning is gone", body(1, n), 1, append(slices.Clone(first[1:]), Metadata{
			Family: fmt.Sprintf("f%05d", k), Type: "unknown", Help: fmt.Sprintf("%05d", k) + strings.Repeat("x", 1000)})...)
	})
}

// TestFamilyScratch: what a reader of families took for a long name is gone after the scrape.
func TestFamilyScratch(t *testing.T) {
	long := make([]byte, 1<<20)
	for name, f := range map[string]*familyReading{"name": {name: long}, "unit": {unit: long}, "help": {help: long}, "value": {value: long}, "row": {row: long}} {
		f.end()
		if n := cap(f.name) + cap(f.unit) + cap(f.help) + cap(f.value) + cap(f.row); n > 0 {
			t.Errorf("%d bytes are kept after a long %s", n, name)
		}
	}
}
