package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	commoncfg "github.com/prometheus/common/config"

	"scraper/relabel"
	"scraper/remotewrite"
)

// remoteWrite puts each -remoteWrite.url together with its items of the other flags.
func (p *parser) remoteWrite() error {
	l := p.l
	for _, d := range p.flags {
		if items, ok := d.value.(*list); ok && d.perURL && d.isSet && len(items.items) > max(1, len(l.url.items)) {
			p.warnf("%s has %d values for %d -remoteWrite.url: quote a value which holds a comma", d, len(items.items), len(l.url.items))
		}
	}
	if p.s.MaxBlockBytes > maxBlockBytes {
		return usagef("-remoteWrite.maxBlockSize=%s: want %s or less", formatSize(p.s.MaxBlockBytes), formatSize(maxBlockBytes))
	}
	if p.s.ZstdLevel > 22 {
		return usagef("-remoteWrite.vmProtoCompressLevel=%d: want -22 to 22", p.s.ZstdLevel)
	}
	if len(l.maxDisk.items) == 1 {
		p.s.MaxDiskBytes = l.maxDisk.sizeAt(0)
	}
	p.s.MemoryQueue = len(l.noDiskQueue.items) == 1 && l.noDiskQueue.boolAt(0)
	if len(l.protocol.items) <= 1 && len(l.forceProm.items) <= 1 && len(l.forceVM.items) <= 1 {
		var err error
		if p.s.Protocol, err = l.protocolAt(0); err != nil {
			return err
		}
	}
	if len(l.onRefused.items) == 1 {
		p.s.OnRefused = onRefused(l.onRefused.at(0))
	}
	if len(l.onAuthError.items) == 1 {
		p.s.OnAuthError = onAuthError(l.onAuthError.at(0))
	}
	for _, item := range l.labels.items {
		if name, value, ok := strings.Cut(item, "="); ok {
			p.s.Labels = append(p.s.Labels, relabel.Label{Name: name, Value: value})
		}
	}
	if n, urls := len(l.urlRelabel.items), len(l.url.items); n > urls {
		return usagef("-remoteWrite.urlRelabelConfig is given %d times for %d -remoteWrite.url", n, urls)
	}
	if n, urls := len(l.name.items), len(l.url.items); n > urls {
		return usagef("-remoteWrite.name is given %d times for %d -remoteWrite.url", n, urls)
	}
	for i, name := range l.name.items {
		if slices.Index(l.name.items, name) != i && name != "" {
			return usagef("-remoteWrite.name=%q is given twice: it says whose queue is whose", name)
		}
	}
	if slices.ContainsFunc(l.queues.items, func(text string) bool { n, _ := strconv.Atoi(text); return n > maxQueues }) {
		p.warnf("-remoteWrite.queues of more than %d has the effect of %[1]d: that is how many requests can be on their way, and as many are when there is a backlog", maxQueues)
	}
	seen := make(map[string]int)
	for i, text := range l.url.items {
		u := RemoteWriteURL{
			URL:                   text,
			SendTimeout:           l.sendTimeout.durationAt(i, sendTimeout),
			RetryMin:              l.retryMin.durationAt(i, retryMin),
			RetryMax:              l.retryMax.durationAt(i, retryMax),
			Username:              l.username.at(i),
			Password:              l.password.at(i),
			PasswordFile:          l.passwordFile.at(i),
			BearerToken:           l.bearerToken.at(i),
			BearerTokenFile:       l.bearerTokenFile.at(i),
			TLSCAFile:             l.tlsCA.at(i),
			TLSCertFile:           l.tlsClientCert.at(i),
			TLSKeyFile:            l.tlsClientKey.at(i),
			TLSServerName:         l.tlsServerName.at(i),
			TLSInsecureSkipVerify: l.tlsInsecure.boolAt(i),
			MaxDiskBytes:          l.maxDisk.sizeAt(i),
			MemoryQueue:           l.noDiskQueue.boolAt(i),
			NoMetadata:            l.noMetadata.boolAt(i),
			RateLimit:             l.rateLimit.sizeAt(i),
			Queues:                l.queues.countAt(i),
			OnRefused:             onRefused(l.onRefused.at(i)),
			OnAuthError:           onAuthError(l.onAuthError.at(i)),
		}
		var err error
		if u.Protocol, err = l.protocolAt(i); err != nil {
			return err
		}
		if i < len(l.urlRelabel.items) {
			u.RelabelFile = l.urlRelabel.items[i]
		}
		if i < len(l.name.items) {
			u.Name = l.name.items[i]
		}
		n := i + 1 // how users count
		if err := checkURL(text); err != "" {
			return usagef("-remoteWrite.url number %d: %s", n, err)
		}
		if first := seen[text]; first != 0 {
			return usagef("-remoteWrite.url number %d is the same as number %d: it would receive everything twice", n, first)
		}
		seen[text] = n
		var problem string
		if u.Headers, problem = parseHeaders(l.headers.at(i)); problem != "" {
			return usagef("-remoteWrite.headers for -remoteWrite.url number %d: %s", n, problem)
		}
		if err := u.secretsFromFiles(n); err != nil {
			return err
		}
		if err := u.oauth2(l, i); err != nil {
			return err
		}
		if text := l.proxyURL.at(i); text != "" {
			proxy, err := url.Parse(text)
			if err != nil || proxy.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, proxy.Scheme) {
				return usagef("-remoteWrite.proxyURL for -remoteWrite.url number %d: want http://, https:// or socks5:// and a host", n)
			}
			u.ProxyURL = proxy
		}
		if err := u.check(n); err != nil {
			return err
		}
		p.s.RemoteWrite = append(p.s.RemoteWrite, u)
	}
	return nil
}

