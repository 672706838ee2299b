package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// denial is why a request is not answered.
type denial struct {
	code   int
	reason string
	// basic: the client may try again with a user and a password.
	basic bool
}

// authorize says why the request may not have what a protects, nil if it may. It may read the request's form.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, a access) *denial {
	switch {
	case a.open:
		return nil
	case a.key != "":
		got, err := requestKey(w, r)
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return &denial{code: http.StatusRequestEntityTooLarge, reason: fmt.Sprintf("the form is larger than %d bytes", tooLarge.Limit)}
		}
		if err != nil {
			return &denial{code: http.StatusBadRequest, reason: "the form cannot be read"}
		}
		if got == "" {
			return &denial{code: http.StatusUnauthorized, reason: "this path needs the key which " + a.keyFlag + " sets, in the header X-Auth-Key or the form value authKey"}
		}
		if !equal(sha256.Sum256([]byte(got)), sha256.Sum256([]byte(a.key))) {
			return &denial{code: http.StatusUnauthorized, reason: "the key is not the one which " + a.keyFlag + " sets"}
		}
		return nil
	case s.o.BasicAuth.User != "":
		user, pass, _ := r.BasicAuth()
		okUser := equal(sha256.Sum256([]byte(user)), s.user)
		okPass := equal(sha256.Sum256([]byte(pass)), s.pass)
		if !okUser || !okPass {
			return &denial{code: http.StatusUnauthorized, reason: "user or password is missing or wrong", basic: true}
		}
		return nil
	case a.local:
		help := "-httpAuth.username"
		if a.keyFlag != "" {
			help = a.keyFlag + " or " + help
		}
		if !localPeer(r) {
			return &denial{code: http.StatusForbidden, reason: "without authentication this path answers local peers only; to use it from elsewhere set " + help}
		}
		if !localHost(r) {
			return &denial{code: http.StatusForbidden, reason: "without authentication this path answers requests for localhost or an IP address only, not for other host names; to use it under this name set " + help}
		}
		return nil
	}
	return nil
}

// localMayRead says whether the request may have what shows targets' bodies, for parts of a page.
func (s *Server) localMayRead(r *http.Request) bool {
	return s.o.BasicAuth.User != "" || localPeer(r) && localHost(r)
}

func equal(a, b [sha256.Size]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// requestKey is the key that the request carries: in a header, in its query, or in its form.
func requestKey(w http.ResponseWriter, r *http.Request) (string, error) {
	if k := r.Header.Get("X-Auth-Key"); k != "" {
		return k, nil
	}
	// Scrapers can be configured to send this one (authorization.credentials).
	if scheme, k, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return k, nil
	}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		rc := http.NewResponseController(w)
		// A writer without deadlines is a test's: then there is nobody who could be slow.
		_ = rc.SetReadDeadline(time.Now().Add(readBodyTimeout))
		r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
		if err := r.ParseForm(); err != nil {
			return "", err
		}
		_ = rc.SetReadDeadline(time.Time{})
		if k := r.PostForm.Get("authKey"); k != "" {
			return k, nil
		}
	}
	return r.URL.Query().Get("authKey"), nil
}

// localPeer says whether the request came over the loopback interface or a Unix socket. Only the connection counts:
// headers are the peer's word.
func localPeer(r *http.Request) bool {
	if unixPeer(r) {
		return true
	}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

func unixPeer(r *http.Request) bool {
	_, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr)
	return ok
}

// localHost says whether the request's Host cannot be a name which somebody else made point to the loopback
// interface, so that a browser on this machine speaks to us in a foreign page's name. It takes rights, never gives any.
func localHost(r *http.Request) bool {
	if unixPeer(r) {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	// A name without a dot is not in the public DNS.
	return !strings.Contains(host, ".") || strings.HasSuffix(strings.ToLower(host), ".localhost")
}
