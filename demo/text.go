package demo

import "strconv"

// writer writes the text format. A family is begun once, with family; the samples which follow belong to it.
type writer struct {
	dst  []byte
	name string // of the family
}

// family begins a metric family.
func (w *writer) family(name, kind, help string) {
	w.name = name
	w.dst = append(w.dst, "# HELP "...)
	w.dst = append(w.dst, name...)
	w.dst = append(w.dst, ' ')
	for i := range len(help) {
		switch c := help[i]; c {
		case '\\':
			w.dst = append(w.dst, `\\`...)
		case '\n':
			w.dst = append(w.dst, `\n`...)
		default:
			w.dst = append(w.dst, c)
		}
	}
	w.dst = append(w.dst, "\n# TYPE "...)
	w.dst = append(w.dst, name...)
	w.dst = append(w.dst, ' ')
	w.dst = append(w.dst, kind...)
	w.dst = append(w.dst, '\n')
}

// sample writes a sample of the family. Labels are names and values in turn.
func (w *writer) sample(value float64, labels ...string) { w.suffixed("", value, labels...) }

// suffixed is sample for a name which is the family's and a suffix.
func (w *writer) suffixed(suffix string, value float64, labels ...string) {
	w.dst = append(w.dst, w.name...)
	w.dst = append(w.dst, suffix...)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		w.dst = append(w.dst, sep)
		w.dst = append(w.dst, labels[i]...)
		w.dst = append(w.dst, `="`...)
		w.dst = appendEscaped(w.dst, labels[i+1])
		w.dst = append(w.dst, '"')
	}
	if len(labels) > 0 {
		w.dst = append(w.dst, '}')
	}
	w.dst = append(w.dst, ' ')
	w.dst = strconv.AppendFloat(w.dst, value, 'g', -1, 64)
	w.dst = append(w.dst, '\n')
}

// appendEscaped appends a label value with backslash, quote and newline escaped.
func appendEscaped(dst []byte, value string) []byte {
	for i := range len(value) {
		switch c := value[i]; c {
		case '\\', '"':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// formatBound formats a bucket's or quantile's bound.
func formatBound(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
