package config

import (
	"flag"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files of this package anew")

func TestTextGolden(t *testing.T) {
	for _, f := range []struct {
		name    string
		dialect Dialect
		vars    map[string]string
	}{
		{"prometheus", Prometheus, nil},
		{"vmagent", VMAgent, map[string]string{"NODE_NAME": "node-1", "PASSWORD": "s3cret"}},
	} {
		got := mustLoad(t, "testdata/"+f.name+".yml", Options{Dialect: f.dialect, Getenv: env(f.vars)}).Text()
		golden := "testdata/" + f.name + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "Text of "+f.name+".yml (go test -update writes "+golden+")", got, string(want))
		if strings.Contains(got, "s3cret") || strings.Contains(got, "node-1") {
			t.Errorf("Text of %s.yml holds a secret or an expanded variable:\n%s", f.name, got)
		}
	}
}

func TestRedactText(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := redactText([]byte(in)); got != want {
			t.Errorf("redactText(%q) =\n%s\nwant\n%s", in, got, want)
		}
	}
	f("", "")
	f("# password: x\n", "")
	f("a: 1 # password: x\n# y\nb: 2\n", "a: 1\nb: 2\n")
	f("password: x\n", "password: <secret>\n")
	f("password:\n", "password:\n")
	f("password: ''\n", "password: <secret>\n")
	f("{\"password\": \"x\", \"username\": \"u\"}", "{\"password\": <secret>, \"username\": \"u\"}\n")
	f("password: >-\n  x\n  y\nb: 1\n", "password: <secret>\nb: 1\n")
	f("password: !!binary eA==\n", "password: <secret>\n")
	f("password: !x y\n", "password: <secret>\n")
	f("password: &x\nb: *x\n", "password: &hidden-1\nb: *hidden-1\n")
	f("job_name: &x y\npassword: *x\n", "job_name: &hidden-1 <secret>\npassword: *hidden-1\n")
	f("labels: &x {password: y}\nbasic_auth: {<<: *x}\n", "labels: &x {password: <secret>}\nbasic_auth: {<<: *x}\n")
	f("labels: {password: y, __param_key: z, __address__: 'u:p@h'}\n", "labels: {password: y, __param_key: <secret>, __address__: <secret>@h}\n")
	f("credentials_file: x\nkey_file: y\nkey: z\n", "credentials_file: x\nkey_file: y\nkey: <secret>\n")
	f("headers: {A: b, \"C:d\": }\n", "headers: {A: <secret>, \"C:<secret>\": ''}\n")
	f("password: {a: b}\n", "password: {<secret>: <secret>}\n")
	f("password:x: y\n", "password:<secret>: y\n")
	f("http_headers: {A: {values: [a]}}\n", "http_headers: {A: {values: [<secret>]}}\n")
	f("params: {a: [b, c], d: []}\n", "params: {a: [<secret>, <secret>], d: []}\n")
	f("[{target_label: __param_a, replacement: b}, {target_label: __param_a, replacement: $1}, {target_label: a, replacement: b}]",
		"[{target_label: __param_a, replacement: <secret>}, {target_label: __param_a, replacement: $1}, {target_label: a, replacement: b}]\n")
	f("regex: (https?)://(.*)@x?y\n", "regex: (https?)://(.*)@x?y\n")
	// References
	f("a: %{B}\npassword: %{C}\n%{D}: x\ne: \"%{F}-%{F} %{ }\"\n", "a: %{B}\npassword: <secret>\n%{D}: <secret>\ne: \"%{F}-%{F} %{ }\"\n")
	f("ENV: ENV0xENV0z%{A}5\n", "ENV: ENV0xENV0z%{A}5\n")
	f("%{ALL}\na: b\n", unreadable)
	f("[a", unreadable)
}

func TestRedactURL(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := redactURL(in); got != want {
			t.Errorf("redactURL(%q) = %q, want %q", in, got, want)
		}
	}
	f("http://h:1/p", "http://h:1/p")
	f("http://u:p@h:1/p", "http://<secret>@h:1/p")
	f("http://u:p/w@x@h/p", "http://<secret>@h/p")
	f("http://u:p?x@h/p", "http://<secret>")
	f("http://h/p?mail=a@b", "http://<secret>")
	f("http://h/p?a=b&c=d", "http://h/p?a=<secret>&c=<secret>")
	f("http://h/p?a=b;c", "http://h/p?a=<secret>&<secret>")
	f("http://h/?", "http://h/?")
	f("http://h/#a", "http://h/#<secret>")
	f("//u@h", "//<secret>@h")
	f("socks5://u:p@h:1", "socks5://<secret>@h:1")
}

