package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// secrets makes values which are recognised wherever they appear.
type secrets struct {
	mu  sync.Mutex
	all []string
}

func (s *secrets) new(place string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := "s3cr3t-" + place
	s.all = append(s.all, v)
	return v
}

// user is new for the password of a user, which travels encoded too.
func (s *secrets) user(name, place string) string {
	v := s.new(place)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, base64.StdEncoding.EncodeToString([]byte(name+":"+v)))
	return v
}

// wantNone wants none of the secrets in a text.
func (s *secrets) wantNone(t *testing.T, where, text string) {
	t.Helper()
	for _, v := range s.all {
		if i := strings.Index(text, v); i >= 0 {
			t.Errorf("%s shows %s: …%s…", where, v, text[max(0, i-100):min(len(text), i+len(v)+50)])
		}
	}
}

// echo is a server which fails requests, and says in its answer what it was asked with, as helpful proxies do.
type echo struct {
	mu   sync.Mutex
	seen strings.Builder
	code int
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.Method, r.RequestURI)
	_ = r.Header.Write(&b)
	user, password, _ := r.BasicAuth()
	e.mu.Lock()
	fmt.Fprintf(&e.seen, "%sbasic %s %s\n", b.String(), user, password)
	e.mu.Unlock()
	w.Header().Set("X-Echo", "of what was sent")
	w.WriteHeader(e.code)
	_, _ = io.WriteString(w, b.String())
}

func (e *echo) saw(text string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Contains(e.seen.String(), text)
}

func startEcho(t *testing.T, code int) (e *echo, address string) {
	t.Helper()
	e = &echo{code: code}
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return e, strings.TrimPrefix(srv.URL, "http://")
}

// TestSecretsStaySecret puts secrets in all places which take one, lets everything fail that can, and looks for them in
// the log at its finest and on all pages.
func TestSecretsStaySecret(t *testing.T) {
	t.Setenv("E2E_SECRET", "s3cr3t-environment")
	for _, dialect := range []string{"vmagent", "prometheus"} {
		t.Run(dialect, func(t *testing.T) { testSecrets(t, dialect) })
	}
}

