package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"scraper/bufpool/bufpooltest"
	"scraper/internal/leaktest"
	"scraper/internal/memnet"
	"scraper/transport"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	leaktest.Main(m)
}

// newTransport returns a Transport whose test fails when a buffer or a connection is left at its end.
func newTransport(t testing.TB, o transport.Options) *transport.Transport {
	t.Helper()
	o.Pool = bufpooltest.New(t)
	if o.Readers == nil {
		o.Readers = &transport.Readers{}
	}
	tr, err := transport.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		t.Helper()
		if err := tr.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
		if s := o.Readers.Stats(); s.InUse != 0 {
			t.Errorf("%d readers are in use at the end, want 0", s.InUse)
		}
		s := tr.Stats()
		if s.Open != 0 || s.IdlePlain != 0 || s.IdleTLS != 0 || s.IdleBytes != 0 {
			t.Errorf("Stats() at the end = %+v, want nothing open", s)
		}
	})
	return tr
}

// answer is what a request led to.
type answer struct {
	status  int
	header  http.Header
	body    string
	trailer http.Header
	err     error // of RoundTrip
	bodyErr error
	resumed bool
}

// failed returns the first error.
func (a answer) failed() error { return errors.Join(a.err, a.bodyErr) }

func ask(ctx context.Context, rt http.RoundTripper, method, url string) (a answer) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return answer{err: err}
	}
	return send(rt, req)
}

func send(rt http.RoundTripper, req *http.Request) (a answer) {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		a.err = err
		return a
	}
	a.status, a.header = resp.StatusCode, resp.Header
	a.resumed = resp.TLS != nil && resp.TLS.DidResume
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	a.body, a.bodyErr = string(b), err
	_ = resp.Body.Close()
	a.trailer = resp.Trailer
	return a
}

func get(t testing.TB, rt http.RoundTripper, url string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return ask(ctx, rt, http.MethodGet, url)
}

// wantBody fails the test unless the answer is 200 with the body.
func wantBody(t testing.TB, a answer, body string) {
	t.Helper()
	if err := a.failed(); err != nil || a.status != 200 || a.body != body {
		t.Errorf("RoundTrip = %d %.100q, %v, want 200 %.100q", a.status, a.body, err, body)
	}
}

