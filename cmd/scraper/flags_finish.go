package main

import (
	"net/url"
	"slices"
	"strings"

	"scraper/config"
)

// finish settles what depends on more than one flag.
func (p *parser) finish() error {
	s, l := p.s, p.l
	asPrometheus, err := p.frontEnd()
	if err != nil {
		return err
	}
	if s.DataPath == "" {
		s.DataPath = vmagentData
		if asPrometheus {
			s.DataPath = prometheusData
		}
	}
	if d := p.setBy["the listen address"]; d == nil {
		l.listen.items = []string{vmagentListen}
		if asPrometheus {
			l.listen.items = []string{prometheusListen}
		}
	}
	s.EnableLifecycle = l.lifecycle || !asPrometheus
	for _, step := range []func() error{p.features, p.listen, p.http, p.remoteWrite} {
		if err := step(); err != nil {
			return err
		}
	}
	p.showFlags()
	return nil
}

// frontEnd decides which peer Scraper was started as, and what dialect follows from that.
func (p *parser) frontEnd() (asPrometheus bool, err error) {
	s, l := p.s, p.l
	if p.demo {
		s.DialectWhy = "scraper demo"
		return false, nil
	}
	switch {
	case l.configFile != "" && l.promFile != "":
		return false, usagef("-promscrape.config and --config.file are both given: each starts Scraper in its own way, so give one of them")
	case l.configFile != "":
		s.ConfigFile, s.Dialect, s.DialectWhy = l.configFile, config.VMAgent, "-promscrape.config"
	case l.promFile != "":
		s.ConfigFile, s.Dialect, s.DialectWhy = l.promFile, config.Prometheus, "--config.file"
		asPrometheus = true
	case l.agent:
		s.ConfigFile, s.Dialect, s.DialectWhy = prometheusFile, config.Prometheus, "--agent"
		asPrometheus = true
	default:
		return false, usagef("-promscrape.config or --config.file is required; scraper demo needs no file")
	}
	if l.dialect != "" {
		s.Dialect, s.DialectWhy = config.VMAgent, "-promscrape.dialect"
		if l.dialect == "prometheus" {
			s.Dialect = config.Prometheus
		}
	}
	return asPrometheus, nil
}

// features checks the names of --enable-feature.
func (p *parser) features() error {
	for _, name := range p.l.features.items {
		if why := refusedFeatures[name]; why != "" {
			return usagef("--enable-feature=%s is refused: %s", name, why)
		}
		if note, ok := startFeatures[name]; ok {
			p.s.StartTimestamps, p.s.ProtobufFirst = true, true
			if note != "" {
				p.warnf("--enable-feature=%s: %s", name, note)
			}
			continue
		}
		if name == "native-histograms" {
			p.warnf("--enable-feature=%s has no effect: scrape_native_histograms in the configuration asks for them", name)
			continue
		}
		if !slices.Contains(harmlessFeatures, name) && name != "" {
			return usagef("--enable-feature=%s: no such feature is known", name)
		}
		if name != "agent" && name != "" {
			p.warnf("--enable-feature=%s has no effect: it changes nothing for an agent", name)
		}
	}
	return nil
}

// listen puts the listen addresses together with their TLS files.
func (p *parser) listen() error {
	l := p.l
	for i, addr := range l.listen.items {
		if addr == "" {
			continue
		}
		at := Listen{Addr: addr, CertFile: l.tlsCert.at(i), KeyFile: l.tlsKey.at(i)}
		switch {
		case l.tls.boolAt(i) && (at.CertFile == "" || at.KeyFile == ""):
			return usagef("-tls needs -tlsCertFile and -tlsKeyFile, for %s too", addr)
		case !l.tls.boolAt(i):
			if at.CertFile != "" || at.KeyFile != "" {
				p.warnf("-tlsCertFile and -tlsKeyFile have no effect without -tls: %s is served without TLS", addr)
			}
			at.CertFile, at.KeyFile = "", ""
		}
		p.s.Listen = append(p.s.Listen, at)
	}
	return nil
}

// http checks what else there is about the pages.
func (p *parser) http() error {
	if u, err := url.Parse(p.s.ExternalURL); err != nil {
		return usagef("--web.external-url=%q: it is no valid URL", p.s.ExternalURL)
	} else if u.Path != "" && u.Path != "/" {
		p.warnf("pages are served without the path of --web.external-url")
	}

	if p.s.HTTPUsername == "" && p.s.HTTPPassword.IsSet() {
		return usagef("-httpAuth.password without -httpAuth.username would protect nothing")
	}
	return nil
}

// showFlags keeps what pages show of the flags.
func (p *parser) showFlags() {
	for _, name := range p.l.secretFlags.items {
		d, _ := p.lookup(strings.TrimLeft(name, "-"))
		if d == nil {
			p.warnf("-secret.flags names %s, which is no flag of Scraper", name)
			continue
		}
		d.secret = true
	}
	for _, d := range p.flags {
		shown := d.shown()
		if shown == "" && d.perURL && d.def != "" {
			shown = d.def
		}
		p.s.effective = append(p.s.effective, flagValue{d.String(), shown})
	}
	slices.SortFunc(p.s.effective, func(a, b flagValue) int {
		return strings.Compare(strings.TrimLeft(a.name, "-"), strings.TrimLeft(b.name, "-"))
	})
}
