package scrape

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	commoncfg "github.com/prometheus/common/config"

	"scraper/bufpool"
	"scraper/transport"
)

const (
	// receiveBufferBytes bounds what the kernel holds for one connection of the library's client: its memory counts
	// towards the container's limit too. Our own transport has the same bound.
	receiveBufferBytes = 128 << 10
	// maxConnect bounds connecting for a client whose job is not known yet.
	maxConnect = 10 * time.Second
)

// clientOptions are what all jobs' clients share.
type clientOptions struct {
	dial    dialFunc // nil: TCP
	pool    *bufpool.Pool
	readers *transport.Readers
	parking *transport.Parking
	http2   bool // where a target can
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// jobClient sends the requests of one job: over our own transport, or, for jobs with a proxy or OAuth2, and over TLS for
// those which ask for HTTP/2, by the library's client. It is immutable, but for connectTimeout.
type jobClient struct {
	followRedirects bool
	// connectTimeout is how long connecting may take with the library's client. A scrape ends by its own timeout, but
	// net/http goes on connecting for the next one, and would for minutes where nobody answers.
	connectTimeout atomic.Int64
	// full sends what is configured; bare has the same transport settings, but no credential and no header, for redirects
	// to somewhere else.
	full, bare http.RoundTripper

	own     []*transport.Transport
	library []*http.Client
	conns   *connections // of the library's clients
}

func newJobClient(cfg commoncfg.HTTPClientConfig, o clientOptions) (*jobClient, error) {
	c := &jobClient{followRedirects: cfg.FollowRedirects}
	c.connectWithin(maxConnect)
	stripped := commoncfg.HTTPClientConfig{
		TLSConfig:       commoncfg.TLSConfig{CA: cfg.TLSConfig.CA, CAFile: cfg.TLSConfig.CAFile, MinVersion: cfg.TLSConfig.MinVersion, MaxVersion: cfg.TLSConfig.MaxVersion, InsecureSkipVerify: cfg.TLSConfig.InsecureSkipVerify},
		ProxyConfig:     cfg.ProxyConfig,
		FollowRedirects: true,
		EnableHTTP2:     cfg.EnableHTTP2,
	}
	var err error
	if c.full, err = c.roundTripper(cfg, o); err != nil {
		return nil, err
	}
	if c.bare, err = c.roundTripper(stripped, o); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// roundTripper makes one of the client's two.
func (c *jobClient) roundTripper(cfg commoncfg.HTTPClientConfig, o clientOptions) (http.RoundTripper, error) {
	rt, own, err := transport.ForConfig(cfg, transport.Options{DialContext: o.dial, Address: addressOf, Pool: o.pool, Readers: o.readers, Parking: o.parking})
	if err != nil {
		return nil, err
	}
	if own != nil {
		c.own = append(c.own, own)
		if !o.http2 {
			return rt, nil
		}
	}
	if c.conns == nil {
		dial := o.dial
		if dial == nil {
			dial = (&net.Dialer{Control: limitReceiveBuffer}).DialContext
		}
		c.conns = newConnections(dial)
	}
	// The name is a label of the library's own metrics, and the title of its own records, which are never freed: it is the
	// same for all jobs.
	client, err := commoncfg.NewClientFromConfig(cfg, "scrape",
		commoncfg.WithDialContextFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Duration(c.connectTimeout.Load()))
			defer cancel()
			return dialAddressOf(ctx, c.conns.DialContext, network, addr)
		}))
	if err != nil {
		return nil, err
	}
	c.library = append(c.library, client)
	if own != nil {
		return byScheme{plain: rt, secure: client.Transport}, nil
	}
	return client.Transport, nil // not the client, which quotes a Location that it cannot parse
}

// byScheme sends over TLS what may be HTTP/2; without TLS nothing is.
type byScheme struct{ plain, secure http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b byScheme) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "https" {
		return b.secure.RoundTrip(req)
	}
	return b.plain.RoundTrip(req)
}

// connectWithin bounds how long connecting may take: a little longer than a scrape, whose own timeout is to tell of it.
func (c *jobClient) connectWithin(scrapeTimeout time.Duration) {
	c.connectTimeout.Store(int64(scrapeTimeout + time.Second))
}

func limitReceiveBuffer(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		// A kernel that refuses serves us with its default.
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBufferBytes)
	})
}

// disconnect closes the connections to an address, "host:port", at which there is no target any longer.
func (c *jobClient) disconnect(addr string) {
	for _, t := range c.own {
		t.CloseHost(addr)
	}
	if c.conns != nil {
		c.conns.closeAll(addr)
	}
}

// sweep closes connections which have been idle for long.
func (c *jobClient) sweep() {
	for _, t := range c.own {
		t.Sweep()
	}
}

// bytes is the memory that idle connections take, in bytes.
func (c *jobClient) bytes() (n int64) {
	for _, t := range c.own {
		n += t.Stats().IdleBytes
	}
	return n
}

// close closes the idle connections; the others close when they are done.
func (c *jobClient) close() {
	for _, t := range c.own {
		_ = t.Close()
	}
	for _, l := range c.library {
		l.CloseIdleConnections()
	}
}
