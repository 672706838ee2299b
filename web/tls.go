package web

import (
	"crypto/sha256"
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// certCheck is how often, at most, the files are looked at. A handshake costs far more than reading them once a second.
const certCheck = time.Second

// certificate is a pair of files which is loaded again when it has changed. Contents are compared, not times: a mounted
// secret is swapped by a link, and times may be coarse. A pair which does not load (often half of it is already new) leaves
// the old one in service.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	failures          prometheus.Counter

	mu      sync.Mutex // guards what follows
	checked time.Time
	sum     [sha256.Size]byte // of both files as they were last tried
	current *tls.Certificate
}

// load reads the files for the first time.
func (c *certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.readLocked()
	return err
}

// get is for tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certCheck {
		switch changed, err := c.readLocked(); {
		case err != nil && changed:
			c.failures.Inc()
			c.log.Warn("the changed certificate was not loaded, the old one stays", slog.Any("err", err))
		case changed:
			c.log.Info("the certificate was loaded again", slog.Time("not_after", c.current.Leaf.NotAfter))
		}
	}
	return c.current, nil
}

// readLocked loads the pair if it is not what was tried last.
func (c *certificate) readLocked() (changed bool, err error) {
	c.checked = time.Now()
	cert, err := os.ReadFile(c.certFile)
	key, errKey := os.ReadFile(c.keyFile)
	if err == nil {
		err = errKey
	}
	h := sha256.New()
	h.Write(cert)
	h.Write([]byte{0})
	h.Write(key)
	sum := [sha256.Size]byte(h.Sum(nil))
	if changed = sum != c.sum; !changed {
		return false, err
	}
	c.sum = sum
	if err != nil {
		return true, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return true, err
	}
	c.current = &pair
	return true, nil
}
