package web

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scraper/internal/leaktest"
	"scraper/internal/memnet"
	"scraper/scrape"
)

// run starts the server, and stops it at the test's end. The function returned stops it at once and returns Run's error.
func run(t *testing.T, s *Server) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
	return stop
}

// get asks over the network, on a connection of its own.
func get(t *testing.T, url string, roots *x509.CertPool) (*http.Response, string, error) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}
	res, err := (&http.Client{Transport: tr}).Get(url)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

func TestRun(t *testing.T) {
	leaktest.Check(t)
	o := options()
	o.Addr = "127.0.0.1:0"
	s := newServer(t, o)
	if s.Addr() != nil {
		t.Errorf("Addr() = %v before Listen, want nil", s.Addr())
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr := s.Addr().String()
	stop := run(t, s)
	res, body, err := get(t, "http://"+addr+"/health", nil)
	if err != nil || res.StatusCode != 200 || body != "OK" {
		t.Errorf("GET /health = %v %q %v, want 200 OK", res, body, err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run() = %v, want nil", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("the address still answers after Run")
	}
	if err := s.Listen(t.Context()); err == nil {
		t.Error("Listen() = nil after Run, want an error")
	}
}

func TestListenFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, Options{Addr: ln.Addr().String()})
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "-httpListenAddr") {
		t.Errorf("Run() = %v, want an error which names -httpListenAddr", err)
	}
	s = newServer(t, Options{Listener: ln})
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("Close() twice = %v, want nil", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept() = %v after Close, want %v", err, net.ErrClosed)
	}
}

// TestStopWaitsAndCuts: a request in progress is finished at the stop, one which does not end is cut in bounded time,
// and meanwhile the agent says that it is stopping.
func TestStopWaitsAndCuts(t *testing.T) {
	for _, ends := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var network memnet.Network
			ln, err := network.Listen("agent:8429")
			if err != nil {
				t.Fatal(err)
			}
			o := options()
			o.AuthKeys.Reload, o.DrainTimeout = "k", 2*time.Second
			o.Listener = ln
			o.Reload = func(ctx context.Context) error {
				work := time.Second
				if !ends {
					work = time.Hour
				}
				select {
				case <-time.After(work):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			s := newServer(t, o)
			stop := run(t, s)
			c, err := network.DialContext(t.Context(), "tcp", "agent:8429")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "POST /-/reload HTTP/1.1\r\nHost: x\r\nX-Auth-Key: k\r\nContent-Length: 0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			began := time.Now()
			go func() {
				synctest.Wait()
				if !s.stopping.Load() {
					t.Error("the server does not say that it is stopping")
				}
			}()
			if err := stop(); err != nil {
				t.Errorf("Run() = %v, want nil", err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the stop took %v, want at most the drain timeout of 2s", took)
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if ends && (err != nil || res.StatusCode != 200) {
				t.Errorf("the reload in progress got %v, %v, want 200", res, err)
			}
			if !ends && err == nil && res.StatusCode == 200 {
				t.Error("the reload which never ended got 200")
			}
		})
	}
}

// conn is a client's connection in memory.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func (c *conn) health(t *testing.T) error {
	t.Helper()
	if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// dialAgent connects to the server under test. The connection ends with the test.
func dialAgent(t *testing.T, network *memnet.Network) *conn {
	t.Helper()
	c, err := network.DialContext(t.Context(), "tcp", "agent:8429")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &conn{c, bufio.NewReader(c)}
}

// TestConnectionLimit: at the limit the longest idle connection makes room; when all are busy the new one waits for
// the first which falls idle.
func TestConnectionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network memnet.Network
		ln, err := network.Listen("agent:8429")
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		o := options()
		o.Listener, o.MaxConnections, o.AuthKeys.Reload = ln, 2, "k"
		o.Reload = func(context.Context) error { <-release; return nil }
		run(t, newServer(t, o))
		dial := func() *conn { return dialAgent(t, &network) }
		a := dial()
		if err := a.health(t); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		b := dial()
		if err := b.health(t); err != nil {
			t.Fatal(err)
		}
		c := dial()
		if err := c.health(t); err != nil {
			t.Fatalf("a third connection was not served: %v", err)
		}
		if err := b.health(t); err != nil {
			t.Errorf("the younger idle connection was closed: %v", err)
		}
		if err := a.health(t); err == nil {
			t.Error("the longest idle connection was not closed")
		}
		for _, busy := range []*conn{b, c} {
			if _, err := io.WriteString(busy, "POST /-/reload HTTP/1.1\r\nHost: x\r\nX-Auth-Key: k\r\nContent-Length: 0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		d := dial()
		served := make(chan error, 1)
		go func() { served <- d.health(t) }()
		synctest.Wait()
		select {
		case err := <-served:
			t.Fatalf("a connection above the limit was served (%v) while all others were busy", err)
		default:
		}
		close(release)
		if err := <-served; err != nil {
			t.Errorf("the connection which waited was not served: %v", err)
		}
	})
}

