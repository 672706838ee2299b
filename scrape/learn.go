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

// maxBounds is how many buckets' bounds a learner remembers, and maxBoundBytes how long they may be: those of some dozen
// histograms, which mostly have the same ones, in a few KiB.
const (
	maxBounds     = 256
	maxBoundBytes = 32
)

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
	// legacyNames refuses names which only UTF-8 allows.
	legacyNames bool
	limits      labelLimits
	typ         streamparse.Type

	views []streamparse.Label
	moved []relabel.Label // scratch of merge
	text  []byte
	ls    relabel.Labels
	refs  []labelcompress.Ref
	// bounds are le and quantile values as they are written, and as they are normalised.
	bounds map[string]string
	// refused is what the limits say of the labels: that of rules, and in Prometheus' dialect the job's, of the labels before
	// the external ones were added, as Prometheus counts them.
	refused error
}

// labels prepares the final labels of the parser's current sample. kept is false when relabeling drops it. What is beyond a
// limit is kept, and checkLimits says so: such a sample fails its scrape in any dialect.
func (l *learner) labels(p *streamparse.Parser) (kept bool, err error) {
	l.refused = nil
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
	l.mergeTarget()
	l.dropEmpty()
	if !l.rules.Apply(&l.ls) {
		if err := l.ls.Err(); err != nil {
			l.refused = fmt.Errorf("metric_relabel_configs: %w; -promscrape.maxLineSize would allow more", err)
		}
		return l.refused != nil, nil
	}
	if l.vm {
		l.ls.L = slices.DeleteFunc(l.ls.L, func(x relabel.Label) bool {
			return strings.HasPrefix(x.Name, "__") && x.Name != nameLabel
		})
	}
	if len(l.ls.L) == 0 {
		return false, nil
	}
	if !l.vm {
		l.refused = l.limits.check(l.ls.L)
	}
	l.merge(l.external, !l.vm || l.honor)
	return true, l.check()
}

// copyLabels fills ls with the views, sorted by name. Its strings are views of text, which the next series overwrites.
func (l *learner) copyLabels() {
	size := 0
	for _, v := range l.views {
		size += len(v.Name) + len(v.Value)
	}
	l.text = slices.Grow(l.text[:0], size)
	for _, v := range l.views {
		l.text = append(append(l.text, v.Name...), v.Value...)
	}
	rest := l.text
	l.ls.Transient = true
	l.ls.Reset()
	l.ls.L = slices.Grow(l.ls.L, len(l.views))
	for _, v := range l.views {
		n, k := len(v.Name), len(v.Name)+len(v.Value)
		l.ls.L = append(l.ls.L, relabel.Label{Name: viewString(rest[:n]), Value: viewString(rest[n:k])})
		rest = rest[k:]
	}
	l.ls.Sort()
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
			l.ls.L[i].Value = l.bound(x.Value)
		}
	}
}

// bound returns a float as OpenMetrics writes it, and what is none as it is.
func (l *learner) bound(value string) string {
	if known, ok := l.bounds[value]; ok {
		return known
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return value
	}
	text := formatOpenMetrics(f)
	if len(value) <= maxBoundBytes {
		if l.bounds == nil || len(l.bounds) >= maxBounds {
			l.bounds = make(map[string]string)
		}
		l.bounds[strings.Clone(value)] = text
	}
	return text
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
	for _, x := range l.ls.L {
		if x.Value == "" {
			l.ls.L = slices.DeleteFunc(l.ls.L, func(x relabel.Label) bool { return x.Value == "" })
			return
		}
	}
}

// mergeTarget adds the target's labels to the sample's, of which no two are alike mostly, as both are sorted.
func (l *learner) mergeTarget() {
	own := l.ls.L
	i := 0
	for _, x := range l.target {
		for i < len(own) && own[i].Name < x.Name {
			i++
		}
		if i < len(own) && own[i].Name == x.Name || x.Value == "" {
			l.merge(l.target, l.honor)
			return
		}
	}
	if l.honor {
		l.ls.L = append(l.ls.L, l.target...)
	} else {
		l.ls.SetNew(l.target)
	}
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
	moved := l.moved[:0]
	for _, x := range labels {
		if old := l.ls.Get(x.Name); old != "" {
			moved = append(moved, relabel.Label{Name: x.Name, Value: old})
		}
		l.ls.Set(x.Name, x.Value)
	}
	l.moved = moved
	slices.SortStableFunc(moved, func(a, b relabel.Label) int { return len(a.Name) - len(b.Name) })
	for _, x := range moved {
		name, value := exportedName(x.Name), x.Value
		for taken := l.ls.Get(name); taken != ""; taken = l.ls.Get(name) {
			if l.vm && !hasName(labels, name) {
				l.ls.Set(name, value)
				value = taken
			}
			name = exportedName(name)
		}
		l.ls.Set(name, value)
	}
}

// exportedName returns the name that a label moves to which a target's label displaces. Those of the labels that many
// exporters write, which many targets have, cost nothing.
func exportedName(name string) string {
	switch name {
	case "instance":
		return "exported_instance"
	case "job":
		return "exported_job"
	case "namespace":
		return "exported_namespace"
	case "node":
		return "exported_node"
	case "pod":
		return "exported_pod"
	case "container":
		return "exported_container"
	case "service":
		return "exported_service"
	}
	return "exported_" + name
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
		if l.legacyNames && !(isLegacyName(x.Name, false) && (x.Name != nameLabel || isLegacyName(x.Value, true))) {
			return fmt.Errorf("invalid metric name or label names: %s=%q; metric_name_validation_scheme: utf8 would take it", cut(x.Name, 100), cut(x.Value, 100))
		}
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
	if l.vm && l.refused == nil {
		return l.limits.check(l.ls.L)
	}
	return l.refused
}

// intern stores the prepared labels in sets.
func (l *learner) intern(sets *labelset.Store, timed bool) (labelset.ID, error) {
	return internLabels(sets, l.ls.L, timed)
}

// internLabels stores labels, sorted by name, in sets.
func internLabels(sets *labelset.Store, labels []relabel.Label, timed bool) (labelset.ID, error) {
	sets.Begin()
	for i := range labels {
		if err := sets.Label(labels[i].Name, labels[i].Value); err != nil {
			return 0, err
		}
	}
	if timed {
		return sets.EndTimed()
	}
	return sets.End()
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
	if !slices.Contains(autoNames[:], l.ls.Get(nameLabel)) {
		return false
	}
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
	views, refs, text, ls, moved, bounds := l.views, l.refs, l.text, l.ls, l.moved, l.bounds
	clear(views[:cap(views)])
	clear(moved[:cap(moved)])
	ls.Forget()
	*l = learner{bounds: bounds}
	if cap(views) <= most {
		l.views, l.ls, l.moved = views[:0], ls, moved[:0]
	}
	if cap(refs) <= most {
		l.refs = refs[:0]
	}
	if cap(text) <= 64<<10 {
		l.text = text[:0]
	}
}
