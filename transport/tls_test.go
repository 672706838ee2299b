package transport_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/transport"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key, a.pem = issue(t, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func issue(t testing.TB, by *authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// issue returns a certificate for 127.0.0.1 and the name, and both as PEM.
func (a *authority) issue(t testing.TB, name string) (pair tls.Certificate, certPEM, keyPEM string) {
	t.Helper()
	_, key, certPEM := issue(t, a, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	pair, err = tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	return pair, certPEM, keyPEM
}

// trust returns a client configuration which trusts the authority.
func (a *authority) trust() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool}
}

// serveTLS returns the URL of a server with a certificate for the name.
func (a *authority) serveTLS(t testing.TB, name string, change func(*httptest.Server)) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Proto, r.TLS.NegotiatedProtocol)
	}))
	pair, _, _ := a.issue(t, name)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	if change != nil {
		change(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

const http11 = "HTTP/1.1 http/1.1" // what serveTLS' servers answer

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	url := a.serveTLS(t, "target", func(s *httptest.Server) { s.TLS.NextProtos = []string{"h2", "http/1.1"} })
	cfg := a.trust()
	cfg.NextProtos = []string{"h2", "http/1.1"}
	cfg.Renegotiation = tls.RenegotiateFreelyAsClient
	tr := newTransport(t, transport.Options{TLS: cfg})
	for range 3 {
		wantBody(t, get(t, tr, url), http11)
	}
	wantStats(t, tr, 1, 2, 0)
	s := tr.Stats()
	if s.IdleTLS != 1 || s.IdlePlain != 0 || s.Handshakes != 1 || s.Resumed != 0 || s.IdleBytes < 4<<10 || s.IdleBytes > 16<<10 {
		t.Errorf("Stats() = %+v, want one full handshake, and one idle TLS connection of 4 to 16 KiB", s)
	}
	if len(cfg.NextProtos) != 2 || cfg.ServerName != "" {
		t.Errorf("the caller's configuration was changed: %v, %q", cfg.NextProtos, cfg.ServerName)
	}
}

func TestTLSErrors(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	url := a.serveTLS(t, "target", func(s *httptest.Server) { s.Config.ErrorLog = quiet() })
	l, plain := loopback(t)
	script(t, l, func(_ int, c net.Conn) {
		_, _ = c.Read(make([]byte, 1<<10))
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	})
	f := func(url string, cfg *tls.Config, want string) {
		t.Helper()
		tr := newTransport(t, transport.Options{TLS: cfg})
		if a := get(t, tr, url); a.err == nil || !strings.Contains(a.err.Error(), want) || !strings.Contains(a.err.Error(), "TLS handshake: ") {
			t.Errorf("RoundTrip = %v, want error with %q", a.err, want)
		}
		if s := tr.Stats(); s.Handshakes != 0 {
			t.Errorf("Stats() = %+v, want no handshake", s)
		}
	}
	f(url, nil, "x509:")
	f(url, other.trust(), "unknown authority")
	wrong := a.trust()
	wrong.ServerName = "other"
	f(url, wrong, "not other")
	f(strings.Replace(plain, "http:", "https:", 1), a.trust(), "scheme: http")
}

func TestResumption(t *testing.T) {
	a := newAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		max := func(s *httptest.Server) { s.TLS.MaxVersion = version }
		// Two servers behind one name have their own sessions.
		urls := []string{a.serveTLS(t, "target", max), a.serveTLS(t, "target", max)}
		cfg := a.trust()
		cfg.ServerName = "target"
		tr := newTransport(t, transport.Options{TLS: cfg})
		for round := range 3 {
			for _, u := range urls {
				got := get(t, tr, u)
				wantBody(t, got, http11)
				if got.resumed != (round > 0) {
					t.Errorf("DidResume with TLS %#x in round %d = %t, want %t", version, round, got.resumed, round > 0)
				}
			}
			before := tr.Stats()
			if f := tr.CloseIdleTLS(); f.Conns != 2 || f.Bytes != before.IdleBytes {
				t.Errorf("CloseIdleTLS() = %+v, want 2 connections of %d bytes", f, before.IdleBytes)
			}
		}
		if s := tr.Stats(); s.Handshakes != 6 || s.Resumed != 4 || s.Open != 0 {
			t.Errorf("Stats() = %+v, want 6 handshakes, 4 of them resumed", s)
		}
	}
}

