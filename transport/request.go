package transport

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// hostKey is what connections are kept by.
type hostKey struct {
	tls  bool
	addr string // host and port
}

// keyOf returns where a request goes. The key may share the URL's memory.
func keyOf(u *url.URL) (hostKey, error) {
	key := hostKey{tls: u.Scheme == "https"}
	host := u.Host
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') && colon+1 < len(host) && isASCII(host) {
		key.addr = host
		return key, nil
	}
	name, err := asciiHost(u.Hostname())
	if err != nil {
		return key, err
	}
	port := u.Port()
	switch {
	case port != "":
	case key.tls:
		port = "443"
	default:
		port = "80"
	}
	if strings.IndexByte(name, ':') >= 0 {
		name = "[" + name + "]"
	}
	key.addr = name + ":" + port
	return key, nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// asciiHost returns a host name as it is asked of resolvers and servers.
func asciiHost(name string) (string, error) {
	if isASCII(name) {
		return name, nil
	}
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("host %q: %w", name, err)
	}
	return ascii, nil
}

// checkRequest closes the request's body, and says why the request cannot be sent, if so.
func checkRequest(req *http.Request) error {
	if req.Body != nil {
		_ = req.Body.Close()
		if req.Body != http.NoBody {
			return errors.New("a request with a body is not supported")
		}
	}
	switch u := req.URL; {
	case u == nil:
		return errors.New("the request has no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("scheme %q is neither http nor https", cut(u.Scheme))
	case u.Host == "":
		return errors.New("the request's URL has no host")
	case req.Method != http.MethodGet && req.Method != http.MethodHead && req.Method != "":
		return fmt.Errorf("method %q is neither GET nor HEAD", cut(req.Method))
	}
	for name, values := range req.Header {
		if !isToken(name) {
			return fmt.Errorf("header name %q is none", cut(name))
		}
		for _, v := range values {
			if strings.ContainsFunc(v, isControl) {
				return fmt.Errorf("the value of header %q has a control character in it", cut(name)) // it may be secret
			}
		}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// appendRequest appends what is sent for a request that checkRequest has found good.
func appendRequest(dst []byte, req *http.Request) ([]byte, error) {
	host, err := hostHeader(req)
	if err != nil {
		return dst, err
	}
	uri := req.URL.RequestURI()
	if strings.ContainsFunc(uri, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return dst, errors.New("the request's URL has a control character in it")
	}
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, uri...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	dst = appendHeader(dst, "Host", host)

	var names [24]string // enough not to allocate
	sorted := names[:0]
	for name := range req.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer": // what a request without a body does not have
		default:
			sorted = append(sorted, name)
		}
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		for _, v := range req.Header[name] {
			dst = appendHeader(dst, name, v)
		}
	}
	if u := req.URL.User; u != nil && len(req.Header["Authorization"]) == 0 {
		password, _ := u.Password()
		dst = append(dst, "Authorization: Basic "...)
		dst = base64.StdEncoding.AppendEncode(dst, []byte(u.Username()+":"+password))
		dst = append(dst, "\r\n"...)
	}
	if req.Close && len(req.Header["Connection"]) == 0 {
		dst = append(dst, "Connection: close\r\n"...)
	}
	return append(dst, "\r\n"...), nil
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, strings.Trim(value, " \t")...)
	return append(dst, "\r\n"...)
}

// hostHeader returns the value of the Host header: as the request says, without an IPv6 zone.
func hostHeader(req *http.Request) (string, error) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	if !isASCII(host) {
		ascii, err := idna.ToASCII(host)
		if err != nil {
			return "", fmt.Errorf("host %q: %w", cut(host), err)
		}
		host = ascii
	}
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			if zone := strings.IndexByte(host[:end], '%'); zone > 0 {
				host = host[:zone] + host[end:]
			}
		}
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"/<>?@\^`+"`{|}", r) }) {
		return "", fmt.Errorf("host %q is none", cut(host))
	}
	return host, nil
}

// wantsClose reports whether the request says that it is the last on its connection.
func wantsClose(req *http.Request) bool {
	if req.Close {
		return true
	}
	for _, v := range req.Header["Connection"] {
		for token := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "close") {
				return true
			}
		}
	}
	return false
}

// maxQuoted is how much of what others wrote becomes part of an error.
const maxQuoted = 1 << 10

func cut(s string) string {
	if len(s) > maxQuoted {
		return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
	}
	return s
}
