package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"scraper/relabel"
)

// LoadRules reads and checks a file which is a list of relabeling rules, such as -remoteWrite.relabelConfig names; nil when
// there are none. Its errors are like those of Load.
func LoadRules(path string, o Options) (*relabel.Rules, error) {
	if strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://") {
		return nil, errors.New("read rules: a URL in place of a file is not supported yet")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read rules: %w", err)
	case len(text) > maxFileBytes:
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFileBytes)
	}
	expanded, lines, err := expandEnv(text, o.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d := &decoder{name: path, lines: lines, dialect: o.Dialect, getenv: o.Getenv}
	rules := d.relabelConfigs(value{node: d.parse(expanded), key: "the list of rules"})
	if err := d.err(); err != nil {
		return nil, err
	}
	return rules, nil
}
