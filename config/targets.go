package config

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"scraper/relabel"
)

// staticConfigs decodes static_configs.
func (d *decoder) staticConfigs(v value) []*StaticGroup {
	var groups []*StaticGroup
	for _, e := range d.list(v) {
		groups = append(groups, d.group(e))
	}
	return groups
}

// group decodes one entry of static_configs or of a file_sd file.
func (d *decoder) group(v value) *StaticGroup {
	g := &StaticGroup{}
	d.mapping(v, v.String(), keys{
		"targets": func(v value) { g.Targets = d.texts(v) },
		"labels":  func(v value) { g.Labels = d.labels(v, nil) },
	}, nil)
	return g
}

// checkTargets refuses targets which are more than an address: for Prometheus' dialect, where no rules may still mend
// them. In vmagent's a target may have a scheme and a path of its own.
func (d *decoder) checkTargets(static value) {
	for _, g := range d.list(static) {
		d.mapping(g, g.String(), keys{
			"labels": func(value) {},
			"targets": func(v value) {
				for _, t := range d.list(v) {
					if s := d.text(t); strings.Contains(s, "/") {
						d.errorf(t, "%q is not a host and port", cut(redactTarget(s)))
					}
				}
			},
		}, nil)
	}
}

// sdFileName is what Prometheus takes for a file's name in file_sd_configs.
var sdFileName = regexp.MustCompile(`^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`)

// fileSDConfigs decodes file_sd_configs.
func (d *decoder) fileSDConfigs(v value) []*FileSD {
	var out []*FileSD
	for _, e := range d.list(v) {
		f := &FileSD{}
		d.mapping(e, e.String(), keys{
			"files": func(v value) {
				for _, e := range d.list(v) {
					f.Files = append(f.Files, d.sdFile(e))
				}
			},
			"refresh_interval": func(v value) { f.RefreshInterval = d.duration(v) },
		}, nil)
		if len(f.Files) == 0 {
			d.errorf(e, "files is missing or empty")
		}
		out = append(out, f)
	}
	return out
}

// sdFile decodes and checks the name of a file_sd file.
func (d *decoder) sdFile(v value) string {
	name := d.text(v)
	switch {
	case name == "":
		d.errorf(v, "a file name must not be empty")
		return ""
	case strings.HasPrefix(name, "http://"), strings.HasPrefix(name, "https://"):
		d.errorf(v, "a URL in place of a file is not supported yet")
	case strings.Contains(path.Dir(filepath.ToSlash(name)), "*"):
		d.errorf(v, "%q: only the last element of a path may hold a *", cut(name))
	case d.dialect == Prometheus && !sdFileName.MatchString(name):
		d.errorf(v, "%q: the name must end in .json, .yml or .yaml", cut(name))
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.baseDir, name)
	}
	return name
}

// ParseTargetGroups decodes the text of a file_sd file, which it borrows: a list of target groups in JSON, if the name
// ends in .json, or YAML. Name is the file's, for errors; these join one *Error for each problem. An empty YAML file
// has no groups. %{ENV} is not expanded: see ExpandEnv.
func ParseTargetGroups(text []byte, name string) ([]*StaticGroup, error) {
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFileBytes)
	}
	if strings.EqualFold(filepath.Ext(name), ".json") {
		return parseJSONGroups(text, name)
	}
	d := &decoder{name: name}
	var groups []*StaticGroup
	if root := d.parse(text); root != nil {
		for _, e := range d.list(value{node: root, key: "group"}) {
			groups = append(groups, d.group(e))
		}
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return groups, nil
}

// labelsOf sorts a map of labels by name.
func labelsOf(m map[string]string) []relabel.Label {
	if len(m) == 0 {
		return nil
	}
	out := make([]relabel.Label, 0, len(m))
	for n, v := range m {
		out = append(out, relabel.Label{Name: n, Value: v})
	}
	sortLabels(out)
	return out
}
