package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	commoncfg "github.com/prometheus/common/config"

	"scraper/config"
	"scraper/remotewrite"
)

// reloading is a reload which was asked for. Its error is there once done is closed.
type reloading struct {
	done chan struct{}
	err  error
}

// reload has the configuration read again, and changed what differs. A configuration which is refused changes nothing, and
// is logged, since whoever sent a signal gets no answer.
//
// One reload runs at a time, and one waits: it reads what there is when it begins, for all who asked until then.
func (a *agent) reload() *reloading {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.nextReload == nil {
		r := &reloading{done: make(chan struct{})}
		a.nextReload = r
		go func() {
			defer close(r.done)
			r.err = a.change(func() (*config.Config, error) {
				a.mu.Lock()
				a.nextReload = nil
				a.mu.Unlock()
				return a.load()
			})
			if r.err != nil {
				a.log.Error("configuration refused", "err", r.err)
			}
		}()
	}
	return a.nextReload
}

// start applies the configuration which the process was started with. Its error ends the process, and is said there.
func (a *agent) start(cfg *config.Config) error {
	return a.change(func() (*config.Config, error) { return cfg, nil })
}

// change brings everything to the configuration that load returns.
func (a *agent) change(load func() (*config.Config, error)) error {
	a.reloadMu.Lock()
	defer a.reloadMu.Unlock()
	defer collectOften()()
	start := time.Now()
	err := a.apply(load)
	a.metrics.reloaded(err, time.Now())
	if err != nil {
		return err
	}
	a.log.Info("configuration loaded", "duration", time.Since(start))
	return nil
}

// reloadWithin is reload for a caller who may leave; the reload goes on without it.
func (a *agent) reloadWithin(ctx context.Context) error {
	r := a.reload()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// garbagePerByte is about what reading a configuration takes, and leaves to the garbage collector, for each byte of the
// file.
const garbagePerByte = 64

func (a *agent) apply(load func() (*config.Config, error)) error {
	cfg, err := load()
	if err != nil {
		return err
	}
	defer func() { a.keeper.Released(garbagePerByte * int64(cfg.Size())) }() // with what applying it left
	dests, err := destinations(a.s, cfg, a.extra)
	if err != nil {
		return err
	}
	if err := a.targets.Check(cfg); err != nil {
		return err
	}
	if err := a.writer.Apply(a.boundQueues(dests)); err != nil {
		return err
	}
	a.dests = dests
	for _, w := range cfg.Warnings {
		a.log.Warn("configuration", "warning", w)
	}
	if err := a.targets.Apply(cfg, a.found.Apply); err != nil {
		return err
	}
	shown := *cfg
	shown.Jobs, shown.RemoteWrites = nil, nil // who runs them has what is still needed: of a job which stayed, the old one
	a.mu.Lock()
	former := a.shown
	a.shown = &shown
	a.mu.Unlock()
	a.oldConfigs.Superseded(former)
	return nil
}

var errNowhere = errors.New("there is nowhere to send to: give -remoteWrite.url, or a remote_write section in the configuration")

// destinations are those of the command line, then those of the configuration, then the others.
func destinations(s *Settings, cfg *config.Config, extra []remotewrite.Destination) ([]remotewrite.Destination, error) {
	var dests []remotewrite.Destination
	rules, err := loadRules(s)
	if err != nil {
		return nil, err
	}
	urls := make(map[string]bool)
	for i := range s.RemoteWrite {
		d := fromFlags(s, &s.RemoteWrite[i])
		if d.Relabel, err = rules.forURL(&s.RemoteWrite[i]); err != nil {
			return nil, err
		}
		d.Origin = fmt.Sprintf("-remoteWrite.url number %d", i+1)
		urls[d.URL] = true
		dests = append(dests, d)
	}
	for i, rw := range cfg.RemoteWrites {
		if urls[rw.URL] {
			return nil, fmt.Errorf("remote_write number %d (line %d) has the same URL as a -remoteWrite.url; give it in one place", i+1, rw.Line)
		}
		d := remotewrite.FromConfig(rw)
		d.Origin = fmt.Sprintf("%s:%d: remote_write[%d]", s.ConfigFile, rw.Line, i)
		d.MaxDiskBytes, d.DisableDiskQueue = s.MaxDiskBytes, s.MemoryQueue
		if d.Protocol == remotewrite.ProtocolAuto {
			d.Protocol = s.Protocol
		}
		d.OnRefused, d.OnAuthError, d.ShowURL = s.OnRefused, s.OnAuthError, s.ShowURL
		if d.MaxBlockAge == 0 {
			d.MaxBlockAge = s.MaxBlockAge
		}
		if d.Relabel, err = rules.with(d.Relabel); err != nil {
			return nil, err
		}
		dests = append(dests, d)
	}
	dests = append(dests, extra...)
	if len(dests) == 0 && s.Dialect == config.VMAgent {
		return nil, errNowhere
	}
	return dests, nil
}

// checkDestinations finds out what else a start would say of the destinations.
func checkDestinations(s *Settings, cfg *config.Config) error {
	dests, err := destinations(s, cfg, nil)
	if err != nil {
		return err
	}
	w, err := remotewrite.New(remotewrite.Options{Destinations: dests})
	if err != nil {
		return err
	}
	return w.Close()
}

// fromFlags is the destination that one -remoteWrite.url and its options describe.
func fromFlags(s *Settings, u *RemoteWriteURL) remotewrite.Destination {
	http := remotewrite.DefaultHTTP()
	if u.Username != "" || u.Password != "" || u.PasswordFile != "" {
		http.BasicAuth = &commoncfg.BasicAuth{Username: u.Username, Password: commoncfg.Secret(u.Password), PasswordFile: u.PasswordFile}
	}
	if u.BearerToken != "" || u.BearerTokenFile != "" {
		http.Authorization = &commoncfg.Authorization{
			Type: "Bearer", Credentials: commoncfg.Secret(u.BearerToken), CredentialsFile: u.BearerTokenFile,
		}
	}
	http.TLSConfig = commoncfg.TLSConfig{
		CAFile: u.TLSCAFile, CertFile: u.TLSCertFile, KeyFile: u.TLSKeyFile, ServerName: u.TLSServerName,
		InsecureSkipVerify: u.TLSInsecureSkipVerify,
	}
	http.OAuth2 = u.OAuth2
	http.ProxyURL = commoncfg.URL{URL: u.ProxyURL}
	return remotewrite.Destination{
		Protocol: u.Protocol, OnRefused: u.OnRefused, OnAuthError: u.OnAuthError, RateLimit: u.RateLimit, ShowURL: s.ShowURL,
		Name: u.Name, MaxSenders: u.Queues,
		URL: u.URL, Headers: u.Headers, HTTP: http, Timeout: u.SendTimeout, RetryMin: u.RetryMin, RetryMax: u.RetryMax,
		MaxDiskBytes: u.MaxDiskBytes, MaxBlockAge: s.MaxBlockAge, DisableDiskQueue: u.MemoryQueue, NoMetadata: u.NoMetadata,
	}
}
