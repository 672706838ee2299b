package scrape

import (
	"scraper/batch"
	"scraper/labelset"
	"scraper/streamparse"
)

// extraScratch is what rows of histograms and exemplars are made in.
type extraScratch struct {
	isHistogram bool
	wire        []byte
	labels      []streamparse.Label
	exemplars   []streamparse.Exemplar
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
