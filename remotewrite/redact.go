package remotewrite

import (
	"encoding/base64"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	commoncfg "github.com/prometheus/common/config"
)

// What is shorter than these is likely to be a part of some other word, or to say nothing.
const (
	minSecretBytes = 4 // of URLs and passwords
	minValueBytes  = 8 // of headers and query parameters, most of which are no secrets
)

// redactor takes what a destination's configuration holds of URLs and secrets out of texts that come from elsewhere:
// errors quote URLs, and receivers and proxies quote requests.
type redactor struct{ r *strings.Replacer }

// echoedHeader finds credentials in requests that are quoted: those from files are known to the transport alone.
var echoedHeader = regexp.MustCompile(`(?i)(authorization["']?\s*[:=]\s*\[?["']?\w+\s+)[^\s"'\\]+`)

func newRedactor(d Destination, u *url.URL) *redactor {
	urls := []*url.URL{u, d.HTTP.ProxyURL.URL}
	if o := d.HTTP.OAuth2; o != nil {
		urls = append(urls, o.ProxyURL.URL)
		if t, err := url.Parse(o.TokenURL); err == nil {
			urls = append(urls, t)
		}
	}
	var secrets []string
	value := func(v string) {
		if len(v) >= minValueBytes {
			secrets = append(secrets, v)
		}
	}
	for _, u := range urls {
		if u == nil {
			continue
		}
		secrets = append(secrets, u.String(), u.Redacted())
		if p, ok := u.User.Password(); ok {
			secrets = append(secrets, u.User.String(), p, basicAuth(u.User.Username(), p))
		}
		secrets = append(secrets, u.RawQuery)
		for _, vs := range u.Query() {
			for _, v := range vs {
				value(v)
			}
		}
	}
	for _, v := range d.Headers {
		value(v)
	}
	secrets = append(secrets, configured(d.HTTP)...)
	// A secret may hold another one.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range secrets {
		if len(s) >= minSecretBytes {
			pairs = append(pairs, s, "<hidden>")
		}
	}
	return &redactor{strings.NewReplacer(pairs...)}
}

// configured returns the secrets of an HTTP configuration, beside its URLs.
func configured(h commoncfg.HTTPClientConfig) []string {
	secrets := []string{string(h.BearerToken)}
	if a := h.BasicAuth; a != nil {
		secrets = append(secrets, string(a.Password), basicAuth(a.Username, string(a.Password)))
	}
	if a := h.Authorization; a != nil {
		secrets = append(secrets, string(a.Credentials))
	}
	if o := h.OAuth2; o != nil {
		secrets = append(secrets, string(o.ClientSecret), basicAuth(o.ClientID, string(o.ClientSecret)))
		for _, v := range o.EndpointParams {
			if len(v) >= minValueBytes {
				secrets = append(secrets, v)
			}
		}
	}
	if h.HTTPHeaders != nil {
		for _, values := range h.HTTPHeaders.Headers {
			for _, v := range values.Secrets {
				secrets = append(secrets, string(v))
			}
			for _, v := range values.Values {
				if len(v) >= minValueBytes {
					secrets = append(secrets, v)
				}
			}
		}
	}
	return secrets
}

// basicAuth is how a user and a password travel.
func basicAuth(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// text returns s without what must not be shown.
func (r *redactor) text(s string) string {
	return echoedHeader.ReplaceAllString(r.r.Replace(s), "${1}<hidden>")
}

// error returns err's text as an error of its own, since the original can still be asked for its URL.
func (r *redactor) error(err error) error {
	s := err.Error()
	for e := err; e != nil; e = errors.Unwrap(e) {
		if ue, ok := e.(*url.Error); ok && ue.URL != "" { //nolint:errorlint // the loop looks at each error of the chain
			s = strings.ReplaceAll(s, ue.URL, "<hidden>")
		}
	}
	return errors.New(r.text(s))
}
