package scrape

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"scraper/bufpool/bufpooltest"
	"scraper/config"
	"scraper/labelset"
	"scraper/relabel"
	"scraper/streamparse"
)

// final returns what becomes of the labels of the last sample of a body: "dropped", an error, or the labels.
func final(t *testing.T, l *learner, body string) string {
	t.Helper()
	p := streamparse.New(streamparse.Options{Pool: bufpooltest.New(t)})
	defer p.Close()
	defer l.forget()
	p.Reset(strings.NewReader(body))
	got := "no sample"
	for {
		kind, err := p.Next()
		switch {
		case err != nil:
			t.Fatalf("%q: %v", body, err)
		case kind == streamparse.KindNone:
			return got
		case kind == streamparse.KindType:
			l.typ = p.Type()
		case kind == streamparse.KindSample:
			kept, err := l.labels(p)
			if err == nil && kept {
				err = l.checkLimits()
			}
			switch {
			case err != nil:
				got = "error: " + err.Error()
			case !kept:
				got = "dropped"
			default:
				got = text(l.ls.L)
			}
		}
	}
}

// TestLabelMerge pins how a sample's labels and its target's meet.
func TestLabelMerge(t *testing.T) {
	type settings struct {
		honor            bool
		target, external string
		rules            []relabel.Config
		limits           labelLimits
	}
	both := []config.Dialect{config.VMAgent, config.Prometheus}
	vm, prom := both[:1], both[1:]
	f := func(name string, dialects []config.Dialect, s settings, body, want string) {
		t.Helper()
		for _, d := range dialects {
			l := &learner{
				target: labelsOf(strings.Fields(s.target)...), external: labelsOf(strings.Fields(s.external)...),
				honor: s.honor, limits: s.limits, vm: d == config.VMAgent, rules: rulesOf(t, s.rules...),
			}
			if got := final(t, l, body+"\n"); got != want {
				t.Errorf("%s, %s: the labels of %s are\n%s, want\n%s", name, d, body, got, want)
			}
		}
	}
	f("no conflict", both, settings{target: "job=j"}, `m{a="1"} 1`, "__name__=m a=1 job=j")
	f("names are sorted", both, settings{target: "job=j"}, `m{z="1",a="2"} 1`, "__name__=m a=2 job=j z=1")
	f("the target wins", both, settings{target: "job=j"}, `m{job="own"} 1`, "__name__=m exported_job=own job=j")
	f("the sample wins", both, settings{target: "job=j x=y", honor: true}, `m{job="own"} 1`, "__name__=m job=own x=y")
	f("an exported label of the target's", both, settings{target: "exported_n=2 n=2"}, `m 1`, "__name__=m exported_n=2 n=2")
	f("a conflict with an exported label of the target's", both, settings{target: "exported_n=t n=t"}, `m{n="1"} 1`,
		"__name__=m exported_exported_n=1 exported_n=t n=t")
	f("exported_ is taken", prom, settings{target: "n=t"}, `m{n="1",exported_n="2"} 1`, "__name__=m exported_exported_n=1 exported_n=2 n=t")
	f("exported_ is taken", vm, settings{target: "n=t"}, `m{n="1",exported_n="2"} 1`, "__name__=m exported_exported_n=2 exported_n=1 n=t")
	f("both conflict, the shortest first", prom, settings{target: "exported_n=t n=t"}, `m{n="1",exported_n="2",exported_exported_n="3"} 1`,
		"__name__=m exported_exported_exported_exported_n=2 exported_exported_exported_n=1 exported_exported_n=3 exported_n=t n=t")
	f("an empty label", both, settings{target: "job=j"}, `m{a="",b="1"} 1`, "__name__=m b=1 job=j")
	f("an empty label in conflict", both, settings{target: "job=j"}, `m{job=""} 1`, "__name__=m job=j")
	f("an empty label is honored", prom, settings{target: "instance=i job=j", honor: true}, `m{instance=""} 1`, "__name__=m job=j")
	f("an empty label is no label", vm, settings{target: "instance=i job=j", honor: true}, `m{instance=""} 1`, "__name__=m instance=i job=j")

	f("external labels", both, settings{target: "job=j", external: "dc=x"}, `m 1`, "__name__=m dc=x job=j")
	f("external labels yield", prom, settings{target: "job=j", external: "dc=x job=e"}, `m{dc="own"} 1`, "__name__=m dc=own job=j")
	f("external labels yield when labels are honored", vm, settings{target: "job=j", external: "dc=x job=e", honor: true}, `m{dc="own"} 1`, "__name__=m dc=own job=j")
	f("external labels win", vm, settings{target: "job=j", external: "dc=x job=e"}, `m{dc="own"} 1`, "__name__=m dc=x exported_dc=own exported_job=j job=e")

	drop := relabel.Config{Action: "drop", SourceLabels: []string{"__name__"}, Regex: new("m")}
	noNames := relabel.Config{Action: "labeldrop", Regex: new("__name__")}
	nothing := relabel.Config{Action: "labeldrop", Regex: new(".*")}
	under := relabel.Config{TargetLabel: "__tmp", Replacement: new("x")}
	f("a rule drops", both, settings{rules: []relabel.Config{drop}}, `m 1`, "dropped")
	f("rules see the target's labels", both, settings{target: "job=j", external: "dc=x", rules: []relabel.Config{
		{SourceLabels: []string{"job", "dc"}, TargetLabel: "both"},
	}}, `m 1`, "__name__=m both=j; dc=x job=j")
	f("no name", both, settings{target: "job=j", rules: []relabel.Config{noNames}}, `m 1`, "error: "+errNoName.Error())
	f("no label", both, settings{target: "job=j", rules: []relabel.Config{nothing}}, `m 1`, "dropped")
	f("two underscores stay", prom, settings{rules: []relabel.Config{under}}, `m{__x="1"} 1`, "__name__=m __tmp=x __x=1")
	f("two underscores go", vm, settings{rules: []relabel.Config{under}}, `m{__x="1"} 1`, "__name__=m")
	f("a name twice", both, settings{}, `m{a="1",b="2",a="3"} 1`, `error: label name "a" is not unique in one sample`)
	f("the metric's name twice", both, settings{}, `m{__name__="n"} 1`, `error: label name "__name__" is not unique in one sample`)
	f("a quoted name", both, settings{}, `{"a.b","c.d"="e"} 1`, "__name__=a.b c.d=e")

	f("label_limit is met", both, settings{target: "job=j", limits: labelLimits{count: 3}}, `m{a="1"} 1`, "__name__=m a=1 job=j")
	f("label_limit is exceeded", both, settings{target: "job=j", limits: labelLimits{count: 2}}, `m{a="1"} 1`, "error: label_limit exceeded: 3, the limit is 2")
	names, values := labelLimits{name: 8}, labelLimits{value: 3}
	f("label_name_length_limit is met", both, settings{target: "job=j", limits: names}, `m{a="1"} 1`, "__name__=m a=1 job=j")
	f("label_name_length_limit is exceeded", both, settings{target: "job=j", limits: names}, `m{a_name_of_9="1"} 1`,
		`error: label a_name_of_9="1": label_name_length_limit exceeded: 11, the limit is 8`)
	f("label_value_length_limit is met", both, settings{target: "job=j", limits: values}, `m{a="123"} 1`, "__name__=m a=123 job=j")
	f("label_value_length_limit is exceeded", both, settings{target: "job=j", limits: values}, `m{a="é12"} 1`,
		`error: label a="é12": label_value_length_limit exceeded: 4, the limit is 3`)
	f("the length of external labels counts", vm, settings{external: "x=long", limits: values}, `m 1`,
		`error: label x="long": label_value_length_limit exceeded: 4, the limit is 3`)
	f("the length of external labels does not count", prom, settings{external: "x=long", limits: values}, `m 1`, "__name__=m x=long")
	f("label_limit is for what relabeling leaves", both, settings{target: "job=j", limits: labelLimits{count: 2}, rules: []relabel.Config{{Action: "labeldrop", Regex: new("a")}}},
		`m{a="1"} 1`, "__name__=m job=j")
	f("label_limit counts no external label", prom, settings{external: "dc=x", limits: labelLimits{count: 1}}, `m 1`, "__name__=m dc=x")
	f("label_limit counts external labels", vm, settings{external: "dc=x", limits: labelLimits{count: 1}}, `m 1`, "error: label_limit exceeded: 2, the limit is 1")

	f("an automatic name", prom, settings{target: "job=j"}, `up 1`, "__name__=up job=j")
	for _, name := range []string{"up", "scrape_duration_seconds", "scrape_timeout_seconds", "scrape_series_limit", "scrape_samples_limit"} {
		f("an automatic name", vm, settings{target: "job=j"}, name+` 1`, "__name__=exported_"+name+" job=j")
		f("an automatic name with an empty label", vm, settings{target: "job=j"}, name+`{a=""} 1`, "__name__=exported_"+name+" job=j")
		f("an automatic name with labels", both, settings{target: "job=j"}, name+`{a="1"} 1`, "__name__="+name+" a=1 job=j")
		f("an automatic name which is honored", both, settings{target: "job=j", honor: true}, name+` 1`, "__name__="+name+" job=j")
	}
	f("a name of no automatic series", both, settings{}, `scrape_other 1`, "__name__=scrape_other")
}

