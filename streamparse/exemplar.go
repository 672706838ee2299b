package streamparse

// Exemplar is one exemplar of a sample or a histogram. Parser.AppendExemplarLabels has its labels.
type Exemplar struct {
	Value           float64
	TimestampMillis int64
	HasTimestamp    bool

	from, to int // its labels, in exemplars.labels
}

// exemplars are those of the current entry.
type exemplars struct {
	list   []Exemplar
	labels []labelSpan
	text   []byte // what the spans are offsets into
}

// maxKeptExemplars is how many exemplars, and labels of exemplars, a closed parser keeps room for.
const maxKeptExemplars = 1024

func (e *exemplars) reset(text []byte) {
	e.list, e.labels, e.text = e.list[:0], e.labels[:0], text
}

func (e *exemplars) shrink() {
	if cap(e.list) > maxKeptExemplars {
		e.list = nil
	}
	if cap(e.labels) > maxKeptExemplars {
		e.labels = nil
	}
}

// Exemplars is a view of the current sample's exemplar, if it has one, or of all those of a histogram.
func (p *Parser) Exemplars() []Exemplar { return p.exemplars.list }

// AppendExemplarLabels appends the labels of e, one of Exemplars, to dst, as they were written: in OpenMetrics with their
// escapes, as Prometheus leaves them. The views are valid like Series.
func (p *Parser) AppendExemplarLabels(dst []Label, e Exemplar) []Label {
	for _, l := range p.exemplars.labels[e.from:e.to] {
		dst = append(dst, Label{p.exemplars.text[l.name.start:l.name.end:l.name.end], p.exemplars.text[l.value.start:l.value.end:l.value.end]})
	}
	return dst
}
