package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// TestLogFormats: a line says the same in both formats, a duration with its unit.
func TestLogFormats(t *testing.T) {
	for format, want := range map[string]string{
		"text": "level=WARN msg=slow duration=1.5s err=\"a b\"\n",
		"json": `{"level":"WARN","msg":"slow","duration":"1.5s","err":"a b"}` + "\n",
	} {
		var b bytes.Buffer
		log := newLogger(mustParse(t, "-promscrape.config=f -remoteWrite.url=http://h -loggerLevel=WARN -loggerFormat="+format), &b)
		log.Info("not shown")
		log.Warn("slow", "duration", 1500*time.Millisecond, "err", "a b")
		got := b.String()
		if format == "json" && !json.Valid(b.Bytes()) {
			t.Errorf("%s log line = %q, want JSON", format, got)
		}
		if got = withoutTime(got); got != want {
			t.Errorf("%s log = %q, want %q", format, got, want)
		}
	}
}

// withoutTime cuts the time out of a log line, which begins with it.
func withoutTime(line string) string {
	b := []byte(line)
	if rest, ok := bytes.CutPrefix(b, []byte(`{"time":`)); ok {
		_, rest, _ = bytes.Cut(rest, []byte(","))
		return "{" + string(rest)
	}
	_, rest, _ := bytes.Cut(b, []byte(" "))
	return string(rest)
}
