package transport_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"scraper/transport"
)

const nginxConf = `
daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
events {}
http {
	access_log off;
	client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3; uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
	default_type text/plain;
	root DIR;
	gzip_min_length 1;
	keepalive_requests 4;
	server {
		listen 127.0.0.1:PLAIN;
		listen 127.0.0.1:SECURE ssl;
		ssl_certificate DIR/cert; ssl_certificate_key DIR/key; ssl_session_cache shared:s:1m;
		location /chunked { alias DIR/metrics; sub_filter x y; sub_filter_types *; }
		location /gzip { gzip on; gzip_types text/plain; alias DIR/metrics; }
		location /none { return 204; }
		location /moved { return 301 /metrics; }
		location /never { keepalive_timeout 0; alias DIR/metrics; }
	}
}
`

// startNginx returns the URLs of a server whose /metrics is the text.
func startNginx(t *testing.T, a *authority, text string) (plain, secure string) {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if nginx, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Skip("there is no nginx")
		}
	}
	dir := t.TempDir()
	_, cert, key := a.issue(t, "target")
	write(t, dir+"/cert", cert)
	write(t, dir+"/key", key)
	write(t, dir+"/metrics", text)
	var ports []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
		_ = l.Close()
	}
	write(t, dir+"/conf", strings.NewReplacer("DIR", dir, "PLAIN", ports[0], "SECURE", ports[1]).Replace(nginxConf))
	cmd := exec.Command(nginx, "-e", dir+"/error.log", "-p", dir, "-c", dir+"/conf")
	if err := cmd.Start(); err != nil {
		t.Skipf("nginx does not start: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	until(t, "nginx to listen", func() bool {
		select {
		case err := <-ended:
			ended <- err
			log, _ := os.ReadFile(dir + "/error.log")
			t.Fatalf("nginx ended: %v\n%s", err, log)
		default:
		}
		c, err := net.Dial("tcp", "127.0.0.1:"+ports[1])
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return "http://127.0.0.1:" + ports[0], "https://127.0.0.1:" + ports[1]
}

func TestAgainstNginx(t *testing.T) {
	a := newAuthority(t)
	text := strings.Repeat("a_metric{label=\"value\"} 1\n", 10000)
	plain, secure := startNginx(t, a, text)
	for _, base := range []string{plain, secure} {
		tr := newTransport(t, transport.Options{TLS: a.trust()})
		f := func(method, path string, status int, body string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			got := ask(ctx, tr, method, base+path)
			if got.failed() != nil || got.status != status || body != "?" && got.body != body {
				t.Errorf("RoundTrip(%s %s) = %d %.40q (%d bytes), %v, want %d %.40q (%d bytes)", method, path, got.status, got.body, len(got.body), got.failed(), status, body, len(body))
			}
		}
		for range 3 { // of 4 requests on each connection
			f("GET", "/metrics", 200, text)
			f("HEAD", "/metrics", 200, "")
			f("GET", "/chunked", 200, strings.ReplaceAll(text, "x", "y"))
			f("GET", "/none", 204, "")
		}
		wantStats(t, tr, 3, 9, 0)
		f("GET", "/moved", 301, "?")
		f("GET", "/missing", 404, "?")
		f("GET", "/never", 200, text)
		wantStats(t, tr, 4, 11, 0)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/gzip", nil)
		req.Header.Set("Accept-Encoding", "gzip")
		got := send(tr, req)
		if got.failed() != nil || got.header.Get("Content-Encoding") != "gzip" || !strings.HasPrefix(got.body, "\x1f\x8b") {
			t.Errorf("RoundTrip with gzip = %d %v, %v, want a body in gzip as it came", got.status, got.header, got.failed())
		}
		if base == secure {
			tr.CloseIdleTLS()
			f("GET", "/metrics", 200, text)
			if s := tr.Stats(); s.Resumed == 0 {
				t.Errorf("Stats() = %+v, want resumed sessions", s)
			}
		}
	}
}