// secretsFromFiles turns secrets that are given as file://path into their files.
func (u *RemoteWriteURL) secretsFromFiles(n int) error {
	for _, s := range []struct {
		flag        string
		value, file *string
	}{
		{"-remoteWrite.basicAuth.password", &u.Password, &u.PasswordFile},
		{"-remoteWrite.bearerToken", &u.BearerToken, &u.BearerTokenFile},
	} {
		path, ok := strings.CutPrefix(*s.value, "file://")
		if ok && *s.file == "" {
			*s.value, *s.file = "", path
		}
		if *s.value != "" && *s.file != "" || ok && path != *s.file {
			return usagef("%s and %sFile are both given for -remoteWrite.url number %d: give one of them", s.flag, s.flag, n)
		}
	}
	return nil
}

// The words of flags, the default first.
var (
	onRefusedWords   = []string{"split", "drop"}
	onAuthErrorWords = []string{"retry", "drop"}
	protocolWords    = []string{"auto", "1.0", "2.0", "vm"}
)

// protocolAt is what the flags say of the i-th URL's protocol.
func (l *lists) protocolAt(i int) (remotewrite.Protocol, error) {
	p, err := remotewrite.ParseProtocol(l.protocol.at(i))
	if err != nil {
		return 0, usagef("-remoteWrite.protocol for -remoteWrite.url number %d: %s", i+1, err)
	}
	for _, f := range []struct {
		flag string
		on   bool
		is   remotewrite.Protocol
	}{
		{"-remoteWrite.forcePromProto", l.forceProm.boolAt(i), remotewrite.Protocol1},
		{"-remoteWrite.forceVMProto", l.forceVM.boolAt(i), remotewrite.ProtocolVM},
	} {
		if !f.on {
			continue
		}
		if p != remotewrite.ProtocolAuto && p != f.is {
			return 0, usagef("%s is given for -remoteWrite.url number %d, and so is the protocol %s: give one of them", f.flag, i+1, p)
		}
		p = f.is
	}
	return p, nil
}

func onRefused(word string) remotewrite.RefusedPolicy {
	if word == onRefusedWords[1] {
		return remotewrite.DropRefused
	}
	return remotewrite.SplitRefused
}

func onAuthError(word string) remotewrite.AuthErrorPolicy {
	if word == onAuthErrorWords[1] {
		return remotewrite.DropOnAuthError
	}
	return remotewrite.RetryOnAuthError
}

