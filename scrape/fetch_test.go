package scrape

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"scraper/config"
)

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.Bytes()
}

// flushed returns n times the text, each of which is flushed.
func flushed(text string, n int) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range n {
		_, _ = z.Write([]byte(text))
		_ = z.Flush()
	}
	_ = z.Close()
	return b.Bytes()
}

func zstandard(text string, o ...zstd.EOption) []byte {
	z, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, o...)...)
	if err != nil {
		panic(err)
	}
	var b bytes.Buffer
	z.Reset(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.Bytes()
}

func TestRequestHeaders(t *testing.T) {
	bubble(t, Options{UserAgent: "scraper/1.2"}, func(w *world) {
		e := w.export("a:80", "m 1\n")
		f := func(want map[string]string, settings ...string) {
			t.Helper()
			w.apply(oneJob(settings...))
			w.scrapeNow()
			for name, value := range want {
				if got := strings.Join(e.header.Values(name), "|"); got != value {
					t.Errorf("with %q, %s is %q, want %q", settings, name, got, value)
				}
			}
		}
		f(map[string]string{
			"Accept": "text/plain;version=0.0.4;q=1,*/*;q=0.1", "Accept-Encoding": "gzip, zstd;q=0.5", "User-Agent": "scraper/1.2",
			"X-Prometheus-Scrape-Timeout-Seconds": "5", "Authorization": "", "Referer": "",
		})
		f(map[string]string{"X-Prometheus-Scrape-Timeout-Seconds": "0.25"}, "scrape_timeout: 250ms")
		f(map[string]string{"Accept-Encoding": "identity"}, "enable_compression: false")
		f(map[string]string{"Authorization": "Basic dTpw"}, "basic_auth: {username: u, password: p}")
		f(map[string]string{"Authorization": "Bearer tok"}, "authorization: {credentials: tok}")
		f(map[string]string{"Authorization": "Token tok"}, "authorization: {type: Token, credentials: tok}")
		f(map[string]string{"Authorization": "Bearer tok"}, "bearer_token: tok")
		f(map[string]string{"X-One": "1", "X-Two": "2"}, "headers: ['X-One: 1', 'X-Two: 2']")
		f(map[string]string{"X-One": "1|2"}, "http_headers: {X-One: {values: ['1'], secrets: ['2']}}")
	})
}