// TestNormalisedBuckets: Prometheus writes le and quantile as OpenMetrics floats, where the type says what they are.
func TestNormalisedBuckets(t *testing.T) {
	f := func(typ, label, in, want string) {
		t.Helper()
		body := fmt.Sprintf("# TYPE m %s\nm{%s=%q} 1\n", typ, label, in)
		for _, vm := range []bool{false, true} {
			w := want
			if vm {
				w = in
			}
			if got := final(t, &learner{vm: vm}, body); got != "__name__=m "+label+"="+w {
				t.Errorf("vmagent's dialect %v: %s{%s=%q} = %s, want %s=%s", vm, typ, label, in, got, label, w)
			}
		}
	}
	for in, want := range map[string]string{
		"1": "1.0", "0": "0.0", "-0": "0.0", "-1": "-1.0", "0.5": "0.5", "+Inf": "+Inf", "-Inf": "-Inf", "Inf": "+Inf", "NaN": "NaN",
		"1000000": "1e+06", "1e6": "1e+06", "100": "100.0", "1e-5": "1e-05", "0.10": "0.1", "10.0": "10.0",
		"one": "one", "1e999": "1e999", " 1": " 1",
	} {
		f("histogram", "le", in, want)
		f("summary", "quantile", in, want)
	}
	f("histogram", "quantile", "1", "1")
	f("summary", "le", "1", "1")
	f("gauge", "le", "1", "1")
	f("untyped", "le", "1", "1")
	// The type holds until the next one, whatever the name.
	if got := final(t, &learner{}, "# TYPE m histogram\nother{le=\"1\"} 1\n"); got != "__name__=other le=1.0" {
		t.Errorf("le of another family = %s, want it normalised", got)
	}
	if got := final(t, &learner{}, "m{le=\"1\"} 1\n"); got != "__name__=m le=1" {
		t.Errorf("le without a type = %s, want it as it is", got)
	}
}

