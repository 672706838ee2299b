package web

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestAccess is the matrix: what is configured, who asks, and what with.
func TestAccess(t *testing.T) {
	basic := BasicAuth{User: "u", Password: "p"}
	keys := AuthKeys{Reload: "k1", Config: "k2", Flags: "k3", Metrics: "k4", Pprof: "k5"}
	key := func(k string) []string { return []string{"X-Auth-Key", k} }
	login := []string{"Authorization", "Basic dTpw"} // u:p
	wrong := []string{"Authorization", "Basic dTpx"}
	type answers struct {
		probe, page, latest, config, flags, metrics, pprof, reload int
	}
	for _, c := range []struct {
		name   string
		auth   BasicAuth
		keys   AuthKeys
		peer   string
		header []string
		want   answers
	}{
		{"nothing set, local", BasicAuth{}, AuthKeys{}, local, nil, answers{200, 200, 200, 200, 200, 200, 200, 200}},
		{"nothing set, IPv6", BasicAuth{}, AuthKeys{}, "[::1]:1", nil, answers{200, 200, 200, 200, 200, 200, 200, 200}},
		{"nothing set, mapped IPv4", BasicAuth{}, AuthKeys{}, "[::ffff:127.0.0.9]:1", nil, answers{200, 200, 200, 200, 200, 200, 200, 200}},
		{"nothing set, remote", BasicAuth{}, AuthKeys{}, remote, nil, answers{200, 200, 403, 200, 200, 200, 403, 403}},
		{"nothing set, odd peer", BasicAuth{}, AuthKeys{}, "127.0.0.1", nil, answers{200, 200, 403, 200, 200, 200, 403, 403}},
		{"headers do not make local", BasicAuth{}, AuthKeys{}, remote, []string{"X-Forwarded-For", "127.0.0.1", "X-Real-IP", "127.0.0.1", "Forwarded", "for=127.0.0.1", "Host", "localhost"}, answers{200, 200, 403, 200, 200, 200, 403, 403}},
		{"headers do not make remote", BasicAuth{}, AuthKeys{}, local, []string{"X-Forwarded-For", "192.0.2.7"}, answers{200, 200, 200, 200, 200, 200, 200, 200}},
		{"a foreign name for this machine", BasicAuth{}, AuthKeys{}, local, []string{"Host", "rebind.example.com:8429"}, answers{200, 200, 403, 200, 200, 200, 403, 403}},
		{"a name of this machine", BasicAuth{}, AuthKeys{}, local, []string{"Host", "localhost:8429"}, answers{200, 200, 200, 200, 200, 200, 200, 200}},
		{"its IPv6 address", BasicAuth{}, AuthKeys{}, local, []string{"Host", "[::1]:8429"}, answers{200, 200, 200, 200, 200, 200, 200, 200}},

		{"basic, none sent, local", basic, AuthKeys{}, local, nil, answers{200, 401, 401, 401, 401, 401, 401, 401}},
		{"basic, wrong", basic, AuthKeys{}, remote, wrong, answers{200, 401, 401, 401, 401, 401, 401, 401}},
		{"basic, right, remote", basic, AuthKeys{}, remote, login, answers{200, 200, 200, 200, 200, 200, 200, 200}},

		{"keys, none sent, local", BasicAuth{}, keys, local, nil, answers{200, 200, 200, 401, 401, 401, 401, 401}},
		{"keys, config's sent, remote", BasicAuth{}, keys, remote, key("k2"), answers{200, 200, 403, 200, 401, 401, 401, 401}},
		{"keys, pprof's sent, remote", BasicAuth{}, keys, remote, key("k5"), answers{200, 200, 403, 401, 401, 401, 200, 401}},
		{"keys, reload's sent, remote", BasicAuth{}, keys, remote, key("k1"), answers{200, 200, 403, 401, 401, 401, 401, 200}},
		{"keys, a prefix sent", BasicAuth{}, keys, remote, key("k"), answers{200, 200, 403, 401, 401, 401, 401, 401}},

		{"a key replaces basic", basic, AuthKeys{Metrics: "k4"}, remote, key("k4"), answers{200, 401, 401, 401, 401, 200, 401, 401}},
		{"and basic the key does not", basic, AuthKeys{Metrics: "k4"}, remote, login, answers{200, 200, 200, 200, 200, 401, 200, 200}},
	} {
		o := options()
		o.BasicAuth, o.AuthKeys = c.auth, c.keys
		s := newServer(t, o)
		get := func(path string) int { return ask(t, s, c.peer, "GET", path, "", c.header...).StatusCode }
		got := answers{
			get("/-/ready"), get("/targets"), get("/api/v1/latest"), get("/config"), get("/flags"), get("/metrics"), get("/debug/pprof/goroutine"),
			ask(t, s, c.peer, "POST", "/-/reload", "", c.header...).StatusCode,
		}
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		for _, path := range []string{"/api/v1/status/config", "/prometheus/config"} {
			if code := get(path); code != c.want.config {
				t.Errorf("%s: GET %s = %d, want %d as /config", c.name, path, code, c.want.config)
			}
		}
		if code := get("/api/v1/status/flags"); code != c.want.flags {
			t.Errorf("%s: GET /api/v1/status/flags = %d, want %d as /flags", c.name, code, c.want.flags)
		}
	}
}