// TestBodies pins what of an answer's body makes a scrape good or bad.
func TestBodies(t *testing.T) {
	t.Parallel()
	const ok = "m 1\nn 2\n"
	const text = "text/plain; version=0.0.4"
	type answer struct {
		contentType, encoding string
		body                  []byte
		length                int  // Content-Length, if not that of the body
		chunked               bool // and ended in order
		reset                 bool // cut in the middle of chunks
	}
	bothDialects(t, func(w *world) {
		var mu sync.Mutex
		var a answer
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			h := rw.Header()
			h["Content-Type"] = nil // none of net/http's guesses
			if a.contentType != "" {
				h.Set("Content-Type", a.contentType)
			}
			if a.encoding != "" {
				h.Set("Content-Encoding", a.encoding)
			}
			if a.length > 0 {
				h.Set("Content-Length", fmt.Sprint(a.length))
			}
			if a.chunked || a.reset {
				_ = http.NewResponseController(rw).Flush()
			}
			_, _ = rw.Write(a.body)
			if a.reset {
				_ = http.NewResponseController(rw).Flush()
				panic(http.ErrAbortHandler)
			}
		}))
		f := func(name string, now answer, wantErr string, settings ...string) {
			t.Helper()
			mu.Lock()
			a = now
			mu.Unlock()
			w.apply(oneJob(settings...))
			got := w.scrapeNow()
			s := w.only()
			if wantErr == "" {
				if s.LastError != "" || value(got, "up") != 1 {
					t.Errorf("%s: %s", name, s.LastError)
				} else if n := value(got, "scrape_samples_scraped"); bytes.HasPrefix(now.body, []byte("m 1")) && n == 0 {
					t.Errorf("%s: no sample was read", name)
				}
				return
			}
			if !strings.Contains(s.LastError, wantErr) || value(got, "up") != 0 || len(got) == 0 {
				t.Errorf("%s: the error is %q, want %q in it", name, s.LastError, wantErr)
			}
			for _, x := range got {
				if !isAuto(x.name) && !strings.HasSuffix(x.String(), "stale") {
					t.Errorf("%s: a failed scrape sent %s", name, cut(x.String(), 200))
				}
			}
		}
		prom := w.dialect == config.Prometheus
		in := func(d config.Dialect, err string) string { // an error of one dialect
			if w.dialect == d {
				return err
			}
			return ""
		}
		plain := answer{contentType: text, body: []byte(ok)}
		with := func(body []byte, encoding string) answer {
			return answer{contentType: text, body: body, encoding: encoding}
		}
		f("plain", plain, "")
		f("chunked", answer{contentType: text, body: []byte(ok), chunked: true}, "")
		f("no newline at the end", with([]byte("m 1"), ""), "")
		f("cut, with its length known", answer{contentType: text, body: []byte(ok), length: 100}, "unexpected EOF")
		f("cut, in chunks", answer{contentType: text, body: []byte(ok), reset: true}, "unexpected EOF")
		f("a bad line", with([]byte("m 1\n!bad\n"), ""), in(config.Prometheus, "line 2: "))
		f("a bad line in all", with([]byte("\x00\n"), ""), in(config.Prometheus, "line 1: "))

		f("gzip", with(gzipped(ok), "gzip"), "")
		f("gzip, two members", with(append(gzipped("m 1\n"), gzipped("n 2\n")...), "gzip"), "")
		f("gzip of nothing", with(gzipped(""), "gzip"), "")
		for _, cutBy := range []int{1, 8, 9, 12} {
			f("gzip, cut", with(gzipped(ok)[:len(gzipped(ok))-cutBy], "gzip"), "unexpected EOF")
		}
		f("gzip, no header", with(gzipped(ok)[:5], "gzip"), "read gzip header: unexpected EOF")
		f("gzip, empty", with(nil, "gzip"), "read gzip header")
		f("gzip, none", with([]byte(ok), "gzip"), "read gzip header")
		damaged := gzipped(strings.Repeat(ok, 100))
		damaged[len(damaged)-6]++
		f("gzip, a wrong checksum", with(damaged, "gzip"), "gzip: invalid checksum")
		f("gzip, garbage behind", with(append(gzipped(ok), "garbage garbage garbage"...), "gzip"), "gzip: invalid header")
		f("zstd", with(zstandard(ok), "zstd"), "")
		f("zstd, two frames", with(append(zstandard("m 1\n"), zstandard("n 2\n")...), "zstd"), "")
		f("zstd of nothing", with(zstandard(""), "zstd"), "")
		for _, cutBy := range []int{1, 4, 9} {
			z := zstandard(strings.Repeat(ok, 100))
			f("zstd, cut", with(z[:len(z)-cutBy], "zstd"), "unexpected EOF")
		}
		f("zstd, empty", with(nil, "zstd"), "read zstd header: unexpected EOF")
		f("zstd, none", with([]byte(ok), "zstd"), "zstd: ")
		damagedZstd := zstandard(strings.Repeat(ok, 100))
		damagedZstd[len(damagedZstd)-2]++
		f("zstd, a wrong checksum", with(damagedZstd, "zstd"), "zstd: ")
		f("zstd, a window of 8 MiB", with(zstandard(strings.Repeat("# c\n", 1<<17), zstd.WithWindowSize(8<<20)), "zstd"), "")
		f("zstd, a window of 16 MiB", with(zstandard(strings.Repeat("# c\n", 1<<17), zstd.WithWindowSize(16<<20)), "zstd"), "window size exceeded")
		f("gzip by its old name", with(gzipped(ok), "X-GZIP"), "")
		f("gzip is read when it was not asked for", with(gzipped(ok), "gzip"), "", "enable_compression: false")
		f("another encoding", with([]byte(ok), "br"), `Content-Encoding "br"`)
		f("no encoding by name", with([]byte(ok), "identity"), "")

		limit := func(n int) string { return fmt.Sprintf("body_size_limit: %dB", n) }
		if !prom {
			limit = func(n int) string { return fmt.Sprintf("max_scrape_size: %d", n) }
		}
		tooLarge := "body too large"
		for _, enc := range []string{"", "gzip", "zstd"} {
			body := []byte(ok)
			switch enc {
			case "gzip":
				body = gzipped(ok)
			case "zstd":
				body = zstandard(ok)
			}
			f("below the limit "+enc, with(body, enc), "", limit(len(ok)+1))
			f("at the limit "+enc, with(body, enc), in(config.Prometheus, tooLarge), limit(len(ok)))
			f("beyond the limit "+enc, with(body, enc), tooLarge, limit(len(ok)-1))
		}
		bomb := gzipped(strings.Repeat("# nothing but comment\n", 1<<20))
		f("a bomb", with(bomb, "gzip"), tooLarge, limit(1<<20))
		f("a bomb of zstd", with(zstandard(strings.Repeat("# nothing but comment\n", 1<<20)), "zstd"), tooLarge, limit(1<<20))
		f("an empty body under a limit", with(nil, ""), "", limit(1))

		const nothing = "bytes of the compressed body became 0 when decompressed"
		f("empty members without an end", with(bytes.Repeat(gzipped(""), 100_000), "gzip"), nothing)
		f("empty blocks without an end", with(append(gzipped("")[:10], bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 400_000)...), "gzip"), nothing)
		f("empty frames without an end", with(bytes.Repeat([]byte{0x28, 0xb5, 0x2f, 0xfd, 1 << 5, 0, 1, 0, 0}, 200_000), "zstd"), nothing)
		f("a skipped frame without an end", with(append([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 1}, make([]byte, 2<<20)...), "zstd"), "unexpected EOF") // as the decoder has it
		f("a body flushed after each line", with(flushed("m 1\n", 20_000), "gzip"), "")

		line := `m{a="` + strings.Repeat("x", 1<<20) + `"} 1` + "\n"
		f("a long line", with([]byte("n 1\n"+line), ""), "-promscrape.maxLineSize")
		f("a long line which never ends", with([]byte(`m{a="`+strings.Repeat("x", 3<<20)), ""), "-promscrape.maxLineSize")

		f("text with a charset", answer{contentType: "text/plain; version=0.0.4; charset=utf-8", body: []byte(ok)}, "")
		f("text without a version", answer{contentType: "text/plain", body: []byte(ok)}, "")
		f("text in capitals", answer{contentType: "Text/Plain", body: []byte(ok)}, "")
		f("text for protobuf", answer{contentType: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", body: []byte(ok)},
			"metric family 1: ")
		f("OpenMetrics", answer{contentType: "application/openmetrics-text; version=1.0.0", body: []byte(ok + "# EOF\n")}, "")
		f("OpenMetrics without an end", answer{contentType: "application/openmetrics-text; version=1.0.0", body: []byte(ok)}, in(config.Prometheus, "# EOF"))
		f("HTML", answer{contentType: "text/html", body: []byte(ok)}, in(config.Prometheus, `Content-Type "text/html"`))
		f("no type", answer{body: []byte(ok)}, in(config.Prometheus, "no Content-Type"))
		f("a bad type", answer{contentType: ";;;", body: []byte(ok)}, in(config.Prometheus, "Content-Type"))
		f("no type, no body", answer{}, "")
		f("no type, a fallback", answer{body: []byte(ok)}, "", "fallback_scrape_protocol: PrometheusText0.0.4")
	})
}

