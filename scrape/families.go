package scrape

import (
	"cmp"
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"scraper/batch"
	"scraper/labelcompress"
	"scraper/streamparse"
)

const (
	// metadataEvery is how often a target's metadata are sent anew, as in Prometheus' metadata_config.
	metadataEvery = time.Minute
	// maxHelpBytes is how much of a HELP text is kept.
	maxHelpBytes = 4 << 10
	// maxFamilyBytes is how much of the dictionary the families of one target may take. Real programs' take a tenth; but no
	// limit of samples bounds the lines of a body which are none. What is beyond it is left out.
	maxFamilyBytes = 2 << 20
)

// families is what a target says of its families: TYPE, HELP and UNIT. A family is one label in the agent's dictionary, its
// name and the rest as the value, so that targets which run the same program share them: a target has four bytes per
// family, in the order of its body.
type families struct {
	refs []labelcompress.Ref
	// sentMillis is when all of them were sent last.
	sentMillis int64
	// full: the body had more than maxFamilyBytes.
	full bool
}

// familyReading is a scrape's transaction on a target's families: begin, any number of line, with a flush before the
// family's samples, then either commit or abort. It belongs to a worker, with scratch memory for the current family.
type familyReading struct {
	of      *families
	dict    *labelcompress.Dict
	due     bool                // all are to be sent
	next    int                 // of of.refs, what is expected
	other   []labelcompress.Ref // from the first difference on: what replaces them
	differs bool
	former  map[labelcompress.Ref]struct{} // of.refs, once they differ
	learnt  int64                          // what the new ones of other take in the dictionary, in bytes
	taken   int64                          // what all of other take
	full    bool                           // some were left out

	pending bool // there is a current family, of which samples have not come
	// lateUnits says that a unit may follow the samples. assumed: the family which was flushed last had one in the last body,
	// and it has not come yet.
	lateUnits bool
	assumed   bool
	name      []byte
	typ       streamparse.Type
	unit      []byte
	help      []byte
	value     []byte // what the dictionary holds
	row       []byte // scratch of AppendMetadata
}

// begin starts a scrape at the given time.
func (f *familyReading) begin(of *families, dict *labelcompress.Dict, nowMillis int64) {
	f.of, f.dict = of, dict
	f.lateUnits, f.assumed = false, false
	f.name = f.name[:0]
	f.due = nowMillis-of.sentMillis >= metadataEvery.Milliseconds()
	f.pending, f.next, f.differs = false, 0, false
	f.other, f.former, f.learnt = nil, nil, 0
	f.taken, f.full = 0, false
}

// end lets go of the target, and of scratch memory that an unusual text took.
func (f *familyReading) end() {
	const most = 16 << 10
	f.of, f.dict = nil, nil
	if max(cap(f.name), cap(f.unit), cap(f.help), cap(f.value), cap(f.row)) > most {
		*f = familyReading{}
	}
}

// line takes a line of metadata, whose parts are views of the parser's.
func (f *familyReading) line(kind streamparse.Kind, p *streamparse.Parser, b *batch.Batch) {
	name := p.Family()
	if f.lateUnits && f.lateUnit(kind, p, b) {
		return
	}
	if f.pending && string(f.name) != string(name) {
		f.flush(b)
	}
	if !f.pending {
		f.pending = true
		f.name = append(f.name[:0], name...)
		f.typ, f.unit, f.help = streamparse.TypeUntyped, f.unit[:0], f.help[:0]
	}
	switch kind {
	case streamparse.KindType:
		f.typ = p.Type()
	case streamparse.KindHelp:
		f.help = cutText(p.AppendHelp(f.help[:0]), maxHelpBytes)
	case streamparse.KindUnit:
		f.unit = append(f.unit[:0], p.Unit()...)
	}
}

