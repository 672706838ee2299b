package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/s2"
	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds a configuration file, and what it becomes when its %{ENV} references are expanded.
const maxFileBytes = 64 << 20

// Options says how a configuration is to be read. The zero value reads vmagent's dialect without an environment.
type Options struct {
	Dialect Dialect
	// ProtobufFirst asks for protocol buffers first where scrape_protocols does not say what to ask for.
	ProtobufFirst bool
	// Getenv answers for %{NAME}, and in Prometheus' dialect for $NAME and ${NAME} in external labels. Nil: there is no
	// environment, and %{NAME} stays as it is.
	Getenv func(name string) (value string, ok bool)
	// BaseDir is the directory that relative paths in the configuration start from. Load takes the file's own directory,
	// made absolute, when it is empty; Parse leaves paths as they are.
	BaseDir string
	// Name is what Parse calls the text in errors and warnings; "config" when empty. Load takes the path.
	Name string
}

// Load reads and checks a configuration file. The error of a file with problems joins one *Error for each of them, in
// the order of their lines.
func Load(path string, o Options) (*Config, error) {
	if strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://") {
		return nil, errors.New("read configuration: a URL in place of a file is not supported yet")
	}
	if o.Name == "" {
		o.Name = path
	}
	if o.BaseDir == "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("read configuration: find the directory of %s: %w", path, err)
		}
		o.BaseDir = filepath.Dir(abs)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(text, o)
}

// Parse checks the text of a configuration file, which it borrows. Its errors are those of Load.
func Parse(text []byte, o Options) (*Config, error) {
	if o.Name == "" {
		o.Name = "config"
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes", o.Name, maxFileBytes)
	}
	expanded, lines, err := expandEnv(text, o.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	d := &decoder{name: o.Name, lines: lines, dialect: o.Dialect, protobufFirst: o.ProtobufFirst, getenv: o.Getenv, baseDir: o.BaseDir}
	c := &Config{Dialect: o.Dialect}
	if root := d.parse(expanded); len(d.problems) == 0 {
		d.config(c, root)
		d.warnUnset(root, false, map[string]bool{})
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	c.Warnings = d.warnings
	c.source, c.size = bytes.Clone(s2.Encode(nil, text)), len(text)
	return c, nil
}

// warnUnset warns once of each %{NAME} in a key or a value which stayed as it is, since there is no such environment
// variable. It may be meant, which is why it is no error. What stands where a secret should may be a part of one, and is
// not repeated.
func (d *decoder) warnUnset(node *yaml.Node, secret bool, warned map[string]bool) {
	if node == nil || d.getenv == nil {
		return
	}
	for i, child := range node.Content { // an alias has none: what it stands for is elsewhere in the tree
		hidden := secret
		if node.Kind == yaml.MappingNode && i%2 == 1 {
			key := node.Content[i-1].Value
			_, tree := secretTrees[key]
			hidden = hidden || tree || secretKey.MatchString(key)
		}
		d.warnUnset(child, hidden, warned)
	}
	for text := []byte(node.Value); node.Kind == yaml.ScalarNode; {
		_, name, after := cutReference(text)
		if name == nil {
			return
		}
		text = after
		shown := string(name)
		if secret {
			shown = "NAME"
		}
		if _, set := d.getenv(string(name)); set || warned[shown] {
			continue
		}
		warned[shown] = true
		e := Error{File: d.name, Line: d.lines.original(node.Line), Problem: fmt.Sprintf("%%{%s} stays as it is: there is no such environment variable", shown)}
		d.warnings = append(d.warnings, e.Error())
	}
}

// config decodes the whole file, whose root is nil when it is empty.
func (d *decoder) config(c *Config, root *yaml.Node) {
	var global, jobs, remotes value
	ignored := func(v value) {
		if !isEmpty(v.node) {
			d.warnf(v, "an agent does not run this section, it has no effect")
		}
	}
	known := keys{
		"global":         func(v value) { global = v },
		"scrape_configs": func(v value) { jobs = v },
		"remote_write":   func(v value) { remotes = v },
	}
	for _, name := range ignoredSections {
		known[name] = ignored
	}
	d.mapping(value{node: root, key: "the configuration"}, "", known, peerTop)
	// The jobs need the globals, wherever in the file these stand.
	d.global(&c.Global, global)
	c.Jobs = d.jobs(jobs, &c.Global)
	c.RemoteWrites = d.remoteWrites(remotes)
}

// parse returns the root node of a YAML text, or nil when it is empty or, which it reports, not YAML.
func (d *decoder) parse(text []byte) *yaml.Node {
	if line, problem := checkText(text); problem != "" {
		d.report(line, problem)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			d.report(syntaxProblem(text, err))
		}
		return nil
	}
	var next yaml.Node
	switch err := dec.Decode(&next); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.report(syntaxProblem(text, err))
		return nil
	case len(next.Content) == 1 && !isNull(next.Content[0]):
		d.report(next.Content[0].Line, "a second YAML document starts here, one is wanted")
		return nil
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil
	}
	d.budget = countNodes(&doc) + maxAliasNodes
	return doc.Content[0]
}