func TestStatus(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		e := w.export("a:80", "m 1\n")
		w.apply(oneJob())
		for _, code := range []int{201, 206, 300, 304, 400, 401, 404, 500, 503} {
			e.fail(code)
			w.scrapeNow()
			s := w.only()
			if want := fmt.Sprintf("server returned HTTP status %d %s", code, http.StatusText(code)); s.LastError != want {
				t.Errorf("status %d: the error is %q, want %q", code, s.LastError, want)
			}
		}
		if n := e.connections(); n != 1 {
			t.Errorf("failed scrapes took %d connections, want 1", n)
		}
	})
}

// A server which refuses is not waited for, and what it answered is the error.
func TestStatusBeforeTheRest(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
			rw.WriteHeader(http.StatusServiceUnavailable)
			_ = http.NewResponseController(rw).Flush()
			<-rq.Context().Done()
		}))
		for timeout, want := range map[string]time.Duration{"10s": time.Second, "100ms": 100 * time.Millisecond} {
			w.apply(oneJob("scrape_timeout: " + timeout))
			w.scrapeNow()
			if s := w.only(); !strings.Contains(s.LastError, "HTTP status 503") || s.LastScrapeDuration != want {
				t.Errorf("with a timeout of %s: LastError = %q after %s, want status 503 after %s", timeout, s.LastError, s.LastScrapeDuration, want)
			}
		}
	})
}

