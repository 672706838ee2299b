package config

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	commoncfg "github.com/prometheus/common/config"
)

// httpClient decodes the HTTP client settings which stand among the keys of a job or of a remote_write entry. Errors
// quote no value, since most of these may be secrets.
type httpClient struct {
	d   *decoder
	c   *commoncfg.HTTPClientConfig
	raw map[string]commoncfg.Header // of vmagent's headers
	// http2 says that enable_http2 is given, and true.
	http2 bool
	// The last key of each group of settings which are checked against each other; errors name it.
	auth, proxy, headers value
}

func (d *decoder) httpClient(c *commoncfg.HTTPClientConfig) *httpClient {
	return &httpClient{d: d, c: c}
}

func (h *httpClient) keys() keys {
	d, c := h.d, h.c
	known := keys{
		"basic_auth":        func(v value) { c.BasicAuth, h.auth = d.basicAuth(v), v },
		"authorization":     func(v value) { c.Authorization, h.auth = d.authorization(v), v },
		"oauth2":            func(v value) { c.OAuth2, h.auth = d.oauth2(v), v },
		"bearer_token":      func(v value) { c.BearerToken, h.auth = d.secret(v), v },
		"bearer_token_file": func(v value) { c.BearerTokenFile, h.auth = d.text(v), v },
		"tls_config":        func(v value) { c.TLSConfig = d.tlsConfig(v) },
		"follow_redirects":  func(v value) { c.FollowRedirects = d.boolean(v) },
		"enable_http2":      func(v value) { c.EnableHTTP2 = d.boolean(v); h.http2 = c.EnableHTTP2 },
		"http_headers":      func(v value) { c.HTTPHeaders, h.headers = d.httpHeaders(v), v },
	}
	maps.Copy(known, d.proxyKeys(&c.ProxyConfig, &h.proxy))
	return known
}

// finish checks the settings against each other once all keys are read, and makes paths absolute.
func (h *httpClient) finish() {
	h.d.checked(h.proxy, h.c.ProxyConfig.Validate())
	if h.c.HTTPHeaders != nil {
		h.d.checked(h.headers, h.c.HTTPHeaders.Validate())
	}
	if h.auth.node != nil {
		// Validate also turns bearer_token into authorization. What was checked above would be reported again.
		proxy, headers := h.c.ProxyConfig, h.c.HTTPHeaders
		h.c.ProxyConfig, h.c.HTTPHeaders = commoncfg.ProxyConfig{}, nil
		h.d.checked(h.auth, h.c.Validate())
		h.c.ProxyConfig, h.c.HTTPHeaders = proxy, headers
	}
	if h.raw != nil {
		if h.c.HTTPHeaders == nil {
			h.c.HTTPHeaders = &commoncfg.Headers{Headers: map[string]commoncfg.Header{}}
		}
		maps.Copy(h.c.HTTPHeaders.Headers, h.raw)
	}
	h.c.SetDirectory(h.d.baseDir)
}

// checked reports what a Validate method said; these quote names of keys and headers only.
func (d *decoder) checked(v value, err error) {
	if err != nil {
		d.errorf(v, "%v", err)
	}
}

func (d *decoder) secret(v value) commoncfg.Secret { return commoncfg.Secret(d.text(v)) }

func (d *decoder) basicAuth(v value) *commoncfg.BasicAuth {
	a := &commoncfg.BasicAuth{}
	d.mapping(v, v.String(), keys{
		"username":      func(v value) { a.Username = d.text(v) },
		"username_file": func(v value) { a.UsernameFile = d.text(v) },
		"password":      func(v value) { a.Password = d.secret(v) },
		"password_file": func(v value) { a.PasswordFile = d.text(v) },
	}, peerBasicAuth)
	return a
}

