package config

import (
	"fmt"
	"io"
	"os"

	"scraper/relabel"
)

// LoadRules reads and checks a file which is a list of relabeling rules, such as -remoteWrite.relabelConfig names; nil when
// there are none. Its errors are like those of Load.
func LoadRules(path string, o Options) (*relabel.Rules, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	defer f.Close()
	return ReadRules(path, f, o)
}

// ReadRules is LoadRules for a text which is no file. Errors call it name.
func ReadRules(name string, r io.Reader, o Options) (*relabel.Rules, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read rules: %w", err)
	case len(text) > maxFileBytes:
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFileBytes)
	}
	expanded, lines, err := expandEnv(text, o.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d := &decoder{name: name, lines: lines, dialect: o.Dialect, getenv: o.Getenv}
	rules := d.relabelConfigs(value{node: d.parse(expanded), key: "the list of rules"})
	if err := d.err(); err != nil {
		return nil, err
	}
	return rules, nil
}
