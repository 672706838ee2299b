package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"scraper/streamparse"
)

// randomCreated makes a body of OpenMetrics whose lines say when a metric began: behind it, before it, of another metric, or
// not at all.
func randomCreated(rng *rand.Rand) []byte {
	var b strings.Builder
	for f := range 1 + rng.IntN(3) {
		typ := []string{"counter", "summary", "histogram", "gauge", "unknown"}[rng.IntN(5)]
		name := fmt.Sprintf("family_%d", f)
		if rng.IntN(5) > 0 {
			fmt.Fprintf(&b, "# TYPE %s %s\n", name, typ)
		}
		if rng.IntN(2) == 0 {
			fmt.Fprintf(&b, "# HELP %s Some help.\n", name)
		}
		for m := range rng.IntN(4) {
			label := fmt.Sprintf("a=\"%d\"", m)
			line := func(suffix, more string) {
				exemplar := ""
				if rng.IntN(4) == 0 {
					exemplar = fmt.Sprintf(" # {id=\"%d\"} 1", rng.IntN(100))
				}
				fmt.Fprintf(&b, "%s%s{%s%s} %d%s\n", name, suffix, more, label, rng.IntN(1000), exemplar)
			}
			begin := func() {
				switch rng.IntN(6) {
				case 0:
				case 1:
					fmt.Fprintf(&b, "%s_created{a=\"%d\"} 1520430000.123\n", name, rng.IntN(4))
				case 2:
					fmt.Fprintf(&b, "{\"%s_created\",%s} 152043000%d.5\n", name, label, m)
				default:
					fmt.Fprintf(&b, "%s_created{%s} 152043000%d.123\n", name, label, m)
				}
			}
			if rng.IntN(8) == 0 {
				begin()
			}
			switch typ {
			case "histogram":
				for i := range rng.IntN(4) {
					line("_bucket", fmt.Sprintf("le=\"%d\",", i))
				}
				line("_count", "")
				line("_sum", "")
			case "summary":
				for i := range rng.IntN(3) {
					line("", fmt.Sprintf("quantile=\"0.%d\",", i))
				}
				line("_count", "")
			case "counter":
				line("_total", "")
			default:
				line("", "")
			}
			begin()
		}
	}
	b.WriteString("# EOF\n")
	return []byte(b.String())
}

func TestOpenMetricsCreated(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	what := streamparse.Body{Format: streamparse.FormatOpenMetrics, StartTimestamps: true}
	for range 100 {
		body := randomCreated(rng)
		theirs := textparse.NewOpenMetricsParser(append([]byte(nil), body...), labels.NewSymbolTable(), textparse.WithOMParserSTSeriesSkipped())
		checkEvents(t, "created", what, body, theirs, rng)
		if t.Failed() {
			return
		}
	}
}
