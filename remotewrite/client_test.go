package remotewrite

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	commoncfg "github.com/prometheus/common/config"

	"scraper/bufpool/bufpooltest"
)

// TestRedirects pins where a POST is sent on to, and what goes with it.
func TestRedirects(t *testing.T) {
	const secret = "hunter2hunter2"
	f := func(name, from, location string, code int, wantHost, wantAuth, wantErr string, change func(*Destination)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := DefaultHTTP()
				h.Authorization = &commoncfg.Authorization{Type: "Bearer", Credentials: secret}
				h.HTTPHeaders = &commoncfg.Headers{Headers: map[string]commoncfg.Header{"X-Key": {Secrets: []commoncfg.Secret{secret}}}}
				d := Destination{URL: from, HTTP: h, Headers: map[string]string{"X-Own": secret}}
				if change != nil {
					change(&d)
				}
				r := newRig(t, nil, d)
				var got *http.Request
				var body []byte
				front := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if req.URL.Path == "/next" {
						got, body = req.Clone(req.Context()), readAll(req)
						return
					}
					_ = readAll(req)
					if location != "" {
						w.Header().Set("Location", location)
					}
					w.WriteHeader(code)
				})
				r.serve("a.example:80", front)
				r.serve("a.example:8080", front)
				r.serve("b.example:80", front)
				r.run()
				r.commit(t, r.Writer, 0, 10, 1)
				time.Sleep(1500 * time.Millisecond)
				synctest.Wait()
				st := r.Status()[0]
				if wantErr != "" {
					if !strings.Contains(st.LastError, wantErr) || st.SentSamples != 0 || st.PendingSamples != 10 {
						t.Errorf("status = %+v, want pending because of %q", st, wantErr)
					}
					if strings.Contains(st.LastError, secret) {
						t.Errorf("LastError = %q, which shows a secret", st.LastError)
					}
					if got != nil {
						t.Error("the redirect was followed")
					}
					return
				}
				if got == nil || st.SentSamples != 10 {
					t.Fatalf("the redirect was not followed: %+v", st)
				}
				if got.Method != http.MethodPost || got.Host != wantHost {
					t.Errorf("%s to %s, want POST to %s", got.Method, got.Host, wantHost)
				}
				if s, err := decodeRequest(body); err != nil || len(s) != 10 {
					t.Errorf("the body holds %d samples, %v, want 10", len(s), err)
				}
				if a := got.Header.Get("Authorization"); a != wantAuth {
					t.Errorf("Authorization = %q, want %q", a, wantAuth)
				}
				for _, k := range []string{"X-Key", "X-Own"} {
					if has := got.Header.Get(k) != ""; has != (wantAuth != "") {
						t.Errorf("%s was sent: %t", k, has)
					}
				}
				if got.Header.Get("Content-Encoding") != "snappy" || got.Header.Get("X-Prometheus-Remote-Write-Version") == "" {
					t.Errorf("protocol headers are missing: %v", got.Header)
				}
			})
		})
	}
	const auth = "Bearer " + secret
	f("307 to the same host", "http://a.example/w", "/next", 307, "a.example", auth, "", nil)
	f("308 to the same host", "http://a.example/w", "http://a.example:80/next", 308, "a.example:80", auth, "", nil)
	f("another host gets no credentials", "http://a.example/w", "http://b.example/next", 307, "b.example", "", "", nil)
	f("another port gets no credentials", "http://a.example/w", "http://a.example:8080/next", 308, "a.example:8080", "", "", nil)
	f("302 is not followed", "http://a.example/w", "/next", 302, "", "", "only 307 and 308", nil)
	f("301 is not followed", "http://a.example/w", "/next", 301, "", "", "only 307 and 308", nil)
	f("303 is not followed", "http://a.example/w", "/next", 303, "", "", "only 307 and 308", nil)
	f("loop", "http://a.example/w", "/w?"+secret, 307, "", "", "more than 5 redirects", nil)
	f("no location", "http://a.example/w", "", 307, "", "", "does not say where to", nil)
	f("no URL", "http://a.example/w", "http://%zz/"+secret, 307, "", "", "no URL", nil)
	f("another scheme", "http://a.example/w", "ftp://a.example/next", 307, "", "", "no HTTP URL", nil)
	f("forbidden", "http://a.example/w", "/next", 307, "", "", "follow_redirects forbids", func(d *Destination) { d.HTTP.FollowRedirects = false })
	f("user of the URL stays home", "http://u:p@a.example/w", "/next", 307, "a.example", "Basic dTpw", "", func(d *Destination) { d.HTTP.Authorization = nil })
	f("user of the URL goes nowhere", "http://u:p@a.example/w", "http://b.example/next", 307, "b.example", "", "", func(d *Destination) { d.HTTP.Authorization = nil })
}