// TestRedirects pins where a scrape follows, and what it takes along.
func TestRedirects(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		hops := make(map[string]string) // from host and path to Location
		var mu sync.Mutex
		var trace []string
		h := http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			creds := "bare"
			if rq.Header.Get("Authorization") != "" && rq.Header.Get("X-Key") != "" {
				creds = "full"
			} else if rq.Header.Get("Authorization") != "" || rq.Header.Get("X-Key") != "" || rq.Header.Get("Cookie") != "" {
				creds = "half"
			}
			trace = append(trace, rq.Host+rq.URL.Path+" "+creds)
			if rq.Header.Get("X-Prometheus-Scrape-Timeout-Seconds") == "" || rq.Header.Get("Accept") == "" {
				t.Errorf("the request to %s%s lacks a scrape's headers", rq.Host, rq.URL.Path)
			}
			if to, ok := hops[rq.Host+rq.URL.Path]; ok {
				rw.Header().Set("Location", to)
				rw.Header().Set("Set-Cookie", "session=1")
				status, err := strconv.Atoi(rq.URL.Path[1:])
				if err != nil || status < 300 {
					status = http.StatusFound
				}
				rw.WriteHeader(status)
				return
			}
			rw.Header().Set("Content-Type", "text/plain")
			_, _ = rw.Write([]byte("m 1\n"))
		})
		for _, addr := range []string{"a:80", "a:81", "b:80"} {
			w.serve(addr, h)
		}
		f := func(name string, to map[string]string, want []string, wantErr string, settings ...string) {
			t.Helper()
			mu.Lock()
			clear(hops)
			for from, loc := range to {
				hops[from] = loc
			}
			trace = nil
			mu.Unlock()
			w.apply(oneJob(append(settings, "authorization: {credentials: secret-1}", "headers: ['X-Key: secret-2']")...))
			w.scrapeNow()
			s := w.only()
			if !slices.Equal(trace, want) {
				t.Errorf("%s: the requests were %q, want %q", name, trace, want)
			}
			if (wantErr == "") != (s.LastError == "") || !strings.Contains(s.LastError, wantErr) || strings.Contains(s.LastError, "secret") {
				t.Errorf("%s: the error is %q, want %q", name, s.LastError, wantErr)
			}
		}
		f("same origin", map[string]string{"a:80/metrics": "/x", "a:80/x": "http://a:80/y"}, []string{"a:80/metrics full", "a:80/x full", "a:80/y full"}, "")
		f("another host", map[string]string{"a:80/metrics": "http://b:80/x", "b:80/x": "/y"}, []string{"a:80/metrics full", "b:80/x bare", "b:80/y bare"}, "")
		f("another host, briefly", map[string]string{"a:80/metrics": "//b:80/x"}, []string{"a:80/metrics full", "b:80/x bare"}, "")
		f("another port", map[string]string{"a:80/metrics": "http://a:81/x"}, []string{"a:80/metrics full", "a:81/x bare"}, "")
		f("and back", map[string]string{"a:80/metrics": "http://b:80/x", "b:80/x": "http://a:80/y"}, []string{"a:80/metrics full", "b:80/x bare", "a:80/y bare"}, "")
		f("all kinds", map[string]string{"a:80/metrics": "/301", "a:80/301": "/303", "a:80/303": "/307", "a:80/307": "/308", "a:80/308": "/end"},
			[]string{"a:80/metrics full", "a:80/301 full", "a:80/303 full", "a:80/307 full", "a:80/308 full", "a:80/end full"}, "")
		f("a status which is no redirect", map[string]string{"a:80/metrics": "/305", "a:80/305": "/end"}, []string{"a:80/metrics full", "a:80/305 full"}, "HTTP status 305")
		f("no place", map[string]string{"a:80/metrics": ""}, []string{"a:80/metrics full"}, "HTTP status 302")
		f("not followed", map[string]string{"a:80/metrics": "/x"}, []string{"a:80/metrics full"}, "HTTP status 302", "follow_redirects: false")
		f("another scheme", map[string]string{"a:80/metrics": "ftp://a/x?secret=1"}, []string{"a:80/metrics full"}, `scheme "ftp"`)
		f("no URL", map[string]string{"a:80/metrics": "http://a:port/secret"}, []string{"a:80/metrics full"}, "not a URL")
		ten, ring := map[string]string{}, []string{"a:80/metrics full"}
		for i := range maxRedirects {
			ten[fmt.Sprintf("a:80/%d", i)] = fmt.Sprintf("/%d", i+1)
			ring = append(ring, fmt.Sprintf("a:80/%d full", i+1))
		}
		ten["a:80/metrics"] = "/1"
		f("ten hops", ten, ring, "")
		f("in circles", map[string]string{"a:80/metrics": "/metrics"}, slices.Repeat([]string{"a:80/metrics full"}, maxRedirects+1), "more than 10 redirects")
		f("user info in the place", map[string]string{"a:80/metrics": "http://u:p@a:80/x"}, []string{"a:80/metrics full", "a:80/x full"}, "")
		f("the dead", map[string]string{"a:80/metrics": "http://dead:80/x?secret=1"}, []string{"a:80/metrics full"}, "refused")
	})
}