// TestTooManyLabels: no limit is set, and the scrape fails all the same.
func TestTooManyLabels(t *testing.T) {
	var b strings.Builder
	b.WriteString("m{")
	for i := range labelset.MaxLabels { // and the name
		fmt.Fprintf(&b, "l%d=\"\",", i)
	}
	b.WriteString("} 1\n")
	if got := final(t, &learner{}, b.String()); !strings.Contains(got, "label_limit") {
		t.Errorf("%d labels = %.200s, want an error which names label_limit", labelset.MaxLabels+1, got)
	}
}

// TestBadSamples: a sample which cannot be taken fails the scrape in Prometheus' dialect, with its line, and is skipped
// and counted in vmagent's.
func TestBadSamples(t *testing.T) {
	bothDialects(t, func(w *world) {
		bad := "ok 1\nm{a=\"1\",a=\"2\"} 2\nok2 3\n"
		w.export("a:80", bad)
		w.apply(oneJob())
		w.run()
		got := w.pass(tick)
		s := w.only()
		if w.dialect == config.Prometheus {
			wantSamples(t, "a label twice", got)
			if want := `line 2: label name "a" is not unique in one sample`; s.LastError != want || value(got, "scrape_samples_scraped") != 2 {
				t.Errorf("the error is %q after %v samples, want %q after 2", s.LastError, value(got, "scrape_samples_scraped"), want)
			}
			return
		}
		wantSamples(t, "a label twice", got, "ok 1", "ok2 3")
		if n := w.metric("scraper_scrape_bad_lines_total"); n != 1 || s.Health != HealthUp || s.Samples != 2 {
			t.Errorf("%v lines were counted as bad, the target is %v with %d samples, want 1, up, 2", n, s.Health, s.Samples)
		}
	})
}

func TestErrors(t *testing.T) {
	err := error(&SampleError{Line: 3, Err: &LimitError{What: "label_limit", Limit: 1, Got: 2}})
	le, ok := errors.AsType[*LimitError](err)
	if !ok || le.Got != 2 || err.Error() != "line 3: label_limit exceeded: 2, the limit is 1" {
		t.Errorf("SampleError = %v, and wraps %v", err, le)
	}
}
