package config

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"scraper/relabel"
)

// scalar returns the text of a scalar, and false, having reported it, when the node is none.
func (d *decoder) scalar(v value, want string) (string, bool) {
	n := v.node
	if n.Kind != yaml.ScalarNode {
		d.errorf(v, "want %s, got %s", want, kindOf(n))
		return "", false
	}
	if n.ShortTag() == "!!binary" {
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
		if err != nil {
			d.errorf(v, "not valid base64")
			return "", false
		}
		if !utf8.Valid(raw) {
			d.errorf(v, "not valid UTF-8")
			return "", false
		}
		return string(raw), true
	}
	return n.Value, true
}

// text decodes any scalar as text: a number or boolean is what the file says, as it is written.
func (d *decoder) text(v value) string {
	s, _ := d.scalar(v, "text")
	return s
}

// boolean decodes true and false, and YAML 1.1's other words for them.
func (d *decoder) boolean(v value) bool {
	s, ok := d.scalar(v, "true or false")
	if !ok {
		return false
	}
	if v.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 {
		switch strings.ToLower(s) {
		case "true", "yes", "on", "y":
			return true
		case "false", "no", "off", "n":
			return false
		}
	}
	d.errorf(v, "want true or false without quotes, got %q", cut(s))
	return false
}

// integer decodes a whole number of at least least.
func (d *decoder) integer(v value, least int) int {
	s, ok := d.scalar(v, "a whole number")
	if !ok {
		return 0
	}
	// Quoted numbers are none, as with both peers. Zeros in front and 0x are YAML's.
	n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 0, strconv.IntSize)
	if f, ferr := strconv.ParseFloat(s, 64); err != nil && ferr == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		n, err = int64(f), nil // 1e6
	}
	if tag := v.node.ShortTag(); err == nil && (tag == "!!int" || tag == "!!float") && int(n) >= least {
		return int(n)
	}
	if least == math.MinInt {
		d.errorf(v, "want a whole number, got %q", cut(s))
	} else {
		d.errorf(v, "want a whole number of at least %d, got %q", least, cut(s))
	}
	return 0
}

// float decodes a number.
func (d *decoder) float(v value) float64 {
	s, ok := d.scalar(v, "a number")
	if !ok {
		return 0
	}
	f, err := strconv.ParseFloat(s, 64)
	if tag := v.node.ShortTag(); err != nil || math.IsNaN(f) || math.IsInf(f, 0) || tag != "!!int" && tag != "!!float" {
		d.errorf(v, "want a number, got %q", cut(s))
		return 0
	}
	return f
}

// limit decodes a number of samples or labels: 0 is none. In vmagent's dialect so is anything below.
func (d *decoder) limit(v value) int {
	if d.dialect == VMAgent {
		return max(0, d.integer(v, math.MinInt))
	}
	return d.integer(v, 0)
}

// duration decodes a duration in the dialect's syntax.
func (d *decoder) duration(v value) time.Duration {
	s, ok := d.scalar(v, "a duration")
	if !ok {
		return 0
	}
	dur, err := parseDuration(s, d.dialect)
	if err != nil {
		d.errorf(v, "%v", err)
	}
	return dur
}

// bytes decodes a size, KB and its like being powers of base.
func (d *decoder) bytes(v value, base float64) int64 {
	s, ok := d.scalar(v, "a size")
	if !ok {
		return 0
	}
	n, err := parseBytes(s, base)
	if err != nil {
		d.errorf(v, "%v", err)
	}
	return n
}

// texts decodes a list of texts.
func (d *decoder) texts(v value) []string {
	elems := d.list(v)
	if len(elems) == 0 {
		return nil
	}
	out := make([]string, 0, len(elems))
	for _, e := range elems {
		out = append(out, d.text(e))
	}
	return out
}

// textMap decodes a mapping of texts, whose keys may be anything.
func (d *decoder) textMap(v value) map[string]string {
	pairs := d.pairs(v)
	if len(pairs) == 0 {
		return nil
	}
	out := make(map[string]string, len(pairs))
	for _, p := range pairs {
		out[p.key.Value] = d.pairText(v, p)
	}
	return out
}

// pairText decodes one value of a mapping whose keys may be anything; null is the empty text.
func (d *decoder) pairText(v value, p pair) string {
	if isNull(p.value) {
		return ""
	}
	return d.text(value{node: p.value, key: "a value", where: v.String(), line: p.key.Line})
}

// labels decodes a label set and sorts it by name. Expand, unless it is nil, makes of each label its final value; the
// value which it gets is the label's.
func (d *decoder) labels(v value, expand func(value, string) string) []relabel.Label {
	pairs := d.pairs(v)
	if len(pairs) == 0 {
		return nil
	}
	out := make([]relabel.Label, 0, len(pairs))
	for _, p := range pairs {
		name, text := p.key.Value, d.pairText(v, p)
		if name == "" {
			d.report(p.key.Line, v.String()+": a label name must not be empty")
		}
		if expand != nil {
			text = expand(value{node: p.value, key: fmt.Sprintf("label %q", cut(name)), where: v.String(), line: p.key.Line}, text)
		}
		out = append(out, relabel.Label{Name: name, Value: text})
	}
	sortLabels(out)
	return out
}

func sortLabels(ls []relabel.Label) {
	slices.SortFunc(ls, func(a, b relabel.Label) int { return cmp.Compare(a.Name, b.Name) })
}

// cut bounds a text which is quoted in an error.
func cut(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
