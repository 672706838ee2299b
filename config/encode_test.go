package config

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestEncodeNode: what is written in pieces is what is written at once.
func TestEncodeNode(t *testing.T) {
	texts := []string{
		"a: 1", "[a, b]", "- a\n- b", "- - a\n  - b\n- - - c\n", "a:\n- b\n- - c\n  - d: e\n    f: g\n",
		"a:\n  b: |\n    c\n\n    d\n  e: >-\n    f\n\n    g\n  h: 'i\n\n    j'\n  k: \"l\n    m\\n\"\n",
		"- |2\n   a\n  b\n- ''\n- ' '\n- {a: [b, {c: d}]}\n", "- &x\n  a: b\n  c: d\n- <<: *x\n  e: &y\n  - f\n  - g\n- *y\n- *x\n",
		"? [a, b]\n: - c\n  - d\n? " + strings.Repeat("long", 100) + "\n: - e\n  - f\n\"q: r\": {s: t}\n? |\n  u\n: [v]\n",
		"!t\na: !u\n- b\n- c\n", "a: !!map\n  b: c\n  d: !!seq\n  - e\n", "null: null\n~: []\na: {}\nb: - c", "VALUE: [VALUE]\nb:\n- VALUE\n",
		"é: ü\n\"\\u2028\": \"\\u2029\\x85\"\n- a: b\n",
	}
	for _, path := range []string{"testdata/prometheus.yml", "testdata/vmagent.yml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, strings.ReplaceAll(string(text), "%{", "{"))
	}
	for _, text := range append(texts, secretPlaces...) {
		for _, block := range []bool{false, true} {
			var n yaml.Node
			if err := yaml.Unmarshal([]byte(text), &n); err != nil || len(n.Content) == 0 {
				continue // some are no YAML once %{NAME} is spoilt
			}
			if block {
				blockStyle(&n)
			}
			want, err := encodeWhole(n.Content[0])
			if err != nil {
				t.Fatalf("encode %q: %v", text, err)
			}
			for _, most := range []int{1, 2, 3, 5, 20} {
				got, err := encodeNode(n.Content[0], most)
				if err != nil || string(got) != string(want) {
					t.Fatalf("encodeNode(%q, %d) =\n%s%v\nwant\n%s", text, most, got, err, want)
				}
			}
		}
	}
}
