package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"scraper/config"
	"scraper/relabel"
)

// destinationRules are the rules of the command line which hold for all destinations.
type destinationRules struct {
	s           *Settings
	first, last []relabel.Config // before and after a destination's own
}

// loadRules reads what -remoteWrite.relabelConfig names.
func loadRules(s *Settings) (*destinationRules, error) {
	r := &destinationRules{s: s}
	if s.RelabelFile != "" {
		rules, err := loadRuleFile(s, s.RelabelFile)
		if err != nil {
			return nil, fmt.Errorf("-remoteWrite.relabelConfig: %w", err)
		}
		r.first = rules.Configs()
	}
	for _, l := range s.Labels {
		value := strings.ReplaceAll(l.Value, "$", "$$")
		r.last = append(r.last, relabel.Config{TargetLabel: l.Name, Replacement: &value})
	}
	if _, err := relabel.Compile(r.last, relabel.Options{}); err != nil {
		return nil, fmt.Errorf("-remoteWrite.label: %w", err)
	}
	return r, nil
}

func loadRuleFile(s *Settings, path string) (*relabel.Rules, error) {
	return config.LoadRules(path, config.Options{Dialect: s.Dialect, Getenv: os.LookupEnv})
}

// forURL returns all rules of one -remoteWrite.url; nil if there are none.
func (r *destinationRules) forURL(u *RemoteWriteURL) (*relabel.Rules, error) {
	if u.RelabelFile == "" {
		return r.with(nil)
	}
	own, err := loadRuleFile(r.s, u.RelabelFile)
	if err != nil {
		return nil, fmt.Errorf("-remoteWrite.urlRelabelConfig: %w", err)
	}
	return r.with(own)
}

// with returns all rules of a destination which has these itself; nil if there are none.
func (r *destinationRules) with(own *relabel.Rules) (*relabel.Rules, error) {
	if len(r.first)+len(r.last) == 0 {
		return own, nil
	}
	o := relabel.Options{Hash: relabel.HashMD5}
	if r.s.Dialect == config.VMAgent {
		o.Hash = relabel.HashXXHash
	}
	return relabel.Compile(slices.Concat(r.first, own.Configs(), r.last), o)
}
