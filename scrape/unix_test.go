package scrape

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestUnixSocket: a target with __unix_socket__ is asked there, by its own name, and its redirects stay there unless they
// lead to another host. Two sockets with the same URL are two targets.
func TestUnixSocket(t *testing.T) {
	for _, settings := range []string{"", "  enable_http2: true\n", "  oauth2: {client_id: a, client_secret: b, token_url: 'http://TOKEN/'}\n"} {
		w := newWorld(t, Options{DialContext: (&net.Dialer{}).DialContext})
		dir := t.TempDir()
		var mu sync.Mutex
		var seen []string
		serve := func(network, addr, name string) net.Addr {
			l, err := net.Listen(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			s := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
				if rq.Method == http.MethodPost {
					rw.Header().Set("Content-Type", "application/json")
					_, _ = rw.Write([]byte(`{"access_token":"t","token_type":"Bearer"}`))
					return
				}
				mu.Lock()
				seen = append(seen, name+" "+rq.Host+rq.URL.Path)
				mu.Unlock()
				if rq.URL.Path == "/metrics" {
					http.Redirect(rw, rq, "/moved", http.StatusFound)
					return
				}
				rw.Header().Set("Content-Type", "text/plain")
				_, _ = rw.Write([]byte("from_" + name + " 1\n"))
			})}
			go func() { _ = s.Serve(l) }()
			t.Cleanup(func() { _ = s.Close() })
			return l.Addr()
		}
		serve("unix", dir+"/a", "a")
		serve("unix", dir+"/b", "b")
		token := serve("tcp", "127.0.0.1:0", "token").String()
		w.apply("scrape_configs:\n- job_name: j\n" + strings.Replace(settings, "TOKEN", token, 1) +
			"  static_configs:\n  - {targets: ['app:80'], labels: {__unix_socket__: '" + dir + "/a'}}\n" +
			"  - {targets: ['app:80'], labels: {__unix_socket__: '" + dir + "/b'}}\n")
		var names []string
		for _, s := range w.scrapeNow() {
			if !isAuto(s.name) {
				names = append(names, s.full)
			}
		}
		slices.Sort(names)
		mu.Lock()
		slices.Sort(seen)
		if got, want := strings.Join(seen, " "), "a app:80/metrics a app:80/moved b app:80/metrics b app:80/moved"; got != want {
			t.Errorf("with %q the servers saw %s, want %s", settings, got, want)
		}
		mu.Unlock()
		if len(names) != 2 || !strings.Contains(names[0], "from_a") || !strings.Contains(names[1], "from_b") || strings.Contains(names[0], "unix") {
			t.Errorf("with %q the samples are %q, want one of each socket", settings, names)
		}
		if err := w.m.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBadUnixSockets(t *testing.T) {
	w := newWorld(t, Options{})
	f := func(path, settings, want string) {
		t.Helper()
		w.apply("scrape_configs:\n- job_name: j\n" + settings + "  static_configs: [{targets: ['app:80'], labels: {__unix_socket__: " + path + "}}]\n")
		s := w.m.Snapshot()
		if dropped := w.dropped(); len(s.Targets) != 0 || len(dropped) != 1 || !strings.Contains(dropped[0].Reason, want) {
			t.Errorf("the dropped targets are %v, want one with %q", dropped, want)
		}
	}
	f("/"+strings.Repeat("x", 107), "", "the system takes 107")
	f("/s", "  proxy_url: http://proxy:3128\n", "proxy")
	f("/s", "  proxy_from_environment: true\n", "proxy")
}
