package web

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// TestPatternsAreBounded: a request of a few kilobytes must not become a program of a hundred megabytes.
func TestPatternsAreBounded(t *testing.T) {
	s := newServer(t, metadataOptions())
	f := func(pattern, wantError string) {
		t.Helper()
		want := 200
		if wantError != "" {
			want = 400
		}
		for _, path := range []string{"/targets?endpoint_search=" + url.QueryEscape(pattern),
			"/api/v1/targets/metadata?match_target=" + url.QueryEscape(`{job=~`+"`"+pattern+"`"+`}`)} {
			res := ask(t, s, local, "GET", path, "")
			if body := text(t, res); res.StatusCode != want || !strings.Contains(body, wantError) {
				t.Errorf("%.60s = %d %.200q, want %d, %q", path, res.StatusCode, body, want, wantError)
			}
		}
	}
	const large = "the regular expression is too large"
	f(strings.Repeat("a{1000}", 2000), "longer than 1024 bytes")
	f(strings.Repeat("a{1000}", 30), large)
	f("("+strings.Repeat("()", 100)+"){999}", large)
	f(strings.Repeat(`\pL`, 300), large)
	f("(", "missing closing )")
	f("(?i)node-[0-9]{1,3}[.](eu|us)-[a-z]{2,16}(:[0-9]+)?", "")
	f(`\pL+\d{100}`, "")
	f(strings.Repeat("10[.]0[.]0[.]1:9100|", 50), "")

	var many strings.Builder
	for i := range 20 {
		fmt.Fprintf(&many, "a%d=~`a{999}`,", i)
	}
	if _, err := parseSelector("{" + many.String() + "}"); err == nil || !strings.Contains(err.Error(), large) {
		t.Errorf("a selector with 20 expressions gives %v, want that they are too large together", err)
	}
}