// script is a server of raw bytes: it is called with each connection, and the connection's number from 0.
func script(t testing.TB, l net.Listener, serve func(nth int, c net.Conn)) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := make(map[net.Conn]bool)
	wg.Go(func() {
		for nth := 0; ; nth++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer func() {
					_ = c.Close()
					mu.Lock()
					delete(conns, c)
					mu.Unlock()
				}()
				serve(nth, c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// readRequest reads a request, and reports whether there was one.
func readRequest(br *bufio.Reader) (string, bool) {
	var all strings.Builder
	for {
		line, err := br.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			return all.String(), false
		}
		if line == "\r\n" {
			return all.String(), true
		}
	}
}

// answering returns a server for script which answers each request on each connection with the text, and then does what
// after says.
func answering(text string, after func(net.Conn)) func(int, net.Conn) {
	return func(_ int, c net.Conn) {
		br := bufio.NewReader(c)
		for {
			if _, ok := readRequest(br); !ok {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
			if after != nil {
				after(c)
			}
		}
	}
}

func closeIt(c net.Conn) { _ = c.Close() }

// memory returns a script's listener in memory, its URL, and the options to reach it.
func memory(t testing.TB) (net.Listener, string, transport.Options) {
	t.Helper()
	var n memnet.Network
	l, err := n.Listen("target:80")
	if err != nil {
		t.Fatal(err)
	}
	return l, "http://target/metrics", transport.Options{DialContext: n.DialContext}
}

// loopback returns a script's listener, and its URL.
func loopback(t testing.TB) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, "http://" + l.Addr().String() + "/metrics"
}

// until waits for a condition which must come true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}

func TestOptions(t *testing.T) {
	f := func(o transport.Options, wantErr string) {
		t.Helper()
		_, err := transport.New(o)
		if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("New(%+v) = %v, want error with %q", o, err, wantErr)
		}
	}
	f(transport.Options{}, "")
	f(transport.Options{MaxIdlePerHost: -1, MaxSessions: -1, MaxFatTLSBytes: -1, ReceiveBufferBytes: -1}, "")
	f(transport.Options{DialTimeout: -1}, "DialTimeout is -1ns")
	f(transport.Options{HandshakeTimeout: -1}, "HandshakeTimeout")
	f(transport.Options{IdleTimeout: -1}, "IdleTimeout")
	f(transport.Options{MaxHeaderBytes: -1}, "MaxHeaderBytes")
	f(transport.Options{Dialer: &net.Dialer{}, DialContext: new(net.Dialer).DialContext}, "Dialer and DialContext")
}

func TestRequestsOnTheWire(t *testing.T) {
	l, _, o := memory(t)
	got := make(chan string, 1)
	script(t, l, func(_ int, c net.Conn) {
		br := bufio.NewReader(c)
		for {
			r, ok := readRequest(br)
			if !ok {
				return
			}
			got <- r
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	o.Address = func(string) string { return "target:80" }
	tr := newTransport(t, o)
	f := func(method, url string, change func(*http.Request), want string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(req)
		}
		if err := send(tr, req).failed(); err != nil {
			t.Errorf("RoundTrip(%s %s) = %v, want nil", method, url, err)
			return
		}
		want = strings.ReplaceAll(want, "\n", "\r\n")
		if r := <-got; r != want {
			t.Errorf("RoundTrip(%s %s) sent\n%q\nwant\n%q", method, url, r, want)
		}
	}
	f("GET", "http://target", nil, "GET / HTTP/1.1\nHost: target\n\n")
	f("GET", "http://target:80/metrics?a=b%20c&d", nil, "GET /metrics?a=b%20c&d HTTP/1.1\nHost: target:80\n\n")
	f("HEAD", "http://target/a%2Fb#fragment", func(r *http.Request) { r.Close = true }, "HEAD /a%2Fb HTTP/1.1\nHost: target\nConnection: close\n\n")
	f("GET", "http://target/", func(r *http.Request) {
		r.Method = ""
		r.Host = "other.example"
		r.Header = http.Header{"User-Agent": {"Scraper/1"}, "Accept": {"text/plain", " */*\t"}, "Host": {"no"}, "X-A": {""}, "Content-Length": {"5"}, "Transfer-Encoding": {"chunked"}}
	}, "GET / HTTP/1.1\nHost: other.example\nAccept: text/plain\nAccept: */*\nUser-Agent: Scraper/1\nX-A: \n\n")
	f("GET", "http://[fe80::1%25eth0]:9100/", nil, "GET / HTTP/1.1\nHost: [fe80::1]:9100\n\n")
	f("GET", "http://bücher.example/ö?ü", nil, "GET /%C3%B6?ü HTTP/1.1\nHost: xn--bcher-kva.example\n\n")
	f("GET", "http://user:pa%3Ass@target/", nil, "GET / HTTP/1.1\nHost: target\nAuthorization: Basic dXNlcjpwYTpzcw==\n\n")
	f("GET", "http://user:no@target/", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "GET / HTTP/1.1\nHost: target\nAuthorization: Bearer x\n\n")
	f("GET", "http://target/", func(r *http.Request) { r.Body = http.NoBody }, "GET / HTTP/1.1\nHost: target\n\n")
	long := strings.Repeat("x", 100<<10)
	f("GET", "http://target/?"+long, func(r *http.Request) { r.Header.Set("X-Long", long) }, "GET /?"+long+" HTTP/1.1\nHost: target\nX-Long: "+long+"\n\n")
}

type closeNoter struct {
	io.Reader
	closed bool
}

func (c *closeNoter) Close() error {
	c.closed = true
	return nil
}

func TestRefusedRequests(t *testing.T) {
	tr := newTransport(t, transport.Options{DialContext: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a request which must be refused made a connection")
		return nil, errors.New("no")
	}})
	f := func(change func(*http.Request), want string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://target/", nil)
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		_, err = tr.RoundTrip(req)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("RoundTrip = %v, want error with %q", err, want)
		}
		if b, ok := req.Body.(*closeNoter); ok && !b.closed {
			t.Errorf("RoundTrip with a body did not close it")
		}
	}
	f(func(r *http.Request) { r.Method = "POST" }, `method "POST"`)
	f(func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\n" }, `method "GET / HTTP/1.1\r\n"`)
	f(func(r *http.Request) { r.Body = &closeNoter{Reader: strings.NewReader("x")} }, "with a body")
	f(func(r *http.Request) { r.URL = nil }, "no URL")
	f(func(r *http.Request) { r.URL.Scheme = "ftp" }, `scheme "ftp"`)
	f(func(r *http.Request) { r.URL.Host = "" }, "no host")
	f(func(r *http.Request) { r.Header["A B"] = []string{""} }, `header name "A B"`)
	f(func(r *http.Request) { r.Header[""] = []string{""} }, `header name ""`)
	f(func(r *http.Request) { r.Header["A"] = []string{"secret\r\nB: c"} }, `value of header "A"`)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the target has left"))
	f(func(r *http.Request) { *r = *r.WithContext(ctx) }, "the target has left (context canceled)")
}

// What only the writing of a request finds costs a connection, but no more.
func TestBadHosts(t *testing.T) {
	l, _, o := memory(t)
	script(t, l, answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", nil))
	o.Address = func(string) string { return "target:80" }
	tr := newTransport(t, o)
	f := func(change func(*http.Request), want string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://target/", nil)
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		if err := send(tr, req).err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("RoundTrip = %v, want error with %q", err, want)
		}
	}
	f(func(r *http.Request) { r.Host = "a b" }, `host "a b"`)
	f(func(r *http.Request) { r.Host = "a\r\nX: y" }, `host "a\r\nX: y"`)
	f(func(r *http.Request) { r.URL.RawQuery = "a\nb" }, "control character")
	f(func(r *http.Request) { r.URL.Host = "\u2260" + strings.Repeat("x", 300) }, "host ")
}

func TestAgainstNetHTTP(t *testing.T) {
	big := strings.Repeat("metric{label=\"value\"} 1\n", 20000)
	mux := http.NewServeMux()
	mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "up 1\n") })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(big)))
		_, _ = io.WriteString(w, big)
	})
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		for i := 0; i < len(big); i += 3000 {
			_, _ = io.WriteString(w, big[i:min(i+3000, len(big))])
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("X-Sum", "17")
	})
	mux.HandleFunc("/none", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/same", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/small", http.StatusFound) })
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		fmt.Fprint(w, "late\n")
	})
	mux.HandleFunc("/last", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, "last\n")
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	tr := newTransport(t, transport.Options{})
	dials := uint64(1)
	f := func(method, path string, status int, body string) {
		t.Helper()
		for range 3 {
			a := ask(t.Context(), tr, method, s.URL+path)
			if a.failed() != nil || a.status != status || a.body != body {
				t.Errorf("RoundTrip(%s %s) = %d %.40q, %v, want %d %.40q", method, path, a.status, a.body, a.failed(), status, body)
			}
			if path == "/chunked" && method == "GET" && a.trailer.Get("X-Sum") != "17" {
				t.Errorf("RoundTrip(%s %s) has trailer %v, want X-Sum: 17", method, path, a.trailer)
			}
			if got := tr.Stats(); got.Dials != dials || got.Open > 1 {
				t.Errorf("Stats() after %s %s = %+v, want %d dials and at most 1 open", method, path, got, dials)
			}
			if path == "/last" {
				dials++
			}
		}
	}
	f("GET", "/small", 200, "up 1\n")
	f("HEAD", "/small", 200, "")
	f("GET", "/big", 200, big)
	f("HEAD", "/big", 200, "")
	f("GET", "/chunked", 200, big)
	f("HEAD", "/chunked", 200, "")
	f("GET", "/none", 204, "")
	f("GET", "/same", 304, "")
	f("GET", "/to", 302, "<a href=\"/small\">Found</a>.\n\n")
	f("GET", "/early", 200, "late\n")
	f("GET", "/last", 200, "last\n")
	if got := tr.Stats(); got.Retries != 0 || got.BytesRead < uint64(6*len(big)) {
		t.Errorf("Stats() = %+v, want no retries and %d bytes read at least", got, 6*len(big))
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.URL.Path) })}
	defer s.Close()
	done := make(chan struct{})
	go func() { _ = s.Serve(l); close(done) }()
	defer func() { _ = s.Close(); <-done }()
	tr := newTransport(t, transport.Options{Address: func(hostPort string) string {
		if hostPort == "socket:80" {
			return "unix:" + path
		}
		return hostPort
	}})
	for range 3 {
		wantBody(t, get(t, tr, "http://socket/metrics"), "socket/metrics")
	}
	if got := tr.Stats(); got.Dials != 1 || got.Reuses != 2 {
		t.Errorf("Stats() = %+v, want 1 dial and 2 reuses", got)
	}
}

