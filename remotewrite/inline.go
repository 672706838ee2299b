package remotewrite

import (
	"scraper/labelcompress"
	"scraper/relabel"
)

// inlineLabels are labels as text, for rules, and for series which are in no dictionary. It is scratch memory.
type inlineLabels struct {
	ls   relabel.Labels
	wire []byte
	text []byte
}

// set makes ls the labels whose wire forms stand in wire one after the other. It borrows wire. It allocates once.
func (x *inlineLabels) set(wire []byte) {
	x.text = x.text[:0]
	for rest := wire; len(rest) > 0; {
		var name, value []byte
		name, value, rest = labelcompress.SplitLabel(rest)
		x.text = append(append(x.text, name...), value...)
	}
	all := string(x.text)
	x.ls.Reset()
	for rest := wire; len(rest) > 0; {
		var name, value []byte
		name, value, rest = labelcompress.SplitLabel(rest)
		n, v := len(name), len(value)
		x.ls.L = append(x.ls.L, relabel.Label{Name: all[:n], Value: all[n : n+v]})
		all = all[n+v:]
	}
}

// forget lets go of the last labels, and of memory that an unusual series took.
func (x *inlineLabels) forget() {
	const most = 64 << 10
	clear(x.ls.L)
	x.ls.Reset()
	if cap(x.text) > most {
		x.text = nil
	}
	if cap(x.wire) > most {
		x.wire = nil
	}
}
