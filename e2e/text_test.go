package e2e

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sample is one line of an exposition.
type sample struct {
	text   string // the series as written
	labels map[string]string
	value  float64
	typ    string // of its family: "" where the body says nothing
}

// key is a label set as a text which equal sets share.
func key(labels map[string]string) string {
	names := make([]string, 0, len(labels))
	for n, v := range labels {
		if v != "" {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		b.WriteString(n + "=" + strconv.Quote(labels[n]) + " ")
	}
	return b.String()
}

// parseText reads the text format slowly and plainly, to compare the agent with: one sample per line, without
// timestamps.
func parseText(t testing.TB, text string) []sample {
	t.Helper()
	var all []sample
	types := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, typ, _ := strings.Cut(rest, " ")
			types[name] = typ
		}
		if line == "" || line[0] == '#' {
			continue
		}
		s := sample{labels: make(map[string]string)}
		i := strings.IndexAny(line, "{ ")
		if i < 0 {
			t.Fatalf("line %q has no value", line)
		}
		s.labels["__name__"] = line[:i]
		rest := line[i:]
		if rest[0] == '{' {
			rest = parseLabels(t, rest, s.labels)
		}
		s.text = line[:len(line)-len(rest)]
		v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		s.value = v
		name := s.labels["__name__"]
		s.typ = types[name]
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if base, ok := strings.CutSuffix(name, suffix); ok {
				s.typ = cmp.Or(s.typ, types[base])
			}
		}
		all = append(all, s)
	}
	return all
}

// parseLabels reads {name="value",…} into labels, and returns what follows.
func parseLabels(t testing.TB, s string, labels map[string]string) (rest string) {
	t.Helper()
	s = s[1:]
	for {
		s = strings.TrimLeft(s, ", ")
		if strings.HasPrefix(s, "}") {
			return s[1:]
		}
		name, after, ok := strings.Cut(s, `="`)
		if !ok {
			t.Fatalf("labels end unexpectedly at %q", s)
		}
		var v strings.Builder
		i := 0
		for ; after[i] != '"'; i++ {
			c := after[i]
			if c == '\\' {
				i++
				if c = after[i]; c == 'n' {
					c = '\n'
				}
			}
			v.WriteByte(c)
		}
		labels[name] = v.String()
		s = after[i+1:]
	}
}