// TestSlowSendersMakeRoom: who holds all connections and sends no whole request does not lock others out, and who is about to
// send one is not cut off at once.
func TestSlowSendersMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network memnet.Network
		ln, err := network.Listen("agent:8429")
		if err != nil {
			t.Fatal(err)
		}
		o := options()
		o.Listener, o.MaxConnections = ln, 3
		run(t, newServer(t, o))
		dial := func() *conn { return dialAgent(t, &network) }
		began := time.Now()
		for range 3 {
			if _, err := io.WriteString(dial(), "GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(headerGrace / 2)
		if err := dial().health(t); err != nil {
			t.Errorf("a probe while others send slowly: %v", err)
		}
		if took := time.Since(began); took < headerGrace || took > 2*headerGrace {
			t.Errorf("the probe was answered after %v, want within %v of when the others are overdue", took, headerGrace)
		}
	})
}

// TestSlowAndLargeRequests: who sends slowly, or too much, is not waited for.
func TestSlowAndLargeRequests(t *testing.T) {
	f := func(name, request, want string) {
		synctest.Test(t, func(t *testing.T) {
			var network memnet.Network
			ln, err := network.Listen("agent:8429")
			if err != nil {
				t.Fatal(err)
			}
			o := options()
			o.Listener, o.AuthKeys.Reload = ln, "k"
			run(t, newServer(t, o))
			c, err := network.DialContext(t.Context(), "tcp", "agent:8429")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			began := time.Now()
			go io.WriteString(c, request) // what the server does not take fails
			got, _ := io.ReadAll(c)
			if took := time.Since(began); took > 2*idleTimeout || !strings.Contains(string(got), want) {
				t.Errorf("%s: got %.100q after %v, want %q in less than %v", name, got, took, want, 2*idleTimeout)
			}
		})
	}
	f("silence", "", "")
	f("half a header", "GET /health HTTP/1.1\r\nHost:", "")
	f("a large header", "GET /health HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", maxHeaderBytes+8<<10)+"\r\n\r\n", "431")
	f("a proxy's cookies", "GET /health HTTP/1.1\r\nHost: x\r\nCookie: "+strings.Repeat("x", 11<<10)+"\r\n\r\n", "200 OK")
	f("half a form", "POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 20\r\n\r\nauth", "400")
	f("an idle connection", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK")
}

// TestFewPagesAtATime: snapshots are memory, so only a few exist; who cannot have one soon is told so, and probes
// do not queue behind.
func TestFewPagesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		made, release := make(chan struct{}, 100), make(chan struct{})
		o.Targets = func() scrape.Snapshot { made <- struct{}{}; <-release; return scrape.Snapshot{} }
		s := newServer(t, o)
		codes := make(chan int, 100)
		for range maxRenders + 2 {
			go func() { codes <- ask(t, s, local, "GET", "/targets", "").StatusCode }()
		}
		synctest.Wait()
		if len(made) != maxRenders {
			t.Errorf("%d snapshots at a time, want %d", len(made), maxRenders)
		}
		if code := ask(t, s, local, "GET", "/health", "").StatusCode; code != 200 {
			t.Errorf("GET /health = %d meanwhile, want 200", code)
		}
		for range 2 {
			if code := <-codes; code != 503 {
				t.Errorf("a page too many = %d, want 503", code)
			}
		}
		close(release)
		for range maxRenders {
			if code := <-codes; code != 200 {
				t.Errorf("a page = %d, want 200", code)
			}
		}
	})
}