func testSecrets(t *testing.T, dialect string) {
	s := &secrets{all: []string{"s3cr3t-environment"}}
	failing, failingAt := startEcho(t, http.StatusInternalServerError)
	refusing, refusingAt := startEcho(t, http.StatusBadRequest)
	target, targetAt := startEcho(t, http.StatusForbidden)
	moving := httptest.NewServer(http.RedirectHandler("http://user:"+s.user("user", "location")+"@127.0.0.1:1/?token="+s.new("location-query"), http.StatusFound))
	t.Cleanup(moving.Close)
	movingAt := strings.TrimPrefix(moving.URL, "http://")
	const closed = closedAddress

	dir := t.TempDir()
	list := writeFile(t, filepath.Join(dir, "targets.yml"), fmt.Sprintf(
		"- {targets: [%q], labels: {__param_token: %s, instance: of-file}}\n", targetAt, s.new("label-param")))
	fromFile := writeFile(t, filepath.Join(dir, "password"), s.user("scraper", "password-file"))
	jobs := fmt.Sprintf(`global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
- job_name: basic
  basic_auth: {username: scraper, password: %s}
  params: {token: [%s]}
  static_configs: [{targets: [%q, %q, %q]}]
- job_name: file
  basic_auth: {username: scraper, password_file: %q}
  file_sd_configs: [{files: [%q]}]
- job_name: bearer
  authorization: {credentials: %s}
  http_headers: {X-Api-Key: {values: [%s]}, X-Other: {secrets: [%s]}}
  metrics_path: '/metrics'
  static_configs: [{targets: [%q, %q]}]
- job_name: environment
  authorization: {credentials: '%%{E2E_SECRET}'}
  static_configs: [{targets: [%q]}]
- job_name: proxy
  proxy_url: 'http://proxy:%s@%s'
  static_configs: [{targets: ['127.0.0.1:2']}]
- job_name: oauth
  oauth2: {client_id: me, client_secret: %s, token_url: 'http://%s/token?key=%s', endpoint_params: {more: %s}}
  static_configs: [{targets: [%q]}]
- job_name: oauth-closed
  oauth2: {client_id: me, client_secret: %s, token_url: 'http://user:%s@%s/token?key=%s'}
  static_configs: [{targets: [%q]}]
- job_name: dropped
  static_configs: [{targets: ['127.0.0.1:3'], labels: {__param_token: %s}}]
  relabel_configs: [{action: drop}]
- job_name: relabeled
  static_configs: [{targets: [%q]}]
  relabel_configs: [{target_label: __param_token, replacement: %s}]
`,
		s.user("scraper", "job-password"), s.new("job-param"), targetAt, closed, movingAt,
		fromFile, list,
		s.new("job-bearer"), s.new("job-header"), s.new("job-secret-header"), targetAt, closed,
		targetAt,
		s.user("proxy", "proxy-password"), targetAt,
		s.new("oauth-secret"), targetAt, s.new("oauth-query"), s.new("oauth-param"), targetAt,
		s.new("oauth-secret-2"), s.user("user", "oauth-password"), closed, s.new("oauth-query-2"), targetAt,
		s.new("dropped-param"),
		targetAt, s.new("relabeled-param"))
	if dialect == "vmagent" { // in whose addresses all of a URL may stand
		jobs += fmt.Sprintf("- job_name: url\n  static_configs: [{targets: ['http://user:%s@%s/metrics?token=%s']}]\n",
			s.user("user", "target-password"), targetAt, s.new("target-query"))
	}
	sections := fmt.Sprintf(`remote_write:
- name: one
  url: 'http://user:%s@%s/write?token=%s'
  headers: {X-Api-Key: %s}
- name: two
  url: 'http://%s/two'
  basic_auth: {username: scraper, password: %s}
- name: four
  url: 'http://%s/four'
  authorization: {credentials: %s}
- name: five
  url: 'http://%s/five'
  basic_auth: {username: scraper, password_file: %q}
- name: three
  url: 'http://%s/three'
  authorization: {credentials: %s}
  proxy_url: 'http://proxy:%s@%s'
`,
		s.user("user", "section-url-password"), failingAt, s.new("section-query"), s.new("section-header"),
		refusingAt, s.user("scraper", "section-password"),
		refusingAt, s.new("section-bearer-1"), failingAt, fromFile,
		closed, s.new("section-bearer"), s.user("proxy", "section-proxy"), closed)
	conf := filepath.Join(dir, "config.yml")
	writeFile(t, conf, jobs+sections)

	keys := map[string]string{"-httpAuth.password": s.user("admin", "page-password")}
	args := []string{"-httpAuth.username=admin"}
	for _, key := range []string{"reload", "config", "flags", "metrics", "pprof"} {
		keys["-"+key+"AuthKey"] = s.new(key + "-key")
	}
	for flag, value := range keys {
		args = append(args, flag+"="+value)
	}
	if dialect == "vmagent" {
		args = append(args, "-promscrape.config="+conf, "-loggerLevel=DEBUG",
			fmt.Sprintf("-remoteWrite.url=http://user:%s@%s/?token=%s", s.user("user", "url-password"), failingAt, s.new("query")),
			"-remoteWrite.url=http://"+refusingAt+"/flags", "-remoteWrite.url=http://"+closed+"/",
			fmt.Sprintf("-remoteWrite.url=http://user:%s@%s/oauth?token=%s", s.user("user", "oauth-url-password"), refusingAt, s.new("oauth-url-query")),
			"-remoteWrite.showURL", fmt.Sprintf("-remoteWrite.proxyURL=,,http://proxy:%s@%s,", s.user("proxy", "flag-proxy"), closed),
			"-remoteWrite.oauth2.clientID=,,,me", "-remoteWrite.oauth2.clientSecret=,,,"+s.new("flag-oauth"),
			fmt.Sprintf("-remoteWrite.oauth2.tokenUrl=,,,http://%s/token?key=%s", failingAt, s.new("flag-oauth-query")),
			`-remoteWrite.oauth2.endpointParams=,,,{"more":"`+s.new("flag-oauth-param")+`"}`,
			"-remoteWrite.basicAuth.username=,scraper", "-remoteWrite.basicAuth.password=,"+s.user("scraper", "flag-password"),
			"-remoteWrite.bearerToken=,,"+s.new("flag-bearer"),
			"-remoteWrite.headers=X-Api-Key:"+s.new("flag-header")+",,", "-remoteWrite.retryMinInterval=100ms")
	} else {
		args = append(args, "--config.file="+conf, "--agent", "--web.enable-lifecycle", "--log.level=debug", "--storage.agent.path="+t.TempDir())
	}
	a := startAgent(t, args...)

	for _, sent := range []struct {
		to   *echo
		what string
	}{
		{target, "s3cr3t-job-password"}, {target, "s3cr3t-job-param"}, {target, "s3cr3t-label-param"}, {target, "s3cr3t-password-file"},
		{target, "s3cr3t-job-bearer"}, {target, "s3cr3t-job-header"}, {target, "s3cr3t-job-secret-header"}, {target, "s3cr3t-environment"},
		{target, "s3cr3t-relabeled-param"}, {target, "s3cr3t-oauth-query"},
		{failing, "s3cr3t-section-url-password"}, {failing, "s3cr3t-section-header"}, {failing, "s3cr3t-section-query"},
		{refusing, "s3cr3t-section-password"},
	} {
		waitFor(t, "a request with "+sent.what, func() bool { return sent.to.saw(sent.what) })
	}
	if dialect == "vmagent" {
		for _, what := range []string{"s3cr3t-url-password", "s3cr3t-query", "s3cr3t-flag-header", "s3cr3t-flag-oauth-query"} {
			waitFor(t, "a request with "+what, func() bool { return failing.saw(what) })
		}
		waitFor(t, "the password of an address", func() bool { return target.saw("s3cr3t-target-password") })
		waitFor(t, "a request with the password", func() bool { return refusing.saw("s3cr3t-flag-password") })
	}

	get := func(method, path, key string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, a.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("admin", keys["-httpAuth.password"])
		if key != "" {
			req.Header.Set("X-Auth-Key", keys[key])
		}
		resp, err := client().Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return resp.StatusCode, string(text)
	}
	for path, key := range map[string]string{
		"/": "", "/targets": "", "/targets?show_original_labels=true": "", "/service-discovery": "", "/api/v1/targets": "", "/api/v1/targets?state=any": "",
		"/destinations": "", "/api/v1/destinations": "", "/api/v1/scrape_pools": "", "/api/v1/status/buildinfo": "",
		"/config": "-configAuthKey", "/api/v1/status/config": "-configAuthKey", "/flags": "-flagsAuthKey", "/api/v1/status/flags": "-flagsAuthKey",
		"/metrics": "-metricsAuthKey", "/debug/pprof/": "-pprofAuthKey", "/debug/pprof/goroutine?debug=2": "-pprofAuthKey",
		"/debug/pprof/heap?debug=1": "-pprofAuthKey",
	} {
		status, text := get(http.MethodGet, path, key)
		if status != http.StatusOK || len(text) < 10 {
			t.Errorf("GET %s = %d %.100q, want 200 and a page", path, status, text)
		}
		s.wantNone(t, "GET "+path, text)
	}
	if status, text := get(http.MethodGet, "/debug/pprof/cmdline", "-pprofAuthKey"); status != http.StatusNotFound {
		t.Errorf("GET /debug/pprof/cmdline = %d %q, want 404", status, text)
	}

	// What is wrong with a configuration is said without what it holds.
	for name, text := range map[string]string{
		"secret of a wrong type": strings.Replace(jobs, "password: s3cr3t-job-password", "password: [s3cr3t-job-password]", 1) + sections,
		"unknown key":            jobs + sections + "  passwort: " + s.new("misspelt") + "\n",
		"no YAML":                jobs + sections + "  password: '" + s.new("unclosed") + "\n",
		"bad URL":                jobs + "remote_write: [{url: 'ftp://user:" + s.new("bad-url") + "@127.0.0.1:x/'}]\n",
		"no blank":               jobs + sections + "  password:" + s.new("no-blank") + "\n",
		"two kinds":              strings.Replace(jobs, "- job_name: basic\n", "- job_name: basic\n  authorization: {credentials: "+s.new("second")+"}\n", 1) + sections,
	} {
		writeFile(t, conf, text)
		status, answer := get(http.MethodPost, "/-/reload", "-reloadAuthKey")
		if status != http.StatusInternalServerError {
			t.Errorf("reload of a configuration with %s = %d %q, want 500", name, status, answer)
		}
		s.wantNone(t, "the answer to a reload of a configuration with "+name, answer)
	}
	for _, path := range []string{"/config", "/"} {
		_, text := get(http.MethodGet, path, "-configAuthKey")
		s.wantNone(t, "GET "+path+" after bad reloads", text)
	}
	a.terminate(t)
	s.wantNone(t, "the log", a.stderr.String())
	s.wantNone(t, "standard output", a.stdout.String())
	if !strings.Contains(a.stderr.String(), "scrape failed") || !strings.Contains(a.stderr.String(), "sending failed") {
		t.Error("the log tells of no failed scrape, or of no failed request: the test looks in vain")
	}
}

