package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"scraper/relabel"
)

func TestParseTargetGroups(t *testing.T) {
	f := func(name, text string, want ...*StaticGroup) {
		t.Helper()
		got, err := ParseTargetGroups([]byte(text), name)
		if err != nil {
			t.Errorf("ParseTargetGroups(%q, %s) = %v", text, name, err)
		}
		wantSame(t, name+" "+text, got, want)
	}
	a := &StaticGroup{Targets: []string{"a:1", "b:2"}, Labels: []relabel.Label{{Name: "k", Value: "v"}, {Name: "n", Value: "1"}}}
	none := &StaticGroup{}
	f("f.yml", "")
	f("f.yml", "# nothing\n")
	f("f.yml", "[]")
	f("f.yml", "- targets: [a:1, b:2]\n  labels: {n: 1, k: v}\n- targets: []\n", a, none)
	f("f.yml", "- targets:\n- {}\n- labels: {}\n", none, none, none)
	f("f.yml", `[{"targets": ["a:1", "b:2"], "labels": {"n": 1, "k": "v"}}]`, a)
	f("f.yml", "- &a {targets: [a:1, b:2], labels: {n: 1, k: v}}\n- *a\n", a, a)
	f("f.yml", "- targets: ['%{A}']", &StaticGroup{Targets: []string{"%{A}"}})
	f("f.json", "[]")
	f("f.json", "null")
	f("f.JSON", "[\n\t{\"targets\": [\"a:1\", \"b:2\"],\n\t\"labels\": {\"n\": 1, \"k\": \"v\"}}, {}]", a, none)
	f("f.json", `[{"targets": ["\ud83d\ude00\/"], "labels": {"a": null, "b": true, "c": 1.50}}]`,
		&StaticGroup{Targets: []string{"😀/"}, Labels: []relabel.Label{{Name: "a"}, {Name: "b", Value: "true"}, {Name: "c", Value: "1.50"}}})
	f("f", "- targets: [a:1, b:2]\n  labels: {n: 1, k: v}\n", a)
}

func TestParseTargetGroupsProblems(t *testing.T) {
	f := func(name, text, want string) {
		t.Helper()
		got, err := ParseTargetGroups([]byte(text), name)
		if err == nil {
			t.Errorf("ParseTargetGroups(%q, %s) = %v, want an error", text, name, got)
			return
		}
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("ParseTargetGroups(%q, %s): -want +got:\n%s", text, name, diff)
		}
	}
	f("f.yml", "a: b", `f.yml:1: group: want a list, got a mapping`)
	f("f.yml", "- targets: [a]\n-\n- target: [b]\n- targets: a\n- targets: [null]\n- labels: [a]\n- labels: {\"\": b}\n", `f.yml:2: group[1]: a list element must not be null
f.yml:3: unknown key "target" of group[2], did you mean "targets"?
f.yml:4: targets of group[3]: want a list, got text
f.yml:5: targets[0] of group[4]: a list element must not be null
f.yml:6: labels of group[5]: want a mapping, got a list
f.yml:7: labels of group[6]: a label name must not be empty`)
	f("f.yml", "- a: [", `f.yml:1: did not find expected node content`)
	f("f.json", "", `f.json:1: unexpected end of JSON input`)
	f("f.json", "[\n{\"targets\": [\"a\"]},\n}", `f.json:3: invalid character '}' looking for beginning of value`)
	f("f.json", "[] x", `f.json:1: invalid character 'x' after top-level value`)
	f("f.json", `{"targets": []}`, `f.json:1: want a list, got object`)
	f("f.json", "[\n{},\n1,\nnull,\n{\"target\": []},\n{\"targets\": \"a\"},\n{\"targets\": [null]},\n{\"targets\": [{}]},\n{\"labels\": []},\n{\"labels\": {\"\": \"a\"}}\n]", `f.json:3: group[1]: want an object, got number
f.json:4: group[2]: a list element must not be null
f.json:5: group[3]: unknown field "target"
f.json:6: group[4]: targets: want a list, got string
f.json:7: group[5]: a target must not be null
f.json:8: group[6]: want text, got a list or object
f.json:9: group[7]: labels: want an object, got array
f.json:10: group[8]: a label name must not be empty`)
}