func (d *decoder) authorization(v value) *commoncfg.Authorization {
	a := &commoncfg.Authorization{}
	d.mapping(v, v.String(), keys{
		"type":             func(v value) { a.Type = d.text(v) },
		"credentials":      func(v value) { a.Credentials = d.secret(v) },
		"credentials_file": func(v value) { a.CredentialsFile = d.text(v) },
	}, peerAuthorization)
	return a
}

func (d *decoder) tlsConfig(v value) commoncfg.TLSConfig {
	var c commoncfg.TLSConfig
	d.mapping(v, v.String(), keys{
		"ca":                   func(v value) { c.CA = d.text(v) },
		"cert":                 func(v value) { c.Cert = d.text(v) },
		"key":                  func(v value) { c.Key = d.secret(v) },
		"ca_file":              func(v value) { c.CAFile = d.text(v) },
		"cert_file":            func(v value) { c.CertFile = d.text(v) },
		"key_file":             func(v value) { c.KeyFile = d.text(v) },
		"server_name":          func(v value) { c.ServerName = d.text(v) },
		"insecure_skip_verify": func(v value) { c.InsecureSkipVerify = d.boolean(v) },
		"min_version":          func(v value) { c.MinVersion = d.tlsVersion(v) },
		"max_version":          func(v value) { c.MaxVersion = d.tlsVersion(v) },
	}, peerTLS)
	d.checked(v, c.Validate())
	return c
}

func (d *decoder) tlsVersion(v value) commoncfg.TLSVersion {
	version, ok := commoncfg.TLSVersions[strings.ToUpper(d.text(v))]
	if !ok {
		d.errorf(v, "want TLS10, TLS11, TLS12 or TLS13")
	}
	return version
}

func (d *decoder) oauth2(v value) *commoncfg.OAuth2 {
	o := &commoncfg.OAuth2{}
	var proxy value
	known := keys{
		"client_id":                   func(v value) { o.ClientID = d.text(v) },
		"client_secret":               func(v value) { o.ClientSecret = d.secret(v) },
		"client_secret_file":          func(v value) { o.ClientSecretFile = d.text(v) },
		"client_certificate_key_id":   func(v value) { o.ClientCertificateKeyID = d.text(v) },
		"client_certificate_key":      func(v value) { o.ClientCertificateKey = d.secret(v) },
		"client_certificate_key_file": func(v value) { o.ClientCertificateKeyFile = d.text(v) },
		"grant_type":                  func(v value) { o.GrantType = d.text(v) },
		"signature_algorithm":         func(v value) { o.SignatureAlgorithm = d.text(v) },
		"iss":                         func(v value) { o.Iss = d.text(v) },
		"audience":                    func(v value) { o.Audience = d.text(v) },
		"claims":                      func(v value) { o.Claims = d.claims(v) },
		"scopes":                      func(v value) { o.Scopes = d.texts(v) },
		"token_url":                   func(v value) { o.TokenURL = d.text(v); d.httpURL(v, "http", "https") },
		"endpoint_params":             func(v value) { o.EndpointParams = d.textMap(v) },
		"tls_config":                  func(v value) { o.TLSConfig = d.tlsConfig(v) },
	}
	maps.Copy(known, d.proxyKeys(&o.ProxyConfig, &proxy))
	d.mapping(v, v.String(), known, peerOAuth2)
	d.checked(proxy, o.ProxyConfig.Validate())
	return o
}

// claims decodes the free form of oauth2's claims.
func (d *decoder) claims(v value) map[string]any {
	var out map[string]any
	// The library counts what aliases add here too. Its error would quote values.
	if err := v.node.Decode(&out); err != nil {
		d.errorf(v, "want a mapping")
	}
	return out
}

