package config

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	commoncfg "github.com/prometheus/common/config"

	"scraper/relabel"
)

// filler sets every field of a value, however deep, to something that is not its zero value. It sets the leaf whose
// number is change to something else, so that a test can walk through all that a value consists of.
type filler struct {
	t      *testing.T
	change int // -1: none
	leaves int
	path   string // of the changed leaf
}

// derived are fields which Equal leaves out.
var derived = []string{"Job.Line", "RemoteWrite.Line"}

func (f *filler) fill(v reflect.Value, path string) {
	if slices.Contains(derived, path) {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[*relabel.Rules]():
		rules, err := relabel.Compile([]relabel.Config{{TargetLabel: f.text(path)}}, relabel.Options{})
		if err != nil {
			f.t.Fatal(err)
		}
		v.Set(reflect.ValueOf(rules))
		return
	case reflect.TypeFor[*url.URL]():
		v.Set(reflect.ValueOf(&url.URL{Scheme: "http", User: url.UserPassword("u", f.text(path))}))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!f.leaf(path))
	case reflect.String:
		v.SetString(f.text(path))
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
		if f.leaf(path) {
			v.SetInt(2)
		}
	case reflect.Uint16:
		v.SetUint(1)
		if f.leaf(path) {
			v.SetUint(2)
		}
	case reflect.Float64:
		v.SetFloat(1)
		if f.leaf(path) {
			v.SetFloat(2)
		}
	case reflect.Interface:
		v.Set(reflect.ValueOf(f.text(path)))
	case reflect.Pointer:
		if !strings.HasSuffix(path, "]") && f.leaf(path+" nil") { // an element of a list is never nil
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), path)
	case reflect.Slice:
		n := 2
		if f.leaf(path + " shorter") {
			n = 1
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key, path+" key")
		f.fill(elem, path+" value")
		v.SetMapIndex(key, elem)
	case reflect.Struct:
		for field, fv := range v.Fields() {
			if field.IsExported() {
				f.fill(fv, path+"."+field.Name)
			}
		}
	default:
		f.t.Fatalf("%s: a %s is new here, fill it", path, v.Kind())
	}
}

func (f *filler) leaf(path string) bool {
	f.leaves++
	if f.leaves-1 != f.change {
		return false
	}
	f.path = path
	return true
}

func (f *filler) text(path string) string {
	if f.leaf(path) {
		return "changed"
	}
	return "text"
}

// filled returns a T with all fields set, the one with the number change differently, its path, and how many there are.
func filled[T any](t *testing.T, change int) (v *T, path string, leaves int) {
	f := &filler{t: t, change: change}
	v = new(T)
	rv := reflect.ValueOf(v).Elem()
	f.fill(rv, rv.Type().Name())
	return v, f.path, f.leaves
}

// TestEqualCoversAllFields fails when a field is added to a type, or to what it consists of, which Equal forgets.
func TestEqualCoversAllFields(t *testing.T) {
	testEqual(t, (*Job).Equal)
	testEqual(t, (*RemoteWrite).Equal)
	testEqual(t, (*StaticGroup).Equal)
	testEqual(t, (*FileSD).Equal)
}

func testEqual[T any](t *testing.T, equal func(a, b *T) bool) {
	t.Helper()
	a, _, leaves := filled[T](t, -1)
	if b, _, _ := filled[T](t, -1); !equal(a, b) {
		t.Fatalf("two equal %T are not Equal", a)
	}
	if leaves == 0 {
		t.Fatalf("%T has no fields", a)
	}
	for i := range leaves {
		if b, path, _ := filled[T](t, i); equal(a, b) || equal(b, a) {
			t.Errorf("Equal does not see that %s changed", path)
		}
	}
}

// TestDiffPutsFieldsIntoOneAspect checks that a change of one field is a change of one aspect.
func TestDiffPutsFieldsIntoOneAspect(t *testing.T) {
	a, _, leaves := filled[Job](t, -1)
	for i := range leaves {
		b, path, _ := filled[Job](t, i)
		changed := 0
		for _, same := range reflect.ValueOf(a.Diff(b)).Fields() {
			if !same.Bool() {
				changed++
			}
		}
		if changed != 1 {
			t.Errorf("%s changes %d aspects, want 1: %+v", path, changed, a.Diff(b))
		}
	}
}

func TestDiff(t *testing.T) {
	same := Diff{true, true, true, true, true, true}
	f := func(change func(*Job), want func(*Diff)) {
		t.Helper()
		a, _, _ := filled[Job](t, -1)
		b, _, _ := filled[Job](t, -1)
		change(b)
		wantDiff := same
		want(&wantDiff)
		if got := a.Diff(b); got != wantDiff {
			t.Errorf("Diff() = %+v, want %+v", got, wantDiff)
		}
	}
	f(func(j *Job) { j.Line = 7 }, func(*Diff) {})
	f(func(j *Job) { j.Static = nil }, func(d *Diff) { d.SameDiscovery = false })
	f(func(j *Job) { j.Relabel = nil }, func(d *Diff) { d.SameTargets = false })
	f(func(j *Job) { j.ScrapeTimeout = time.Hour }, func(d *Diff) { d.SameSchedule = false })
	f(func(j *Job) { j.HTTP.BasicAuth.Password = "x" }, func(d *Diff) { d.SameHTTP = false })
	f(func(j *Job) { j.MetricRelabel = nil }, func(d *Diff) { d.SameSampleRules = false })
	f(func(j *Job) { j.SampleLimit = 99 }, func(d *Diff) { d.SameLimits = false })
}

// TestEqualAfterUse checks that making a client of a configuration, which the library remembers within it, changes
// nothing.
func TestEqualAfterUse(t *testing.T) {
	const text = "scrape_configs: [{job_name: x, proxy_url: 'http://p:1', oauth2: {client_id: a, token_url: 'http://h', proxy_url: 'http://q:1'}}]"
	used, fresh := mustParse(t, text, Options{}).Jobs[0], mustParse(t, text, Options{}).Jobs[0]
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://h", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*commoncfg.ProxyConfig{&used.HTTP.ProxyConfig, &used.HTTP.OAuth2.ProxyConfig} {
		if _, err := p.Proxy()(req); err != nil {
			t.Fatal(err)
		}
	}
	if !used.Equal(fresh) || !fresh.Equal(used) {
		t.Error("a configuration which was used does not equal the same one afresh")
	}
}

// TestParseIsRepeatable checks what a reload without a change relies on.
func TestParseIsRepeatable(t *testing.T) {
	for _, file := range []string{"testdata/prometheus.yml", "testdata/vmagent.yml"} {
		o := Options{Getenv: env(map[string]string{"NODE_NAME": "n"})}
		a, b := mustLoad(t, file, o), mustLoad(t, file, o)
		if !slices.EqualFunc(a.Jobs, b.Jobs, (*Job).Equal) || !slices.EqualFunc(a.RemoteWrites, b.RemoteWrites, (*RemoteWrite).Equal) {
			t.Errorf("%s is not Equal to itself", file)
		}
		o.Dialect = Prometheus
		if file == "testdata/prometheus.yml" && slices.EqualFunc(a.Jobs, mustLoad(t, file, o).Jobs, (*Job).Equal) {
			t.Errorf("%s is Equal in both dialects", file)
		}
	}
}
