package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// drainTimeout bounds how long Run waits for requests in flight before it cuts them off.
const drainTimeout = 2 * time.Second

// Server serves a Receiver on a loopback address.
type Server struct {
	listener net.Listener
	handler  http.Handler
	log      *slog.Logger
}

// Listen opens a loopback address, "127.0.0.1:0" for a free port. An empty host means 127.0.0.1; others than loopback
// ones are refused, since a receiver asks nobody who they are. The caller calls Run or Close.
func (r *Receiver) Listen(addr string) (*Server, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("receiver: listen: %w", err)
	}
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("receiver: listen on %q: not a loopback address", addr)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	return &Server{listener: l, handler: r, log: r.opts.Logger}, nil
}

// Addr is the address which the server listens on, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is the server's base URL, without a slash at its end.
func (s *Server) URL() string { return "http://" + s.Addr() }

// WriteURL is where senders push to.
func (s *Server) WriteURL() string { return s.URL() + WritePath }

// Close closes the listener of a server which was not run.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("receiver: %w", err)
	}
	return nil
}

// Run serves until ctx ends, then lets requests in flight finish for a bounded time, and cancels the context of
// those which remain. When it has returned, no handler runs any more.
func (s *Server) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	running := &handlers{next: s.handler}
	srv := &http.Server{
		Handler:           running,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.listener) }()
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("receiver: serve: %w", err)
	case <-ctx.Done():
		drain, stop := context.WithTimeout(base, drainTimeout)
		_ = srv.Shutdown(drain) // what it did not finish, Close ends
		stop()
		<-served
	}
	cancel()
	_ = srv.Close()
	running.stop()
	return err
}

// handlers counts the calls of a handler, so that one can wait until none is left.
type handlers struct {
	next http.Handler

	mu      sync.Mutex
	stopped bool
	wg      sync.WaitGroup
}

func (h *handlers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		panic(http.ErrAbortHandler) // the connection is closed already
	}
	h.wg.Add(1)
	h.mu.Unlock()
	defer h.wg.Done()
	h.next.ServeHTTP(w, r)
}

// stop waits until no call is left, and lets no more begin.
func (h *handlers) stop() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.wg.Wait()
}