// TestSecretsOfTheCommandLine makes mistakes beside secrets.
func TestSecretsOfTheCommandLine(t *testing.T) {
	t.Parallel()
	conf := configFile(t, goodConfig)
	const secret = "s3cr3t-of-a-flag"
	for name, args := range map[string][]string{
		"bad port of a URL":     {"-remoteWrite.url=http://user:" + secret + "@127.0.0.1:port/"},
		"bad scheme of a URL":   {"-remoteWrite.url=ftp://user:" + secret + "@127.0.0.1/?token=" + secret},
		"a control character":   {"-remoteWrite.url=http://user:" + secret + "@127.0.0.1/\x7f"},
		"two values for a URL":  {"-remoteWrite.url=http://127.0.0.1:1/", "-remoteWrite.basicAuth.password=" + secret, "-remoteWrite.basicAuth.password=" + secret},
		"two kinds for a URL":   {"-remoteWrite.url=http://127.0.0.1:1/", "-remoteWrite.basicAuth.password=" + secret, "-remoteWrite.bearerToken=" + secret},
		"a header without name": {"-remoteWrite.url=http://127.0.0.1:1/", "-remoteWrite.headers=" + secret},
		"misspelt flag":         {"-remoteWrite.url=http://127.0.0.1:1/", "-remoteWrite.bearerTokn=" + secret},
		"a part of OAuth2":      {"-remoteWrite.url=http://127.0.0.1:1/", "-remoteWrite.oauth2.clientSecret=" + secret},
		"a proxy of no scheme":  {"-remoteWrite.url=http://127.0.0.1:1/", "-remoteWrite.proxyURL=" + secret + ":1"},
		"parameters, no JSON":   {"-remoteWrite.url=http://127.0.0.1:1/", "-remoteWrite.oauth2.clientID=a", "-remoteWrite.oauth2.clientSecret=b", "-remoteWrite.oauth2.tokenUrl=http://c", "-remoteWrite.oauth2.endpointParams=" + secret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(t, append([]string{"-promscrape.config=" + conf, "-httpListenAddr=127.0.0.1:0", "-dryRun"}, args...)...)
			if code == 0 {
				t.Errorf("scraper %q: exit code = 0, want a refusal", args)
			}
			if text := stdout + stderr; strings.Contains(text, secret) {
				t.Errorf("scraper %q shows the secret: %s", args, text)
			}
		})
	}
}
