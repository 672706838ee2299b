package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wantProblems checks the exact problems of a text, each on a line of its own.
func wantProblems(t *testing.T, dialect Dialect, text, want string) {
	t.Helper()
	_, err := Parse([]byte(text), Options{Dialect: dialect, Name: "f.yml", Getenv: env(map[string]string{"TWO": "\n\n", "A": "a"})})
	got := "nil"
	if err != nil {
		got = err.Error()
	}
	// What differs between the dialects in errors which both have.
	decimal, least := ", 1.5s", ""
	if dialect == Prometheus {
		decimal, least = "", " of at least 0"
	}
	want = strings.NewReplacer("§", decimal, "¶", least).Replace(strings.TrimSpace(want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s, Parse(%q): -want +got:\n%s", dialect, text, diff)
	}
}

func bothDialects(t *testing.T) func(text, want string) {
	return func(text, want string) {
		t.Helper()
		wantProblems(t, VMAgent, text, want)
		wantProblems(t, Prometheus, text, want)
	}
}

func TestSyntaxProblems(t *testing.T) {
	f := bothDialects(t)
	f("{\n\n", `f.yml:2: did not find expected node content`)
	f("global:\n  scrape_interval: 15s\nscrape_configs:\n  - job_name: a\n   static_configs: []\n",
		`f.yml:5: did not find expected '-' indicator`)
	f("global:\n\tscrape_interval: 1s\n", `f.yml:2: found character that cannot start any token`)
	f("a: 1\nb: \"abc\nc: 1\n", `f.yml:2: found unexpected end of stream`)
	f("a: 1\nb\n", `f.yml:2: could not find expected ':'`)
	f("a: 1\nb: c: d\n", `f.yml:2: mapping values are not allowed in this context`)
	f("a: 1\nb: \"\\q\"\n", `f.yml:2: found unknown escape character`)
	f("a: 1\nb: x\xff\n", `f.yml:2: not valid UTF-8`)
	f("a: 1\nb: x\x01\n", `f.yml:2: control character U+0001`)
	f("global: {}\n---\nglobal: {}\n", `f.yml:3: a second YAML document starts here, one is wanted`)
	f("a: 1\nb: *x\n", `f.yml:2: a value starts with * but no anchor of this name was set before (quote the value if it is text)`)
	f("global:\n  external_labels:\n    a: %{NO}\n",
		`f.yml:3: found character that cannot start any token (a %{NAME} whose environment variable is not set stays as it is: set it, or quote the value)`)
	f("- a\n", `f.yml:1: the configuration: want a mapping, got a list`)
	f("text", `f.yml:1: the configuration: want a mapping, got text`)
	f("global:\n  scrape_interval: 1s\n  scrape_interval: 2s\n", `f.yml:3: key "scrape_interval" is given twice, first in line 2`)
	f("? [a]\n: b\n", `f.yml:1: a key must be text, got a list`)
	f("global:\n  <<: 1\n", `f.yml:2: a merge key (<<) wants a mapping or a list of mappings`)
}

func TestKeyProblems(t *testing.T) {
	f := bothDialects(t)
	f("scrape_config: []\n", `f.yml:1: unknown key "scrape_config", did you mean "scrape_configs"?`)
	f("scrape_config_files: [a.yml]\nglobl: {}\n", `
f.yml:1: key "scrape_config_files" is not supported yet
f.yml:2: unknown key "globl", did you mean "global"?`)
	f(`
global:
  scrape_intervall: 1s
  relabel_configs:
  - {target_label: a}
  extra_scrape_metrics: true
  zzz: 1
`, `
f.yml:3: unknown key "scrape_intervall" of global, did you mean "scrape_interval"?
f.yml:4: key "relabel_configs" of global is not supported yet
f.yml:6: key "extra_scrape_metrics" of global is not supported yet
f.yml:7: unknown key "zzz" of global`)
	f(`
scrape_configs:
- job_name: node
  kubernetes_sd_configs:
  - role: pod
  series_limit: 9
  scrape_offset: 5s
  jobname: x
  honour_labels: true
  tls_config: {insecure_skip_verfiy: true, ca_ref: x}
  basic_auth: {user: x, password_ref: x}
  static_configs:
  - target: [a]
  relabel_configs:
  - if: '{a="b"}'
    action: keep
  - source_label: [a]
  file_sd_configs:
  - {files: [a.yml], file: x}
`, `
f.yml:4: key "kubernetes_sd_configs" of job "node" is not supported yet
f.yml:6: key "series_limit" of job "node" is not supported yet
f.yml:7: key "scrape_offset" of job "node" is not supported yet
f.yml:8: unknown key "jobname" of job "node", did you mean "job_name"?
f.yml:9: unknown key "honour_labels" of job "node", did you mean "honor_labels"?
f.yml:10: unknown key "insecure_skip_verfiy" of tls_config of job "node", did you mean "insecure_skip_verify"?
f.yml:10: key "ca_ref" of tls_config of job "node" is not supported yet
f.yml:11: unknown key "user" of basic_auth of job "node"
f.yml:11: key "password_ref" of basic_auth of job "node" is not supported yet
f.yml:13: unknown key "target" of static_configs[0] of job "node", did you mean "targets"?
f.yml:15: key "if" of relabel_configs[0] of job "node" is not supported yet
f.yml:17: unknown key "source_label" of relabel_configs[1] of job "node", did you mean "source_labels"?
f.yml:19: unknown key "file" of file_sd_configs[0] of job "node", did you mean "files"?`)
	f(`
remote_write:
- url: http://h/w
  round_robin_dns: true
  sigv4: {}
  queue_configs: {}
  queue_config: {max_shard: 1}
  metadata_config: {sent: true}
`, `
f.yml:4: key "round_robin_dns" of remote_write[0] is not supported yet
f.yml:5: key "sigv4" of remote_write[0] is not supported yet
f.yml:6: unknown key "queue_configs" of remote_write[0], did you mean "queue_config"?
f.yml:7: unknown key "max_shard" of queue_config of remote_write[0], did you mean "max_shards"?
f.yml:8: unknown key "sent" of metadata_config of remote_write[0], did you mean "send"?`)
}

// TestEveryPeerKeyIsRefused checks the tables: no key is both supported and refused, and values which say what is done
// anyway are accepted.
func TestEveryPeerKeyIsRefused(t *testing.T) {
	f := func(prefix, suffix string, peer peerKeys) {
		t.Helper()
		for key, harmless := range peer {
			_, err := Parse([]byte(prefix+key+": {some: thing}"+suffix), Options{})
			if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), `key "`+key+`"`) ||
				!strings.Contains(err.Error(), "is not supported yet") {
				t.Errorf("%s%s = %v, want one error that it is not supported yet", prefix, key, err)
			}
			for _, value := range append(harmless, "", "null", "[]") {
				if _, err := Parse([]byte(prefix+key+": "+value+suffix), Options{}); err != nil {
					t.Errorf("%s%s: %s = %v, want nil", prefix, key, value, err)
				}
			}
		}
	}
	f("{", "}", peerTop)
	f("{global: {", "}}", peerGlobal)
	f("{scrape_configs: [{job_name: x, ", "}]}", peerJob)
	f("{scrape_configs: [{job_name: x, relabel_configs: [{target_label: x, ", "}]}]}", peerRelabel)
	f("{scrape_configs: [{job_name: x, basic_auth: {", "}}]}", peerBasicAuth)
	f("{scrape_configs: [{job_name: x, authorization: {", "}}]}", peerAuthorization)
	f("{scrape_configs: [{job_name: x, tls_config: {", "}}]}", peerTLS)
	f("{scrape_configs: [{job_name: x, oauth2: {client_id: x, token_url: 'http://h', ", "}}]}", peerOAuth2)
	f("{remote_write: [{url: 'http://h', ", "}]}", peerRemoteWrite)
}

