package scrape

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/relabel"
	"scraper/streamparse"
)

const nameLabel = "__name__"

// LimitError says that a body went beyond a limit of its job or of the agent.
type LimitError struct {
	What  string // the setting
	Limit int64
	Got   int64 // how much there was, as far as it was counted
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s exceeded: %d, the limit is %d", e.What, e.Got, e.Limit)
}

var errNoName = errors.New("missing metric name (__name__ label) after relabeling")

// learner turns a sample's labels as they are written into the final label set: the target's labels merged, relabeled,
// checked, interned. It is scratch memory and settings, for one scrape at a time.
type learner struct {
	target    []relabel.Label // sorted by name
	external  []relabel.Label // sorted by name
	automatic []labelset.ID
	rules     *relabel.Rules
	honor     bool // honor_labels
	vm        bool // vmagent's dialect
	skipBad   bool
	limit     int // label_limit
	typ       streamparse.Type

	views []streamparse.Label
	text  []byte
	ls    relabel.Labels
	refs  []labelcompress.Ref
	// beforeExternal is the number of labels before the external ones were added: what Prometheus' label_limit counts.
	beforeExternal int
}

// labels prepares the final labels of the parser's current sample. kept is false when relabeling drops it.
func (l *learner) labels(p *streamparse.Parser) (kept bool, err error) {
	l.views = p.AppendLabels(l.views[:0])
	if len(l.views) > labelset.MaxLabels {
		return false, fmt.Errorf("%w: %d; label_limit would refuse it earlier", labelset.ErrTooMany, len(l.views))
	}
	l.copyLabels()
	if i := repeatedName(l.ls.L); i >= 0 {
		return false, fmt.Errorf("label name %q is not unique in one sample", l.ls.L[i].Name)
	}
	if !l.vm {
		l.normalise()
	} else {
		l.dropEmpty()
		if !l.honor && len(l.ls.L) == 1 && isAutomaticName(l.ls.L[0].Value) {
			l.ls.L[0].Value = "exported_" + l.ls.L[0].Value
		}
	}
	l.merge(l.target, l.honor)
	l.dropEmpty()
	if !l.rules.Apply(&l.ls) {
		return false, nil
	}
	if l.vm {
		l.ls.L = slices.DeleteFunc(l.ls.L, func(x relabel.Label) bool {
			return strings.HasPrefix(x.Name, "__") && x.Name != nameLabel
		})
	}
	if len(l.ls.L) == 0 {
		return false, nil
	}
	l.beforeExternal = len(l.ls.L)
	l.merge(l.external, !l.vm || l.honor)
	return true, l.check()
}

// copyLabels fills ls with the views, sorted by name, in one string.
func (l *learner) copyLabels() {
	slices.SortStableFunc(l.views, func(a, b streamparse.Label) int {
		return strings.Compare(string(a.Name), string(b.Name))
	})
	l.text = l.text[:0]
	for _, v := range l.views {
		l.text = append(append(l.text, v.Name...), v.Value...)
	}
	text := string(l.text)
	l.ls.Reset()
	for _, v := range l.views {
		n, k := len(v.Name), len(v.Name)+len(v.Value)
		l.ls.L = append(l.ls.L, relabel.Label{Name: text[:n], Value: text[n:k]})
		text = text[k:]
	}
}

func repeatedName(ls []relabel.Label) int {
	for i := 1; i < len(ls); i++ {
		if ls[i].Name == ls[i-1].Name {
			return i
		}
	}
	return -1
}

// normalise rewrites le and quantile as Prometheus 3 does: as OpenMetrics floats, where the family's type says so.
func (l *learner) normalise() {
	name := ""
	switch l.typ {
	case streamparse.TypeHistogram:
		name = "le"
	case streamparse.TypeSummary:
		name = "quantile"
	default:
		return
	}
	for i, x := range l.ls.L {
		if x.Name == name {
			if f, err := strconv.ParseFloat(x.Value, 64); err == nil {
				l.ls.L[i].Value = formatOpenMetrics(f)
			}
		}
	}
}

