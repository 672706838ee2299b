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

// start is when the current entry's counting began, in milliseconds; 0 where that is not known or not wanted.
func (r *reading) start() int64 {
	if r.withStart {
		return r.parsedStart()
	}
	return 0
}

// parsedStart is start where it is wanted.
func (r *reading) parsedStart() int64 {
	if ms, ok := r.p.StartTimestamp(); ok {
		return ms
	}
	return 0
}

// isSpecial reports whether the current sample, no histogram, is more than a value.
func (r *reading) isSpecial() bool { return len(r.p.Exemplars()) > 0 || r.start() != 0 }

// appendSpecial adds the current entry, a histogram or a sample with exemplars, for the label set.
func (r *reading) appendSpecial(set labelset.ID) {
	if r.extra.isHistogram {
		r.b.AppendExtra(batch.KindHistogram, set, 0, batch.Extra{Payload: r.extra.histogram(r.p), StartMillis: r.start()})
	} else if start := r.start(); start != 0 {
		r.b.AppendExtra(batch.KindSample, set, r.p.Value(), batch.Extra{StartMillis: start})
	} else {
		r.b.Append(set, r.p.Value())
	}
	r.appendExemplars(set, r.b.TimestampMillis)
}

// appendSpecialTimed is appendSpecial for an entry with its own timestamp.
func (r *reading) appendSpecialTimed(set labelset.ID, ts int64) {
	if r.extra.isHistogram {
		r.b.AppendExtraTimed(batch.KindHistogram, set, 0, ts, batch.Extra{Payload: r.extra.histogram(r.p), StartMillis: r.start()})
	} else if start := r.start(); start != 0 {
		r.b.AppendExtraTimed(batch.KindSample, set, r.p.Value(), ts, batch.Extra{StartMillis: start})
	} else {
		r.b.AppendTimed(set, r.p.Value(), ts)
	}
	r.appendExemplars(set, ts)
}

// limitHistogram brings the current entry, if it is a histogram, to its limits. It returns false if that cannot be: then the
// rest of the body is only counted.
func (r *reading) limitHistogram() bool {
	if !r.special || !r.extra.isHistogram {
		return true
	}
	if err := r.limits.reduce(r.p.Histogram()); err != nil {
		r.tooLarge = err
		r.exceed()
		return false
	}
	return true
}