func TestValueProblems(t *testing.T) {
	f := bothDialects(t)
	f("global:\n  scrape_interval: 1x\n  scrape_timeout: [1s]\n  external_labels: [a]\n  sample_limit: 1.5\n  body_size_limit: 1XB\n"+
		"  label_limit: \"1\"\n", `
f.yml:2: scrape_interval of global: want a duration like 30s`+"§"+` or 1m30s, got "1x"
f.yml:3: scrape_timeout of global: want a duration, got a list
f.yml:4: external_labels of global: want a mapping, got a list
f.yml:5: sample_limit of global: want a whole number`+"¶"+`, got "1.5"
f.yml:6: body_size_limit of global: want a size like 100MB, 16MiB or a number of bytes, got "1XB"
f.yml:7: label_limit of global: want a whole number`+"¶"+`, got "1"`)
	f(`
scrape_configs:
- scrape_interval: 1s
- job_name: ""
- job_name: a
- job_name:
    a
- just text
-
- job_name: b
  scheme: ftp
  honor_labels: "true"
  honor_timestamps: 1
  params: {a: b, c: [{}]}
  max_scrape_size: 1MB
  body_size_limit: 1MB
  static_configs:
  - targets: localhost
  -
  - targets: [a, null]
  - labels: {a: [b], "": c}
  file_sd_configs:
  - files: []
  - refresh_interval: 1m
  - files: ["*/a.yml", "http://h/a.yml", ""]
`, `
f.yml:3: scrape_configs[0]: job_name is missing
f.yml:4: scrape_configs[1]: job_name is missing
f.yml:6: job "a": job_name is used twice, first in line 5
f.yml:8: scrape_configs[4]: want a mapping, got text
f.yml:9: scrape_configs[5]: a list element must not be null
f.yml:11: scheme of job "b": want http or https, got "ftp"
f.yml:12: honor_labels of job "b": want true or false without quotes, got "true"
f.yml:13: honor_timestamps of job "b": want true or false without quotes, got "1"
f.yml:14: params["a"] of job "b": want a list, got text
f.yml:14: params["c"][0] of job "b": want text, got a mapping
f.yml:16: body_size_limit of job "b": max_scrape_size is given already
f.yml:18: targets of static_configs[0] of job "b": want a list, got text
f.yml:19: static_configs[1] of job "b": a list element must not be null
f.yml:20: targets[1] of static_configs[2] of job "b": a list element must not be null
f.yml:21: a value of labels of static_configs[3] of job "b": want text, got a list
f.yml:21: labels of static_configs[3] of job "b": a label name must not be empty
f.yml:23: file_sd_configs[0] of job "b": files is missing or empty
f.yml:24: file_sd_configs[1] of job "b": files is missing or empty
f.yml:25: files[0] of file_sd_configs[2] of job "b": "*/a.yml": only the last element of a path may hold a *
f.yml:25: files[1] of file_sd_configs[2] of job "b": a URL in place of a file is not supported yet
f.yml:25: files[2] of file_sd_configs[2] of job "b": a file name must not be empty`)
	f(`
scrape_configs:
- job_name: a
  metric_relabel_configs:
  - action: hashmod
    target_label: b
  - null
  - regex: "("
    action: drop
  - regex: a
    action: frobnicate
  - modulus: -1
    target_label: a
`, `
f.yml:5: metric_relabel_configs[0] of job "a": action hashmod: modulus is required, and must not be 0
f.yml:7: metric_relabel_configs[1] of job "a": a list element must not be null
f.yml:8: metric_relabel_configs[2] of job "a": regex "(": missing closing ) at "("
f.yml:10: metric_relabel_configs[3] of job "a": unknown action "frobnicate"
f.yml:12: modulus of metric_relabel_configs[4] of job "a": want a whole number, got "-1"`)
}

