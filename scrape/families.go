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
)

// families is what a target says of its families: TYPE, HELP and UNIT. A family is one label in the agent's dictionary, its
// name and the rest as the value, so that targets which run the same program share them: a target has four bytes per
// family, in the order of its body.
//
// A scrape is a transaction: begin, any number of type, help and unit with a flush before the family's samples, then either
// commit or abort.
type families struct {
	dict *labelcompress.Dict
	refs []labelcompress.Ref
	// sentMillis is when all of them were sent last.
	sentMillis int64

	// The transaction.
	due     bool                // all are to be sent
	pending bool                // cur has something
	next    int                 // of refs, what is expected
	other   []labelcompress.Ref // from the first difference on: what replaces refs
	differs bool
	former  map[labelcompress.Ref]struct{} // refs, once they differ
}

// familyText is the current family, while its lines come. It is scratch memory of a worker.
type familyText struct {
	name  []byte
	typ   streamparse.Type
	unit  []byte
	help  []byte
	value []byte // scratch: what the dictionary holds
	row   []byte // scratch of AppendMetadata
}

// forget lets go of scratch memory that an unusual text took.
func (t *familyText) forget() {
	const most = 16 << 10
	if cap(t.help) > most || cap(t.value) > most || cap(t.row) > most {
		*t = familyText{}
	}
}

// begin starts a scrape at the given time.
func (f *families) begin(dict *labelcompress.Dict, nowMillis int64) {
	f.dict = dict
	f.due = nowMillis-f.sentMillis >= metadataEvery.Milliseconds()
	f.pending, f.next, f.differs = false, 0, false
	f.other, f.former = nil, nil
}

// line takes a line of metadata, whose parts are views of the parser's.
func (f *families) line(kind streamparse.Kind, p *streamparse.Parser, cur *familyText, b *batch.Batch) {
	name := p.Family()
	if f.pending && string(cur.name) != string(name) {
		f.flush(cur, b)
	}
	if !f.pending {
		f.pending = true
		cur.name = append(cur.name[:0], name...)
		cur.typ, cur.unit, cur.help = streamparse.TypeUntyped, cur.unit[:0], cur.help[:0]
	}
	switch kind {
	case streamparse.KindType:
		cur.typ = p.Type()
	case streamparse.KindHelp:
		cur.help = cutText(p.AppendHelp(cur.help[:0]), maxHelpBytes)
	case streamparse.KindUnit:
		cur.unit = append(cur.unit[:0], p.Unit()...)
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
func (f *families) flush(cur *familyText, b *batch.Batch) {
	f.pending = false
	cur.value = append(cur.value[:0], metadataType(cur.typ))
	cur.value = append(binary.AppendUvarint(cur.value, uint64(len(cur.unit))), cur.unit...)
	cur.value = append(cur.value, cur.help...)
	send := f.due
	if !f.differs && f.next < len(f.refs) && f.is(f.refs[f.next], cur) {
		f.next++
	} else {
		f.differ()
		ref, err := f.dict.Intern(cur.name, cur.value)
		if err != nil { // no room: metadata are the first to be done without
			return
		}
		f.other = append(f.other, ref)
		if _, ok := f.former[ref]; !ok {
			send = true
		}
	}
	if send {
		b.AppendMetadata(batch.Metadata{Type: cur.value[0], Family: cur.name, Unit: cur.unit, Help: cur.help}, &cur.row)
	}
}

// is reports whether ref is the current family as it is now.
func (f *families) is(ref labelcompress.Ref, cur *familyText) bool {
	name, value := f.dict.Label(ref)
	return string(name) == string(cur.name) && string(value) == string(cur.value)
}

// differ notes that the body's families are no longer those of the last one.
func (f *families) differ() {
	if f.differs {
		return
	}
	f.differs = true
	f.other = slices.Clone(f.refs[:f.next])
	for _, ref := range f.other {
		f.dict.Acquire(ref)
	}
	f.former = make(map[labelcompress.Ref]struct{}, len(f.refs))
	for _, ref := range f.refs {
		f.former[ref] = struct{}{}
	}
}

// changed reports whether commit will change what list returns.
func (f *families) changed() bool { return f.differs || f.next < len(f.refs) }

// commit ends a good scrape, whose batch has been sent.
func (f *families) commit(nowMillis int64) {
	if f.changed() {
		f.differ()
		f.refs, f.other = f.other, f.refs
		f.drop(f.other)
	}
	if f.due {
		f.sentMillis = nowMillis
	}
	f.other, f.former = nil, nil
}

// abort ends a scrape which failed.
func (f *families) abort() {
	f.drop(f.other)
	f.other, f.former, f.differs = nil, nil, false
}

// release forgets all families.
func (f *families) release() {
	f.abort()
	f.drop(f.refs)
	*f = families{}
}

func (f *families) drop(refs []labelcompress.Ref) {
	for _, ref := range refs {
		f.dict.Release(ref)
	}
}

// bytes is the memory that the families take, without the dictionary, in bytes.
func (f *families) bytes() int64 { return int64(cap(f.refs)+cap(f.other)) * 4 }

// Metadata is what a target says of one family.
type Metadata struct {
	Family string
	// Type is its name in OpenMetrics: "counter", "unknown" and so on.
	Type string
	Help string
	Unit string
}

// list returns the families of the last good scrape.
func (f *families) list() []Metadata {
	all := make([]Metadata, 0, len(f.refs))
	for _, ref := range f.refs {
		name, value := f.dict.Label(ref)
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
			all := t.families.list()
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
