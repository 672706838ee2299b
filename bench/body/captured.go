package body

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Captured are expositions of real programs, to be served in place of those which are made in their likeness.
type Captured struct {
	names []string // in order
	texts map[string][]byte
}

// ReadCaptured reads the *.txt of a directory, except those of cAdvisor: its containers have to come and go.
func ReadCaptured(dir string) (*Captured, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, fmt.Errorf("read captured bodies: %w", err)
	}
	c := &Captured{texts: make(map[string][]byte)}
	for _, name := range names {
		base := filepath.Base(name)
		if strings.Contains(base, "cadvisor") || strings.HasSuffix(base, ".om.txt") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read captured bodies: %w", err)
		}
		c.names, c.texts[base] = append(c.names, base), text
	}
	if len(c.names) == 0 {
		return nil, fmt.Errorf("read captured bodies: there is no *.txt in %s", dir)
	}
	return c, nil
}

// Text returns the first n samples of a body whose name begins with prefix, each turn of the next body which has so many.
// It is nil if none has, or if c is nil.
func (c *Captured) Text(prefix string, turn, n int) *Text {
	if c == nil {
		return nil
	}
	var fit []*Text
	for _, name := range c.names {
		if strings.HasPrefix(name, prefix) {
			if t := newCaptured(c.texts[name], n); t.Samples() == n {
				fit = append(fit, t)
			}
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[turn%len(fit)]
}

// newCaptured copies at most n samples. Half of the values move; timestamps go, and so do lines which a simple reader
// might take for something else.
func newCaptured(text []byte, n int) *Text {
	w := newWriter(min(len(text), n*200))
	pending := -1 // where the comments of a family without a sample begin
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(w.rows) == n {
			break
		}
		if len(line) == 0 || bytes.IndexByte(line, '\\') >= 0 {
			continue
		}
		if line[0] == '#' {
			if pending < 0 {
				pending = len(w.buf)
				w.metas = append(w.metas, int32(len(w.rows)))
			}
			w.buf = append(append(w.buf, line...), '\n')
			continue
		}
		end := bytes.LastIndexByte(line, '}') + 1
		if end == 0 {
			end = max(0, bytes.IndexByte(line, ' '))
		}
		fields := bytes.Fields(line[end:])
		if end == 0 || len(fields) == 0 {
			continue
		}
		value := string(fields[0])
		every := uint8(0)
		if len(w.rows)%2 == 0 && strings.Trim(value, "0123456789.") == "" {
			every = 1
		}
		pending = -1
		w.sample(string(line[:end]), value, every, uint16(1+mix(uint64(len(w.rows)))%97))
	}
	return w.text()
}
