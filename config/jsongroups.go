package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// jsonGroup is a target group of a JSON file.
type jsonGroup struct {
	Targets []jsonTarget          `json:"targets"`
	Labels  map[string]jsonScalar `json:"labels"`
}

// jsonScalar is the text of a string, a number, or true and false as they are written; null is empty.
type jsonScalar string

// UnmarshalJSON implements json.Unmarshaler.
func (s *jsonScalar) UnmarshalJSON(raw []byte) error {
	switch raw[0] {
	case '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		*s = jsonScalar(text)
	case '{', '[':
		return errors.New("want text, got a list or object")
	case 'n':
		*s = ""
	default:
		*s = jsonScalar(raw)
	}
	return nil
}

// jsonTarget is a jsonScalar which may not be null.
type jsonTarget string

// UnmarshalJSON implements json.Unmarshaler.
func (s *jsonTarget) UnmarshalJSON(raw []byte) error {
	if raw[0] == 'n' {
		return errors.New("a target must not be null")
	}
	return (*jsonScalar)(s).UnmarshalJSON(raw)
}

func parseJSONGroups(text []byte, name string) ([]*StaticGroup, error) {
	d := &decoder{name: name}
	var raws []json.RawMessage
	if err := json.Unmarshal(text, &raws); err != nil {
		line := 1
		if e, ok := errors.AsType[*json.SyntaxError](err); ok {
			line = lineAt(text, int(e.Offset))
		}
		d.report(line, jsonProblem(err))
		return nil, d.err()
	}
	var groups []*StaticGroup
	pos := 0
	for i, raw := range raws {
		// Between two elements there is nothing in which raw could be found by mistake.
		pos += max(0, bytes.Index(text[pos:], raw))
		problem := func(s string) { d.report(lineAt(text, pos), fmt.Sprintf("group[%d]: %s", i, s)) }
		var g *jsonGroup
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&g); err != nil {
			problem(jsonProblem(err))
		} else if g == nil {
			problem("a list element must not be null")
		} else {
			groups = append(groups, g.group(problem))
		}
		pos += len(raw)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return groups, nil
}

func (g *jsonGroup) group(problem func(string)) *StaticGroup {
	out := &StaticGroup{}
	for _, t := range g.Targets {
		out.Targets = append(out.Targets, string(t))
	}
	labels := make(map[string]string, len(g.Labels))
	for n, v := range g.Labels {
		if n == "" {
			problem("a label name must not be empty")
		}
		labels[n] = string(v)
	}
	out.Labels = labelsOf(labels)
	return out
}

// jsonProblem says what is wrong without naming Go's types.
func jsonProblem(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		want := "a list"
		if e.Field == "labels" || strings.HasSuffix(e.Type.String(), "jsonGroup") {
			want = "an object"
		}
		if e.Field == "" {
			return fmt.Sprintf("want %s, got %s", want, e.Value)
		}
		return fmt.Sprintf("%s: want %s, got %s", e.Field, want, e.Value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// lineAt is the line of an offset, counted from 1.
func lineAt(text []byte, offset int) int {
	return 1 + bytes.Count(text[:min(max(0, offset), len(text))], []byte("\n"))
}
