package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"scraper/config"
	"scraper/relabel"
	"scraper/remotewrite"
)

// written writes a file, and returns its path.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// relabeled is what rules make of a series, in words; "dropped" if they drop it.
func relabeled(rules *relabel.Rules, pairs ...string) string {
	var ls relabel.Labels
	for i := 0; i < len(pairs); i += 2 {
		ls.Set(pairs[i], pairs[i+1])
	}
	if !rules.Apply(&ls) {
		return "dropped"
	}
	var out []string
	for _, l := range ls.L {
		out = append(out, l.Name+"="+l.Value)
	}
	return strings.Join(out, ",")
}

// TestDestinationOptions follows options from flags and file to destinations, each to the URL that it is meant for.
func TestDestinationOptions(t *testing.T) {
	global := written(t, "global.yml", "- {source_labels: [a], target_label: b}\n- {action: drop, regex: secret, source_labels: [a]}\n")
	second := written(t, "second.yml", "- {target_label: c, replacement: 'of_${1}', source_labels: [b], regex: '(.*)'}\n")
	s := mustParse(t, "-promscrape.config=f -remoteWrite.url=http://one/w -remoteWrite.url=http://two/w -remoteWrite.relabelConfig="+global+
		" -remoteWrite.urlRelabelConfig=,"+second+" -remoteWrite.label=dc=$1 -remoteWrite.label=b=last -remoteWrite.rateLimit=0,10KiB"+
		" -remoteWrite.onRefused=drop -remoteWrite.onAuthError=retry,drop -remoteWrite.proxyURL=http://p:1 -remoteWrite.showURL"+
		" -remoteWrite.oauth2.clientID=i -remoteWrite.oauth2.clientSecret=s -remoteWrite.oauth2.tokenUrl=http://t -remoteWrite.oauth2.scopes=x;y"+
		` -remoteWrite.oauth2.endpointParams='{"k":"v,w"}'`)
	cfg, err := config.Parse([]byte("remote_write:\n- {url: 'http://three/w', write_relabel_configs: [{target_label: c, replacement: own}],"+
		" queue_config: {sample_age_limit: 5m, max_shards: 2, min_shards: 1}}\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dests, err := destinations(s, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"a=x,b=last,dc=$1", "a=x,b=last,c=of_x,dc=$1", "a=x,b=last,c=own,dc=$1"} {
		if got := relabeled(dests[i].Relabel, "a", "x"); got != want {
			t.Errorf("destination %d makes %s, want %s", i+1, got, want)
		}
		if got := relabeled(dests[i].Relabel, "a", "secret"); got != "dropped" {
			t.Errorf("destination %d makes %s of what is to be dropped", i+1, got)
		}
		if d := dests[i]; d.OnRefused != remotewrite.DropRefused || !d.ShowURL {
			t.Errorf("destination %d: %v, %t, want the options of all", i+1, d.OnRefused, d.ShowURL)
		}
	}
	if a, b := dests[0], dests[1]; a.RateLimit != 0 || b.RateLimit != 10<<10 || a.OnAuthError != remotewrite.RetryOnAuthError || b.OnAuthError != remotewrite.DropOnAuthError {
		t.Errorf("limits %d, %d and policies %v, %v", a.RateLimit, b.RateLimit, a.OnAuthError, b.OnAuthError)
	}
	h := dests[1].HTTP
	if h.OAuth2 == nil || h.OAuth2.EndpointParams["k"] != "v,w" || len(h.OAuth2.Scopes) != 2 || h.ProxyURL.URL.Host != "p:1" {
		t.Errorf("HTTP options %+v", h)
	}
	if d := dests[2]; d.MaxSenders != 2 || d.MaxBlockAge.Minutes() != 5 {
		t.Errorf("queue_config gives %d senders and an age of %v", d.MaxSenders, d.MaxBlockAge)
	}
	w, err := remotewrite.New(remotewrite.Options{Destinations: dests, Metrics: remotewrite.NewMetrics(prometheus.NewRegistry())})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if name := w.Status()[1].Name; name != "2:http://two/w" {
		t.Errorf("a destination is shown as %q", name)
	}

	// A single file of rules is the first URL's alone, as with vmagent.
	s = mustParse(t, "-promscrape.config=f -remoteWrite.url=http://one/w,http://two/w -remoteWrite.urlRelabelConfig="+second)
	if dests, err = destinations(s, new(config.Config), nil); err != nil || dests[0].Relabel.Len() != 1 || dests[1].Relabel != nil {
		t.Errorf("rules %v and %v, %v, want them for the first URL alone", dests[0].Relabel, dests[1].Relabel, err)
	}
}

// TestRulesByURL has rules which a server gives, with each reload, and servers which give none: nothing secret is in errors
// and on pages.
func TestRulesByURL(t *testing.T) {
	text, status := "- {target_label: c, replacement: one}\n", http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "geheim" || r.URL.Query().Get("token") != "geheim" {
			t.Errorf("rules are asked for by %s:%s at %s", user, password, r.URL)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	defer srv.Close()
	at := strings.Replace(srv.URL, "://", "://me:geheim@", 1) + "/rules.yml?token=geheim"
	s := mustParse(t, "-promscrape.config=f -remoteWrite.url=http://one/w -remoteWrite.relabelConfig="+at+" -remoteWrite.urlRelabelConfig="+at)
	for _, want := range []string{"one", "two"} {
		dests, err := destinations(s, new(config.Config), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := relabeled(dests[0].Relabel, "a", "x"); got != "a=x,c="+want {
			t.Errorf("the rules make %s, want c=%s", got, want)
		}
		text = strings.Replace(text, "one", "two", 1)
	}
	for _, f := range shownFlags(s) {
		if strings.Contains(f.Value, "geheim") {
			t.Errorf("%s is shown as %s", f.Name, f.Value)
		}
	}
	f := func(want string) {
		t.Helper()
		_, err := destinations(s, new(config.Config), nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "-remoteWrite.relabelConfig") || strings.Contains(err.Error(), "geheim") {
			t.Errorf("destinations = %v, want an error with %q and the flag, and no secret", err, want)
		}
	}
	text = "- {target_label: x}\n- {action: fly}\n"
	f("/rules.yml:2:")
	status = http.StatusForbidden
	f("answer 403")
	srv.Close()
	f("connection refused")
}

// TestBadCertificates has certificates which cannot be read: the error says whose they are, and a dry run finds them.
func TestBadCertificates(t *testing.T) {
	s := mustParse(t, "-promscrape.config=f.yml -remoteWrite.url=http://u:geheim@one/w -remoteWrite.tlsCAFile=/no/one")
	cfg, err := config.Parse([]byte("remote_write:\n- url: http://two/w?geheim\n  tls_config: {ca_file: /no/two}\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = checkDestinations(s, cfg)
	for _, want := range []string{"-remoteWrite.url number 1: ", "/no/one", "f.yml:2: remote_write[0]: ", "/no/two"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("checkDestinations = %v, want it to name %s, and no secret", err, want)
		}
	}
}

// TestBadRuleFiles has files of rules which cannot be used: the error names flag, file and line.
func TestBadRuleFiles(t *testing.T) {
	f := func(flag, text string, want ...string) {
		t.Helper()
		path := "/does/not/exist.yml"
		if text != "" {
			path = written(t, "rules.yml", text)
		}
		s := mustParse(t, "-promscrape.config=f -remoteWrite.url=http://one/w "+flag+"="+path)
		_, err := destinations(s, new(config.Config), nil)
		for _, w := range append(want, flag, path) {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("destinations with %s of %q = %v, want it to name %s", flag, text, err, w)
			}
		}
	}
	f("-remoteWrite.relabelConfig", "", "no such file")
	f("-remoteWrite.relabelConfig", "a: b\n", ":1:", "want a list")
	f("-remoteWrite.urlRelabelConfig", "- {target_label: x}\n- {action: fly}\n", ":2:", "fly")
	f("-remoteWrite.urlRelabelConfig", "- {target_label: [}\n", ":1:")
	s := mustParse(t, "-promscrape.config=f -remoteWrite.url=http://one/w -remoteWrite.label=a\x80=b")
	if _, err := destinations(s, new(config.Config), nil); err == nil || !strings.Contains(err.Error(), "-remoteWrite.label") {
		t.Errorf("destinations with a bad label = %v, want an error", err)
	}
}

// TestReloadsJoin: whoever asks before a reload has begun is served by it, and who asks later by the next.
func TestReloadsJoin(t *testing.T) {
	loading, refused := make(chan struct{}), make(chan error)
	a := &agent{log: slog.New(slog.DiscardHandler), metrics: newConfigMetrics(prometheus.NewRegistry()), load: func() (*config.Config, error) {
		loading <- struct{}{}
		return nil, <-refused
	}}
	first := a.reload()
	<-loading
	second := a.reload() // the file may have changed since the first one read it
	for range 1000 {
		if a.reload() != second {
			t.Fatal("a reload which has not begun is not joined")
		}
	}
	if second == first {
		t.Fatal("a reload which has begun is joined")
	}
	for i, r := range []*reloading{first, second} {
		if i > 0 {
			<-loading
		}
		want := fmt.Errorf("refused %d", i)
		refused <- want
		if <-r.done; !errors.Is(r.err, want) {
			t.Errorf("reload %d: %v, want %v", i+1, r.err, want)
		}
	}
}