// secretPlaces are valid files with a secret at each place where one may stand: MARK.
var secretPlaces = []string{
	`scrape_configs: [{job_name: x, basic_auth: {username: u, password: MARK}}]`,
	`scrape_configs: [{job_name: x, authorization: {credentials: MARK}}]`,
	`scrape_configs: [{job_name: x, bearer_token: MARK}]`,
	`scrape_configs: [{job_name: x, oauth2: {client_id: c, token_url: 'http://h', client_secret: MARK}}]`,
	`scrape_configs: [{job_name: x, oauth2: {client_id: c, token_url: 'http://h', client_certificate_key: MARK}}]`,
	`scrape_configs: [{job_name: x, oauth2: {client_id: c, token_url: 'http://u:MARK@h'}}]`,
	`scrape_configs: [{job_name: x, oauth2: {client_id: c, token_url: 'http://h?a=MARK'}}]`,
	`scrape_configs: [{job_name: x, oauth2: {client_id: c, token_url: 'http://h', endpoint_params: {a: MARK}}}]`,
	`scrape_configs: [{job_name: x, oauth2: {client_id: c, token_url: 'http://h', claims: {a: [{b: MARK}]}}}]`,
	`scrape_configs: [{job_name: x, oauth2: {client_id: c, token_url: 'http://h', proxy_url: 'http://MARK:p@h'}}]`,
	`scrape_configs: [{job_name: x, tls_config: {cert: c, key: MARK}}]`,
	`scrape_configs: [{job_name: x, proxy_url: 'http://u:MARK@h:1'}]`,
	`scrape_configs: [{job_name: x, proxy_url: 'http://h', proxy_connect_header: {A: [MARK]}}]`,
	`scrape_configs: [{job_name: x, http_headers: {A: {values: [MARK]}}}]`,
	`scrape_configs: [{job_name: x, http_headers: {A: {secrets: [MARK]}}}]`,
	`scrape_configs: [{job_name: x, headers: ['A: MARK']}]`,
	`scrape_configs: [{job_name: x, params: {a: [b, MARK]}}]`,
	`scrape_configs: [{job_name: x, metrics_path: '/m?a=MARK'}]`,
	`scrape_configs: [{job_name: x, static_configs: [{targets: ['http://u:MARK@h/p']}]}]`,
	`scrape_configs: [{job_name: x, static_configs: [{targets: ['h/p?a=MARK']}]}]`,
	`scrape_configs: [{job_name: x, static_configs: [{targets: [h], labels: {__param_a: MARK}}]}]`,
	`scrape_configs: [{job_name: x, relabel_configs: [{target_label: __param_a, replacement: MARK}]}]`,
	`scrape_configs: [{job_name: x, relabel_configs: [{target_label: __address__, replacement: 'http://u:MARK@h'}]}]`,
	`remote_write: [{url: 'http://u:MARK@h/w'}]`,
	`remote_write: [{url: 'http://h/w?a=MARK'}]`,
	`remote_write: [{url: 'http://h/w', headers: {A: MARK}}]`,
	`remote_write: [{url: 'http://h/w', basic_auth: {password: MARK}}]`,
	`remote_read: [{url: 'http://h/r', basic_auth: {password: MARK}, headers: {A: MARK}}]`,
	`alerting: {alertmanagers: [{static_configs: [{targets: ['u:MARK@h']}], authorization: {credentials: MARK}, sigv4: {secret_key: MARK}}]}`,
}

// TestSecretsStayHidden puts a secret at every place, well formed and not, alone and among other problems, and looks
// for it in everything that is for people.
func TestSecretsStayHidden(t *testing.T) {
	const mark = "xyzzy"
	check := func(dialect Dialect, text string) {
		t.Helper()
		c, err := Parse([]byte(text), Options{Dialect: dialect, Getenv: env(map[string]string{"SECRET": mark})})
		if err != nil && strings.Contains(err.Error(), mark) {
			t.Errorf("Parse(%q): the error holds a secret: %v", text, err)
		}
		if err == nil && strings.Contains(c.Text()+strings.Join(c.Warnings, ""), mark) {
			t.Errorf("Parse(%q): the text or a warning holds a secret: %s%s", text, c.Text(), c.Warnings)
		}
		if shown := redactText([]byte(text)); strings.Contains(shown, mark) {
			t.Errorf("redactText(%q) holds a secret: %s", text, shown)
		}
	}
	for _, place := range secretPlaces {
		c := mustParse(t, strings.ReplaceAll(place, "MARK", mark), Options{})
		if !strings.Contains(c.Text(), hidden) {
			t.Errorf("Text of %q does not show that something is hidden: %s", place, c.Text())
		}
		for _, dialect := range []Dialect{VMAgent, Prometheus} {
			for _, secret := range []string{mark, "%{SECRET}"} {
				text := strings.ReplaceAll(place, "MARK", secret)
				check(dialect, text)
				check(dialect, text+" # "+mark)
				check(dialect, "x: 1\n"+text)
				var n yaml.Node
				if err := yaml.Unmarshal([]byte(text), &n); err == nil {
					blockStyle(&n)
					block, err := yaml.Marshal(&n)
					if err != nil {
						t.Fatal(err)
					}
					check(dialect, string(block))
					check(dialect, "# password: "+mark+"\n"+string(block)+"nonsense: [1]\n")
				}
			}
			// Values which are mistakes: of the wrong kind, or which YAML takes for something else.
			for _, wrong := range []string{
				"[MARK]", "{MARK: MARK}", "{a: MARK}", "[[MARK]]", "*MARK", "&MARK", "!MARK", "!!int MARK", "!!binary MARK", "&a MARK",
				"%MARK", "@MARK", "`MARK", "|MARK", "MARK: MARK", "MARK]", "'MARK", "\"\\uMARK\"", "\"MARK\\n\"", "? MARK", "- MARK", "{MARK}",
				"<<", "{<<: MARK}", "{<<: [MARK]}",
			} {
				for _, in := range []string{"MARK", "'A: MARK'"} {
					check(dialect, strings.ReplaceAll(strings.ReplaceAll(place, in, wrong), "MARK", mark))
				}
			}
			// No blank after the colon.
			check(dialect, strings.ReplaceAll(strings.ReplaceAll(place, ": MARK", ":MARK"), "MARK", mark))
		}
	}
}

func blockStyle(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle
	for _, c := range n.Content {
		blockStyle(c)
	}
}
