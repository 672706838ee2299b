package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

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

// fetchTimeout bounds how long a start or a reload waits for rules which a server has.
const fetchTimeout = 10 * time.Second

// loadRuleFile reads rules from a file, or from an HTTP server, as vmagent does.
func loadRuleFile(s *Settings, path string) (*relabel.Rules, error) {
	o := config.Options{Dialect: s.Dialect, Getenv: os.LookupEnv}
	if strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://") {
		return fetchRules(path, o)
	}
	return config.LoadRules(path, o)
}

// fetchRules reads rules from a server. Errors show neither user, password nor query of the URL.
func fetchRules(text string, o config.Options) (*relabel.Rules, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, errors.New("fetch rules: it is no valid URL")
	}
	name := u.Scheme + "://" + u.Host + u.EscapedPath()
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("fetch rules: %s: it is no valid URL", name)
	}
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // without the URL
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %s", formatDuration(fetchTimeout))
		}
		return nil, fmt.Errorf("fetch rules: %s: %w", name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch rules: %s: answer %d", name, resp.StatusCode)
	}
	rules, err := config.ReadRules(name, resp.Body, o)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("fetch rules: %s: it takes longer than %s", name, formatDuration(fetchTimeout))
	}
	return rules, err
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