// oauth2 takes what the flags say about OAuth2 for the i-th URL.
func (u *RemoteWriteURL) oauth2(l *lists, i int) error {
	o := commoncfg.OAuth2{
		ClientID: l.oauthID.at(i), ClientSecret: commoncfg.Secret(l.oauthSecret.at(i)), ClientSecretFile: l.oauthSecretFile.at(i),
		TokenURL: l.oauthURL.at(i),
	}
	params, scopes := l.oauthParams.at(i), l.oauthScopes.at(i)
	secret := o.ClientSecret != "" || o.ClientSecretFile != ""
	if o.ClientID == "" && !secret && o.TokenURL == "" && params == "" && scopes == "" {
		return nil
	}
	where := fmt.Sprintf("for -remoteWrite.url number %d", i+1)
	switch {
	case o.ClientID == "" || !secret || o.TokenURL == "":
		return usagef("-remoteWrite.oauth2 needs clientID, clientSecret or clientSecretFile, and tokenUrl, %s", where)
	case o.ClientSecret != "" && o.ClientSecretFile != "":
		return usagef("-remoteWrite.oauth2.clientSecret and -remoteWrite.oauth2.clientSecretFile are both given %s: give one of them", where)
	}
	if problem := checkURL(o.TokenURL); problem != "" {
		return usagef("-remoteWrite.oauth2.tokenUrl %s: %s", where, problem)
	}
	if params != "" && json.Unmarshal([]byte(params), &o.EndpointParams) != nil {
		return usagef(`-remoteWrite.oauth2.endpointParams %s: want a JSON object like {"name":"value"}`, where)
	}
	if scopes != "" {
		o.Scopes = strings.Split(scopes, ";")
	}
	u.OAuth2 = &o
	return nil
}

func (u *RemoteWriteURL) check(n int) error {
	basic := u.Username != "" || u.Password != "" || u.PasswordFile != ""
	switch {
	case u.OAuth2 != nil && (basic || u.BearerToken != "" || u.BearerTokenFile != ""):
		return usagef("-remoteWrite.oauth2 and another kind of authentication are both given for -remoteWrite.url number %d: give one of them", n)
	case basic && u.Username == "":
		return usagef("-remoteWrite.basicAuth.password needs -remoteWrite.basicAuth.username, for -remoteWrite.url number %d", n)
	case basic && (u.BearerToken != "" || u.BearerTokenFile != ""):
		return usagef("-remoteWrite.basicAuth.username and -remoteWrite.bearerToken are both given for -remoteWrite.url number %d: give one of them", n)
	case (u.TLSCertFile == "") != (u.TLSKeyFile == ""):
		return usagef("-remoteWrite.tlsCertFile and -remoteWrite.tlsKeyFile need each other, for -remoteWrite.url number %d", n)
	case u.RetryMin > u.RetryMax:
		return usagef("-remoteWrite.retryMinInterval=%s is more than -remoteWrite.retryMaxInterval=%s, for -remoteWrite.url number %d",
			formatDuration(u.RetryMin), formatDuration(u.RetryMax), n)
	}
	return nil
}

// checkURL says what is wrong with a receiver's URL without showing it, for it may hold a password or a token.
func checkURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return "it is empty"
	case err != nil:
		if _, rest, ok := strings.Cut(text, "%{"); ok {
			if name, _, ok := strings.Cut(rest, "}"); ok {
				return fmt.Sprintf("it is no valid URL, with %%{%s}: there is no such environment variable", name)
			}
		}
		return "it is no valid URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "it must begin with http:// or https://"
	case u.Hostname() == "":
		return "it has no host"
	}
	return ""
}

// parseHeaders parses "name:value^^name:value". The problem does not show values, for they may be secrets.
func parseHeaders(text string) (headers map[string]string, problem string) {
	if text == "" {
		return nil, ""
	}
	headers = make(map[string]string)
	for _, header := range strings.Split(text, "^^") {
		name, value, ok := strings.Cut(header, ":")
		name = strings.TrimSpace(name)
		if !ok || !isHeaderName(name) {
			return nil, "want name:value, several joined by ^^"
		}
		if strings.ContainsAny(value, "\r\n\x00") {
			return nil, "the value of " + name + " holds a line break"
		}
		if _, ok := headers[name]; ok {
			return nil, name + " is given twice"
		}
		headers[name] = strings.TrimSpace(value)
	}
	return headers, ""
}

// isHeaderName reports whether a name is a token of RFC 9110.
func isHeaderName(name string) bool {
	for _, c := range []byte(name) {
		isAlphanumeric := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !isAlphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}