// TestTLS: a server's certificate is checked, a client's is shown, and https does not lead to http.
func TestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		var to, proto string
		var creds []string
		l, err := w.net.Listen("a:443")
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
			creds, proto = append(creds, rq.Header.Get("Authorization")), rq.Proto
			if to != "" {
				http.Redirect(rw, rq, to, http.StatusFound)
				return
			}
			rw.Header().Set("Content-Type", "text/plain")
			_, _ = rw.Write([]byte("m 1\n"))
		}))
		_ = s.Listener.Close()
		s.Listener = l
		s.EnableHTTP2 = true
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		defer s.Close()
		plain := w.export("a:80", "n 2\n")
		ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
		f := func(name, redirect, wantErr string, wantCreds []string, settings ...string) {
			t.Helper()
			to, creds = redirect, nil
			w.apply("scrape_configs:\n- job_name: j\n  scheme: https\n  static_configs: [{targets: ['a:443']}]\n  authorization: {credentials: secret}\n  " + strings.Join(settings, "\n  ") + "\n")
			w.scrapeNow()
			st := w.only()
			if (wantErr == "") != (st.LastError == "") || !strings.Contains(st.LastError, wantErr) || strings.Contains(st.LastError, "secret") {
				t.Errorf("%s: the error is %q, want %q", name, st.LastError, wantErr)
			}
			if !slices.Equal(creds, wantCreds) {
				t.Errorf("%s: the server saw credentials %q, want %q", name, creds, wantCreds)
			}
		}
		once := []string{"Bearer secret"}
		trusted := fmt.Sprintf("tls_config: {server_name: example.com, ca: %q}", ca)
		f("unknown authority", "", "certificate", nil)
		f("another name", "", "certificate", nil, fmt.Sprintf("tls_config: {ca: %q}", ca))
		f("trusted", "", "", once, trusted)
		f("not checked", "", "", once, "tls_config: {insecure_skip_verify: true}")
		if proto != "HTTP/1.1" {
			t.Errorf("by default the protocol is %s, want HTTP/1.1", proto)
		}
		f("HTTP/2", "", "", once, "tls_config: {insecure_skip_verify: true}", "enable_http2: true")
		if proto != "HTTP/2.0" {
			t.Errorf("with enable_http2: true the protocol is %s, want HTTP/2.0", proto)
		}
		f("HTTP/2 to http", "http://a:80/", "from https to http", once, "tls_config: {insecure_skip_verify: true}", "enable_http2: true")
		f("HTTP/1 alone", "", "", once, "tls_config: {insecure_skip_verify: true}", "enable_http2: false")
		f("https to http", "http://a:80/", "from https to http", once, "tls_config: {insecure_skip_verify: true}")
		if n := plain.served(); n != 0 {
			t.Errorf("a scrape over https was led to http %d times", n)
		}
		f("not TLS", "", "TLS handshake", nil, "relabel_configs: [{target_label: __address__, replacement: 'a:80'}]")
	})
}

