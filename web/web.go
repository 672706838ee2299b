// Package web serves the listen address: pages for people, JSON for programs, probes for orchestrators, and the
// requests which reload or profile the agent; with TLS, authentication and limits.
//
// It knows nothing of how the parts work. Everything it shows comes from the functions in Options, which return
// snapshots with secrets already hidden; a snapshot is borrowed for one response and never changed or kept.
//
// A Server is safe for concurrent use. New starts nothing; Run listens, serves and returns when its context has
// ended and every connection and handler has too.
//
// What a response may hold is bounded: pages are streamed, few are rendered at a time, and requests, headers and
// connections have limits, because whoever reaches the address must not be able to spend the agent's memory.
//
// Read routes.go first: one table of paths, and who may ask for them.
package web

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// These limits are for everybody who reaches the address. They are above what browsers, probes and scrapes need.
const (
	// maxHeaderBytes of a request; net/http grants 4 KiB on top. What other servers take by default, too. Short lines become
	// 20 times as much in memory.
	maxHeaderBytes    = 8 << 10
	maxFormBytes      = 64 << 10
	readHeaderTimeout = 5 * time.Second
	readBodyTimeout   = 10 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = time.Minute
	// maxRenders is how many pages and JSON documents are made at a time. Each holds a snapshot of all active targets, some
	// hundred bytes for each, for as long as its reader takes. While memory is short such a page is made alone.
	maxRenders = 4
)

// Server serves the listen address.
type Server struct {
	o       Options
	log     *slog.Logger
	assets  *assets
	handler http.Handler
	started time.Time
	renders chan struct{} // a slot for each page or document that is being made
	alone   chan struct{} // held by the one with a snapshot of all targets which is made while memory is short
	user    [sha256.Size]byte
	pass    [sha256.Size]byte

	stopping atomic.Bool
	conns    connLimit

	mu       sync.Mutex // guards what follows; Listen sets cert and listener once
	cert     *certificate
	listener net.Listener
	closed   bool
}

// New checks the options and makes a server. It opens nothing but the given listener, if any, is the server's from now on.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	a, err := loadAssets()
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s := &Server{
		o:        o,
		log:      o.Logger,
		assets:   a,
		started:  time.Now(),
		renders:  make(chan struct{}, maxRenders),
		alone:    make(chan struct{}, 1),
		user:     sha256.Sum256([]byte(o.BasicAuth.User)),
		pass:     sha256.Sum256([]byte(o.BasicAuth.Password)),
		listener: o.Listener,
	}
	s.conns.init(o.MaxConnections, o.Metrics.connections)
	s.handler = s.routes()
	return s, nil
}

// Handler is what Run serves, for tests and for embedding. Peers are judged by Request.RemoteAddr.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen loads the certificate, if there is one, and opens the address, unless that was done already. Run does it too; who wants to know a free port, or to fail
// before anything else has started, calls it first. Close or Run closes what it opened.
func (s *Server) Listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("web: the server is closed")
	}
	if s.o.TLSCertFile != "" && s.cert == nil {
		cert := &certificate{certFile: s.o.TLSCertFile, keyFile: s.o.TLSKeyFile, log: s.log, failures: s.o.Metrics.tlsFailures}
		if err := cert.load(); err != nil {
			return fmt.Errorf("web: load the certificate (-tlsCertFile, -tlsKeyFile): %w", err)
		}
		s.cert = cert
	}
	if s.listener != nil {
		return nil
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.o.Addr)
	if err != nil {
		return fmt.Errorf("web: open the listen address (-httpListenAddr): %w", err)
	}
	s.listener = ln
	return nil
}

// Addr is the address that is listened on, nil before Listen.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Close closes the listener of a server which never ran. After Run it does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.listener == nil {
		s.closed = true
		return nil
	}
	s.closed = true
	return s.listener.Close()
}

// Run serves until ctx ends, then lets requests in progress finish for Options.DrainTimeout, cuts those which did
// not, and waits until nothing of the server lives any more. A clean stop returns nil. Run once.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(ctx); err != nil {
		return err
	}
	defer s.Close()
	ln := net.Listener(s.conns.listener(s.listener))
	if s.cert != nil {
		ln = tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: s.cert.get})
	}

	// Requests outlive ctx by the drain timeout, hence a context of their own.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := &http.Server{
		Handler:           s.handler,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		ConnState:         s.conns.state,
		BaseContext:       func(net.Listener) context.Context { return base },
		// Scanners and port probes fail handshakes all day: not an operator's news.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// One request per connection at a time keeps the limit on connections a limit on work.
		Protocols: new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)

	served := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { served <- srv.Serve(ln) })
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("web: serve: %w", err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	s.conns.stop()
	drain, cancel := context.WithTimeout(base, s.o.DrainTimeout)
	defer cancel()
	if srv.Shutdown(drain) != nil {
		s.log.Info("requests were cut at the stop")
	}
	wg.Wait() // no connection is accepted after this, so that Close meets them all
	cut()
	_ = srv.Close() // returns the listener's error, which Shutdown has closed: not news
	s.conns.serving.Wait()
	return err
}
