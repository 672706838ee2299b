package transport

import (
	"errors"
	"fmt"
	"net/http"

	commoncfg "github.com/prometheus/common/config"
)

// ForConfig returns a Transport for a job's client configuration, and the round tripper which puts the job's credentials
// and headers on its requests. Both are nil, without an error, when the configuration asks for what a Transport does not
// do: a proxy, or OAuth2. Then the client of prometheus/common is the one to use. enable_http2, which is true by default, is
// a permission here: a target which could speak HTTP/2 is asked in HTTP/1.1.
//
// TLS comes from the configuration: Options.TLS and Options.CurrentTLS must not be set. Its files, and those of
// credentials, are looked at every few seconds while requests are sent, and count as soon as a change is seen; while one
// of them cannot be read the requests which need it fail. Redirects are not followed; who does so decides which
// credentials go along.
func ForConfig(cfg commoncfg.HTTPClientConfig, o Options) (http.RoundTripper, *Transport, error) {
	if cfg.OAuth2 != nil || cfg.ProxyFromEnvironment || cfg.ProxyURL.URL != nil {
		return nil, nil, nil
	}
	if o.TLS != nil || o.CurrentTLS != nil {
		return nil, nil, errors.New("transport: TLS comes from the configuration, and is in the options, too")
	}
	var err error
	if o.CurrentTLS, err = tlsOf(cfg.TLSConfig); err != nil {
		return nil, nil, fmt.Errorf("transport: %w", err)
	}
	t, err := New(o)
	if err != nil {
		return nil, nil, err
	}
	rt, err := withCredentials(cfg, t)
	if err != nil {
		return nil, nil, fmt.Errorf("transport: %w", err)
	}
	return rt, t, nil
}

// withCredentials puts what the configuration adds to requests before rt.
func withCredentials(cfg commoncfg.HTTPClientConfig, rt http.RoundTripper) (http.RoundTripper, error) {
	if a := cfg.Authorization; a != nil {
		credentials, err := secret("credentials", string(a.Credentials), a.CredentialsFile, a.CredentialsRef)
		if err != nil {
			return nil, err
		}
		rt = commoncfg.NewAuthorizationCredentialsRoundTripper(a.Type, credentials, rt)
	}
	if cfg.BearerToken != "" || cfg.BearerTokenFile != "" { // which a validated configuration has moved to Authorization
		token, err := secret("bearer_token", string(cfg.BearerToken), cfg.BearerTokenFile, "")
		if err != nil {
			return nil, err
		}
		rt = commoncfg.NewAuthorizationCredentialsRoundTripper("Bearer", token, rt)
	}
	if a := cfg.BasicAuth; a != nil {
		username, err := secret("username", a.Username, a.UsernameFile, a.UsernameRef)
		if err != nil {
			return nil, err
		}
		password, err := secret("password", string(a.Password), a.PasswordFile, a.PasswordRef)
		if err != nil {
			return nil, err
		}
		rt = commoncfg.NewBasicAuthRoundTripper(username, password, rt)
	}
	if cfg.HTTPHeaders != nil {
		rt = commoncfg.NewHeadersRoundTripper(cfg.HTTPHeaders, rt)
	}
	return rt, nil
}

// secret returns the reader of a secret which is given in one of the ways of the configuration, nil if in none.
func secret(name, text, file, ref string) (commoncfg.SecretReader, error) {
	switch {
	case text != "":
		return commoncfg.NewInlineSecret(text), nil
	case file != "":
		return newSecretFile(file), nil
	case ref != "":
		return nil, fmt.Errorf("%s_ref needs a secret manager, and there is none; %s_file reads a file", name, name)
	}
	return nil, nil
}
