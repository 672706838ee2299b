package transport_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	commoncfg "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v2"

	"scraper/transport"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func parseConfig(t testing.TB, text string) commoncfg.HTTPClientConfig {
	t.Helper()
	var cfg commoncfg.HTTPClientConfig
	if err := yaml.UnmarshalStrict([]byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestForConfigLeavesToOthers(t *testing.T) {
	f := func(text string, own bool) {
		t.Helper()
		rt, tr, err := transport.ForConfig(parseConfig(t, text), transport.Options{})
		if err != nil || (rt != nil) != own || (tr != nil) != own {
			t.Errorf("ForConfig(%s) = %v, %v, %v, want our own: %t", text, rt, tr, err, own)
		}
	}
	f("{}", true)
	f("enable_http2: false", true)
	f("follow_redirects: false", true)
	f("proxy_url: http://proxy:3128", false)
	f("proxy_from_environment: true", false)
	f("oauth2: {client_id: a, client_secret: b, token_url: http://token/}", false)
}

func TestForConfigErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/junk", "junk")
	f := func(text string, o transport.Options, want string) {
		t.Helper()
		_, _, err := transport.ForConfig(parseConfig(t, strings.ReplaceAll(text, "DIR", dir)), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ForConfig(%s) = %v, want error with %q", text, err, want)
		}
	}
	f("tls_config: {ca_file: DIR/none}", transport.Options{}, "none: no such file")
	f("tls_config: {ca_file: DIR/junk}", transport.Options{}, "unable to use specified CA cert")
	f("tls_config: {cert_file: DIR/junk, key_file: DIR/junk}", transport.Options{}, "client cert")
	f("basic_auth: {username: a, password_ref: b}", transport.Options{}, "password_ref needs a secret manager")
	f("authorization: {credentials_ref: b}", transport.Options{}, "credentials_ref needs a secret manager")
	f("{}", transport.Options{TLS: &tls.Config{}}, "in the options, too")
	f("{}", transport.Options{IdleTimeout: -1}, "IdleTimeout")
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/secret", "\n f1l3 \n")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s", r.Header.Get("Authorization"), strings.Join(r.Header["X-Extra"], ","))
	}))
	defer s.Close()
	f := func(text, want string) {
		t.Helper()
		cfg := parseConfig(t, strings.ReplaceAll(text, "DIR", dir))
		rt, tr, err := transport.ForConfig(cfg, transport.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		for range 2 {
			wantBody(t, get(t, rt, s.URL), want)
		}
	}
	f("{}", "|")
	f("bearer_token: abc", "Bearer abc|")
	f("bearer_token_file: DIR/secret", "Bearer f1l3|")
	f("authorization: {type: Token, credentials: abc}", "Token abc|")
	f("authorization: {credentials_file: DIR/secret}", "Bearer f1l3|")
	f("basic_auth: {username: u, password: p}", "Basic dTpw|")
	f("basic_auth: {username: u, password_file: DIR/secret}", "Basic dTpmMWwz|")
	f("basic_auth: {username_file: DIR/secret}", "Basic ZjFsMzo=|")
	f("http_headers: {X-Extra: {values: [a, b], secrets: [c], files: [DIR/secret]}}", "|a,b,c,f1l3")
	f("{http_headers: {X-Extra: {values: [a]}}, bearer_token: abc}", "Bearer abc|a")

	// Not moved by Validate, as when a program makes the configuration.
	rt, tr, err := transport.ForConfig(commoncfg.HTTPClientConfig{BearerToken: "abc"}, transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	wantBody(t, get(t, rt, s.URL), "Bearer abc|")
}

// echo is a server for script which answers with the value of the Authorization header.
func echo(_ int, c net.Conn) {
	br := bufio.NewReader(c)
	for {
		r, more := readRequest(br)
		if !more {
			return
		}
		_, value, _ := strings.Cut(r, "Authorization: ")
		value, _, _ = strings.Cut(value, "\r\n")
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(value), value)
	}
}