func TestConcurrent(t *testing.T) {
	body := strings.Repeat("x", 10000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "7") {
			w.Header().Set("Connection", "close")
		}
		fmt.Fprint(w, r.URL.Path, body)
	}))
	defer s.Close()
	tr := newTransport(t, transport.Options{MaxIdlePerHost: 3})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 30 {
				path := fmt.Sprintf("/%d/%d", i, j)
				switch j % 5 {
				case 3: // given up within
					req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
					resp, err := tr.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.CopyN(io.Discard, resp.Body, 10)
					_ = resp.Body.Close()
				case 4:
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(j)*20*time.Microsecond)
					a := ask(ctx, tr, "GET", s.URL+path)
					cancel()
					if err := a.failed(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("RoundTrip with a short deadline = %v, want nil or context.DeadlineExceeded", err)
					} else if err == nil && a.body != path+body {
						t.Errorf("RoundTrip(%s) = %.20q…, want %q…", path, a.body, path)
					}
				default:
					wantBody(t, get(t, tr, s.URL+path), path+body)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			tr.Sweep()
			tr.CloseIdleTLS()
			tr.CloseIdle()
			tr.Stats()
		}
	})
	wg.Wait()
	if got := tr.Stats(); got.IdlePlain > 3 || got.Open != got.IdlePlain {
		t.Errorf("Stats() = %+v, want at most 3 idle connections, and none in use", got)
	}
}

func TestClose(t *testing.T) {
	l, url, o := memory(t)
	script(t, l, answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", nil))
	tr := newTransport(t, o)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := tr.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "ok" || err != nil {
		t.Errorf("reading a body after Close = %q, %v, want ok", b, err)
	}
	_ = resp.Body.Close()
	if got := tr.Stats(); got.Open != 0 {
		t.Errorf("Stats() = %+v, want nothing open", got)
	}
	if a := get(t, tr, url); a.err != nil || a.body != "ok" {
		t.Errorf("RoundTrip after Close = %q, %v, want ok", a.body, a.err)
	}
	if got := tr.Stats(); got.Open != 0 || got.Dials != 2 {
		t.Errorf("Stats() = %+v, want that the connection was not kept", got)
	}
}
