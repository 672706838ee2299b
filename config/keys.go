package config

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// peerKeys are keys that vmagent or Prometheus know and Scraper does not support yet: they are errors. Each has the
// values with which it says what Scraper does anyway, so that it may stand in a file; see isHarmless for how they are
// written.
type peerKeys map[string][]string

// ignoredSections are sections of Prometheus' file which an agent does not run. Each gets a warning.
var ignoredSections = []string{"rule_files", "alerting", "remote_read", "storage", "tracing", "runtime", "otlp"}

var peerTop = peerKeys{
	"scrape_config_files": nil,
}

var peerGlobal = peerKeys{
	"relabel_configs":        nil,
	"metric_relabel_configs": nil,

	"scrape_failure_log_file": {`""`},
	"extra_scrape_metrics":    {"false"},
}

var peerJob = peerKeys{
	// Prometheus
	"scrape_classic_histograms": {"false"},
	"extra_scrape_metrics":      {"false"},
	"scrape_failure_log_file":   {`""`},
	// vmagent
	"series_limit":            {"0"},
	"scrape_align_interval":   nil,
	"scrape_offset":           nil,
	"no_stale_markers":        {"false"},
	"disable_keepalive":       {"false"},
	"proxy_authorization":     nil,
	"proxy_basic_auth":        nil,
	"proxy_bearer_token":      nil,
	"proxy_bearer_token_file": nil,
	"proxy_headers":           nil,
	"proxy_oauth2":            nil,
	"proxy_tls_config":        nil,
	"vultr_configs":           nil, // so written in vmagent's code
	// Discovery: both, or one of them.
	"aws_sd_configs":          nil,
	"azure_sd_configs":        nil,
	"consul_sd_configs":       nil,
	"consulagent_sd_configs":  nil,
	"digitalocean_sd_configs": nil,
	"dns_sd_configs":          nil,
	"docker_sd_configs":       nil,
	"dockerswarm_sd_configs":  nil,
	"ec2_sd_configs":          nil,
	"ecs_sd_configs":          nil,
	"elasticache_sd_configs":  nil,
	"eureka_sd_configs":       nil,
	"gce_sd_configs":          nil,
	"hetzner_sd_configs":      nil,
	"http_sd_configs":         nil,
	"ionos_sd_configs":        nil,
	"kubernetes_sd_configs":   nil,
	"kuma_sd_configs":         nil,
	"lightsail_sd_configs":    nil,
	"linode_sd_configs":       nil,
	"marathon_sd_configs":     nil,
	"msk_sd_configs":          nil,
	"nerve_sd_configs":        nil,
	"nomad_sd_configs":        nil,
	"oci_sd_configs":          nil,
	"openstack_sd_configs":    nil,
	"outscale_sd_configs":     nil,
	"ovhcloud_sd_configs":     nil,
	"puppetdb_sd_configs":     nil,
	"rds_sd_configs":          nil,
	"scaleway_sd_configs":     nil,
	"serverset_sd_configs":    nil,
	"stackit_sd_configs":      nil,
	"triton_sd_configs":       nil,
	"uyuni_sd_configs":        nil,
	"vultr_sd_configs":        nil,
	"yandexcloud_sd_configs":  nil,
}

var peerRelabel = peerKeys{
	"if":     nil,
	"match":  nil,
	"labels": nil,
}

var peerBasicAuth = peerKeys{"username_ref": nil, "password_ref": nil}

var peerAuthorization = peerKeys{"credentials_ref": nil}

var peerTLS = peerKeys{"ca_ref": nil, "cert_ref": nil, "key_ref": nil}

var peerOAuth2 = peerKeys{"client_secret_ref": nil, "client_certificate_key_ref": nil, "headers": nil}

var peerRemoteWrite = peerKeys{
	"round_robin_dns":        {"false"},
	"failed_request_logging": {"false"},
	"sigv4":                  nil,
	"azuread":                nil,
	"google_iam":             nil,
}

// isHarmless reports whether a value of an unsupported key is one of those given, or null, or an empty list.
func isHarmless(n *yaml.Node, values []string) bool {
	if isNull(n) || n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		return true
	}
	text, ok := flowText(n)
	return ok && slices.Contains(values, text)
}

// flowText writes a scalar, or a list or mapping of scalars, in flow style: `x`, `""`, `[a, b]`, `{k: v}`.
func flowText(n *yaml.Node) (string, bool) {
	n = resolve(n)
	if n.Kind == yaml.ScalarNode {
		if n.Value == "" {
			return `""`, true
		}
		return n.Value, true
	}
	var parts []string
	for i, c := range n.Content {
		c = resolve(c)
		switch {
		case c.Kind != yaml.ScalarNode:
			return "", false
		case n.Kind == yaml.MappingNode && i%2 == 1:
			parts[len(parts)-1] += ": " + c.Value
		default:
			parts = append(parts, c.Value)
		}
	}
	if n.Kind == yaml.MappingNode {
		return "{" + strings.Join(parts, ", ") + "}", true
	}
	return "[" + strings.Join(parts, ", ") + "]", true
}

// suggest returns a key which is one edit away from the one given, empty if there is none.
func suggest(key string, known keys, peer peerKeys) string {
	for _, k := range slices.Concat(slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(peer))) {
		if oneEdit(key, k) {
			return k
		}
	}
	return ""
}

// oneEdit reports whether a character more, less, replaced or swapped with its neighbour makes b of a.
func oneEdit(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	a, b = a[i:], b[i:]
	switch len(a) - len(b) {
	case 0:
		return len(a) > 0 && (a[1:] == b[1:] || len(a) > 1 && a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:])
	case 1:
		return a[1:] == b
	case -1:
		return a == b[1:]
	}
	return false
}