// cutText cuts a text to at most n bytes, between two characters.
func cutText(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

// flush ends the current family's lines. It adds a row to b, if the family is to be sent.
func (f *familyReading) flush(b *batch.Batch) {
	f.pending = false
	f.value = append(f.value[:0], metadataType(f.typ))
	f.value = append(binary.AppendUvarint(f.value, uint64(len(f.unit))), f.unit...)
	f.value = append(f.value, f.help...)
	send := f.due
	if !f.differs && f.next < len(f.of.refs) && (f.is(f.of.refs[f.next]) || f.lateUnits && f.assume(f.of.refs[f.next])) {
		f.next++
	} else {
		if f.full = f.full || !f.differs && f.of.full && f.next == len(f.of.refs); f.full {
			return
		}
		f.differ()
		if isCrowded(f.dict) {
			return
		}
		ref, err := f.dict.Intern(f.name, f.value)
		if err != nil { // no room: metadata are the first to be done without
			return
		}
		cost := f.dict.Cost(ref)
		if f.taken+cost > maxFamilyBytes {
			f.dict.Release(ref)
			f.full = true
			return
		}
		f.taken += cost
		f.other = append(f.other, ref)
		if _, ok := f.former[ref]; !ok {
			f.learnt += f.dict.Cost(ref)
			send = true
		}
	}
	if send {
		b.AppendMetadata(batch.Metadata{Type: f.value[0], Family: f.name, Unit: f.unit, Help: f.help}, &f.row)
	}
}

// is reports whether ref is the current family as it is now.
func (f *familyReading) is(ref labelcompress.Ref) bool {
	name, value := f.dict.Label(ref)
	return string(name) == string(f.name) && string(value) == string(f.value)
}

// differ notes that the body's families are no longer those of the last one.
func (f *familyReading) differ() {
	if f.differs {
		return
	}
	f.differs = true
	f.other = slices.Clone(f.of.refs[:f.next])
	for _, ref := range f.other {
		f.dict.Acquire(ref)
		f.taken += f.dict.Cost(ref)
	}
	f.former = make(map[labelcompress.Ref]struct{}, len(f.of.refs))
	for _, ref := range f.of.refs {
		f.former[ref] = struct{}{}
	}
}

// changed reports whether commit will change what list returns.
func (f *familyReading) changed() bool { return f.differs || f.next < len(f.of.refs) }

// lateUnit takes a unit which follows its family's samples, and reports whether the line was one.
func (f *familyReading) lateUnit(kind streamparse.Kind, p *streamparse.Parser, b *batch.Batch) bool {
	isLate := kind == streamparse.KindUnit && !f.pending && string(f.name) == string(p.Family())
	switch {
	case isLate && string(f.unit) == string(p.Unit()):
		f.assumed = false
	case isLate:
		f.unit = append(f.unit[:0], p.Unit()...)
		f.again(b)
	default:
		if f.assumed { // it does not come
			f.finish(b)
		}
	}
	return isLate
}

// finish ends the body.
func (f *familyReading) finish(b *batch.Batch) {
	switch {
	case f.pending:
		f.flush(b)
	case f.assumed:
		f.unit = f.unit[:0]
		f.again(b)
	}
}

// assume reports whether ref is the current family but for a unit, and takes that.
func (f *familyReading) assume(ref labelcompress.Ref) bool {
	name, value := f.dict.Label(ref)
	if len(f.unit) > 0 || string(name) != string(f.name) || value[0] != f.value[0] {
		return false
	}
	n, k := binary.Uvarint(value[1:])
	unit, help := value[1+k:][:n], value[1+k+int(n):]
	if string(help) != string(f.help) {
		return false
	}
	f.unit = append(f.unit, unit...)
	f.assumed = true
	return true
}

// again flushes the family which was flushed last with another unit.
func (f *familyReading) again(b *batch.Batch) {
	f.assumed = false
	if f.full { // it was left out
		return
	}
	if !f.differs {
		f.next--
		f.differ()
	} else if n := len(f.other) - 1; n >= 0 && f.is(f.other[n]) { // it is not, if there was no room for it
		f.taken -= f.dict.Cost(f.other[n])
		f.dict.Release(f.other[n])
		f.other = f.other[:n]
	}
	f.lateUnits = false // there is no more to assume of this body
	f.flush(b)
	f.lateUnits = true
}

// growth is how much memory the body's new families take until it is known whether it is good, in bytes.
func (f *familyReading) growth() int64 { return f.learnt + int64(cap(f.other))*4 }

// commit ends a good scrape, whose batch has been sent.
func (f *familyReading) commit(nowMillis int64) {
	if f.changed() {
		f.differ()
		f.of.refs, f.other = f.other, f.of.refs
		f.abort()
	}
	f.of.full = f.full
	if f.due {
		f.of.sentMillis = nowMillis
	}
}

// abort ends a scrape which failed.
func (f *familyReading) abort() {
	for _, ref := range f.other {
		f.dict.Release(ref)
	}
	f.other, f.former, f.learnt, f.differs = nil, nil, 0, false
}

// release forgets all families, which are in dict.
func (f *families) release(dict *labelcompress.Dict) {
	for _, ref := range f.refs {
		dict.Release(ref)
	}
	*f = families{}
}

// bytes is the memory that the families take, without the dictionary, in bytes.
func (f *families) bytes() int64 { return int64(cap(f.refs)) * 4 }

// Metadata is what a target says of one family.
type Metadata struct {
	Family string
	// Type is its name in OpenMetrics: "counter", "unknown" and so on.
	Type string
	Help string
	Unit string
}

// list returns the families of the last good scrape, which are in dict.
func (f *families) list(dict *labelcompress.Dict) []Metadata {
	all := make([]Metadata, 0, len(f.refs))
	for _, ref := range f.refs {
		name, value := dict.Label(ref)
		n, k := binary.Uvarint(value[1:])
		unit := value[1+k:][:n]
		all = append(all, Metadata{
			Family: string(name), Type: metadataTypes[value[0]], Unit: string(unit), Help: string(value[1+k+int(n):]),
		})
	}
	return all
}

// Metadata returns what each target said in its last good scrape, by the target's number, target by target, so that no more
// than one target's is in memory at a time. It is empty unless Options.Metadata is set.
func (m *Manager) Metadata() iter.Seq2[uint64, []Metadata] {
	return func(yield func(uint64, []Metadata) bool) {
		m.mu.Lock()
		var targets []*target
		for _, j := range m.jobs {
			targets = slices.AppendSeq(targets, maps.Values(j.targets))
		}
		m.mu.Unlock()
		slices.SortFunc(targets, func(a, b *target) int { return cmp.Compare(a.id, b.id) })
		for _, t := range targets {
			t.mu.Lock()
			all := t.families.list(m.opts.Dict)
			t.mu.Unlock()
			if !yield(t.id, all) {
				return
			}
		}
	}
}

// metadataTypes are the names of remote write's numbers of types.
var metadataTypes = [...]string{"unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"}

// metadataType returns remote write's number of a type.
func metadataType(t streamparse.Type) byte {
	switch t {
	case streamparse.TypeCounter:
		return 1
	case streamparse.TypeGauge:
		return 2
	case streamparse.TypeHistogram:
		return 3
	case streamparse.TypeGaugeHistogram:
		return 4
	case streamparse.TypeSummary:
		return 5
	case streamparse.TypeInfo:
		return 6
	case streamparse.TypeStateset:
		return 7
	default:
		return 0
	}
}
