package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/bench/agent"
)

// TestMain makes the test's program the launcher of agents, too.
func TestMain(m *testing.M) {
	agent.BecomeIfAsked(os.Args)
	hogIfAsked(os.Args)
	os.Exit(m.Run())
}

// TestSoak runs the short form of each case. Its thresholds are wide: they are about leaks, not about noise.
func TestSoak(t *testing.T) {
	s, err := newSoak(t.Context(), flags{form: short, agent: os.Getenv("SOAK_AGENT")}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := choose("", short)
	if err != nil {
		t.Fatal(err)
	}
	// Those which wait do so together, before the others.
	for _, together := range []bool{true, false} {
		t.Run(fmt.Sprintf("together=%v", together), func(t *testing.T) {
			for _, c := range chosen {
				if c.waits != together {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					if together {
						t.Parallel()
					}
					r := s.one(t.Context(), c)
					for _, f := range r.figures {
						t.Log(f)
					}
					for _, f := range r.failures {
						t.Error(f)
					}
					if r.skipped != "" {
						t.Skip(r.skipped)
					}
				})
			}
		})
	}
}

// A case which fails says so, one which cannot be tried does not fail, and the page has them all.
func TestResults(t *testing.T) {
	s := &soak{}
	all := []soakCase{
		{name: "good", run: func(_ context.Context, t *trial) error {
			t.figure("%d | %d", 1, 2)
			t.wantAtMost("it", 1, 2, "MiB")
			return nil
		}},
		{name: "large", run: func(_ context.Context, t *trial) error { t.wantAtMost("it", 2.5, 2, "MiB"); return nil }},
		{name: "broken", waits: true, run: func(context.Context, *trial) error { return errors.New("no agent") }},
		{name: "impossible", run: func(context.Context, *trial) error { return fmt.Errorf("%w: no group", errSkip) }},
	}
	var out strings.Builder
	results := s.all(t.Context(), &out, all)
	var verdicts []string
	for _, r := range results {
		verdicts = append(verdicts, r.verdict())
	}
	if want := []string{"ok", "FAILED", "FAILED", "skipped"}; !slices.Equal(verdicts, want) {
		t.Errorf("verdicts = %q, want %q", verdicts, want)
	}
	page := filepath.Join(t.TempDir(), "SOAK.md")
	if err := writeResults(page, "About.", results); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`1 \| 2`, "it: 2.50 MiB, want at most 2", "no agent", "no group"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}

func TestParseFlags(t *testing.T) {
	f, err := parseFlags([]string{"-case", "churn,limit", "-long"})
	if err != nil || f.form != long || f.cases != "churn,limit" {
		t.Errorf("parseFlags = %+v, %v", f, err)
	}
	if f, err = parseFlags(nil); err != nil || f.form != medium {
		t.Errorf("parseFlags() = %+v, %v, want the medium form", f, err)
	}
	if _, err = parseFlags([]string{"-long", "-short"}); err == nil {
		t.Error("-long -short is accepted")
	}
	for arg, want := range map[string]bool{"-long": false, "-case=churn": true, "-shapes=huge": true} {
		if f, err := parseFlags([]string{"-results=SOAK.md", arg}); err != nil || f.isPart() != want {
			t.Errorf("of %s part = %v, %v, want %v: the results of a part do not replace those of all", arg, f.isPart(), err, want)
		}
	}
	if chosen, err := choose("churn,limit", medium); err != nil || len(chosen) != 2 || chosen[1].name != "limit" {
		t.Errorf("choose = %v, %v, want churn and limit", chosen, err)
	}
	asked := 0
	for _, c := range cases() {
		if c.asked {
			asked++
		}
	}
	for form, want := range map[form]int{medium: len(cases()) - asked, long: len(cases())} {
		if chosen, err := choose("", form); err != nil || len(chosen) != want {
			t.Errorf("choose of all = %d cases, %v, want %d", len(chosen), err, want)
		}
	}
	if _, err := choose("none", medium); err == nil {
		t.Error("a case which is not there can be chosen")
	}
}

// A slope is that of most of the course: neither a saw nor a single step is one.
func TestSlopes(t *testing.T) {
	for name, c := range map[string]struct {
		ys   []float64
		want float64
	}{
		"flat":  {[]float64{5, 5, 5, 5, 5}, 0},
		"saw":   {[]float64{5, 6, 5, 6, 5, 6, 5, 6, 5}, 0},
		"spike": {[]float64{5, 5, 5, 50, 5, 5, 5}, 0},
		"grows": {[]float64{1, 2, 3, 4, 5, 6}, 1},
		"none":  {nil, 0},
	} {
		if got := median(slopes(c.ys)); got != c.want {
			t.Errorf("%s: slope = %v, want %v", name, got, c.want)
		}
	}
}

// A series which was replaced never comes again, and the text keeps its shape.
func TestChurning(t *testing.T) {
	c := newChurning(7, 100, 5, nil)
	first := string(c.Next(time.Time{}))
	if again := string(c.Next(time.Time{})); again != first {
		t.Error("the text changes without churn")
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(first) {
		seen[strings.Fields(line)[0]] = true
	}
	c.on = new(atomic.Bool)
	c.on.Store(true)
	for range 10 {
		fresh := 0
		text := string(c.Next(time.Time{}))
		if len(text) != len(first) {
			t.Fatalf("the text is %d bytes long, want %d", len(text), len(first))
		}
		for line := range strings.Lines(text) {
			if series := strings.Fields(line)[0]; !seen[series] {
				seen[series] = true
				fresh++
			}
		}
		if fresh != 20 {
			t.Errorf("%d series are new, want 20 of 100", fresh)
		}
	}
}

// A barrier opens when all are there, or after a while.
func TestBarrier(t *testing.T) {
	b := newBarrier(3, time.Hour)
	done := make(chan struct{}, 3)
	for range 3 {
		go func() {
			b.wait(t.Context())
			done <- struct{}{}
		}()
	}
	for range 3 {
		<-done
	}
	if got := b.most.Load(); got != 3 {
		t.Errorf("%d went on together, want 3", got)
	}
	b = newBarrier(3, time.Millisecond)
	b.wait(t.Context())
	if got := b.most.Load(); got != 1 {
		t.Errorf("%d went on, want 1", got)
	}
}

// Shapes are chosen by name, and may have another limit.
func TestShapesOf(t *testing.T) {
	chosen, err := shapesOf("huge,many@96")
	if err != nil || len(chosen) != 2 || chosen[0].limit != 48 || chosen[1].name != "many" || chosen[1].limit != 96 {
		t.Errorf("shapesOf = %+v, %v, want huge in 48 and many in 96 MiB", chosen, err)
	}
	for _, wrong := range []string{"none", "huge@", "huge@0"} {
		if _, err := shapesOf(wrong); err == nil {
			t.Errorf("shapesOf(%q) is no error", wrong)
		}
	}
}

// A body is as large as it is told to be, in whole lines.
func TestSized(t *testing.T) {
	var parts atomic.Int64
	parts.Store(100)
	s := newSized(1, 200, &parts)
	for _, want := range []int{200, 20} {
		text := string(s.Next(time.Time{}))
		n := 0
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				n++
			}
		}
		if n != want || s.Samples() != want || !strings.HasSuffix(text, "\n") {
			t.Errorf("%d lines with samples, Samples() = %d, want %d", n, s.Samples(), want)
		}
		parts.Store(10)
	}
}
