package config

import (
	"slices"
	"strings"
	"testing"
)

func TestExpandEnv(t *testing.T) {
	getenv := env(map[string]string{
		"A": "a", "EMPTY": "", "NESTED": "<%{A}>", "DEEP": "%{NESTED}%{NO}", "SELF": "x%{SELF}", "PING": "%{PONG}", "PONG": "%{PING}",
		"LINES": "1\n2\n", "a_1": "b", "é": "no",
	})
	f := func(in, want string, wantLines ...int) {
		t.Helper()
		got, lines, err := expandEnv([]byte(in), getenv)
		if err != nil || string(got) != want {
			t.Errorf("expandEnv(%q) = %q, %v, want %q", in, got, err, want)
		}
		if wantLines != nil && !slices.Equal(lines, wantLines) {
			t.Errorf("expandEnv(%q): lines %v, want %v", in, lines, wantLines)
		}
	}
	f("", "")
	f("%", "%")
	f("%{", "%{")
	f("%{A", "%{A")
	f("%{}", "%{}")
	f("%{A}", "a")
	f("%{A}%{A}", "aa")
	f("x%{A}y", "xay")
	f("%{a_1}", "b")
	f("%{EMPTY}", "")
	f("%{NO}", "%{NO}")
	f("%{é}", "%{é}")
	f("%{A B}", "%{A B}")
	f("%{%{A}}", "%{a}")
	f("%%{A}", "%a")
	f("${A} $A {A}", "${A} $A {A}")
	f("%{NESTED}", "<a>")
	f("%{DEEP}", "<a>%{NO}")
	f("%{SELF}", "x%{SELF}")
	f("%{PING}", "%{PING}")
	f("a\n%{LINES}b\nc%{LINES}%{LINES}d\n\n", "a\n1\n2\nb\nc1\n2\n1\n2\nd\n\n", 1, 2, 2, 2, 3, 3, 3, 3, 3, 4, 5)
}

func TestExpandEnvWithoutReferencesReturnsTheText(t *testing.T) {
	in := []byte("a: 1\nb: $X\n")
	if got, err := ExpandEnv(in, env(nil)); err != nil || &got[0] != &in[0] {
		t.Errorf("ExpandEnv() = %q, %v, want the text itself", got, err)
	}
	if got, err := ExpandEnv([]byte("%{A}"), nil); err != nil || string(got) != "%{A}" {
		t.Errorf("ExpandEnv(no environment) = %q, %v", got, err)
	}
}

func TestExpandEnvIsBounded(t *testing.T) {
	vars := map[string]string{"A0": strings.Repeat("x", 1<<20)}
	for i := range 12 {
		vars["A"+string(rune('1'+i))] = strings.Repeat("%{A"+string(rune('0'+i))+"}", 10)
	}
	for _, v := range []string{"", "x"} { // also where nothing comes of it
		vars["A0"] = strings.Repeat(v, 1<<10)
		if _, err := ExpandEnv([]byte("%{A9}"), env(vars)); err == nil {
			t.Error("ExpandEnv(a variable of astronomic size) = nil, want an error")
		}
	}
}
