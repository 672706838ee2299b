package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	commoncfg "github.com/prometheus/common/config"
)

const (
	// lookEvery is how often files are looked at, at most. Certificates and tokens are renewed well before they expire;
	// a scrape every few milliseconds must not cost a look each.
	lookEvery = 5 * time.Second
	// settle is how old a change must be to be recognised by the file's times alone: two changes within one tick of the
	// file system's clock look the same.
	settle = 2 * time.Second
)

// watched is a few files whose content matters. It is not for concurrent use.
type watched struct {
	paths []string
	next  time.Time     // when to look again
	infos []fs.FileInfo // what was seen last; nil when that does not count
	sum   [sha256.Size]byte
}

// changed reports whether what the files hold may have changed since the last call which reported so, without an error.
// Between two looks it reports false. After an error the next call looks again.
func (w *watched) changed() (bool, error) {
	now := time.Now()
	if now.Before(w.next) {
		return false, nil
	}
	w.next = time.Time{}
	infos := make([]fs.FileInfo, len(w.paths))
	young := false
	for i, path := range w.paths {
		info, err := os.Stat(path)
		if err != nil {
			return false, fmt.Errorf("unable to read file %s: %w", path, err)
		}
		infos[i] = info
		young = young || now.Sub(info.ModTime()) < settle
	}
	if same(infos, w.infos) {
		w.next = now.Add(lookEvery)
		return false, nil
	}
	sum := sha256.New()
	for _, path := range w.paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return false, fmt.Errorf("unable to read file %s: %w", path, err)
		}
		fmt.Fprintf(sum, "%d\n", len(content))
		sum.Write(content)
	}
	w.next = now.Add(lookEvery)
	w.infos = infos
	if young {
		w.infos = nil
	}
	before := w.sum
	sum.Sum(w.sum[:0])
	return w.sum != before, nil
}

// forget makes the next call of changed look, and report a change.
func (w *watched) forget() { *w = watched{paths: w.paths} }

func same(a, b []fs.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}

// tlsFiles makes a job's TLS configuration anew when one of its files has changed.
type tlsFiles struct {
	cfg commoncfg.TLSConfig // immutable

	mu      sync.Mutex
	files   watched
	current *tls.Config
}

// tlsOf returns the current TLS configuration of a job as a function for Options.CurrentTLS, and fails if there is none
// to begin with.
func tlsOf(cfg commoncfg.TLSConfig) (func(context.Context) (*tls.Config, error), error) {
	f := &tlsFiles{cfg: cfg}
	for _, path := range []string{cfg.CAFile, cfg.CertFile, cfg.KeyFile} {
		if path != "" {
			f.files.paths = append(f.files.paths, path)
		}
	}
	if len(f.files.paths) > 0 {
		_, err := f.get(context.Background())
		return f.get, err
	}
	fixed, err := commoncfg.NewTLSConfig(&f.cfg)
	return func(context.Context) (*tls.Config, error) { return fixed, nil }, err
}

// get returns the same configuration as long as the files are the same. A file which cannot be used is an error until it
// can: what was read before may have been revoked.
func (f *tlsFiles) get(ctx context.Context) (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed, err := f.files.changed()
	if err != nil {
		return nil, err
	}
	if changed || f.current == nil {
		cfg, err := commoncfg.NewTLSConfigWithContext(ctx, &f.cfg)
		if err != nil {
			f.files.forget()
			return nil, err
		}
		f.current = cfg
	}
	return f.current, nil
}

// secretFile is a secret in a file, which is read again when it has changed.
type secretFile struct {
	path string // immutable

	mu    sync.Mutex
	file  watched
	value string
}

var _ commoncfg.SecretReader = (*secretFile)(nil)

func newSecretFile(path string) *secretFile {
	return &secretFile{path: path, file: watched{paths: []string{path}}}
}

// Fetch returns the secret.
func (s *secretFile) Fetch(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, err := s.file.changed()
	if err != nil || !changed {
		return s.value, err
	}
	content, err := os.ReadFile(s.path)
	if err != nil {
		s.file.forget()
		return "", fmt.Errorf("unable to read file %s: %w", s.path, err)
	}
	s.value = strings.TrimSpace(string(content))
	return s.value, nil
}

// Description says where the secret is.
func (s *secretFile) Description() string { return "file " + s.path }

// Immutable reports false: the file may change.
func (s *secretFile) Immutable() bool { return false }
