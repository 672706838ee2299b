package scrape

import (
	"context"
	"net"
	"net/url"
	"sync"

	"scraper/internal/slack"
)

// connections knows the open connections of a library's client by the address which was dialled. net/http keeps idle ones for minutes, and
// cannot be told that a host is not needed any longer: with targets that come and go, those would add up.
type connections struct {
	dial dialFunc

	mu   sync.Mutex
	open map[string]map[*connection]struct{}
	most int // addresses that there once were
}

// connection is in the books from the moment it is dialled until it is closed.
type connection struct {
	net.Conn // nil while it is being dialled
	of       *connections
	addr     string
	unwanted bool // close it when it is there; guarded by connections.mu
}

func newConnections(dial dialFunc) *connections {
	return &connections{dial: dial, open: make(map[string]map[*connection]struct{})}
}

// DialContext opens a connection.
func (c *connections) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	k := &connection{of: c, addr: addr}
	c.mu.Lock()
	if c.open[addr] == nil {
		c.open[addr] = make(map[*connection]struct{})
	}
	c.open[addr][k] = struct{}{}
	c.most = max(c.most, len(c.open))
	c.mu.Unlock()
	conn, err := c.dial(ctx, network, addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && k.unwanted {
		_ = conn.Close()
		err = errRemoved
	}
	if err != nil {
		c.forgetLocked(k)
		return nil, err
	}
	k.Conn = conn
	return k, nil
}

// Close closes the connection.
func (k *connection) Close() error {
	k.of.mu.Lock()
	k.of.forgetLocked(k)
	k.of.mu.Unlock()
	return k.Conn.Close()
}

func (c *connections) forgetLocked(k *connection) {
	delete(c.open[k.addr], k)
	if len(c.open[k.addr]) == 0 {
		delete(c.open, k.addr)
		c.open = slack.Map(c.open, &c.most)
	}
}

// closeAll closes the connections to addr, which nobody may use any longer. Those which are being dialled are closed when
// they are there: net/http goes on dialling when a request is cancelled, and keeps what it gets.
func (c *connections) closeAll(addr string) {
	c.mu.Lock()
	var all []*connection
	for k := range c.open[addr] {
		if k.Conn == nil {
			k.unwanted = true
			continue
		}
		all = append(all, k)
	}
	c.mu.Unlock()
	for _, k := range all {
		_ = k.Close()
	}
}

// dialAddress is the host and port by which the client keeps the target's connections.
func (s *spec) dialAddress() string {
	if s.socket != "" {
		return socketHost(s.socket)
	}
	return dialAddress(s.url)
}

// dialAddress is the address that net/http dials for a target's URL, unless a proxy is in between.
func dialAddress(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// disconnect closes the connections of targets which are gone, unless another target of the job is at the same address.
// The caller holds syncMu, and nobody scrapes the targets.
func (j *job) disconnect(gone []*target) {
	if len(gone) == 0 {
		return
	}
	needed := make(map[string]bool)
	for _, t := range j.targets {
		needed[t.spec.dialAddress()] = true
	}
	for _, t := range gone {
		if addr := t.spec.dialAddress(); !needed[addr] {
			t.state.client.disconnect(addr)
		}
	}
}
