package config

import (
	"slices"
	"strings"
)

// A Protocol is a format of bodies with its version, under the name that scrape_protocols has for it.
type Protocol string

// The protocols.
const (
	PrometheusProto  Protocol = "PrometheusProto"
	OpenMetricsText1 Protocol = "OpenMetricsText1.0.0"
	OpenMetricsText0 Protocol = "OpenMetricsText0.0.1"
	PrometheusText1  Protocol = "PrometheusText1.0.0"
	PrometheusText0  Protocol = "PrometheusText0.0.4"
)

const (
	defaultEscaping = "allow-utf-8"
	legacyEscaping  = "underscores"
)

// protocols are all of them, the best first.
func protocols() []Protocol {
	return []Protocol{PrometheusProto, OpenMetricsText1, OpenMetricsText0, PrometheusText1, PrometheusText0}
}

// Formats is what a job asks its targets for, and what it makes of the answers.
type Formats struct {
	// Protocols are what is asked for, the best first. Empty, in vmagent's dialect alone, is text as vmagent asks for it,
	// and any answer is read as text.
	Protocols []Protocol
	// Fallback is how an answer of no known type is read; empty: not at all.
	Fallback Protocol
	// NativeHistograms takes native histograms where a target has them, and ClassicHistograms the classic ones beside them.
	NativeHistograms  bool
	ClassicHistograms bool
	// ConvertClassic makes native histograms with custom buckets of classic ones.
	ConvertClassic bool
	// BucketLimit is how many buckets a native histogram may have: its resolution is reduced as far as that takes. 0: any number.
	BucketLimit int
	// MinBucketFactor is the least factor by which a native histogram's buckets may grow. 0: any.
	MinBucketFactor float64
	// LegacyNames refuses names of metrics and labels which are not those of before UTF-8 was allowed.
	LegacyNames bool
	// Escaping says how targets are asked to write names that are not.
	Escaping string
}

// equal reports whether both mean the same.
func (f Formats) equal(o Formats) bool {
	return slices.Equal(f.Protocols, o.Protocols) && f.Fallback == o.Fallback && f.NativeHistograms == o.NativeHistograms &&
		f.ClassicHistograms == o.ClassicHistograms && f.ConvertClassic == o.ConvertClassic && f.BucketLimit == o.BucketLimit &&
		f.MinBucketFactor == o.MinBucketFactor && f.LegacyNames == o.LegacyNames && f.Escaping == o.Escaping
}

// formats is what one section says of formats: nil and empty where it says nothing.
type formats struct {
	protocols                     []Protocol
	fallback                      Protocol
	native, classic, convert      *bool
	bucketLimit                   int
	minBucketFactor               float64
	validation, escaping          string
	validationValue, escapingFrom value
}

// keys are the keys of formats which global and a job share.
func (f *formats) keys(d *decoder) keys {
	return keys{
		"scrape_protocols":                   func(v value) { f.protocols = d.protocols(v) },
		"scrape_native_histograms":           func(v value) { f.native = d.optionalBool(v) },
		"always_scrape_classic_histograms":   func(v value) { f.classic = d.optionalBool(v) },
		"convert_classic_histograms_to_nhcb": func(v value) { f.convert = d.optionalBool(v) },
		"metric_name_validation_scheme":      func(v value) { f.validation, f.validationValue = d.oneOf(v, "utf8", "legacy"), v },
		"metric_name_escaping_scheme": func(v value) {
			f.escaping, f.escapingFrom = d.oneOf(v, "allow-utf-8", "underscores", "dots", "values"), v
		},
	}
}

// formats is what holds for a job, own being what it says and global what the global section does.
func (d *decoder) formats(own, global *formats) Formats {
	f := Formats{Protocols: own.protocols, Fallback: own.fallback, BucketLimit: own.bucketLimit, MinBucketFactor: own.minBucketFactor}
	if f.Protocols == nil {
		f.Protocols = global.protocols
	}
	f.NativeHistograms = isTrue(own.native, global.native)
	f.ClassicHistograms = isTrue(own.classic, global.classic)
	f.ConvertClassic = isTrue(own.convert, global.convert)
	protobuf := f.NativeHistograms || d.protobufFirst
	if f.Protocols == nil && (d.dialect == Prometheus || protobuf) {
		f.Protocols = protocols()
		if !protobuf {
			f.Protocols = f.Protocols[1:]
		}
	}
	validation := own.validation
	if validation == "" {
		validation = global.validation
	}
	f.LegacyNames = validation == "legacy"
	switch {
	case own.escaping != "":
		f.Escaping = own.escaping
	case own.validation == "" && global.escaping != "":
		f.Escaping = global.escaping
	case f.LegacyNames:
		f.Escaping = legacyEscaping
	default:
		f.Escaping = defaultEscaping
	}
	if f.LegacyNames && f.Escaping == defaultEscaping {
		at := own.escapingFrom
		if own.escaping == "" {
			at = own.validationValue
		}
		if own.escaping == "" && own.validation == "" { // said once, of the global section
			return f
		}
		d.errorf(at, "names cannot be asked for as allow-utf-8 and be checked as legacy")
	}
	return f
}

// check refuses what the global section contradicts itself in.
func (f *formats) check(d *decoder) {
	if f.validation == "legacy" && f.escaping == defaultEscaping {
		d.errorf(f.escapingFrom, "names cannot be asked for as allow-utf-8 and be checked as legacy")
	}
}

func isTrue(own, global *bool) bool {
	if own != nil {
		return *own
	}
	return global != nil && *global
}

func (d *decoder) optionalBool(v value) *bool {
	b := d.boolean(v)
	return &b
}

// oneOf decodes a text which is empty, for the default, or one of those given.
func (d *decoder) oneOf(v value, known ...string) string {
	s := d.text(v)
	if s != "" && !slices.Contains(known, s) {
		d.errorf(v, "want %s, got %q", strings.Join(known, " or "), cut(s))
		return ""
	}
	return s
}

// protocols decodes scrape_protocols.
func (d *decoder) protocols(v value) (out []Protocol) {
	texts := d.texts(v)
	if len(texts) == 0 {
		d.errorf(v, "it names no protocol; leave it out for the usual ones")
	}
	for _, s := range texts {
		p := d.protocol(v, s)
		if p == "" {
			continue
		}
		if slices.Contains(out, p) {
			d.errorf(v, "%s is named twice", p)
		}
		out = append(out, p)
	}
	return out
}

func (d *decoder) protocol(v value, s string) Protocol {
	if p := Protocol(s); slices.Contains(protocols(), p) {
		return p
	}
	d.errorf(v, "unknown protocol %q; there are %v", cut(s), protocols())
	return ""
}

// fallbackProtocol decodes the format of answers whose Content-Type tells none.
func (d *decoder) fallbackProtocol(v value) Protocol {
	if s := d.text(v); s != "" {
		return d.protocol(v, s)
	}
	return ""
}
