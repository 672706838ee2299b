package agent

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Job is a part of the scrape configuration, the same for all agents: everything in which their defaults differ is
// written out.
type Job struct {
	Name        string
	Interval    time.Duration
	Timeout     time.Duration // default: the interval
	Path        string        // default /metrics
	TLS         bool
	Token       string
	HonorLabels bool
	HonorTimes  bool
	// Groups are the targets. Where Watched, they stand in a file which agents watch, and not in the configuration.
	Groups        []Group
	Watched       bool
	SampleLimit   int // 0: none
	Relabel       []Rule
	MetricRelabel []Rule
}

// Group is a list of addresses with labels.
type Group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels,omitempty"`
}

// Rule is a relabeling rule.
type Rule struct {
	SourceLabels []string `json:"source_labels,omitempty"`
	Separator    string   `json:"separator,omitempty"`
	TargetLabel  string   `json:"target_label,omitempty"`
	Regex        string   `json:"regex,omitempty"`
	Modulus      int      `json:"modulus,omitempty"`
	Replacement  string   `json:"replacement,omitempty"`
	Action       string   `json:"action,omitempty"`
}

// Config is all that an agent is told.
type Config struct {
	Jobs       []Job
	WriteURL   string
	WriteToken string
	// CAFile has the certificate of targets and of the write endpoint; ServerName is what it is for.
	CAFile     string
	ServerName string
	// Dir is a directory for the agent's files, which it has for itself.
	Dir string
	// ListenAddr is where the agent shall listen.
	ListenAddr string
	// Args are more arguments than all agents of the kind get, Env are variables beside this process' own, and Wrapper is a
	// command which becomes the agent: an absolute path, and arguments.
	Args, Env, Wrapper []string
	// Sections are further ones of the file, by name.
	Sections map[string]any
}

type yaml = map[string]any

// Write writes the configuration files for a kind of agent. JSON is YAML, and nobody has to quote by hand.
func (c Config) Write(k Kind) error {
	var jobs []yaml
	for _, j := range c.Jobs {
		jobs = append(jobs, c.job(j))
		if j.Watched {
			if err := c.WriteTargets(j); err != nil {
				return err
			}
		}
	}
	if jobs == nil {
		jobs = []yaml{}
	}
	all := yaml{"scrape_configs": jobs}
	if k != VMAgent && k != Ours { // those have it on their command lines
		remote := yaml{"url": c.WriteURL}
		if c.WriteToken != "" {
			remote["authorization"] = yaml{"credentials": c.WriteToken}
		}
		if strings.HasPrefix(c.WriteURL, "https:") {
			remote["tls_config"] = yaml{"ca_file": c.CAFile, "server_name": c.ServerName}
		}
		if k == PrometheusV2 {
			remote["protobuf_message"] = "io.prometheus.write.v2.Request"
		}
		all["remote_write"] = []yaml{remote}
	}
	maps.Copy(all, c.Sections)
	return replaceFile(c.file(), all)
}

func (c Config) file() string { return filepath.Join(c.Dir, "scrape.yml") }

func (c Config) targetsFile(job string) string { return filepath.Join(c.Dir, "targets-"+job+".json") }

func (c Config) job(j Job) yaml {
	timeout := j.Timeout
	if timeout == 0 {
		timeout = j.Interval
	}
	one := yaml{
		"job_name":         j.Name,
		"scrape_interval":  j.Interval.String(),
		"scrape_timeout":   timeout.String(),
		"honor_timestamps": j.HonorTimes,
	}
	if j.Path != "" {
		one["metrics_path"] = j.Path
	}
	if j.SampleLimit > 0 {
		one["sample_limit"] = j.SampleLimit
	}
	if j.HonorLabels {
		one["honor_labels"] = true
	}
	if j.TLS {
		one["scheme"] = "https"
		one["tls_config"] = yaml{"ca_file": c.CAFile, "server_name": c.ServerName}
		if j.Token != "" {
			one["authorization"] = yaml{"credentials": j.Token}
		}
	}
	if j.Watched {
		one["file_sd_configs"] = []yaml{{"files": []string{c.targetsFile(j.Name)}}}
	} else {
		one["static_configs"] = j.Groups
	}
	if j.Relabel != nil {
		one["relabel_configs"] = j.Relabel
	}
	if j.MetricRelabel != nil {
		one["metric_relabel_configs"] = j.MetricRelabel
	}
	return one
}

// WriteTargets replaces the watched file of a job.
func (c Config) WriteTargets(j Job) error {
	return replaceFile(c.targetsFile(j.Name), slices.Concat([]Group{}, j.Groups))
}

// replaceFile writes v as JSON, so that a reader never sees half of it.
func replaceFile(name string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.WriteFile(name+".new", text, 0o644); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	return nil
}