// TestSessionGoesWithItsHost: of a target which is gone no session is kept, and those of others are.
func TestSessionGoesWithItsHost(t *testing.T) {
	a := newAuthority(t)
	urls := []string{a.serveTLS(t, "target", nil), a.serveTLS(t, "target", nil)}
	cfg := a.trust()
	cfg.ServerName = "target"
	tr := newTransport(t, transport.Options{TLS: cfg})
	for _, u := range urls {
		wantBody(t, get(t, tr, u), http11)
	}
	tr.CloseIdleTLS()
	gone, err := url.Parse(urls[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // there is nothing the second time
		tr.CloseHost(gone.Host)
	}
	for i, u := range urls {
		got := get(t, tr, u)
		wantBody(t, got, http11)
		if got.resumed != (i == 1) {
			t.Errorf("DidResume with server %d, of which the first was gone, = %t", i, got.resumed)
		}
	}
}

func TestNoResumptionIfSo(t *testing.T) {
	a := newAuthority(t)
	url := a.serveTLS(t, "target", nil)
	tr := newTransport(t, transport.Options{TLS: a.trust(), MaxSessions: -1})
	for range 2 {
		wantBody(t, get(t, tr, url), http11)
		tr.CloseIdleTLS()
	}
	if s := tr.Stats(); s.Handshakes != 2 || s.Resumed != 0 {
		t.Errorf("Stats() = %+v, want 2 full handshakes", s)
	}
}

// A changed configuration counts from the next request on: neither connections nor sessions of the old one are used.
func TestTLSConfigurationChanges(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	url := a.serveTLS(t, "target", func(s *httptest.Server) { s.Config.ErrorLog = quiet() })
	var current atomic.Pointer[tls.Config]
	var fail atomic.Bool
	tr := newTransport(t, transport.Options{CurrentTLS: func(context.Context) (*tls.Config, error) {
		if fail.Load() {
			return nil, io.ErrNoProgress
		}
		return current.Load(), nil
	}})
	current.Store(a.trust())
	wantBody(t, get(t, tr, url), http11)
	held := open(t, tr, url)
	current.Store(other.trust())
	if a := get(t, tr, url); a.err == nil || !strings.Contains(a.err.Error(), "unknown authority") {
		t.Errorf("RoundTrip with another authority = %v, want an error", a.err)
	}
	if b, err := io.ReadAll(held.Body); string(b) != http11 || err != nil {
		t.Errorf("reading on after a change = %q, %v, want the answer", b, err)
	}
	_ = held.Body.Close()
	if s := tr.Stats(); s.Open != 0 {
		t.Errorf("Stats() after a change = %+v, want nothing open", s)
	}
	current.Store(a.trust())
	wantBody(t, get(t, tr, url), http11)
	if s := tr.Stats(); s.Handshakes != 2 || s.Resumed != 0 {
		t.Errorf("Stats() = %+v, want 2 full handshakes", s)
	}
	fail.Store(true)
	if a := get(t, tr, url); a.err != io.ErrNoProgress { //nolint:errorlint // as it is
		t.Errorf("RoundTrip without a configuration = %v, want its error", a.err)
	}
}

// Records behind the answer are seen although they lie in crypto/tls already.
func TestTLSSurprises(t *testing.T) {
	a := newAuthority(t)
	pair, _, _ := a.issue(t, "target")
	f := func(name string, after func(*tls.Conn)) {
		t.Helper()
		l, url := loopback(t)
		script(t, l, func(_ int, c net.Conn) {
			var held buffered
			held.Conn = c
			s := tls.Server(&held, &tls.Config{Certificates: []tls.Certificate{pair}})
			br := bufio.NewReader(s)
			for {
				if _, more := readRequest(br); !more {
					return
				}
				held.hold = true
				_, _ = io.WriteString(s, ok)
				after(s)
				held.flush()
			}
		})
		tr := newTransport(t, transport.Options{TLS: a.trust()})
		for range 3 {
			wantBody(t, get(t, tr, strings.Replace(url, "http:", "https:", 1)), "ok")
		}
		if s := tr.Stats(); s.Dials != 3 || s.IdleTLS != 0 || s.Retries != 0 {
			t.Errorf("%s: Stats() = %+v, want 3 dials, and nothing kept or tried again", name, s)
		}
	}
	f("another answer", func(s *tls.Conn) { _, _ = io.WriteString(s, strings.Replace(ok, "ok", "no", 1)) })
	f("close", func(s *tls.Conn) { _ = s.CloseWrite() })
}

// buffered is a connection which can hold back what is written, to send it at once.
type buffered struct {
	net.Conn
	hold bool
	held []byte
}

func (b *buffered) Write(p []byte) (int, error) {
	if !b.hold {
		return b.Conn.Write(p)
	}
	b.held = append(b.held, p...)
	return len(p), nil
}

func (b *buffered) flush() {
	_ = b.Conn.SetWriteDeadline(time.Time{}) // crypto/tls has ended writing after its alert
	_, _ = b.Conn.Write(b.held)
	b.hold, b.held = false, nil
}

// A kept connection which ends is tried again under TLS, too.
func TestTLSRetry(t *testing.T) {
	a := newAuthority(t)
	pair, _, _ := a.issue(t, "target")
	l, url := loopback(t)
	script(t, l, func(nth int, c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}})
		br := bufio.NewReader(s)
		if _, more := readRequest(br); more {
			_, _ = io.WriteString(s, ok)
			_, _ = readRequest(br)
			if nth%2 == 0 {
				_ = s.Close() // with an alert
			}
		}
	})
	tr := newTransport(t, transport.Options{TLS: a.trust()})
	for range 3 {
		wantBody(t, get(t, tr, strings.Replace(url, "http:", "https:", 1)), "ok")
	}
	wantStats(t, tr, 3, 2, 2)
}