// age makes a file look as if it had been changed an hour ago, by the clock of the test's bubble.
func age(t testing.TB, path string) {
	t.Helper()
	when := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

// A token's file is looked at every few seconds, and no more.
func TestRotatedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		l, url, o := memory(t)
		script(t, l, echo)
		write(t, path, "one")
		age(t, path)
		rt, tr, err := transport.ForConfig(parseConfig(t, "bearer_token_file: "+path), o)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		f := func(want string) {
			t.Helper()
			a := get(t, rt, url)
			if a.err != nil {
				a.body = a.err.Error()
			}
			if !strings.Contains(a.body, want) {
				t.Errorf("RoundTrip = %q, want %q", a.body, want)
			}
		}
		f("Bearer one")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		f("Bearer one") // not looked at yet
		time.Sleep(transport.LookEvery)
		f("no such file")
		f("no such file")
		write(t, path, " two\n")
		f("Bearer two") // an error is not kept
		write(t, path, "three")
		f("Bearer two")
		time.Sleep(transport.LookEvery)
		f("Bearer three")
		age(t, path)
		time.Sleep(transport.LookEvery)
		f("Bearer three")

		// A file which looks the same is not read.
		if err := os.WriteFile(path, []byte("four!"), 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-time.Hour - transport.LookEvery)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		time.Sleep(transport.LookEvery)
		f("Bearer three")
		age(t, path)
		time.Sleep(transport.LookEvery)
		f("Bearer four!")
		wantStats(t, tr, 1, 7, 0)
	})
}

// The files of tls_config count as they are, not as they were: authority, certificate and key.
func TestRotatedTLSFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		old, renewed := newAuthority(t), newAuthority(t)
		var serving atomic.Pointer[authority]
		serving.Store(old)
		l, _, o := memory(t)
		script(t, l, func(_ int, c net.Conn) {
			a := serving.Load()
			pair, _, _ := a.issue(t, "target")
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.trust().RootCAs, Time: time.Now})
			br := bufio.NewReader(s)
			for {
				if _, more := readRequest(br); !more {
					return
				}
				name := s.ConnectionState().PeerCertificates[0].Subject.CommonName
				fmt.Fprintf(s, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)
			}
		})
		install := func(a *authority, name string) {
			_, cert, key := a.issue(t, name)
			write(t, dir+"/ca", a.pem)
			write(t, dir+"/cert", cert)
			write(t, dir+"/key", key)
		}
		install(old, "one")
		rt, tr, err := transport.ForConfig(parseConfig(t, strings.ReplaceAll("tls_config: {ca_file: DIR/ca, cert_file: DIR/cert, key_file: DIR/key}", "DIR", dir)), o)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		f := func(want string) {
			t.Helper()
			a := get(t, rt, "https://target:80/")
			if a.failed() != nil {
				a.body = a.failed().Error()
			}
			if !strings.Contains(a.body, want) {
				t.Errorf("RoundTrip = %q, want %q", a.body, want)
			}
		}
		f("one")
		time.Sleep(time.Minute)
		f("one")
		wantStats(t, tr, 1, 1, 0)

		// Only the client's certificate.
		install(old, "two")
		f("one")
		time.Sleep(transport.LookEvery)
		f("two")
		wantStats(t, tr, 2, 2, 0)

		// Everything. The server's authority is not the old one, so the old connection must not be used either.
		serving.Store(renewed)
		install(renewed, "three")
		time.Sleep(transport.LookEvery)
		f("three")
		f("three")
		wantStats(t, tr, 3, 3, 0)

		write(t, dir+"/ca", "junk")
		time.Sleep(transport.LookEvery)
		f("unable to use specified CA cert")
		f("unable to use specified CA cert")
		write(t, dir+"/ca", renewed.pem)
		f("three")
		if err := os.Remove(dir + "/ca"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(transport.LookEvery)
		f("no such file")
		wantStats(t, tr, 4, 3, 0)
	})
}
