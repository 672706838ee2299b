package scrape

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"scraper/config"
	"scraper/relabel"
)

// The labels which steer how a target is scraped. They may be changed by relabeling, and are gone afterwards.
const (
	addressLabel     = "__address__"
	schemeLabel      = "__scheme__"
	metricsPathLabel = "__metrics_path__"
	paramPrefix      = "__param_"
	intervalLabel    = "__scrape_interval__"
	timeoutLabel     = "__scrape_timeout__"
	jobLabel         = "job"
	instanceLabel    = "instance"
)

// maxMadeBytes is how many bytes rules may make of one target's labels, and of one sample's where MaxLineBytes is not more.
const maxMadeBytes = 1 << 20

// spec is what a target is: everything about it that discovery and relabeling decide.
type spec struct {
	url      string // with params
	socket   string // the path of the unix socket on which it is asked for; empty: TCP
	labels   []relabel.Label
	origin   origin
	interval time.Duration
	timeout  time.Duration
	// histograms is no part of what makes a target another one.
	histograms histograms
}

// origin is what discovery says of a target, shared with the group that it is of.
type origin struct {
	group []relabel.Label // for all its targets, where they do not say otherwise
	own   []relabel.Label
}

// specKey tells the targets of a job apart: 128 bits of a hash that has no collisions, in place of texts which would be
// kept for nothing else.
type specKey [16]byte

// key is the hash of what makes a target another one.
func (s *spec) key() specKey {
	b := make([]byte, 0, 256)
	b = append(b, s.url...)
	if s.socket != "" {
		b = append(b, 0xff)
		b = append(b, s.socket...)
	}
	for _, l := range s.labels {
		b = append(b, 0xff)
		b = append(b, l.Name...)
		b = append(b, 0xfe)
		b = append(b, l.Value...)
	}
	sum := sha256.Sum256(b)
	return specKey(sum[:])
}

// newSpec makes a target of what was discovered. kept is false when relabeling drops it; its origin is returned in any case.
func newSpec(job *config.Job, d config.Dialect, from origin) (s *spec, kept bool, err error) {
	s = &spec{origin: from}
	ls := from.labels(job, d)
	ls.MaxBytes = maxMadeBytes
	if !job.Relabel.Apply(&ls) {
		if err := ls.Err(); err != nil {
			return s, false, fmt.Errorf("relabel_configs: %w", err)
		}
		return s, false, nil
	}
	if err := s.fill(job, d, &ls); err != nil {
		return s, false, err
	}
	return s, true, nil
}

// shown makes what discovered returns when somebody looks.
func (o origin) shown(job *config.Job, d config.Dialect) Discovered {
	return func() []relabel.Label { return o.discovered(job, d) }
}

// discovered are the target's labels before relabeling as pages may show them, sorted by name. They are made when somebody
// looks: kept, they would be most of what a target's spec takes.
func (o origin) discovered(job *config.Job, d config.Dialect) []relabel.Label {
	ls := o.labels(job, d)
	hideSecrets(ls.L)
	return ls.L
}

// labels are the target's labels before relabeling, sorted by name, in memory of their own.
func (o origin) labels(job *config.Job, d config.Dialect) relabel.Labels {
	var ls relabel.Labels
	ls.L = make([]relabel.Label, 0, len(o.own)+len(o.group)+8+len(job.Params))
	ls.L = append(ls.L, o.own...)
	setDefault := func(name, value string) {
		if !ls.Has(name) {
			ls.Set(name, value)
		}
	}
	for _, l := range o.group {
		setDefault(l.Name, l.Value)
	}
	setDefault(jobLabel, job.Name)
	setDefault(intervalLabel, model.Duration(job.ScrapeInterval).String())
	setDefault(timeoutLabel, model.Duration(job.ScrapeTimeout).String())
	setDefault(metricsPathLabel, job.MetricsPath)
	setDefault(schemeLabel, job.Scheme)
	if d == config.Prometheus {
		h := histogramsOf(job.Formats)
		h.each(func(name string, on *bool) { setDefault(name, strconv.FormatBool(*on)) })
	}
	for name, values := range job.Params {
		if len(values) > 0 {
			setDefault(paramPrefix+name, values[0])
		}
	}
	ls.Sort()
	return ls
}

// fill takes the target's properties from its labels after relabeling.
func (s *spec) fill(job *config.Job, d config.Dialect, ls *relabel.Labels) error {
	address, scheme, path, err := splitAddress(ls, d)
	if err != nil {
		return err
	}
	if scheme != "http" && scheme != "https" {
		return fmt.Errorf("scheme %q is neither http nor https", scheme)
	}
	if s.url, err = targetURL(d, scheme, address, path, job.Params, ls.L); err != nil {
		return err
	}
	if s.socket = ls.Get(unixSocketLabel); s.socket != "" {
		switch {
		case len(s.socket) > maxSocketPath:
			return fmt.Errorf("the path in %s has %d bytes, the system takes %d", unixSocketLabel, len(s.socket), maxSocketPath)
		case job.HTTP.ProxyURL.URL != nil || job.HTTP.ProxyFromEnvironment:
			return fmt.Errorf("a target with %s is not reached through the job's proxy", unixSocketLabel)
		}
	}
	if s.histograms, err = histogramsOf(job.Formats).override(ls); err != nil {
		return err
	}
	if s.interval, err = parsePeriod(ls.Get(intervalLabel), "scrape interval"); err != nil {
		return err
	}
	if s.timeout, err = parsePeriod(ls.Get(timeoutLabel), "scrape timeout"); err != nil {
		return err
	}
	if s.timeout > s.interval {
		if d == config.Prometheus {
			return fmt.Errorf("scrape timeout %s is greater than the scrape interval %s", s.timeout, s.interval)
		}
		s.timeout = s.interval
	}
	if ls.Get(instanceLabel) == "" {
		instance := address
		if d == config.VMAgent {
			instance = withPort(address[strings.LastIndexByte(address, '@')+1:], scheme) // a password is no label
		}
		ls.Set(instanceLabel, instance)
	}
	ls.L = slices.DeleteFunc(ls.L, func(l relabel.Label) bool { return strings.HasPrefix(l.Name, "__") || l.Value == "" })
	ls.Sort()
	for _, l := range ls.L {
		if !utf8.ValidString(l.Name) || !utf8.ValidString(l.Value) {
			return fmt.Errorf("label %q is not valid UTF-8", l.Name)
		}
	}
	s.labels = slices.Clone(ls.L)
	return nil
}

