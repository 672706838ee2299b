package scrape

import (
	"cmp"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"scraper/batch"
	"scraper/internal/slab"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/streamparse"
)

// maxExemplarRunes is how long the labels of an exemplar may be together, as OpenMetrics has it; longer ones are dropped,
// and their samples kept.
const maxExemplarRunes = 128

// lastExemplars remembers the newest exemplar that was sent of each series which has any. A target shows an exemplar with
// each scrape until there is another one, and a native histogram shows several, old ones among them. Receivers take what is
// newer than what they have, and answer the rest by 400: so each is sent once, in the order of time.
//
// The zero value is empty. It is memory of one table, and takes part in its transactions.
type lastExemplars struct {
	// of is by the hash of the label sets. That two of a process collide is no more likely than a damaged memory, and costs
	// an exemplar.
	of map[uint64]lastExemplar
	// pending is what counts from the commit on, and more what goes beyond keepPending.
	pending []pendingExemplar
	more    slab.Vec[pendingExemplar]
	// scrapes counts good scrapes, so that what is gone can be forgotten.
	scrapes uint32
	// forgotten is how many series were forgotten since of was made, which keeps their room.
	forgotten int
}

// lastExemplar is the newest exemplar of a series.
type lastExemplar struct {
	millis int64
	value  float64
	hash   uint64 // of its labels
	scrape uint32 // when the series last had an exemplar, within exemplarSweep/2
}

type pendingExemplar struct {
	series uint64
	lastExemplar
}

const (
	// exemplarSweep is after how many good scrapes series without an exemplar are looked for and forgotten.
	exemplarSweep = 16

	// keepPending is how much of pending is kept for the next scrape.
	keepPending = 256

	lastExemplarBytes    = 80 // with its share of the map
	pendingExemplarBytes = 40
)

func (l *lastExemplars) bytes() int64 {
	return int64(len(l.of))*lastExemplarBytes + int64(cap(l.pending)+l.more.Cap())*pendingExemplarBytes
}

// isNew reports whether e, whose labels have the given hash and whose time is at, is to be sent after the exemplar x.
func (x *lastExemplar) isNew(e streamparse.Exemplar, at int64, hash uint64) bool {
	if !e.HasTimestamp { // then it is another one, or the same still
		return at >= x.millis && (hash != x.hash || math.Float64bits(e.Value) != math.Float64bits(x.value))
	}
	return at > x.millis || at == x.millis && e.Value > x.value
}

// forget forgets a series which left the body with many others. One which is missing alone, for a scrape or two, comes back
// with the exemplar that was sent; what leaves with many is gone.
func (l *lastExemplars) forget(series uint64) {
	n := len(l.of)
	delete(l.of, series)
	l.forgotten += n - len(l.of)
}

// settle gives the memory of what was forgotten back: a map never shrinks.
func (l *lastExemplars) settle() {
	if l.forgotten > max(leastDeparted, len(l.of)) {
		of := make(map[uint64]lastExemplar, len(l.of))
		maps.Copy(of, l.of)
		l.of, l.forgotten = of, 0
	}
}

// commit ends a good scrape.
func (l *lastExemplars) commit() {
	if len(l.of)+len(l.pending) == 0 {
		return
	}
	if l.of == nil {
		l.of = make(map[uint64]lastExemplar, len(l.pending)+l.more.Len())
	}
	for _, p := range l.pending {
		l.of[p.series] = p.lastExemplar
	}
	for i := range uint32(l.more.Len()) {
		p := l.more.At(i)
		l.of[p.series] = p.lastExemplar
	}
	l.forgetPending()
	if l.scrapes++; l.scrapes%exemplarSweep != 0 {
		return
	}
	for series, x := range l.of {
		if l.scrapes-x.scrape > exemplarSweep {
			l.forget(series)
		}
	}
	l.settle()
	if len(l.of) == 0 {
		*l = lastExemplars{}
	}
}

// add has an exemplar of a series count from the commit on.
func (l *lastExemplars) add(series uint64, x lastExemplar) {
	if p := (pendingExemplar{series, x}); len(l.pending) < keepPending {
		l.pending = append(l.pending, p)
	} else {
		l.more.Push(p)
	}
}

// forgetPending drops what was to count from the commit on.
func (l *lastExemplars) forgetPending() {
	l.pending = l.pending[:0]
	l.more.Reset()
}

// appendExemplars adds those of the current entry's exemplars which were not sent yet, oldest first. Its sample has the
// timestamp ts.
func (r *reading) appendExemplars(set labelset.ID, ts int64) {
	all := r.p.Exemplars()
	if len(all) == 0 {
		return
	}
	x, known := &r.extra, &r.tab.exemplars
	x.exemplars = append(x.exemplars[:0], all...)
	if len(all) > 1 {
		at := func(e *streamparse.Exemplar) int64 {
			if e.HasTimestamp {
				return e.TimestampMillis
			}
			return ts
		}
		slices.SortStableFunc(x.exemplars, func(a, b streamparse.Exemplar) int {
			return cmp.Or(cmp.Compare(at(&a), at(&b)), cmp.Compare(a.Value, b.Value))
		})
	}
	series := r.tab.sets.Hash(set)
	last, ok := known.of[series]
	if !ok {
		last.millis = math.MinInt64
	}
	changed := !ok || known.scrapes-last.scrape > exemplarSweep/2
	for _, e := range x.exemplars {
		at := ts
		if e.HasTimestamp {
			at = e.TimestampMillis
		}
		x.labels = r.p.AppendExemplarLabels(x.labels[:0], e)
		x.wire = x.wire[:0]
		runes := 0
		for _, l := range x.labels {
			runes += utf8.RuneCount(l.Name) + utf8.RuneCount(l.Value)
			x.wire = labelcompress.AppendLabel(x.wire, l.Name, l.Value)
		}
		hash := maphash.Bytes(r.tab.seed, x.wire)
		if runes > maxExemplarRunes || last.millis != math.MinInt64 && !last.isNew(e, at, hash) {
			continue
		}
		r.b.AppendExtraTimed(batch.KindExemplar, set, e.Value, at, batch.Extra{Payload: x.wire})
		last.millis, last.value, last.hash = at, e.Value, hash
		changed = true
	}
	if changed && last.millis != math.MinInt64 {
		last.scrape = known.scrapes
		known.add(series, last)
	}
}
