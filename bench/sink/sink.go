// Package sink is the remote-write endpoint which the measured agents push to: the project's own receiver, which only
// counts, behind a server which adds what a real network has: TLS, a token, a delay, an outage.
//
// It keeps no samples. What it knows of each series is how many of its samples arrived.
//
// Concurrency: all methods of Sink may be called from any goroutine.
//
// Read this file first, then check.go for what is missing or came twice.
package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"scraper/receiver"
)

// Options configure a Sink.
type Options struct {
	TLS   *tls.Config   // nil: plain
	Token string        // wanted in an Authorization header; empty: none
	Delay time.Duration // before each answer
	// Version2 takes remote write 2.0 beside 1.0 in snappy and in zstd. Agents which find out what an endpoint takes prefer
	// it, so it is for those which are told to use it.
	Version2 bool
	// PerSeries counts the samples of each series.
	PerSeries bool
	MaxSeries int
}

// Sink is a running endpoint.
type Sink struct {
	opts     Options
	receiver *receiver.Receiver
	server   *http.Server
	listener *countingListener
	served   sync.WaitGroup
	down     atomic.Bool
	first    atomic.Int64 // when the first sample arrived, in Unix nanoseconds; 0: none did
	refused  atomic.Int64
	protocol atomic.Pointer[string] // of the last request which was taken
	ctx      context.Context        // of the server's life; its end cuts delays short
	cancel   context.CancelFunc
}

// Start opens a free loopback port and serves it until Close.
func Start(ctx context.Context, opts Options) (*Sink, error) {
	s := &Sink{opts: opts}
	s.ctx, s.cancel = context.WithCancel(ctx)
	r, err := receiver.New(receiver.Options{CountOnly: true, CountPerSeries: opts.PerSeries, MaxSeries: opts.MaxSeries,
		Zstd: true, Version2: opts.Version2, Intercept: s.intercept})
	if err != nil {
		return nil, err
	}
	s.receiver = r
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	s.listener = &countingListener{Listener: l}
	s.server = &http.Server{Handler: http.HandlerFunc(s.handle), TLSConfig: opts.TLS, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0)}
	s.served.Go(func() {
		if opts.TLS != nil {
			_ = s.server.ServeTLS(s.listener, "", "") // ends with Close
			return
		}
		_ = s.server.Serve(s.listener)
	})
	return s, nil
}

// URL is where agents push to.
func (s *Sink) URL() string {
	scheme := "http"
	if s.opts.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + s.listener.Addr().String() + receiver.WritePath
}

func (s *Sink) handle(w http.ResponseWriter, r *http.Request) {
	before := s.receiver.Totals().Samples
	s.receiver.ServeHTTP(w, r)
	if s.receiver.Totals().Samples == before {
		return
	}
	if p := protocolOf(r.Header); s.protocol.Load() == nil || *s.protocol.Load() != p {
		s.protocol.Store(&p)
	}
	if s.first.Load() == 0 {
		s.first.CompareAndSwap(0, time.Now().UnixNano())
	}
}

// protocolOf is the name of the protocol of a request.
func protocolOf(h http.Header) string {
	switch {
	case strings.Contains(h.Get("Content-Type"), "io.prometheus.write.v2.Request"):
		return "2.0"
	case h.Get("Content-Encoding") == "zstd":
		return "1.0, zstd"
	}
	return "1.0, snappy"
}

// Protocol is the protocol of the last samples which arrived; empty if none did.
func (s *Sink) Protocol() string {
	if p := s.protocol.Load(); p != nil {
		return *p
	}
	return ""
}

// intercept is the network and the gateway before the receiver.
func (s *Sink) intercept(w http.ResponseWriter, r *http.Request) bool {
	if s.opts.Delay > 0 {
		select {
		case <-time.After(s.opts.Delay):
		case <-s.ctx.Done():
		}
	}
	if s.down.Load() {
		s.refused.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	if s.opts.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.opts.Token {
		s.refused.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	return false
}

// SetDown lets all requests be answered with 503, or no longer.
func (s *Sink) SetDown(down bool) { s.down.Store(down) }

// Counts are what arrived so far.
type Counts struct {
	Samples      uint64 `json:"samples"`
	StaleMarkers uint64 `json:"staleMarkers"`
	Requests     uint64 `json:"requests"`
	BodyBytes    uint64 `json:"bodyBytes"` // of remote write's bodies, compressed
	WireBytes    uint64 `json:"wireBytes"` // all that came over the connections, headers and TLS included
	Refused      uint64 `json:"refused"`   // by the receiver: a fault of the agent's, or a format that is not known here
	Unavailable  uint64 `json:"unavailable"`
}

// Counts returns what arrived so far.
func (s *Sink) Counts() Counts {
	t := s.receiver.Totals()
	return Counts{Samples: t.Samples, StaleMarkers: t.StaleMarkers, Requests: t.Requests, BodyBytes: t.BodyBytes,
		WireBytes: s.listener.read.Load(), Refused: t.Refused, Unavailable: uint64(s.refused.Load())}
}

// First is when the first sample had arrived; the zero time if none did.
func (s *Sink) First() time.Time {
	if at := s.first.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// ForgetFirst makes First tell of the next sample.
func (s *Sink) ForgetFirst() { s.first.Store(0) }

// Close ends the server and its connections.
func (s *Sink) Close() error {
	s.cancel()
	err := s.server.Close()
	s.served.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("sink: %w", err)
	}
	return nil
}

// countingListener counts the bytes which its connections read.
type countingListener struct {
	net.Listener
	read atomic.Uint64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{Conn: c, read: &l.read}, nil
}

type countingConn struct {
	net.Conn
	read *atomic.Uint64
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(uint64(n))
	return n, err
}