func TestHTTPClientProblems(t *testing.T) {
	f := bothDialects(t)
	f(`
scrape_configs:
- job_name: a
  basic_auth: {username: u, username_file: f}
- job_name: b
  basic_auth: {username: u}
  bearer_token: t
- job_name: c
  authorization: {type: basic}
- job_name: d
  oauth2: {client_id: x}
- job_name: e
  oauth2: {client_id: x, token_url: nonsense, proxy_from_environment: true, no_proxy: x}
- job_name: f
  tls_config:
    cert_file: x
- job_name: g
  tls_config: {min_version: SSL3}
- job_name: h
  proxy_url: "http://u:s3cret@bad host:1"
- job_name: i
  proxy_url: ftp://u:s3cret@h
- job_name: j
  no_proxy: x
- job_name: k
  http_headers: {Host: {values: [a]}, "a b": {values: []}, X: {values: ["s3cret\n"]}, Y: [s3cret]}
- job_name: l
  headers: [s3cret, "Host: s3cret", "a b: s3cret", "X: s3\ncret", {X: s3cret}]
- job_name: m
  proxy_connect_header: {X: [s3cret]}
- job_name: n
  basic_auth: s3cret
  oauth2: {claims: [s3cret]}
`, `
f.yml:4: basic_auth of job "a": at most one of basic_auth username, username_file & username_ref must be configured
f.yml:7: bearer_token of job "b": at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured
f.yml:9: authorization of job "c": authorization type cannot be set to "basic", use "basic_auth" instead
f.yml:11: oauth2 of job "d": oauth2 token_url must be configured
f.yml:13: token_url of oauth2 of job "e": want a URL like http://host:port
f.yml:13: no_proxy of oauth2 of job "e": if proxy_from_environment is configured, no_proxy must not be configured
f.yml:15: tls_config of job "f": exactly one of key or key_file must be configured when a client certificate is configured
f.yml:18: min_version of tls_config of job "g": want TLS10, TLS11, TLS12 or TLS13
f.yml:20: proxy_url of job "h": not a valid URL
f.yml:22: proxy_url of job "i": want a URL like http://host:port
f.yml:24: no_proxy of job "j": if no_proxy is configured, proxy_url must also be configured
f.yml:26: http_headers of job "k": not a valid header name
f.yml:26: values[0] of http_headers["X"] of job "k": a header value must not hold a line break
f.yml:26: http_headers["Y"] of job "k": want a mapping, got a list
f.yml:26: http_headers of job "k": setting header "Host" is not allowed
f.yml:28: headers[0] of job "l": want "Name: value"
f.yml:28: headers[1] of job "l": setting header "Host" is not allowed
f.yml:28: headers[2] of job "l": not a valid header name
f.yml:28: headers[3] of job "l": a header value must not hold a line break
f.yml:28: headers[4] of job "l": want text, got a mapping
f.yml:30: proxy_connect_header of job "m": if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured
f.yml:32: basic_auth of job "n": want a mapping, got text
f.yml:33: claims of oauth2 of job "n": want a mapping
f.yml:33: oauth2 of job "n": at most one of basic_auth, oauth2 & authorization must be configured`)
}

