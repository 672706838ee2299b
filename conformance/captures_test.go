package conformance

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"scraper/streamparse"
)

// captures are the bodies of real programs in a format, by file.
func captures(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, f := range files {
		if all[filepath.Base(f)], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestCaptures expects of bodies of real programs that they hold what they were captured for.
func TestCaptures(t *testing.T) {
	everything := streamparse.Body{Format: streamparse.FormatProtobuf, NativeHistograms: true, ClassicHistograms: true}
	for file, want := range map[string][]string{
		"prometheus.pb":        {"TYPE ", " summary", "{__name__=\"prometheus_tsdb_compaction_chunk_range_seconds_bucket\""},
		"prometheus3.pb":       {"int ", " since "},
		"etcd.pb":              {"{__name__=\"etcd_server_has_leader\"}", " histogram"},
		"node_exporter.pb":     {"{__name__=\"node_load1\"}"},
		"go_client.pb":         {"int ", " since ", " # {trace_id=", "é", " @1700003600123", "schema 3 zero"},
		"go_client.om.txt":     {"_created\"", " # {trace_id=", "app.requêtes en cours", " @1700003600123"},
		"python_client.om.txt": {"_created\"", " # {", " gaugehistogram", " info", " stateset", " unknown", "UNIT ", " @1700003600000"},
	} {
		body := captures(t, file)[file]
		what, theirs := openMetrics, theirOpenMetrics(body)
		if strings.HasSuffix(file, ".pb") {
			what, theirs = everything, theirProtobuf(body, everything)
		}
		ours, err := eventsOf(t, what, nil)(bytes.NewReader(body))
		if err != nil || len(ours) == 0 {
			t.Errorf("%s has %d events, %v", file, len(ours), err)
		}
		if all, err := theirEvents(theirs, what.Format == streamparse.FormatProtobuf); err != nil || len(all) != len(ours) {
			t.Errorf("%s: the oracle has %d events, %v, want %d", file, len(all), err, len(ours))
		}
		for _, w := range want {
			found := false
			for _, e := range ours {
				found = found || strings.Contains(e.text, w)
			}
			if !found {
				t.Errorf("%s holds no %q", file, w)
			}
		}
	}
}

// cutEverywhere chooses the families of a capture which are cut at each place: all of those that were made to be unusual, and
// of others some.
func cutEverywhere(file string, family []byte, rng *rand.Rand) bool {
	return len(family) <= everySplitBytes && (strings.Contains(file, "client") || rng.IntN(8) == 0)
}

func TestProtobufCaptures(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 52))
	for file, body := range captures(t, "*.pb") {
		for _, what := range protobufBodies() {
			checkProtobuf(t, file, what, body, rng)
		}
		// Each family alone is small enough to be cut everywhere.
		for len(body) > 0 {
			n, used := binary.Uvarint(body)
			family := body[:used+int(n)]
			body = body[len(family):]
			if cutEverywhere(file, family, rng) {
				checkProtobuf(t, file, streamparse.Body{Format: streamparse.FormatProtobuf, NativeHistograms: true, ClassicHistograms: true}, family, rng)
			}
		}
	}
}

func TestOpenMetricsCaptures(t *testing.T) {
	rng := rand.New(rand.NewPCG(53, 54))
	withStart := streamparse.Body{Format: streamparse.FormatOpenMetrics, StartTimestamps: true}
	for file, body := range captures(t, "*.om.txt") {
		theirs := textparse.NewOpenMetricsParser(bytes.Clone(body), labels.NewSymbolTable(), textparse.WithOMParserSTSeriesSkipped())
		checkEvents(t, file, withStart, body, theirs, rng)
		var family []byte
		for line := range bytes.Lines(body) {
			if bytes.HasPrefix(line, []byte("# HELP ")) || string(line) == "# EOF\n" {
				if family = append(family, "# EOF\n"...); cutEverywhere(file, family, rng) {
					checkEvents(t, file, openMetrics, family, theirOpenMetrics(family), rng)
					theirs := textparse.NewOpenMetricsParser(bytes.Clone(family), labels.NewSymbolTable(), textparse.WithOMParserSTSeriesSkipped())
					checkEvents(t, file, withStart, family, theirs, rng)
				}
				family = nil
			}
			family = append(family, line...)
		}
	}
}