// formatOpenMetrics writes a float so that a whole number keeps a fraction: "1.0".
func formatOpenMetrics(f float64) string {
	if f == 0 { // a negative one, too
		return "0.0"
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if strings.ContainsAny(s, "e.NI") {
		return s
	}
	return s + ".0"
}

func (l *learner) dropEmpty() {
	l.ls.L = slices.DeleteFunc(l.ls.L, func(x relabel.Label) bool { return x.Value == "" })
}

// merge adds labels to the sample's. With honor the sample's own win, even empty ones: a gateway writes instance="" to
// keep the target's away. Without, they make way under an exported_ prefix, the shortest name first. Where the new name is
// taken, too, Prometheus puts one more prefix before it; in vmagent's dialect the label which has the name moves on.
func (l *learner) merge(labels []relabel.Label, honor bool) {
	if honor {
		for _, x := range labels {
			if !hasName(l.ls.L, x.Name) {
				l.ls.L = append(l.ls.L, x)
			}
		}
		return
	}
	var moved []relabel.Label
	for _, x := range labels {
		if old := l.ls.Get(x.Name); old != "" {
			moved = append(moved, relabel.Label{Name: x.Name, Value: old})
		}
		l.ls.Set(x.Name, x.Value)
	}
	slices.SortStableFunc(moved, func(a, b relabel.Label) int { return len(a.Name) - len(b.Name) })
	for _, x := range moved {
		name, value := "exported_"+x.Name, x.Value
		for taken := l.ls.Get(name); taken != ""; taken = l.ls.Get(name) {
			if l.vm && !hasName(labels, name) {
				l.ls.Set(name, value)
				value = taken
			}
			name = "exported_" + name
		}
		l.ls.Set(name, value)
	}
}

func hasName(ls []relabel.Label, name string) bool {
	return slices.ContainsFunc(ls, func(x relabel.Label) bool { return x.Name == name })
}

// check sorts the final labels, and checks that they are a series.
func (l *learner) check() error {
	l.ls.Sort()
	if l.ls.Get(nameLabel) == "" {
		return errNoName
	}
	for _, x := range l.ls.L {
		if x.Name == "" || !utf8.ValidString(x.Name) {
			return fmt.Errorf("invalid label name %q", x.Name)
		}
		if x.Name == nameLabel && !utf8.ValidString(x.Value) {
			return fmt.Errorf("invalid metric name %q", x.Value)
		}
	}
	return nil
}

func (l *learner) checkLimits() error {
	n := l.beforeExternal
	if l.vm {
		n = len(l.ls.L)
	}
	if l.limit > 0 && n > l.limit {
		return &LimitError{What: "label_limit", Limit: int64(l.limit), Got: int64(n)}
	}
	return nil
}

// intern stores the prepared labels in sets.
func (l *learner) intern(sets *labelset.Store, timed bool) (labelset.ID, error) {
	return internLabels(sets, l.ls.L, &l.refs, timed)
}

// internLabels stores labels, sorted by name, in sets. It borrows scratch.
func internLabels(sets *labelset.Store, labels []relabel.Label, scratch *[]labelcompress.Ref, timed bool) (labelset.ID, error) {
	refs, err := internRefs(sets.Dict(), labels, (*scratch)[:0])
	if err != nil {
		return 0, err
	}
	*scratch = refs
	if timed {
		return sets.AddTimed(refs)
	}
	return sets.Add(refs)
}

// internRefs appends the references of labels to dst, and acquires them; on an error it acquires none.
func internRefs(dict *labelcompress.Dict, labels []relabel.Label, dst []labelcompress.Ref) ([]labelcompress.Ref, error) {
	n := len(dst)
	for _, x := range labels {
		r, err := dict.InternString(x.Name, x.Value)
		if err != nil {
			for _, r := range dst[n:] {
				dict.Release(r)
			}
			return dst[:n], err
		}
		dst = append(dst, r)
	}
	return dst, nil
}

// isAutomatic reports whether set is that of one of the target's automatic series, which a body may not speak for.
func (l *learner) isAutomatic(sets *labelset.Store, set labelset.ID) bool {
	rec := sets.Record(set)
	for _, id := range l.automatic {
		if string(sets.Record(id)) == string(rec) {
			return true
		}
	}
	return false
}

// forget drops what belongs to the scrape that ends, and scratch memory that an unusual one left behind.
func (l *learner) forget() {
	const most = 1 << 10
	views, refs, text, ls := l.views, l.refs, l.text, l.ls
	clear(views[:cap(views)])
	clear(ls.L[:cap(ls.L)])
	ls.Reset()
	*l = learner{}
	if cap(views) <= most {
		l.views, l.ls = views[:0], ls
	}
	if cap(refs) <= most {
		l.refs = refs[:0]
	}
	if cap(text) <= 64<<10 {
		l.text = text[:0]
	}
}