func TestRemoteWriteProblems(t *testing.T) {
	f := bothDialects(t)
	f(`
remote_write:
- name: a
- url: ""
- url: localhost:8428
- url: "http://u:s3cret@bad host"
- url: http://h/1
  name: b
- url: http://h/2
  name: b
- url: http://h/3
- {url: http://h/3}
-
- url: http://h/4
  remote_timeout: 1x
  headers: {Content-Type: s3cret, "a:s3cret": x, X: [s3cret]}
  queue_config: {capacity: 0, max_shards: 1, min_shards: 2, min_backoff: 5s, max_backoff: 1s, batch_send_deadline: 0s}
  write_relabel_configs: [{action: replace}]
`, `
f.yml:3: remote_write[0]: url is missing
f.yml:4: remote_write[1]: url is missing
f.yml:5: url of remote_write[2]: want a URL like http://host:port
f.yml:6: url of remote_write[3]: not a valid URL
f.yml:9: remote_write[5]: name "b" is used twice, first in line 7
f.yml:12: remote_write[7]: it says the same as the one in line 11
f.yml:13: remote_write[8]: a list element must not be null
f.yml:15: remote_timeout of remote_write[9]: want a duration like 30s§ or 1m30s, got "1x"
f.yml:16: headers["Content-Type"] of remote_write[9]: setting this header is not allowed
f.yml:16: headers of remote_write[9]: not a valid header name
f.yml:16: a value of headers of remote_write[9]: want text, got a list
f.yml:17: capacity of queue_config of remote_write[9]: want a whole number of at least 1, got "0"
f.yml:17: batch_send_deadline of queue_config of remote_write[9]: it must be more than 0
f.yml:17: min_shards of queue_config of remote_write[9]: min_shards is 2 and max_shards is 1, which is less
f.yml:17: max_backoff of queue_config of remote_write[9]: min_backoff is 5s and max_backoff is 1s, which is less
f.yml:18: write_relabel_configs[0] of remote_write[9]: action replace: target_label is required`)
}