// TestDenialsHelp: who is refused reads which flag helps, and is asked for a password only where one would help.
func TestDenialsHelp(t *testing.T) {
	f := func(o Options, method, path, flag string, basic bool) {
		t.Helper()
		res := ask(t, newServer(t, o), remote, method, path, "")
		if body := text(t, res); !strings.Contains(body, flag) || strings.Contains(body, "s3cret") {
			t.Errorf("%s %s says %q, want a text which names %s", method, path, body, flag)
		}
		if got := res.Header.Get("WWW-Authenticate") != ""; got != basic {
			t.Errorf("%s %s asks for a password: %t, want %t", method, path, got, basic)
		}
	}
	f(Options{}, "POST", "/-/reload", "-reloadAuthKey", false)
	f(Options{}, "GET", "/debug/pprof/heap", "-pprofAuthKey", false)
	f(options(), "GET", "/api/v1/latest", "-httpAuth.username", false)
	f(Options{AuthKeys: AuthKeys{Metrics: "s3cret"}}, "GET", "/metrics", "-metricsAuthKey", false)
	f(Options{BasicAuth: BasicAuth{User: "s3cret"}}, "GET", "/targets", "user or password", true)
}

// TestLatestOnTheOverview: the page is for everybody, the values of targets are not.
func TestLatestOnTheOverview(t *testing.T) {
	s := newServer(t, options())
	if body := text(t, ask(t, s, local, "GET", "/", "")); !strings.Contains(body, "kitchen") {
		t.Error("a local peer does not see the latest values")
	}
	for _, c := range [][]string{{remote, "127.0.0.1"}, {local, "rebind.example.com"}} {
		if body := text(t, ask(t, s, c[0], "GET", "/", "", "Host", c[1])); strings.Contains(body, "kitchen") || !strings.Contains(body, "local peers only") {
			t.Errorf("peer %s sees the latest values at %s", c[0], c[1])
		}
	}
}

func TestKeyPlaces(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	s := newServer(t, Options{AuthKeys: AuthKeys{Reload: "a b&c"}, Reload: func(context.Context) error { return nil }})
	f := func(code int, query, body string, header ...string) {
		t.Helper()
		if res := ask(t, s, remote, "POST", "/-/reload"+query, body, header...); res.StatusCode != code {
			t.Errorf("POST /-/reload%s with %.40q %q = %d, want %d", query, body, header, res.StatusCode, code)
		}
	}
	escaped := url.QueryEscape("a b&c")
	f(200, "", "", "X-Auth-Key", "a b&c")
	f(200, "", "", "Authorization", "Bearer a b&c")
	f(200, "?authKey="+escaped, "")
	f(200, "", "authKey="+escaped, "Content-Type", form)
	f(401, "", "", "X-Auth-Key", "wrong")
	f(401, "?authKey=wrong", "")
	f(401, "?authKey=", "")
	f(401, "", "authKey=wrong", "Content-Type", form)
	f(401, "", "authKey="+escaped) // not a form
	f(400, "", "authKey=%", "Content-Type", form)
	f(413, "", "authKey="+strings.Repeat("x", maxFormBytes), "Content-Type", form)
	f(413, "?authKey="+escaped, strings.Repeat("x", maxFormBytes+1), "Content-Type", form)
}

// TestCrossSite: a page of another site cannot make a browser reload or stop the agent.
func TestCrossSite(t *testing.T) {
	s := newServer(t, options())
	f := func(code int, header ...string) {
		t.Helper()
		if res := ask(t, s, local, "POST", "/-/reload", "", header...); res.StatusCode != code {
			t.Errorf("POST /-/reload with %q = %d, want %d", header, res.StatusCode, code)
		}
	}
	f(200) // curl
	f(200, "Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:8429")
	f(200, "Sec-Fetch-Site", "none")
	f(200, "Origin", "http://127.0.0.1:8429")
	f(403, "Sec-Fetch-Site", "cross-site")
	f(403, "Sec-Fetch-Site", "same-site")
	f(403, "Origin", "https://example.com")
	f(403, "Origin", "http://127.0.0.1:9999")
	f(403, "Origin", "null")
}

// TestUnixSocketIsLocal: whoever may open the socket is on this machine.
func TestUnixSocketIsLocal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Listener = ln
	run(t, newServer(t, o))
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Post("http://any.example.com/-/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("POST /-/reload over a Unix socket = %d, want 200", res.StatusCode)
	}
}

// FuzzRequest: whatever peers write as key, peer address and host, nothing panics, and remote peers stay remote.
func FuzzRequest(f *testing.F) {
	f.Add("127.0.0.1:1", "localhost", "k", "authKey=x")
	f.Add("192.0.2.1:1", "127.0.0.1", "", "%")
	f.Add("[::1%lo]:1", "[::1", "Bearer ", ";")
	f.Add("@", "", "\x00", "a=b&authKey")
	s := newServer(f, options())
	f.Fuzz(func(t *testing.T, peer, host, header, query string) {
		r := httptest.NewRequest(http.MethodPost, "/-/reload", nil)
		r.RemoteAddr, r.Host, r.URL.RawQuery = peer, host, query
		r.Header.Set("Authorization", header)
		r.Header.Set("Accept-Encoding", header)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		h, port, err := net.SplitHostPort(peer)
		_, errPort := strconv.ParseUint(port, 10, 16)
		ip, _, _ := strings.Cut(h, "%")
		isLocal := err == nil && errPort == nil && net.ParseIP(ip) != nil && net.ParseIP(ip).IsLoopback()
		if w.Code == 200 && !isLocal {
			t.Errorf("peer %q with host %q may reload", peer, host)
		}
	})
}