// TestTimeouts: a scrape which waits, for whatever it is, ends in time with the reason, takes no worker meanwhile, and
// leaves nothing behind.
func TestTimeouts(t *testing.T) {
	for _, d := range []config.Dialect{config.VMAgent, config.Prometheus} {
		t.Run(d.String(), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testTimeouts(t, d) }) })
	}
}

func testTimeouts(t *testing.T, d config.Dialect) {
	var w *world
	var dials, most atomic.Int64
	w = newWorld(t, Options{Dialect: d, Workers: 1, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == blackHole {
			most.Store(max(most.Load(), dials.Add(1)))
			defer dials.Add(-1)
		}
		return w.dialOrWait(ctx, network, addr)
	}})
	slowly := func(encoding, text string) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
			rw.Header().Set("Content-Type", "text/plain")
			rw.Header().Set("Content-Encoding", encoding)
			for i := 0; rq.Context().Err() == nil; i++ {
				if i < len(text) {
					_, _ = rw.Write([]byte(text[i : i+1]))
				}
				_ = http.NewResponseController(rw).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	w.serve("silent:80", http.HandlerFunc(func(_ http.ResponseWriter, rq *http.Request) { <-rq.Context().Done() }))
	w.serve("header:80", slowly("identity", ""))
	w.serve("loris:80", slowly("identity", strings.Repeat("m 1\nn{a=\"1\"} 2\n", 100)))
	w.serve("gzip-header:80", slowly("gzip", "\x1f\x8b"))
	w.serve("gzip:80", slowly("gzip", string(gzipped(strings.Repeat("m 1\nn{a=\"1\"} 2\n", 100)))[:40]))
	slow := []string{"silent:80", "header:80", "loris:80", "gzip-header:80", "gzip:80", blackHole}
	w.export("good:80", "good 1\n")
	w.apply("global: {scrape_interval: 10s, scrape_timeout: 8s}\nscrape_configs:\n- job_name: j\n  params: {p: [secret]}\n" +
		"  static_configs: [{targets: ['" + strings.Join(slow, "', '") + "', 'good:80']}]\n")
	w.run()
	good := 0
	for _, s := range w.pass(6 * tick) {
		isGood := strings.Contains(s.full, `"good:80"`)
		switch {
		case s.name == "good":
			good++
		case isGood && (s.name == "scrape_duration_seconds" && s.value > 0.001 || s.name == "up" && s.value != 1):
			t.Errorf("among slow targets, a good one sent %s", s)
		case !isGood && (s.name == "up" && s.value != 0 || s.name == "scrape_duration_seconds" && s.value != 8 || !isAuto(s.name)):
			t.Errorf("a slow target sent %s of %s", s, s.full)
		}
	}
	if good != 6 || w.metric("scraper_scrape_late_total") != 0 || w.metric("scraper_scrape_skipped_total") != 0 {
		t.Errorf("the good target was scraped %d times, want 6; %v scrapes were late, %v skipped", good,
			w.metric("scraper_scrape_late_total"), w.metric("scraper_scrape_skipped_total"))
	}
	want := (&TimeoutError{8 * time.Second}).Error()
	for _, s := range w.m.Snapshot().Targets {
		if strings.Contains(s.URL, "good") {
			continue
		}
		if s.LastError != want || s.Health != HealthDown {
			t.Errorf("%s is %v: %q, want %q", s.URL, s.Health, s.LastError, want)
		}
	}
	w.stop()
	w.pass(2 * time.Second)
	if most.Load() != 1 || dials.Load() != 0 {
		t.Errorf("%d attempts to connect to where nobody answers at once, %d left, want 1 and none", most.Load(), dials.Load())
	}
	checkBooks(w)
}