// TestDialectProblems has what only one of the dialects refuses.
func TestDialectProblems(t *testing.T) {
	f := func(text, vmagent, prometheus string) {
		t.Helper()
		wantProblems(t, VMAgent, text, vmagent)
		wantProblems(t, Prometheus, text, prometheus)
	}
	f("global: {scrape_interval: 10s, scrape_timeout: 11s}", "nil",
		`f.yml:1: scrape_timeout of global: 11s is more than the scrape_interval of 10s`)
	f("scrape_configs:\n- job_name: a\n  scrape_interval: 10s\n  scrape_timeout: 11s\n", "nil",
		`f.yml:4: scrape_timeout of job "a": 11s is more than the scrape_interval of 10s`)
	f("scrape_configs:\n- job_name: a\n  static_configs:\n  - targets:\n    - a:1\n    - http://u:s3cret@h/p?q=s3cret\n", "nil",
		`f.yml:6: targets[1] of static_configs[0] of job "a": "http://<secret>@h/p?q=<secret>" is not a host and port`)
	f("scrape_configs: [{job_name: a, file_sd_configs: [{files: [targets]}]}]", "nil",
		`f.yml:1: files[0] of file_sd_configs[0] of job "a": "targets": the name must end in .json, .yml or .yaml`)
	f("global: {scrape_interval: 1.5s}", "nil", `f.yml:1: scrape_interval of global: want a duration like 30s or 1m30s, got "1.5s"`)
	f("global: {scrape_interval: 15}", "nil", `f.yml:1: scrape_interval of global: want a duration like 30s or 1m30s, got "15"`)
	f("global: {sample_limit: -1}", "nil", `f.yml:1: sample_limit of global: want a whole number of at least 0, got "-1"`)
	f("scrape_configs: [{job_name: a, relabel_configs: [{target_label: a, replacement: '{{b}}'}]}]",
		`f.yml:1: replacement of relabel_configs[0] of job "a": {{label}} is not supported yet`, "nil")
	f("scrape_configs: [{job_name: a, relabel_configs: [{target_label: a, action: keep_metrics}]}]",
		`f.yml:1: relabel_configs[0] of job "a": action "keep_metrics" is not supported yet`,
		`f.yml:1: relabel_configs[0] of job "a": action "keep_metrics" is not supported yet`)
}

// TestLinesAfterExpansion checks that problems name the lines of the file, even if values hold line breaks.
func TestLinesAfterExpansion(t *testing.T) {
	f := bothDialects(t)
	f("# %{TWO}\nx: 1\n# %{A} %{TWO}\ny: 1\nz: %{TWO}\nglobal: {b: 1, b: 2}\n", `
f.yml:2: unknown key "x"
f.yml:4: unknown key "y"
f.yml:5: unknown key "z"
f.yml:6: key "b" is given twice, first in line 6
f.yml:6: unknown key "b" of global`)
	f("a: 1 # %{TWO}\nb: c: d\n", `f.yml:2: mapping values are not allowed in this context`)
}

func TestErrorIsTyped(t *testing.T) {
	_, err := Parse([]byte("\na: 1"), Options{Name: "f.yml"})
	e, ok := errors.AsType[*Error](err)
	if want := (Error{File: "f.yml", Line: 2, Problem: `unknown key "a"`}); !ok || *e != want {
		t.Errorf("Parse() = %#v, want %#v", e, want)
	}
}
