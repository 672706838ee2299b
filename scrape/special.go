package scrape

import (
	"unicode/utf8"

	"scraper/batch"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/streamparse"
)

// maxExemplarRunes is how long the labels of an exemplar may be together, as OpenMetrics has it; longer ones are dropped,
// and their samples kept.
const maxExemplarRunes = 128

// extraScratch is what rows of histograms and exemplars are made in.
type extraScratch struct {
	isHistogram bool
	wire        []byte
	labels      []streamparse.Label
}

// histogram returns the current histogram as a batch carries it. It is valid until the next call.
func (x *extraScratch) histogram(p *streamparse.Parser) []byte {
	x.wire = p.Histogram().AppendWire(x.wire[:0])
	return x.wire
}

// appendSpecial adds the current entry, a histogram or a sample with exemplars, for the label set.
func (r *reading) appendSpecial(set labelset.ID) {
	if r.extra.isHistogram {
		r.b.AppendExtra(batch.KindHistogram, set, 0, batch.Extra{Payload: r.extra.histogram(r.p)})
	} else {
		r.b.Append(set, r.p.Value())
	}
	r.appendExemplars(set, r.b.TimestampMillis)
}

// appendSpecialTimed is appendSpecial for an entry with its own timestamp.
func (r *reading) appendSpecialTimed(set labelset.ID, ts int64) {
	if r.extra.isHistogram {
		r.b.AppendExtraTimed(batch.KindHistogram, set, 0, ts, batch.Extra{Payload: r.extra.histogram(r.p)})
	} else {
		r.b.AppendTimed(set, r.p.Value(), ts)
	}
	r.appendExemplars(set, ts)
}

// appendExemplars adds the current entry's exemplars, whose sample has the timestamp ts.
func (r *reading) appendExemplars(set labelset.ID, ts int64) {
	x := &r.extra
	for _, e := range r.p.Exemplars() {
		x.labels = r.p.AppendExemplarLabels(x.labels[:0], e)
		x.wire = x.wire[:0]
		runes := 0
		for _, l := range x.labels {
			runes += utf8.RuneCount(l.Name) + utf8.RuneCount(l.Value)
			x.wire = labelcompress.AppendLabel(x.wire, l.Name, l.Value)
		}
		if runes > maxExemplarRunes {
			continue
		}
		at := ts
		if e.HasTimestamp {
			at = e.TimestampMillis
		}
		r.b.AppendExtraTimed(batch.KindExemplar, set, e.Value, at, batch.Extra{Payload: x.wire})
	}
}
