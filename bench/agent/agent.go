// Package agent knows the programs which the benchmark measures: how each is told the same configuration in its own
// language, how it is started, reloaded and ended.
//
// It does not measure them. Concurrency: an Agent is immutable; a Process may be used from any goroutine.
//
// Read this file first, then config.go for what agents are told, and process.go for their life.
package agent

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Kind is a language that an agent is configured in.
type Kind string

// The kinds of agents.
const (
	Ours           Kind = "ours"            // with vmagent's flags
	OursPrometheus Kind = "ours-prometheus" // with Prometheus' file
	VMAgent        Kind = "vmagent"
	Prometheus     Kind = "prometheus"
	PrometheusV2   Kind = "prometheus, with remote write 2.0"
	FloorDiscard   Kind = "floor-discard"
	FloorPush      Kind = "floor-push"
)

// Agent is a program to be measured.
type Agent struct {
	Name    string
	Kind    Kind
	Path    string
	Version string
	// modern: Prometheus 3, which has a flag for the agent's mode.
	modern bool
}

// variants are our agent with flags which it does not have by default. By default it finds out what the endpoint takes, and
// the benchmark's takes zstd.
var variants = map[string][]string{
	"ours-snappy": {"-remoteWrite.protocol=1.0"},
	"ours-2.0":    {"-remoteWrite.protocol=2.0"},
}

// suffix2 is how the names of agents end which are told to use remote write 2.0.
const suffix2 = "-2.0"

// Variant reports whether the agent is told to use another protocol than it would by itself.
func (a *Agent) Variant() bool { return len(variants[a.Name]) > 0 || a.Version2() }

// Version2 reports whether the agent is told to use remote write 2.0.
func (a *Agent) Version2() bool { return strings.HasSuffix(a.Name, suffix2) }

// WithVersion2 returns the agent, told to use remote write 2.0; nil if it is not a Prometheus which can.
func (a *Agent) WithVersion2() *Agent {
	if a.Kind != Prometheus || !a.modern {
		return nil
	}
	b := *a
	b.Name, b.Kind = a.Name+suffix2, PrometheusV2
	return &b
}

// KindOf tells a peer's kind by its name's beginning.
func KindOf(name string) (Kind, error) {
	for _, k := range []Kind{FloorDiscard, FloorPush, OursPrometheus, Ours, VMAgent, Prometheus} {
		if strings.HasPrefix(name, string(k)) {
			return k, nil
		}
	}
	return "", fmt.Errorf("agent %q: its name must begin with vmagent or prometheus", name)
}

// New looks for the program, and asks it for its version.
func New(ctx context.Context, name, path string) (*Agent, error) {
	kind, err := KindOf(name)
	if err != nil {
		return nil, err
	}
	if path, err = exec.LookPath(path); err != nil {
		return nil, fmt.Errorf("agent %s: %w", name, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("agent %s: %w", name, err)
	}
	a := &Agent{Name: name, Kind: kind, Path: path}
	flag := "-version"
	switch kind {
	case Prometheus:
		flag = "--version"
	case FloorDiscard, FloorPush:
		return a, nil
	}
	out, err := exec.CommandContext(ctx, path, flag).CombinedOutput()
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("agent %s: %s %s: %w", name, path, flag, err)
	}
	a.Version, a.modern = parseVersion(string(out))
	if a.Version == "" {
		a.Version = packageVersion(ctx, path)
	}
	return a, nil
}

// packageVersion is the version of the Debian package which a program is from: their builds do not always know their own.
func packageVersion(ctx context.Context, path string) string {
	owner, err := exec.CommandContext(ctx, "dpkg-query", "-S", path).Output()
	if err != nil {
		return "unknown"
	}
	name, _, _ := strings.Cut(string(owner), ":")
	version, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", name).Output()
	if err != nil {
		return "unknown"
	}
	return "of Debian's " + name + " " + string(version)
}

// parseVersion returns the version in what a program says of itself, and whether its major number is 3 or more.
func parseVersion(out string) (version string, modern bool) {
	// The last match counts: vmagent writes log lines first.
	for line := range strings.Lines(out) {
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\n,()", r) }) {
			number := strings.TrimPrefix(word, "v")
			if i := strings.LastIndex(number, "-v"); i >= 0 { // vmagent-20220101-000000-tags-v1.79.5-0-g…
				number = number[i+2:]
			}
			major, rest, ok := strings.Cut(number, ".")
			n, err := strconv.Atoi(major)
			if ok && err == nil && rest != "" && rest[0] >= '0' && rest[0] <= '9' && version == "" {
				version, modern = number, n >= 3
			}
		}
	}
	if version == "" {
		line, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
		version = strings.TrimSpace(line)
	}
	return version, modern
}

// Args is the agent's command line for a configuration which is written.
func (a *Agent) Args(c Config) []string {
	data := filepath.Join(c.Dir, "data")
	switch a.Kind {
	case Prometheus, PrometheusV2, OursPrometheus:
		args := []string{
			"--config.file=" + c.file(),
			"--storage.agent.path=" + data,
			"--web.listen-address=" + c.ListenAddr,
			"--log.level=warn",
		}
		if a.Kind == Prometheus && !a.modern {
			return append(args, "--enable-feature=agent")
		}
		return append(args, "--agent")
	case FloorDiscard, FloorPush:
		return []string{"-mode=" + strings.TrimPrefix(string(a.Kind), "floor-"), "-config=" + c.file(), "-url=" + c.WriteURL}
	}
	args := []string{
		"-promscrape.config=" + c.file(),
		"-remoteWrite.url=" + c.WriteURL,
		"-remoteWrite.tmpDataPath=" + data,
		"-httpListenAddr=" + c.ListenAddr,
		"-loggerLevel=WARN",
		// Others watch the files of file_sd_configs; this is how often vmagent looks.
		"-promscrape.fileSDCheckInterval=2s",
		// vmagent's default, 16 MiB, would refuse the large body.
		"-promscrape.maxScrapeSize=1073741824",
	}
	if c.WriteToken != "" {
		args = append(args, "-remoteWrite.bearerToken="+c.WriteToken)
	}
	if strings.HasPrefix(c.WriteURL, "https:") {
		args = append(args, "-remoteWrite.tlsCAFile="+c.CAFile, "-remoteWrite.tlsServerName="+c.ServerName)
	}
	return append(args, variants[a.Name]...)
}

// ShownArgs is the command line without what differs in each run.
func (a *Agent) ShownArgs() string {
	return strings.Join(a.Args(Config{Dir: "DIR", WriteURL: "URL", ListenAddr: "ADDR"}), " ")
}
