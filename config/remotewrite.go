package config

import (
	"fmt"
	"maps"
	"net/http"
	"time"

	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

const defaultRemoteTimeout = 30 * time.Second

// remoteWrites decodes remote_write.
func (d *decoder) remoteWrites(v value) []*RemoteWrite {
	var out []*RemoteWrite
	for _, e := range d.list(v) {
		r := d.remoteWrite(e)
		for _, o := range out {
			switch {
			case r.Name != "" && r.Name == o.Name:
				d.errorf(e, "name %q is used twice, first in line %d", cut(r.Name), o.Line)
			case r.Equal(o):
				d.errorf(e, "it says the same as the one in line %d", o.Line)
			}
		}
		out = append(out, r)
	}
	return out
}

// remoteWrite decodes one entry of remote_write.
func (d *decoder) remoteWrite(v value) *RemoteWrite {
	r := &RemoteWrite{
		Timeout: defaultRemoteTimeout,
		HTTP:    commoncfg.HTTPClientConfig{FollowRedirects: true}, // HTTP/2 only on demand, unlike for scrapes
		Line:    d.lines.original(v.node.Line),
	}
	var url value
	known := keys{
		"url":                    func(v value) { url, r.URL = v, d.text(v); d.httpURL(v, "http", "https") },
		"name":                   func(v value) { r.Name = d.text(v) },
		"remote_timeout":         func(v value) { r.Timeout = d.duration(v) },
		"headers":                func(v value) { r.Headers = d.remoteHeaders(v) },
		"write_relabel_configs":  func(v value) { r.Relabel = d.relabelConfigs(v) },
		"queue_config":           func(v value) { r.Queue = d.queueConfig(v) },
		"send_exemplars":         func(v value) { r.SendExemplars = d.boolean(v) },
		"send_native_histograms": func(v value) { r.SendHistograms = d.boolean(v) },
		"metadata_config":        func(v value) { r.NoMetadata = !d.metadataConfig(v) },
		"protobuf_message":       func(v value) { r.Protocol = d.protobufMessage(v) },
	}
	client := d.httpClient(&r.HTTP)
	maps.Copy(known, client.keys())
	d.mapping(v, v.String(), known, peerRemoteWrite)
	client.finish()
	if url.node == nil || url.node.Kind == yaml.ScalarNode && r.URL == "" {
		d.errorf(v, "url is missing")
	}
	if r.Timeout == 0 {
		r.Timeout = defaultRemoteTimeout
	}
	return r
}

// metadataConfig decodes whether metadata are to be sent. How often and how many at a time is accepted, and has no effect.
func (d *decoder) metadataConfig(v value) (send bool) {
	send = true
	d.mapping(v, v.String(), keys{
		"send":                 func(v value) { send = d.boolean(v) },
		"send_interval":        func(v value) { d.positive(v) },
		"max_samples_per_send": func(v value) { d.integer(v, 1) },
	}, nil)
	return send
}

// protobufMessage decodes the name of a message, as the version of remote write that has it.
func (d *decoder) protobufMessage(v value) string {
	switch text := d.text(v); text {
	case "":
		return ""
	case "prometheus.WriteRequest":
		return "1.0"
	case "io.prometheus.write.v2.Request":
		return "2.0"
	default:
		d.errorf(v, "%q is not known; want prometheus.WriteRequest or io.prometheus.write.v2.Request", text)
		return ""
	}
}

// remoteHeaders decodes the headers which are added to each request.
func (d *decoder) remoteHeaders(v value) map[string]string {
	out := map[string]string{}
	for _, p := range d.pairs(v) {
		name := d.headerName(v, p.key.Value, p.key.Line)
		hv := value{node: p.value, key: fmt.Sprintf("headers[%q]", name), where: v.where, line: p.key.Line}
		if _, reserved := commoncfg.ReservedHeaders[http.CanonicalHeaderKey(name)]; reserved {
			d.errorf(hv, "setting this header is not allowed")
		}
		out[name] = d.pairText(v, p)
		d.checkHeaderValue(hv, out[name])
	}
	return out
}

func (d *decoder) queueConfig(v value) QueueConfig {
	var q QueueConfig
	var shards, backoff value
	d.mapping(v, v.String(), keys{
		"max_samples_per_send": func(v value) { q.MaxSamplesPerSend = d.integer(v, 1) },
		"batch_send_deadline":  func(v value) { q.BatchSendDeadline = d.positive(v) },
		"min_backoff":          func(v value) { q.MinBackoff, backoff = d.positive(v), v },
		"max_backoff":          func(v value) { q.MaxBackoff, backoff = d.positive(v), v },
		"capacity":             func(v value) { q.Capacity = d.integer(v, 1) },
		"max_shards":           func(v value) { q.MaxShards, shards = d.integer(v, 1), v },
		"min_shards":           func(v value) { q.MinShards, shards = d.integer(v, 1), v },
		"retry_on_http_429":    func(v value) { b := d.boolean(v); q.RetryOnHTTP429 = &b },
		"sample_age_limit":     func(v value) { q.SampleAgeLimit = d.duration(v) },
	}, nil)
	if q.MaxShards > 0 && q.MinShards > q.MaxShards {
		d.errorf(shards, "min_shards is %d and max_shards is %d, which is less", q.MinShards, q.MaxShards)
	}
	if q.MaxBackoff > 0 && q.MinBackoff > q.MaxBackoff {
		d.errorf(backoff, "min_backoff is %s and max_backoff is %s, which is less", model.Duration(q.MinBackoff), model.Duration(q.MaxBackoff))
	}
	return q
}

// positive decodes a duration which must not be 0.
func (d *decoder) positive(v value) time.Duration {
	problems := len(d.problems)
	dur := d.duration(v)
	if dur == 0 && len(d.problems) == problems { // 0 also stands for one that is wrong
		d.errorf(v, "it must be more than 0")
	}
	return dur
}