// Connections which have grown by large records are kept within their budget only.
func TestFatTLSConnections(t *testing.T) {
	a := newAuthority(t)
	size := 400 << 10
	url := a.serveTLS(t, "target", func(s *httptest.Server) {
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				w.Header().Set("Content-Length", fmt.Sprint(size))
				_, _ = w.Write(make([]byte, size))
			}
		})
	})
	f := func(budget int, path string, kept bool) {
		t.Helper()
		tr := newTransport(t, transport.Options{TLS: a.trust(), MaxFatTLSBytes: budget})
		got := get(t, tr, url+path)
		if err := got.failed(); err != nil {
			t.Fatal(err)
		}
		if s := tr.Stats(); (s.IdleTLS == 1) != kept || s.Open != s.IdleTLS || kept && path == "/large" && s.IdleBytes < 20<<10 {
			t.Errorf("Stats() after %s with MaxFatTLSBytes %d = %+v, want the connection kept: %t", path, budget, s, kept)
		}
	}
	f(-1, "/small", true)
	f(-1, "/large", false)
	f(0, "/large", true)
	f(64<<10, "/large", true)
	f(1<<10, "/large", false)
}

// A server which wants to renegotiate gets no for an answer, whatever the configuration says.
func TestRenegotiationIsRefused(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl")
	}
	a := newAuthority(t)
	_, certPEM, keyPEM := a.issue(t, "target")
	dir := t.TempDir()
	write(t, dir+"/cert", certPEM)
	write(t, dir+"/key", keyPEM)
	free, url := loopback(t)
	_ = free.Close()
	cmd := exec.CommandContext(t.Context(), openssl, "s_server", "-accept", free.Addr().String(), "-tls1_2", "-cert", dir+"/cert", "-key", dir+"/key")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	until(t, "openssl to listen", func() bool {
		c, err := net.Dial("tcp", free.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	told := make(chan struct{})
	go func() { // commands start at the beginning of a line
		defer close(told)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			if strings.HasPrefix(sc.Text(), "GET /metrics") {
				_, _ = io.WriteString(in, "R\n")
			}
		}
	}()
	cfg := a.trust()
	cfg.Renegotiation = tls.RenegotiateFreelyAsClient
	tr := newTransport(t, transport.Options{TLS: cfg})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := ask(ctx, tr, "GET", strings.Replace(url, "http:", "https:", 1))
	if got.err == nil || ctx.Err() != nil || !strings.Contains(got.err.Error(), "no renegotiation") {
		t.Errorf("RoundTrip = %v, want that renegotiation was refused", got.err)
	}
	_ = cmd.Process.Kill()
	<-told
}