// TestRedirectBack goes to another host and back: who was away gets no credentials any more.
func TestRedirectBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := DefaultHTTP()
		h.BasicAuth = &commoncfg.BasicAuth{Username: "u", Password: "p"}
		r := newRig(t, nil, Destination{URL: "http://a.example/", HTTP: h})
		var auth string
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_ = readAll(req)
			if req.URL.Path == "/" {
				http.Redirect(w, req, "http://b.example/", 307)
				return
			}
			auth = "none" + req.Header.Get("Authorization")
		}))
		r.serve("b.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_ = readAll(req)
			http.Redirect(w, req, "http://a.example/steal", 308)
		}))
		r.run()
		r.commit(t, r.Writer, 0, 1, 1)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if auth != "none" {
			t.Errorf("after a way by another host, Authorization = %q, want none", auth)
		}
	})
}

func TestRedirectToPlainHTTP(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/", 307)
	}))
	defer s.Close()
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	blk := testBlock(t, tg, &account, 0, 1)
	defer blk.release()
	h := DefaultHTTP()
	h.TLSConfig.InsecureSkipVerify = true
	c := clientTo(t, Destination{URL: s.URL, HTTP: h})
	defer c.closeIdle()
	var open bodies
	defer open.close()
	if _, got := c.send(t.Context(), &open, blk, 0, nil); got == nil || !strings.Contains(got.Error(), "from https to http") {
		t.Errorf("send() = %v, want a refusal", got)
	}
}

// TestSecretsStaySecret makes requests fail in all the ways that quote a URL or a header.
func TestSecretsStaySecret(t *testing.T) {
	const pw, token, header = "hunter2hunter2", "tokentokentoken", "headerheader"
	f := func(name string, change func(*Destination), serve func(*rig)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := Destination{URL: "http://user:" + pw + "@a.example/write?token=" + token, Headers: map[string]string{"X-Key": header}}
				if change != nil {
					change(&d)
				}
				r := newRig(t, nil, d)
				if serve != nil {
					serve(r)
				}
				r.run()
				r.commit(t, r.Writer, 0, 1, 1)
				time.Sleep(1500 * time.Millisecond)
				st := r.Status()[0]
				text := fmt.Sprintf("%+v %s", st, r.logs)
				if st.LastError == "" || r.logs.String() == "" {
					t.Error("nothing failed")
				}
				for _, s := range []string{pw, pw[:7], token, header, "/write"} {
					if strings.Contains(text, s) {
						t.Errorf("%q is shown: %s", s, text)
					}
				}
			})
		})
	}
	f("nobody listens", nil, nil)
	f("echo", nil, func(r *rig) {
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, p, _ := req.BasicAuth()
			w.WriteHeader(400)
			_, _ = io.WriteString(w, "bad request: ?"+req.URL.RawQuery+" "+p+" "+req.Header.Get("X-Key"))
		}))
	})
	f("echo of a redirect's query", nil, func(r *rig) {
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/write" {
				http.Redirect(w, req, "/next?signature="+pw[:7]+header+"x", 307)
				return
			}
			w.WriteHeader(503)
			_, _ = io.WriteString(w, "away: ?"+req.URL.RawQuery)
		}))
	})
	f("OAuth2", func(d *Destination) {
		d.HTTP = DefaultHTTP()
		d.HTTP.OAuth2 = &commoncfg.OAuth2{ClientID: "me", ClientSecret: pw, TokenURL: "http://user:" + pw + "@nowhere.example/write?token=" + token}
	}, nil)
	f("proxy", func(d *Destination) {
		d.HTTP = DefaultHTTP()
		u, err := d.parseURL()
		if err != nil {
			panic(err)
		}
		d.HTTP.ProxyURL = commoncfg.URL{URL: u}
	}, nil)
	f("unreadable secret", func(d *Destination) {
		d.HTTP = DefaultHTTP()
		d.HTTP.Authorization = &commoncfg.Authorization{Type: "Bearer", CredentialsFile: "/does/not/exist"}
	}, nil)
}

// TestLogging follows a destination through an outage: one line when it begins, one now and then, one when it is over.
func TestLogging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ok atomic.Bool
		ok.Store(true)
		r := newRig(t, nil, Destination{Name: "prod", URL: "http://a.example/"})
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !ok.Load() {
				w.WriteHeader(500)
			}
		}))
		r.run()
		ts := int64(0)
		round := func(d time.Duration) {
			ts += 1000
			r.commit(t, r.Writer, 0, 1, ts)
			time.Sleep(d)
		}
		want := func(failed, recovered int) {
			t.Helper()
			if f, g := r.logs.count("sending failed"), r.logs.count("sending recovered"); f != failed || g != recovered {
				t.Errorf("%d and %d lines about failure and recovery, want %d and %d:\n%s", f, g, failed, recovered, r.logs)
			}
		}
		for range 10 {
			round(time.Minute)
		}
		want(0, 0)
		ok.Store(false)
		round(4 * time.Minute)
		want(1, 0)
		round(2 * time.Minute)
		want(2, 0)
		ok.Store(true)
		round(2 * time.Minute)
		want(2, 1)
		// Flapping is told now and then.
		for i := range 60 {
			ok.Store(i%2 == 0)
			round(5 * time.Second)
		}
		if n := r.logs.count("sending failed"); n > 13 {
			t.Errorf("%d lines about failures in 5 minutes of flapping:\n%s", n, r.logs)
		}
		if !strings.Contains(r.logs.String(), `destination=1:prod`) {
			t.Errorf("the log does not name the destination:\n%s", r.logs)
		}
	})
}