// TestErrorsHideSecrets: an error names neither user info nor parameters, whatever goes wrong.
func TestErrorsHideSecrets(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.serve("status:80", http.NotFoundHandler())
		w.serve("abort:80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		w.serve("redirect:80", http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
			http.Redirect(rw, rq, "http://u:secret@dead:80/?secret=secret", http.StatusFound)
		}))
		w.serve("long:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusTeapot) }))
		l, err := w.net.Listen("nonsense:80")
		if err != nil {
			t.Fatal(err)
		}
		w.wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 4096))
				_, _ = c.Write([]byte("nonsense\r\n\r\n"))
				_ = c.Close()
			}
		})
		defer l.Close()
		hosts := []string{"status:80", "abort:80", "redirect:80", "long:80", "nonsense:80", "refused:80"}
		var targets []string
		for _, h := range hosts {
			targets = append(targets, "'u:secret@"+h+"/secret-free?key=secret'")
		}
		w.apply("scrape_configs:\n- {job_name: j, params: {p: [secret]}, static_configs: [{targets: [" + strings.Join(targets, ", ") + "]}]}\n")
		w.scrapeNow()
		snapshot := w.m.Snapshot()
		if len(snapshot.Targets) != len(hosts) {
			t.Fatalf("%d targets, want %d", len(snapshot.Targets), len(hosts))
		}
		for _, s := range snapshot.Targets {
			if s.Health != HealthDown || s.LastError == "" {
				t.Errorf("%s is %v: %q, want it down", s.URL, s.Health, s.LastError)
			}
			for _, shown := range []string{s.LastError, s.URL, fmt.Sprint(s.Discovered.Labels())} {
				if strings.Contains(strings.ReplaceAll(shown, "secret-free", ""), "secret") {
					t.Errorf("a secret is shown in %q", shown)
				}
			}
		}
		if log := strings.ReplaceAll(w.log.String(), "secret-free", ""); strings.Contains(log, "secret") || !strings.Contains(log, "scrape failed") {
			t.Errorf("the log says %s", log)
		}
	})
}

// TestHealthIsLoggedOnce: when it changes, and not for every scrape.
func TestHealthIsLoggedOnce(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		e := w.export("a:80", "m 1\n")
		w.apply(oneJob())
		w.run()
		w.pass(2 * tick)
		e.fail(http.StatusNotFound)
		w.pass(3 * tick)
		e.set("m 1\n")
		w.pass(2 * tick)
		log := w.log.String()
		if strings.Count(log, "scrape failed") != 1 || strings.Count(log, "scrape recovered") != 1 || strings.Count(log, "\n") != 2 {
			t.Errorf("the log says %q, want one failure and one recovery", log)
		}
	})
}