// splitAddress takes address, scheme and path from the labels. vmagent's addresses may hold all three.
func splitAddress(ls *relabel.Labels, d config.Dialect) (address, scheme, path string, err error) {
	address, scheme, path = ls.Get(addressLabel), ls.Get(schemeLabel), ls.Get(metricsPathLabel)
	if d == config.Prometheus {
		if address == "" {
			return "", "", "", errors.New("no address")
		}
		if strings.ContainsRune(address, '/') {
			return "", "", "", fmt.Errorf("%q is not a valid hostname", address)
		}
		return address, scheme, path, nil
	}
	if scheme == "" {
		scheme = "http"
	}
	if path == "" {
		path = "/metrics"
	}
	for _, known := range []string{"http", "https"} {
		if rest, ok := strings.CutPrefix(address, known+"://"); ok {
			address, scheme = rest, known
			break
		}
	}
	if i := strings.IndexByte(address, '/'); i >= 0 {
		address, path = address[:i], address[i:]
	}
	if address == "" {
		return "", "", "", errors.New("no address")
	}
	return address, scheme, path, nil
}

// targetURL puts the URL together. A __param_ label replaces the first value of its parameter. In vmagent's dialect there
// is no parameter without its label, so that a rule can drop it; an empty value never had one.
func targetURL(d config.Dialect, scheme, address, path string, params url.Values, labels []relabel.Label) (string, error) {
	query := url.Values{}
	for name, values := range params {
		if d == config.Prometheus || len(values) > 0 && values[0] == "" {
			query[name] = values
		}
	}
	for _, l := range labels {
		if name, ok := strings.CutPrefix(l.Name, paramPrefix); ok {
			values := []string{l.Value}
			if others := params[name]; len(others) > 1 {
				values = append(values, others[1:]...)
			}
			query[name] = values
		}
	}
	if path != "" && path[0] != '/' {
		path = "/" + path
	}
	raw := scheme + "://" + address + path
	q := query.Encode()
	switch {
	case d == config.Prometheus: // a question mark in the path is one
		raw = (&url.URL{Scheme: scheme, Host: address, Path: path, RawQuery: q}).String()
	case q == "":
	case strings.ContainsRune(path, '?'):
		raw += "&" + q
	default:
		raw += "?" + q
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("address %q and path %q make no URL", withoutUser(address), path)
	}
	if u.Host == "" {
		return "", fmt.Errorf("address %q has no host", withoutUser(address))
	}
	return raw, nil
}

// withPort adds the scheme's port to an address without one.
func withPort(address, scheme string) string {
	rest := address
	if i := strings.LastIndexByte(address, ']'); i >= 0 { // an IPv6 address
		rest = address[i:]
	}
	if strings.ContainsRune(rest, ':') {
		return address
	}
	if scheme == "https" {
		return address + ":443"
	}
	return address + ":80"
}

func parsePeriod(s, what string) (time.Duration, error) {
	d, err := model.ParseDuration(s)
	if err != nil {
		if d, err := time.ParseDuration(s); err == nil && d > 0 {
			return d, nil
		}
		return 0, fmt.Errorf("%s %q is not a duration", what, s)
	}
	if d == 0 {
		return 0, fmt.Errorf("%s is zero", what)
	}
	return time.Duration(d), nil
}

// withoutUser is an address without user name and password.
func withoutUser(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// hideSecrets makes of discovered labels what pages may show: what shownURL hides is hidden here, too.
func hideSecrets(ls []relabel.Label) {
	for i, l := range ls {
		switch {
		case strings.HasPrefix(l.Name, paramPrefix):
			ls[i].Value = "xxx"
		case l.Name == addressLabel, l.Name == metricsPathLabel:
			ls[i].Value = shownAddress(l.Value)
		}
	}
}

// shownAddress hides the user info and the query of an address, which may have a scheme and a path.
func shownAddress(address string) string {
	if i := strings.IndexByte(address, '?'); i >= 0 {
		address = address[:i] + "?xxx"
	}
	start := 0
	if i := strings.Index(address, "://"); i >= 0 {
		start = i + len("://")
	}
	end := len(address)
	if i := strings.IndexByte(address[start:], '/'); i >= 0 {
		end = start + i
	}
	return address[:start] + withoutUser(address[start:end]) + address[end:]
}

// shownURL is a URL as pages and logs may show it: without user info, and with the values of its parameters hidden.
func shownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	u.User = nil
	if u.RawQuery != "" {
		q := u.Query()
		names := make([]string, 0, len(q))
		for name := range q {
			names = append(names, url.QueryEscape(name)+"=xxx")
		}
		slices.Sort(names)
		u.RawQuery = strings.Join(names, "&")
	}
	return u.String()
}