func (d *decoder) proxyKeys(p *commoncfg.ProxyConfig, last *value) keys {
	return keys{
		"proxy_url": func(v value) {
			*last = v
			if u := d.httpURL(v, "http", "https", "socks5", "socks5h"); *u != (url.URL{}) {
				p.ProxyURL = commoncfg.URL{URL: u}
			}
		},
		"no_proxy":               func(v value) { p.NoProxy, *last = d.text(v), v },
		"proxy_from_environment": func(v value) { p.ProxyFromEnvironment, *last = d.boolean(v), v },
		"proxy_connect_header": func(v value) {
			*last = v
			p.ProxyConnectHeader = commoncfg.ProxyHeader{}
			for _, pr := range d.pairs(v) {
				name := d.headerName(v, pr.key.Value, pr.key.Line)
				for _, s := range d.headerValues(value{node: pr.value, key: "proxy_connect_header", where: v.where, line: pr.key.Line}) {
					p.ProxyConnectHeader[name] = append(p.ProxyConnectHeader[name], commoncfg.Secret(s))
				}
			}
		},
	}
}

// httpURL decodes a URL with a host and one of the schemes. It is never nil, and empty when the text is empty or wrong.
func (d *decoder) httpURL(v value, schemes ...string) *url.URL {
	s := d.text(v)
	if s == "" {
		return &url.URL{}
	}
	u, err := url.Parse(s)
	if err != nil { // its text quotes the URL
		d.errorf(v, "not a valid URL")
		return &url.URL{}
	}
	for _, scheme := range schemes {
		if u.Scheme == scheme && u.Host != "" {
			return u
		}
	}
	d.errorf(v, "want a URL like %s://host:port", schemes[0])
	return &url.URL{}
}

func (d *decoder) httpHeaders(v value) *commoncfg.Headers {
	out := &commoncfg.Headers{Headers: map[string]commoncfg.Header{}}
	for _, p := range d.pairs(v) {
		name := d.headerName(v, p.key.Value, p.key.Line)
		hv := value{node: p.value, key: fmt.Sprintf("http_headers[%q]", name), where: v.where, line: p.key.Line}
		var h commoncfg.Header
		d.mapping(hv, hv.String(), keys{
			"values": func(v value) { h.Values = d.headerValues(v) },
			"secrets": func(v value) {
				for _, s := range d.headerValues(v) {
					h.Secrets = append(h.Secrets, commoncfg.Secret(s))
				}
			},
			"files": func(v value) { h.Files = d.texts(v) },
		}, nil)
		out.Headers[name] = h
	}
	return out
}

// headerList decodes vmagent's headers: a list of "Name: value". It may set Authorization, unlike http_headers; what
// the agent sets by itself it may not.
func (h *httpClient) headerList(v value) {
	h.raw = map[string]commoncfg.Header{}
	for _, e := range h.d.list(v) {
		text, ok := h.d.scalar(e, "text")
		if !ok {
			continue
		}
		name, val, ok := strings.Cut(text, ":")
		if !ok {
			h.d.errorf(e, `want "Name: value"`)
			continue
		}
		name = http.CanonicalHeaderKey(h.d.headerName(e, strings.TrimSpace(name), e.problemLine()))
		if _, reserved := commoncfg.ReservedHeaders[name]; reserved && name != "Authorization" {
			h.d.errorf(e, "setting header %q is not allowed", name)
		}
		val = strings.TrimSpace(val)
		h.d.checkHeaderValue(e, val)
		header := h.raw[name]
		header.Secrets = append(header.Secrets, commoncfg.Secret(val))
		h.raw[name] = header
	}
}

// headerName checks a header's name. A wrong one is not quoted: it may hold the value, for want of a blank.
func (d *decoder) headerName(v value, name string, line int) string {
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if name == "" || strings.Trim(name, token) != "" {
		d.report(line, v.String()+": not a valid header name")
		return "Invalid"
	}
	return name
}

func (d *decoder) headerValues(v value) []string {
	var out []string
	for _, e := range d.list(v) {
		s := d.text(e)
		d.checkHeaderValue(e, s)
		out = append(out, s)
	}
	return out
}

func (d *decoder) checkHeaderValue(v value, s string) {
	if strings.ContainsAny(s, "\r\n\x00") {
		d.errorf(v, "a header value must not hold a line break")
	}
}