// TestLargePagesOneAtATime: while memory is short nobody waits for one who reads slowly but those who want as much.
func TestLargePagesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		made, release := make(chan struct{}, 100), make(chan struct{})
		o.Targets = func() scrape.Snapshot { made <- struct{}{}; <-release; return scrape.Snapshot{} }
		o.MemoryShort, o.Memory = func() bool { return true }, func() Memory { return Memory{} }
		s := newServer(t, o)
		codes := make(chan int, 100)
		for range maxRenders + 2 {
			go func() { codes <- ask(t, s, local, "GET", "/api/v1/targets", "").StatusCode }()
		}
		synctest.Wait()
		if len(made) != 1 {
			t.Errorf("%d snapshots at a time while memory is short, want 1", len(made))
		}
		if code := ask(t, s, local, "GET", "/debug/memory", "").StatusCode; code != 200 {
			t.Errorf("GET /debug/memory = %d meanwhile, want 200", code)
		}
		for range maxRenders + 1 {
			if code := <-codes; code != 503 {
				t.Errorf("a page too many = %d, want 503", code)
			}
		}
		close(release)
		if code := <-codes; code != 200 {
			t.Errorf("a page = %d, want 200", code)
		}
		if code := ask(t, s, local, "GET", "/api/v1/targets", "").StatusCode; code != 200 {
			t.Errorf("a page after others had gone = %d, want 200", code)
		}
	})
}

// writePair writes a new certificate for 127.0.0.1, and returns a pool which trusts it.
func writePair(t *testing.T, certFile, keyFile, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(certFile, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	if keyFile != "" {
		if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func TestTLS(t *testing.T) {
	leaktest.Check(t)
	dir := t.TempDir()
	o := options()
	o.Addr, o.TLSCertFile, o.TLSKeyFile = "127.0.0.1:0", filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	if err := newServer(t, o).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "-tlsCertFile") {
		t.Errorf("Run() = %v without the files, want an error which names -tlsCertFile", err)
	}
	pool := writePair(t, o.TLSCertFile, o.TLSKeyFile, "first")
	s := newServer(t, o)
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, s)
	addr := s.Addr().String()
	res, body, err := get(t, "https://"+addr+"/health", pool)
	if err != nil || body != "OK" || res.ProtoMajor != 1 {
		t.Fatalf("GET /health over TLS = %v %q %v", res, body, err)
	}
	if res, _, err := get(t, "http://"+addr+"/health", nil); err == nil && res.StatusCode == 200 {
		t.Error("a TLS address answers plain requests")
	}
	if c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		c.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

// TestCertificateIsLoadedAgain: a changed pair is served within a second, a broken one never, and it is said once.
func TestCertificateIsLoadedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var logged bytes.Buffer
		c := &certificate{
			certFile: filepath.Join(dir, "crt"), keyFile: filepath.Join(dir, "key"),
			log: slog.New(slog.NewTextHandler(&logged, nil)), failures: NewMetrics(nil).tlsFailures,
		}
		serves := func(when, want string) {
			t.Helper()
			got, err := c.get(nil)
			if err != nil || got.Leaf.Subject.CommonName != want {
				t.Errorf("%s: get() = %v, %v, want the certificate %q", when, got, err, want)
			}
		}
		writePair(t, c.certFile, c.keyFile, "first")
		if err := c.load(); err != nil {
			t.Fatal(err)
		}
		serves("at first", "first")
		writePair(t, c.certFile, c.keyFile, "second")
		time.Sleep(certCheck / 2)
		serves("after half a second", "first")
		time.Sleep(certCheck / 2)
		serves("after a second", "second")
		writePair(t, c.certFile, "", "third") // and the key of the second
		for range 5 {
			time.Sleep(certCheck)
			serves("with half of a pair", "second")
		}
		if n := strings.Count(logged.String(), "was not loaded"); n != 1 {
			t.Errorf("half of a pair was logged %d times, want once:\n%s", n, logged.String())
		}
		os.Remove(c.keyFile)
		time.Sleep(certCheck)
		serves("without a key", "second")
		writePair(t, c.certFile, c.keyFile, "fourth")
		time.Sleep(certCheck)
		serves("with a whole pair", "fourth")
		if strings.Contains(logged.String(), "PRIVATE") {
			t.Error("the log holds a key")
		}
	})
}
